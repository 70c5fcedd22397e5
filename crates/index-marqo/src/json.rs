//! Writes JSON for the server and counts, in the same pass, the characters of Python's `json.dumps`, by which the server
//! measures a document: separators `", "` and `": "`, and everything beyond ASCII as `\uXXXX`.

use host_index_rules::{JSON_DUMPS_SEPARATOR_LEN, is_storable, json_dumps_char_len, json_dumps_float_len};
use serde_json::{Number, Value};

/// JSON under construction, without what Marqo refuses: nulls, and characters that its vector store cannot keep.
#[derive(Debug, Default)]
pub(super) struct Json {
    pub(super) bytes: Vec<u8>,
    /// Number of characters that `json.dumps` would write.
    pub(super) characters: usize,
}

impl Json {
    /// Begins an object or array; its members follow.
    pub(super) fn open(&mut self, bracket: u8) {
        self.bytes.push(bracket);
        self.characters += 1;
    }

    /// Ends an object or array.
    pub(super) fn close(&mut self, bracket: u8) {
        self.bytes.push(bracket);
        self.characters += 1;
    }

    /// The name of an object's next member; its value follows.
    pub(super) fn name(&mut self, name: &str) {
        self.next();
        if plain_length(name.as_bytes()) == name.len() {
            self.bytes.push(b'"');
            self.bytes.extend_from_slice(name.as_bytes());
            self.bytes.push(b'"');
            self.characters += 2 + name.len();
        } else {
            // Kept whole, for the server to refuse: without its bad characters it could be the name of another field.
            serde_json::to_writer(&mut self.bytes, name).expect("a text is written to memory");
            self.characters += 2 + name.chars().map(json_dumps_char_len).sum::<usize>();
        }
        self.bytes.push(b':');
        self.characters += JSON_DUMPS_SEPARATOR_LEN;
    }

    pub(super) fn value(&mut self, value: &Value) {
        match value {
            Value::Null => self.word("null"),
            Value::Bool(true) => self.word("true"),
            Value::Bool(false) => self.word("false"),
            Value::Number(number) => self.number(number),
            Value::String(text) => self.text(text),
            Value::Array(members) => {
                self.open(b'[');
                for member in members.iter().filter(|member| !member.is_null()) {
                    self.next();
                    self.value(member);
                }
                self.close(b']');
            }
            Value::Object(members) => {
                self.open(b'{');
                for (name, value) in members.iter().filter(|(_, value)| !value.is_null()) {
                    self.name(name);
                    self.value(value);
                }
                self.close(b'}');
            }
        }
    }

    pub(super) fn text(&mut self, text: &str) {
        self.bytes.push(b'"');
        self.characters += 2;
        let mut rest = text;
        while !rest.is_empty() {
            let (plain, other) = rest.split_at(plain_length(rest.as_bytes()));
            self.bytes.extend_from_slice(plain.as_bytes());
            self.characters += plain.len();
            let length = other.find(|c: char| c.is_ascii() && is_plain(c as u8)).unwrap_or(other.len());
            let (other, after) = other.split_at(length);
            other.chars().for_each(|c| self.character(c));
            rest = after;
        }
        self.bytes.push(b'"');
    }

    fn character(&mut self, c: char) {
        match c {
            '"' | '\\' => self.bytes.extend_from_slice(&[b'\\', c as u8]),
            '\n' => self.bytes.extend_from_slice(b"\\n"),
            '\r' => self.bytes.extend_from_slice(b"\\r"),
            '\t' => self.bytes.extend_from_slice(b"\\t"),
            _ if !is_storable(c) => return,
            _ => self.bytes.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes()),
        }
        self.characters += json_dumps_char_len(c);
    }

    /// A float keeps its point (`20.0`), an integer has none: to the server these are different kinds.
    fn number(&mut self, number: &Number) {
        let before = self.bytes.len();
        serde_json::to_writer(&mut self.bytes, number).expect("a number is written to memory");
        self.characters += match number.as_f64() {
            Some(float) if number.is_f64() => json_dumps_float_len(float),
            _ => self.bytes.len() - before,
        };
    }

    fn word(&mut self, word: &str) {
        self.bytes.extend_from_slice(word.as_bytes());
        self.characters += word.len();
    }

    /// Writes the comma between two members. Only before the first one is the last byte an opening bracket: no value
    /// ends with one.
    fn next(&mut self) {
        if !matches!(self.bytes.last(), Some(b'{' | b'[')) {
            self.bytes.push(b',');
            self.characters += JSON_DUMPS_SEPARATOR_LEN;
        }
    }
}

