//! A reader of JSON for the plain lines that nearly all exports are made of.
//!
//! In the sandbox it takes half the time of a full parser: strings are searched sixteen bytes at a time, and escapes are
//! resolved into memory of the right size at once. It refuses whatever is unusual (control characters, exponents, lone surrogates,
//! deep nesting) along with whatever is wrong, and leaves the judgement to `serde_json`. What it does read it reads as
//! `serde_json` does; a test holds both against each other.

use std::borrow::Cow;
use std::fmt;

use serde::de::value::BorrowedStrDeserializer;
use serde::de::{self, Deserialize, DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

pub(crate) use strings::code_unit;

mod strings;

/// Deeper lines than exports have go to the parser that bounds its own depth.
const MAX_DEPTH: u8 = 32;

/// The line is not plain. Whether it is wrong is for others to say.
#[derive(Debug)]
pub(crate) struct Unusual;

impl fmt::Display for Unusual {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("not plain JSON")
    }
}

impl std::error::Error for Unusual {}

impl de::Error for Unusual {
    fn custom<T: fmt::Display>(_: T) -> Self {
        Unusual
    }
}

/// A value as it stands in the line, unread.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Raw<'a>(pub(crate) &'a str);

/// Asks a [`Reader`] for a value's text instead of its content.
const RAW: &str = "raw";

impl<'de: 'a, 'a> Deserialize<'de> for Raw<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct RawVisitor;

        impl<'de> Visitor<'de> for RawVisitor {
            type Value = Raw<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("any JSON value")
            }

            fn visit_borrowed_str<E>(self, json: &'de str) -> Result<Raw<'de>, E> {
                Ok(Raw(json))
            }

            fn visit_newtype_struct<D: Deserializer<'de>>(self, json: D) -> Result<Raw<'de>, D::Error> {
                <&RawValue>::deserialize(json).map(|value| Raw(value.get()))
            }
        }

        deserializer.deserialize_newtype_struct(RAW, RawVisitor)
    }
}

/// Reads one line.
pub(crate) struct Reader<'a> {
    /// Begins with the line. What stands behind the line is looked at along with it, but not read: it makes whole lanes of the
    /// line's last bytes.
    text: &'a str,
    length: usize,
    at: usize,
    depth: u8,
    /// Room for texts while their escapes are resolved.
    scratch: Vec<u8>,
}

impl<'a> Reader<'a> {
    /// Reads the line of this length at the start of a text. It must have no control characters.
    pub(crate) fn new(text: &'a str, length: usize, scratch: Vec<u8>) -> Self {
        Reader { text, length, at: 0, depth: 0, scratch }
    }

    /// What the next reader should work with.
    pub(crate) fn into_scratch(self) -> Vec<u8> {
        self.scratch
    }

    /// Whether the line has been read to its end, and not beyond.
    pub(crate) fn end(&mut self) -> Result<(), Unusual> {
        if self.at < self.length {
            self.skip_blanks();
        }
        if self.at == self.length { Ok(()) } else { Err(Unusual) }
    }

