//! JSON values as Python represents them: Marqo is written in Python, and measures documents and quotes values in
//! messages by Python's functions.

use serde_json::{Map, Value};

/// `type(value).__name__`.
pub(crate) fn type_name(value: &Value) -> &'static str {
    match value {
        Value::Null => "NoneType",
        Value::Bool(_) => "bool",
        Value::Number(number) if number.is_f64() => "float",
        Value::Number(_) => "int",
        Value::String(_) => "str",
        Value::Array(_) => "list",
        Value::Object(_) => "dict",
    }
}

/// `isinstance(value, (int, float))`, which is true for a bool.
pub(crate) fn is_number(value: &Value) -> bool {
    value.is_number() || value.is_boolean()
}

/// `str(value)`: a text without quotes, everything else as in `repr`.
pub(crate) fn text(value: &Value) -> String {
    value.as_str().map_or_else(|| repr(value), str::to_owned)
}

/// `repr(value)`.
pub(crate) fn repr(value: &Value) -> String {
    match value {
        Value::Null => "None".to_owned(),
        Value::Bool(true) => "True".to_owned(),
        Value::Bool(false) => "False".to_owned(),
        Value::Number(number) => number_text(number),
        Value::String(text) => quoted(text),
        Value::Array(members) => format!("[{}]", joined(members.iter().map(repr))),
        Value::Object(members) => {
            let pairs = members.iter().map(|(key, value)| format!("{}: {}", quoted(key), repr(value)));
            format!("{{{}}}", joined(pairs))
        }
    }
}

/// `json.dumps(value)`, with its spaces and escapes.
pub(crate) fn dumps(value: &Value) -> String {
    match value {
        Value::Null | Value::Bool(_) => value.to_string(),
        Value::Number(number) => number_text(number),
        Value::String(text) => dumped_text(text),
        Value::Array(members) => format!("[{}]", joined(members.iter().map(dumps))),
        Value::Object(members) => dumped_object(members),
    }
}

/// The length of [`dumps`] in bytes, without making the text.
pub(crate) fn dumped_length(value: &Value) -> usize {
    let members = |count: usize, sum: usize| 2 + sum + 2 * count.saturating_sub(1);
    match value {
        Value::Null | Value::Bool(true) => 4,
        Value::Bool(false) => 5,
        Value::Number(number) => number_text(number).len(),
        Value::String(text) => dumped_text_length(text),
        Value::Array(list) => members(list.len(), list.iter().map(dumped_length).sum()),
        Value::Object(map) => {
            let member = |(key, value): (&String, &Value)| dumped_text_length(key) + 2 + dumped_length(value);
            members(map.len(), map.iter().map(member).sum())
        }
    }
}

/// The length of [`dumped_text`] in bytes.
fn dumped_text_length(text: &str) -> usize {
    let is_plain = |byte: u8| matches!(byte, b' '..=b'~') & (byte != b'"') & (byte != b'\\');
    if text.bytes().fold(true, |all, byte| all & is_plain(byte)) {
        return text.len() + 2;
    }
    let length = |character: char| match character {
        '"' | '\\' | '\n' | '\r' | '\t' | '\u{8}' | '\u{c}' => 2,
        ' '..='~' => 1,
        _ => 6 * character.len_utf16(),
    };
    2 + text.chars().map(length).sum::<usize>()
}

fn dumped_object(members: &Map<String, Value>) -> String {
    let pairs = members.iter().map(|(key, value)| format!("{}: {}", dumped_text(key), dumps(value)));
    format!("{{{}}}", joined(pairs))
}

/// A text in JSON as `json.dumps` writes it: everything outside printable ASCII is escaped.
fn dumped_text(text: &str) -> String {
    let mut dumped = String::with_capacity(text.len() + 2);
    dumped.push('"');
    for character in text.chars() {
        match character {
            '"' => dumped.push_str("\\\""),
            '\\' => dumped.push_str("\\\\"),
            '\n' => dumped.push_str("\\n"),
            '\r' => dumped.push_str("\\r"),
            '\t' => dumped.push_str("\\t"),
            '\u{8}' => dumped.push_str("\\b"),
            '\u{c}' => dumped.push_str("\\f"),
            ' '..='~' => dumped.push(character),
            _ => {
                let mut units = [0; 2];
                for unit in character.encode_utf16(&mut units) {
                    dumped.push_str(&format!("\\u{unit:04x}"));
                }
            }
        }
    }
    dumped.push('"');
    dumped
}

/// A text as `repr` quotes it.
fn quoted(text: &str) -> String {
    let escaped = text.replace('\\', "\\\\").replace('\n', "\\n").replace('\r', "\\r").replace('\t', "\\t");
    match (text.contains('\''), text.contains('"')) {
        (true, false) => format!("\"{escaped}\""),
        (true, true) => format!("'{}'", escaped.replace('\'', "\\'")),
        (false, _) => format!("'{escaped}'"),
    }
}

/// A number as Python writes it: with an exponent from 1e+16 on and below 1e-04, which has a sign and two digits at
/// least.
fn number_text(number: &serde_json::Number) -> String {
    let Some(value) = number.as_f64().filter(|_| number.is_f64()) else { return number.to_string() };
    let magnitude = value.abs();
    if value == 0.0 || (1e-4..1e16).contains(&magnitude) {
        return format!("{value:?}");
    }
    let scientific = format!("{value:e}");
    let (mantissa, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let (sign, digits) = exponent.strip_prefix('-').map_or(('+', exponent), |digits| ('-', digits));
    format!("{mantissa}e{sign}{digits:0>2}")
}

fn joined(parts: impl Iterator<Item = String>) -> String {
    parts.collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn values_are_quoted_as_python_quotes_them() {
        let value = json!({"a": [null, true, 1, 1.0, "it's"], "b": {"c": "x"}});
        assert_eq!(repr(&value), r#"{'a': [None, True, 1, 1.0, "it's"], 'b': {'c': 'x'}}"#);
        assert_eq!(text(&json!("bare")), "bare");
    }

    #[test]
    fn a_dump_has_spaces_and_escapes_all_that_is_not_printable_ascii() {
        assert_eq!(
            dumps(&json!({"a": [1, 2.0], "é": "\u{7f}😀\n"})),
            r#"{"a": [1, 2.0], "\u00e9": "\u007f\ud83d\ude00\n"}"#
        );
    }

    #[test]
    fn the_computed_length_is_that_of_the_dump() {
        for value in [
            json!({"a": [1, 2.0, 1e-7, null, true, false], "é": "\u{7f}😀\n\"\\\u{8}\u{1}", "b": {}, "c": []}),
            json!({}),
            json!([["plain"], "x"]),
        ] {
            assert_eq!(dumped_length(&value), dumps(&value).len(), "{value}");
        }
    }

    #[test]
    fn floats_are_written_as_python_writes_them() {
        let written = |value: f64| dumps(&json!(value));
        assert_eq!(written(14.5), "14.5");
        assert_eq!(written(1e16), "1e+16");
        assert_eq!(written(9_007_199_254_740_993.0), "9007199254740992.0");
        assert_eq!(written(0.0001), "0.0001");
        assert_eq!(written(0.00001), "1e-05");
        assert_eq!(written(1.5e-7), "1.5e-07");
        assert_eq!(written(-2.5e300), "-2.5e+300");
    }
}