/// Printable ASCII that JSON does not escape.
fn is_plain(byte: u8) -> bool {
    // `&` and not `&&`: without branches the compiler checks the bytes of a block in parallel.
    matches!(byte, b' '..=b'~') & (byte != b'"') & (byte != b'\\')
}

/// How many bytes at the beginning are plain. Most texts are plain to the end, so whole blocks of 16 bytes are checked
/// first.
fn plain_length(bytes: &[u8]) -> usize {
    let mut length = 0;
    while let Some(block) = bytes[length..].first_chunk::<16>()
        && block.iter().fold(true, |all, byte| all & is_plain(*byte))
    {
        length += block.len();
    }
    length + bytes[length..].iter().take_while(|byte| is_plain(**byte)).count()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    fn written(value: &Value) -> (String, usize) {
        let mut json = Json::default();
        json.value(value);
        (String::from_utf8(json.bytes).unwrap(), json.characters)
    }

    #[test]
    fn characters_are_counted_as_pythons_json_dumps_writes_them() {
        for (value, python) in [
            (json!({"a": [1, 2.5, null], "b": {}, "c": null}), r#"{"a": [1, 2.5], "b": {}}"#),
            (json!([]), "[]"),
            (json!([null, "a"]), r#"["a"]"#),
            (json!({"\u{1}\u{8}ü": "\u{1}"}), r#"{"\u0001\b\u00fc": ""}"#),
            (json!("é\u{7f}\u{1}\n\"\\"), r#""\u00e9\u007f\n\"\\""#),
            (
                json!("plain for sixteen bytes and more, then ü"),
                r#""plain for sixteen bytes and more, then \u00fc""#,
            ),
            (json!("😀"), r#""\ud83d\ude00""#),
            (json!(20.0), "20.0"),
            (json!(-0.0), "-0.0"),
            (json!(19.99), "19.99"),
            (json!(0.0001), "0.0001"),
            (json!(0.00001), "1e-05"),
            (json!(-0.000012345), "-1.2345e-05"),
            (json!(1e15), "1000000000000000.0"),
            (json!(9999999999999998.0), "9999999999999998.0"),
            (json!(1e16), "1e+16"),
            (json!(1.5e300), "1.5e+300"),
            (json!(-1e-300), "-1e-300"),
            (json!(123456.789), "123456.789"),
            (json!(9007199254740993u64), "9007199254740993"),
            (json!([true, false]), "[true, false]"),
        ] {
            assert_eq!(written(&value).1, python.chars().count(), "{python}");
        }
    }

    /// Number of characters that `json.dumps` writes, counted the plain way.
    fn dumped_len(value: &Value) -> usize {
        let members = |sum: usize, count: usize| 2 + sum + 2 * count.saturating_sub(1);
        match value {
            Value::String(text) => {
                let character = |c: char| match c {
                    '"' | '\\' | '\n' | '\r' | '\t' => 2,
                    ' '..='~' => 1,
                    _ => 6 * c.len_utf16(),
                };
                2 + text.chars().map(character).sum::<usize>()
            }
            Value::Array(list) => members(list.iter().map(dumped_len).sum(), list.len()),
            Value::Object(map) => {
                let member =
                    |(name, value): (&String, &Value)| dumped_len(&json!(name)) + 2 + dumped_len(value);
                members(map.iter().map(member).sum(), map.len())
            }
            // Between 1e-4 and 1e16, as the test below draws them, Rust prints floats as Python does.
            Value::Number(number) if number.is_f64() => format!("{:?}", number.as_f64().unwrap()).len(),
            other => other.to_string().len(),
        }
    }

    /// The value without what Marqo refuses.
    fn cleaned(value: &Value) -> Value {
        match value {
            Value::String(text) => text.chars().filter(|c| is_storable(*c)).collect::<String>().into(),
            Value::Array(list) => list.iter().filter(|value| !value.is_null()).map(cleaned).collect(),
            other => other.clone(),
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_the_value_cleaned_and_measured(
            texts in prop::collection::vec("\\PC{0,40}|[ -~]{0,70}|[\u{0}-\u{ff}\u{fdd0}\u{fffe}\u{1F600}]{0,40}", 0..6),
            number in 1e-4..1e16f64,
            integer in any::<i64>(),
        ) {
            let value = json!([texts, texts, number, integer, null, true]);
            let (text, characters) = written(&value);
            let read: Value = serde_json::from_str(&text).unwrap();
            prop_assert_eq!(&read, &cleaned(&value));
            prop_assert_eq!(characters, dumped_len(&read));
        }
    }
}