    fn rest(&self) -> &'a [u8] {
        self.text.as_bytes().get(self.at..).unwrap_or_default()
    }

    /// The next byte; behind the end 0, which no plain line has.
    #[inline(always)]
    fn peek(&self) -> u8 {
        self.text.as_bytes().get(self.at).copied().unwrap_or(0)
    }

    #[cold]
    #[inline(never)]
    fn skip_blanks(&mut self) {
        while self.peek() == b' ' {
            self.at += 1;
        }
    }

    /// The next byte that is no blank. Machines write no blanks, so these cost no more than a comparison.
    #[inline(always)]
    fn next(&mut self) -> u8 {
        if self.peek() == b' ' {
            self.skip_blanks();
        }
        self.peek()
    }

    #[inline(always)]
    fn expect(&mut self, byte: u8) -> Result<(), Unusual> {
        if self.next() != byte {
            return Err(Unusual);
        }
        self.at += 1;
        Ok(())
    }

    fn word(&mut self, word: &str) -> Result<(), Unusual> {
        if !self.rest().starts_with(word.as_bytes()) {
            return Err(Unusual);
        }
        self.at += word.len();
        Ok(())
    }

    /// A number, most of which are whole and short.
    fn number<V: Visitor<'a>>(&mut self, visitor: V) -> Result<V::Value, Unusual> {
        let (mut number, mut end) = (0, self.at);
        while let Some(digit @ b'0'..=b'9') = self.text.as_bytes().get(end) {
            number = number * 10 + u64::from(digit - b'0');
            end += 1;
            if end == self.at + 18 {
                break;
            }
        }
        let is_whole = matches!(self.text.as_bytes().get(end), Some(b',' | b'}' | b']'));
        if is_whole && end > self.at && (self.peek() != b'0' || end == self.at + 1) {
            self.at = end;
            return visitor.visit_u64(number);
        }
        self.unusual_number(visitor)
    }

    fn unusual_number<V: Visitor<'a>>(&mut self, visitor: V) -> Result<V::Value, Unusual> {
        let is_part = |byte: &u8| byte.is_ascii_digit() || b"-+.eE".contains(byte);
        let length = self.rest().iter().take_while(|byte| is_part(byte)).count();
        let number = &self.text[self.at..self.at + length];
        self.at += length;
        let digits = number.strip_prefix('-').unwrap_or(number);
        let (whole, fraction) = digits.split_once('.').unwrap_or((digits, "0"));
        let are_digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        let zero_leads = whole.starts_with('0') && (whole.len() > 1 || digits != number);
        if !are_digits(whole) || !are_digits(fraction) || zero_leads || whole.len() > 18 {
            return Err(Unusual);
        }
        if whole.len() < digits.len() {
            return visitor.visit_f64(number.parse().map_err(|_| Unusual)?);
        }
        if digits.len() < number.len() {
            return visitor.visit_i64(number.parse().map_err(|_| Unusual)?);
        }
        visitor.visit_u64(number.parse().map_err(|_| Unusual)?)
    }

    /// Goes behind a value without keeping any of it.
    fn skip(&mut self) -> Result<(), Unusual> {
        self.descend(|reader| match reader.next() {
            b'"' => {
                reader.at += 1;
                reader.skip_string_rest()
            }
            b'{' => reader.skip_members(),
            b'[' => reader.skip_elements(),
            b't' => reader.word("true"),
            b'f' => reader.word("false"),
            b'n' => reader.word("null"),
            _ => reader.number(de::IgnoredAny).map(drop),
        })
    }

    fn skip_members(&mut self) -> Result<(), Unusual> {
        let mut members = Separated::open(self, b'}');
        while members.another()? {
            if members.reader.next() != b'"' {
                return Err(Unusual);
            }
            members.reader.at += 1;
            members.reader.skip_string_rest()?;
            members.reader.expect(b':')?;
            members.reader.skip()?;
        }
        Ok(())
    }

    fn skip_elements(&mut self) -> Result<(), Unusual> {
        let mut elements = Separated::open(self, b']');
        while elements.another()? {
            elements.reader.skip()?;
        }
        Ok(())
    }

    fn descend<T>(&mut self, read: impl FnOnce(&mut Self) -> Result<T, Unusual>) -> Result<T, Unusual> {
        if self.depth == MAX_DEPTH {
            return Err(Unusual);
        }
        self.depth += 1;
        let value = read(self)?;
        self.depth -= 1;
        Ok(value)
    }
}

impl<'de> Deserializer<'de> for &mut Reader<'de> {
    type Error = Unusual;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Unusual> {
        match self.next() {
            b'"' => match self.string()? {
                Cow::Borrowed(text) => visitor.visit_borrowed_str(text),
                Cow::Owned(text) => visitor.visit_string(text),
            },
            b'{' => self.descend(|reader| visitor.visit_map(Separated::open(reader, b'}'))),
            b'[' => self.descend(|reader| visitor.visit_seq(Separated::open(reader, b']'))),
            b't' => self.word("true").and_then(|()| visitor.visit_bool(true)),
            b'f' => self.word("false").and_then(|()| visitor.visit_bool(false)),
            b'n' => self.word("null").and_then(|()| visitor.visit_unit()),
            _ => self.number(visitor),
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Unusual> {
        if self.next() == b'n' {
            return self.word("null").and_then(|()| visitor.visit_none());
        }
        visitor.visit_some(self)
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Unusual> {
        self.skip().and_then(|()| visitor.visit_unit())
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        visitor: V,
    ) -> Result<V::Value, Unusual> {
        if name != RAW {
            return visitor.visit_newtype_struct(self);
        }
        self.skip_blanks();
        let start = self.at;
        self.skip()?;
        visitor.visit_borrowed_str(&self.text[start..self.at])
    }

    serde::forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit unit_struct
        seq tuple tuple_struct map struct enum identifier
    }
}

/// The members of an object or the elements of an array, with commas between them.
struct Separated<'r, 'a> {
    reader: &'r mut Reader<'a>,
    close: u8,
    first: bool,
}

impl<'r, 'a> Separated<'r, 'a> {
    /// Begins behind the opening bracket, which is next.
    fn open(reader: &'r mut Reader<'a>, close: u8) -> Self {
        reader.at += 1;
        Separated { reader, close, first: true }
    }

    /// Goes to the next one, or behind the closing bracket.
    #[inline(always)]
    fn another(&mut self) -> Result<bool, Unusual> {
        let next = self.reader.next();
        let first = std::mem::replace(&mut self.first, false);
        let closes = next == self.close;
        if closes || !first {
            self.reader.at += 1;
        }
        if closes || first || next == b',' { Ok(!closes) } else { Err(Unusual) }
    }
}

impl<'a> MapAccess<'a> for Separated<'_, 'a> {
    type Error = Unusual;

    fn next_key_seed<K: DeserializeSeed<'a>>(&mut self, seed: K) -> Result<Option<K::Value>, Unusual> {
        if !self.another()? {
            return Ok(None);
        }
        if self.reader.next() != b'"' {
            return Err(Unusual);
        }
        let Cow::Borrowed(key) = self.reader.string()? else { return Err(Unusual) };
        seed.deserialize(BorrowedStrDeserializer::new(key)).map(Some)
    }

    fn next_value_seed<V: DeserializeSeed<'a>>(&mut self, seed: V) -> Result<V::Value, Unusual> {
        self.reader.expect(b':')?;
        seed.deserialize(&mut *self.reader)
    }
}

