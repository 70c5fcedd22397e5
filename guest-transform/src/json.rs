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

use crate::text::{LANE, all};

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
    json: &'a str,
    at: usize,
    depth: u8,
}

impl<'a> Reader<'a> {
    pub(crate) fn new(json: &'a str) -> Result<Self, Unusual> {
        let plain = all(json.as_bytes(), |byte| byte >= 0x20);
        if plain { Ok(Reader { json, at: 0, depth: 0 }) } else { Err(Unusual) }
    }

    /// Whether the line has been read to its end.
    pub(crate) fn end(&mut self) -> Result<(), Unusual> {
        self.skip_blanks();
        if self.at == self.json.len() { Ok(()) } else { Err(Unusual) }
    }

    fn rest(&self) -> &'a [u8] {
        self.json.as_bytes().get(self.at..).unwrap_or_default()
    }

    /// The next byte; behind the end 0, which no plain line has.
    fn peek(&self) -> u8 {
        self.json.as_bytes().get(self.at).copied().unwrap_or(0)
    }

    fn skip_blanks(&mut self) {
        while self.peek() == b' ' {
            self.at += 1;
        }
    }

    /// The next byte that is no blank.
    fn next(&mut self) -> u8 {
        self.skip_blanks();
        self.peek()
    }

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

    /// A string, whose opening quote is next.
    fn string(&mut self) -> Result<Cow<'a, str>, Unusual> {
        let start = self.at + 1;
        let length = memchr::memchr2(b'"', b'\\', &self.json.as_bytes()[start..]).ok_or(Unusual)?;
        let end = start + length;
        if self.json.as_bytes()[end] == b'"' {
            self.at = end + 1;
            return Ok(Cow::Borrowed(&self.json[start..end]));
        }
        self.at = end;
        self.skip_string_rest()?;
        unescape(&self.json[start..self.at - 1], length).map(Cow::Owned)
    }

    /// Goes behind the closing quote of a string.
    fn skip_string_rest(&mut self) -> Result<(), Unusual> {
        let quote = memchr::memchr(b'"', self.rest()).ok_or(Unusual)?;
        if escapes_only_slashes(&self.rest()[..quote]) {
            self.at += quote + 1;
            return Ok(());
        }
        loop {
            self.at += memchr::memchr2(b'"', b'\\', self.rest()).ok_or(Unusual)?;
            if self.peek() == b'"' {
                self.at += 1;
                return Ok(());
            }
            self.at += match self.rest().get(1).ok_or(Unusual)? {
                b'u' if code_unit(self.rest()).is_some() => 6,
                b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => 2,
                _ => return Err(Unusual),
            };
        }
    }

    fn number<V: Visitor<'a>>(&mut self, visitor: V) -> Result<V::Value, Unusual> {
        let is_part = |byte: &u8| byte.is_ascii_digit() || b"-+.eE".contains(byte);
        let length = self.rest().iter().take_while(|byte| is_part(byte)).count();
        let number = &self.json[self.at..self.at + length];
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

/// Whether every backslash begins `\/`, the one escape that the ids and addresses of bulk files are full of.
fn escapes_only_slashes(inside: &[u8]) -> bool {
    let Some((last, _)) = inside.split_last() else { return true };
    let is_right = |(byte, next): (&u8, &u8)| (*byte != b'\\') | (*next == b'/');
    let (lanes, rest) = inside[..inside.len() - 1].as_chunks::<LANE>();
    let (next_lanes, next_rest) = inside[1..].as_chunks::<LANE>();
    let lane_is_right = |(lane, next): (&[u8; LANE], &[u8; LANE])| {
        lane.iter().zip(next).fold(true, |all, pair| all & is_right(pair))
    };
    *last != b'\\'
        && lanes.iter().zip(next_lanes).all(lane_is_right)
        && rest.iter().zip(next_rest).all(is_right)
}

/// The text of a string's inside, of which this many bytes at the start have no escape.
fn unescape(escaped: &str, plain: usize) -> Result<String, Unusual> {
    let mut text = String::with_capacity(escaped.len() + LANE);
    push_start(&mut text, escaped, plain);
    let mut rest = &escaped[plain..];
    while let Some(escape) = rest.as_bytes().get(1) {
        let (char, length) = match escape {
            b'u' => unicode(rest.as_bytes()).ok_or(Unusual)?,
            b'b' => ('\u{8}', 2),
            b'f' => ('\u{C}', 2),
            b'n' => ('\n', 2),
            b'r' => ('\r', 2),
            b't' => ('\t', 2),
            itself => (char::from(*itself), 2),
        };
        text.push(char);
        rest = &rest[length..];
        let plain = memchr::memchr(b'\\', rest.as_bytes()).unwrap_or(rest.len());
        push_start(&mut text, rest, plain);
        rest = &rest[plain..];
    }
    Ok(text)
}

/// Appends this many bytes from the start of a text. Between escapes there are few, and a copy whose size is known when
/// compiling is two instructions where any other is a call out of the sandbox.
fn push_start(text: &mut String, from: &str, bytes: usize) {
    match from.get(..LANE) {
        Some(lane) if bytes <= LANE => {
            let length = text.len() + bytes;
            text.push_str(lane);
            text.truncate(length);
        }
        _ => text.push_str(&from[..bytes]),
    }
}

/// The character of the `\u` escape at the start, or of the two that make a pair, and how long it is.
fn unicode(json: &[u8]) -> Option<(char, usize)> {
    let unit = code_unit(json)?;
    if let Some(char) = char::from_u32(unit) {
        return Some((char, 6));
    }
    let units = [unit, code_unit(json.get(6..)?)?].map(|unit| unit as u16);
    let char = char::decode_utf16(units).next()?.ok()?;
    Some((char, 12))
}

/// The UTF-16 code unit of the `\uXXXX` at the start, if there is one.
pub(crate) fn code_unit(json: &[u8]) -> Option<u32> {
    let [b'\\', b'u', digits @ ..] = json.first_chunk::<6>()? else { return None };
    digits.iter().try_fold(0, |unit, digit| Some(unit * 16 + char::from(*digit).to_digit(16)?))
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
        visitor.visit_borrowed_str(&self.json[start..self.at])
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
    fn another(&mut self) -> Result<bool, Unusual> {
        let next = self.reader.next();
        let first = std::mem::replace(&mut self.first, false);
        if next == self.close {
            self.reader.at += 1;
            return Ok(false);
        }
        if !first {
            self.reader.expect(b',')?;
        }
        Ok(true)
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

    fn read(json: &str) -> Result<Value, Unusual> {
        let mut reader = Reader::new(json)?;
        let value = Value::deserialize(&mut reader)?;
        reader.end()?;
        Ok(value)
    }

    fn skipped(json: &str) -> Result<&str, Unusual> {
        let mut reader = Reader::new(json)?;
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