impl<'a> SeqAccess<'a> for Separated<'_, 'a> {
    type Error = Unusual;

    fn next_element_seed<T: DeserializeSeed<'a>>(&mut self, seed: T) -> Result<Option<T::Value>, Unusual> {
        if !self.another()? {
            return Ok(None);
        }
        seed.deserialize(&mut *self.reader).map(Some)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Value;

    fn plain(json: &str) -> Result<Reader<'_>, Unusual> {
        let plain = json.bytes().all(|byte| byte >= 0x20);
        plain.then(|| Reader::new(json, json.len(), Vec::new())).ok_or(Unusual)
    }

    fn read(json: &str) -> Result<Value, Unusual> {
        let mut reader = plain(json)?;
        let value = Value::deserialize(&mut reader)?;
        reader.end()?;
        Ok(value)
    }

    fn skipped(json: &str) -> Result<&str, Unusual> {
        let mut reader = plain(json)?;
        let Raw(raw) = Raw::deserialize(&mut reader)?;
        reader.end()?;
        Ok(raw)
    }

    /// Pieces that values are made of, right and wrong ones.
    const PIECES: &str = r#"(\{|\}|\[|\]|,|:|"|"a"|"k":|null|true|fals|0|-0|-1|12|1\.5|-0\.25|1e3|01|\.5|1\.| |é|\\"|\\\\|\\/|\\n|\\u00e9|\\ud83d\\ude00|\\ud83d|\\x|\\u12|[\u{0}-\u{20}]){0,12}"#;

    proptest::proptest! {
        #![proptest_config(proptest::prelude::ProptestConfig::with_cases(5_000))]

        #[test]
        fn what_is_read_is_read_as_by_the_full_parser(json in PIECES) {
            if let Ok(value) = read(&json) {
                proptest::prop_assert_eq!(Some(value), serde_json::from_str(&json).ok());
            }
            if let Ok(raw) = skipped(&json) {
                let full: &RawValue = serde_json::from_str(&json).unwrap();
                proptest::prop_assert_eq!(raw, full.get());
            }
        }

        #[test]
        fn every_plain_value_is_read(text in "\\PC*", number in -1_000_000_000_000_i64.., float in -1e6..1e6) {
            let escaped: String = text.encode_utf16().map(|unit| format!("\\u{unit:04x}")).collect();
            let value = serde_json::json!([{ "key": text, "n": number, "x": [] }, { "o": { "f": true, "z": null } }]);
            let json = value.to_string().replace("\"x\":[]", &format!("\"x\": \"{escaped}\", \"f\": {float:.3}"));
            let full: Value = serde_json::from_str(&json).unwrap();
            let shortest = number.unsigned_abs() < 1_000_000_000_000_000_000;
            proptest::prop_assert_eq!(read(&json).ok(), shortest.then_some(full));
            proptest::prop_assert_eq!(skipped(&json).ok(), shortest.then_some(&*json));
        }
    }

    #[test]
    fn what_is_not_plain_is_left_to_others() {
        for json in [
            "",
            "{",
            "[1,]",
            "{\"a\":1,}",
            "\"\\ud83d\"",
            "1e5",
            "-0",
            "\t1",
            "nul",
            "1 2",
            "{1:2}",
            &"[".repeat(99),
        ] {
            assert!(read(json).is_err(), "{json}");
        }
        assert_eq!(read(" {\"a\" : [ 1 , -2.50 ] } ").unwrap(), serde_json::json!({"a": [1, -2.5]}));
    }
}
