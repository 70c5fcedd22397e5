//! Reads *plain* JSON, as machines write it, faster than a complete parser; used by the Shopify plug-in.
//!
//! [`Deserializer`] is a `serde` deserializer for text in memory. It examines strings sixteen bytes at a time, and
//! refuses unusual texts as well as invalid ones: white space other than blanks, control characters, exponents, lone
//! surrogates, escapes in keys, deep nesting. Its one error, [`NeedsFallback`], says nothing about the text; the caller
//! then reads the text with `serde_json`, whose result or error message counts. A text that this crate reads, it reads
//! as `serde_json` does: property tests compare the two on texts that are valid, invalid and cut off.
//!
//! [`Raw`] is the text of a value that a caller may never want to read; both parsers can return it.
//!
//! # Measurements
//!
//! It saves the Shopify plug-in about a quarter of the time in which it transforms products: as a WebAssembly module
//! with wasmtime's Cranelift compiler 0.130 s instead of 0.175 s for 20 MB (least of 11 runs that took turns; medians
//! 0.145 s and 0.192 s), compiled natively 0.39 s instead of 0.49 s for 100 MB (least of 9; medians 0.43 s and 0.56 s).
//! On `wasm32`, `serde_json` scans strings four bytes at a time.
//!
//! # Example
//!
//! ```
//! use plain_json::{Deserializer, Raw};
//! use serde::Deserialize;
//!
//! #[derive(Debug, Deserialize)]
//! struct Product<'a> {
//!     title: String,
//!     #[serde(borrow)]
//!     metafields: Raw<'a>,
//! }
//!
//! fn read<'a>(line: &'a str, scratch: &mut Vec<u8>) -> serde_json::Result<Product<'a>> {
//!     let mut json = Deserializer::new(line, std::mem::take(scratch));
//!     let product = Product::deserialize(&mut json).and_then(|product| json.end().map(|()| product));
//!     *scratch = json.into_scratch();
//!     product.or_else(|_| serde_json::from_str(line))
//! }
//!
//! let mut scratch = Vec::new();
//! let product = read(r#"{"title":"5 \u00d7 5","metafields":[{"key":"care"}]}"#, &mut scratch)?;
//! assert_eq!((&*product.title, product.metafields.get()), ("5 × 5", r#"[{"key":"care"}]"#));
//! // Tabs and exponents are for the complete parser.
//! assert_eq!(read("{\t\"title\": \"a\", \"metafields\": 1e3}", &mut scratch)?.metafields.get(), "1e3");
//! # Ok::<(), serde_json::Error>(())
//! ```

use std::borrow::Cow;
use std::fmt;

use serde::de::value::BorrowedStrDeserializer;
use serde::de::{self, Deserialize, DeserializeSeed, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

mod strings;

/// Deepest nesting that is read, since each level takes stack. Deeper texts are left to the complete parser, which has
/// its own limit.
const MAX_DEPTH: u8 = 32;

/// The text is not plain. Whether it is invalid, only a complete parser can say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NeedsFallback;

impl fmt::Display for NeedsFallback {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the text is not plain JSON; read it with a complete parser")
    }
}

impl std::error::Error for NeedsFallback {}

impl de::Error for NeedsFallback {
    fn custom<T: fmt::Display>(_: T) -> Self {
        NeedsFallback
    }
}

/// The unparsed text of a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Raw<'a>(&'a str);

impl<'a> Raw<'a> {
    /// The JSON text of the value.
    pub fn get(self) -> &'a str {
        self.0
    }
}

/// Name of the newtype with which [`Raw`] asks a [`Deserializer`] for a value's text instead of its content.
const RAW: &str = "plain_json::Raw";

impl<'de: 'a, 'a> Deserialize<'de> for Raw<'a> {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct RawVisitor;

        impl<'de> Visitor<'de> for RawVisitor {
            type Value = Raw<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("any JSON value")
            }

            fn visit_borrowed_str<E>(self, json: &'de str) -> Result<Raw<'de>, E> {
                Ok(Raw(json))
            }

            fn visit_newtype_struct<D: serde::Deserializer<'de>>(
                self,
                json: D,
            ) -> Result<Raw<'de>, D::Error> {
                <&RawValue>::deserialize(json).map(|value| Raw(value.get()))
            }
        }

        deserializer.deserialize_newtype_struct(RAW, RawVisitor)
    }
}

/// Reads one JSON value from a text.
#[derive(Debug)]
pub struct Deserializer<'a> {
    text: &'a str,
    /// Offset of the next byte to read.
    at: usize,
    /// Number of values around the current one.
    depth: u8,
    /// Holds a string while its escapes are resolved, so that the result is allocated once and in its final size.
    scratch: Vec<u8>,
}

impl<'a> Deserializer<'a> {
    /// Starts at the beginning of the text. The content of the scratch memory does not matter.
    pub fn new(text: &'a str, scratch: Vec<u8>) -> Self {
        Deserializer { text, at: 0, depth: 0, scratch }
    }

    /// Returns the scratch memory for the next text.
    pub fn into_scratch(self) -> Vec<u8> {
        self.scratch
    }

    /// Checks that nothing but blanks follows the value.
    pub fn end(&mut self) -> Result<(), NeedsFallback> {
        self.skip_blanks();
        if self.at == self.text.len() { Ok(()) } else { Err(NeedsFallback) }
    }

    #[inline]
    fn rest(&self) -> &'a [u8] {
        self.text.as_bytes().get(self.at..).unwrap_or_default()
    }

    /// The next byte; 0 at the end, since a byte 0 is never part of plain JSON.
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

    /// Skips blanks and returns the byte after them without consuming it. Machines write no blanks, so this mostly
    /// costs one comparison.
    #[inline(always)]
    fn next(&mut self) -> u8 {
        if self.peek() == b' ' {
            self.skip_blanks();
        }
        self.peek()
    }

    #[inline(always)]
    fn expect(&mut self, byte: u8) -> Result<(), NeedsFallback> {
        if self.next() != byte {
            return Err(NeedsFallback);
        }
        self.at += 1;
        Ok(())
    }

    fn literal(&mut self, literal: &str) -> Result<(), NeedsFallback> {
        if !self.rest().starts_with(literal.as_bytes()) {
            return Err(NeedsFallback);
        }
        self.at += literal.len();
        Ok(())
    }

    /// Reads a number. Most numbers are non-negative integers of at most 18 digits, which fit into a `u64`; this reads
    /// them itself and leaves others to [`other_number`](Self::other_number).
    fn number<V: Visitor<'a>>(&mut self, visitor: V) -> Result<V::Value, NeedsFallback> {
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
        self.other_number(visitor)
    }

    fn other_number<V: Visitor<'a>>(&mut self, visitor: V) -> Result<V::Value, NeedsFallback> {
        let is_part = |byte: &u8| byte.is_ascii_digit() || b"-+.eE".contains(byte);
        let length = self.rest().iter().take_while(|byte| is_part(byte)).count();
        let number = &self.text[self.at..self.at + length];
        self.at += length;
        let digits = number.strip_prefix('-').unwrap_or(number);
        let (whole, fraction) = digits.split_once('.').unwrap_or((digits, "0"));
        let are_digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        let zero_leads = whole.starts_with('0') && (whole.len() > 1 || digits != number);
        if !are_digits(whole) || !are_digits(fraction) || zero_leads || whole.len() > 18 {
            return Err(NeedsFallback);
        }
        if whole.len() < digits.len() {
            return visitor.visit_f64(number.parse().map_err(|_| NeedsFallback)?);
        }
        if digits.len() < number.len() {
            return visitor.visit_i64(number.parse().map_err(|_| NeedsFallback)?);
        }
        visitor.visit_u64(number.parse().map_err(|_| NeedsFallback)?)
    }

    /// Moves past a value without keeping any of it.
    fn skip(&mut self) -> Result<(), NeedsFallback> {
        self.descend(|reader| match reader.next() {
            b'"' => reader.skip_string(),
            b'{' => reader.skip_members(),
            b'[' => reader.skip_elements(),
            b't' => reader.literal("true"),
            b'f' => reader.literal("false"),
            b'n' => reader.literal("null"),
            _ => reader.number(de::IgnoredAny).map(drop),
        })
    }

    fn skip_members(&mut self) -> Result<(), NeedsFallback> {
        let mut members = Separated::open(self, b'}');
        while members.another()? {
            if members.reader.next() != b'"' {
                return Err(NeedsFallback);
            }
            members.reader.skip_string()?;
            members.reader.expect(b':')?;
            members.reader.skip()?;
        }
        Ok(())
    }

    fn skip_elements(&mut self) -> Result<(), NeedsFallback> {
        let mut elements = Separated::open(self, b']');
        while elements.another()? {
            elements.reader.skip()?;
        }
        Ok(())
    }

    /// Reads a value one level deeper, unless that is too deep.
    fn descend<T>(
        &mut self,
        read: impl FnOnce(&mut Self) -> Result<T, NeedsFallback>,
    ) -> Result<T, NeedsFallback> {
        if self.depth == MAX_DEPTH {
            return Err(NeedsFallback);
        }
        self.depth += 1;
        let value = read(self)?;
        self.depth -= 1;
        Ok(value)
    }
}

impl<'de> serde::Deserializer<'de> for &mut Deserializer<'de> {
    type Error = NeedsFallback;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, NeedsFallback> {
        match self.next() {
            b'"' => match self.string()? {
                Cow::Borrowed(text) => visitor.visit_borrowed_str(text),
                Cow::Owned(text) => visitor.visit_string(text),
            },
            b'{' => self.descend(|reader| visitor.visit_map(Separated::open(reader, b'}'))),
            b'[' => self.descend(|reader| visitor.visit_seq(Separated::open(reader, b']'))),
            b't' => self.literal("true").and_then(|()| visitor.visit_bool(true)),
            b'f' => self.literal("false").and_then(|()| visitor.visit_bool(false)),
            b'n' => self.literal("null").and_then(|()| visitor.visit_unit()),
            _ => self.number(visitor),
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, NeedsFallback> {
        if self.next() == b'n' {
            return self.literal("null").and_then(|()| visitor.visit_none());
        }
        visitor.visit_some(self)
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, NeedsFallback> {
        self.skip().and_then(|()| visitor.visit_unit())
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        visitor: V,
    ) -> Result<V::Value, NeedsFallback> {
        if name != RAW {
            return visitor.visit_newtype_struct(self);
        }
        self.next();
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
    reader: &'r mut Deserializer<'a>,
    close: u8,
    first: bool,
}

impl<'r, 'a> Separated<'r, 'a> {
    /// Consumes the opening bracket, which is the next byte; `close` is the closing one.
    fn open(reader: &'r mut Deserializer<'a>, close: u8) -> Self {
        reader.at += 1;
        Separated { reader, close, first: true }
    }

    /// Moves to the next member or element and returns true, or past the closing bracket and returns false.
    #[inline(always)]
    fn another(&mut self) -> Result<bool, NeedsFallback> {
        let next = self.reader.next();
        let first = std::mem::replace(&mut self.first, false);
        let closes = next == self.close;
        if closes || !first {
            self.reader.at += 1;
        }
        if closes || first || next == b',' { Ok(!closes) } else { Err(NeedsFallback) }
    }
}

impl<'a> MapAccess<'a> for Separated<'_, 'a> {
    type Error = NeedsFallback;

    fn next_key_seed<K: DeserializeSeed<'a>>(&mut self, seed: K) -> Result<Option<K::Value>, NeedsFallback> {
        if !self.another()? {
            return Ok(None);
        }
        if self.reader.next() != b'"' {
            return Err(NeedsFallback);
        }
        let Cow::Borrowed(key) = self.reader.string()? else { return Err(NeedsFallback) };
        seed.deserialize(BorrowedStrDeserializer::new(key)).map(Some)
    }

    fn next_value_seed<V: DeserializeSeed<'a>>(&mut self, seed: V) -> Result<V::Value, NeedsFallback> {
        self.reader.expect(b':')?;
        seed.deserialize(&mut *self.reader)
    }
}

impl<'a> SeqAccess<'a> for Separated<'_, 'a> {
    type Error = NeedsFallback;

    fn next_element_seed<T: DeserializeSeed<'a>>(
        &mut self,
        seed: T,
    ) -> Result<Option<T::Value>, NeedsFallback> {
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

    fn read(json: &str) -> Result<Value, NeedsFallback> {
        let mut reader = Deserializer::new(json, Vec::new());
        let value = Value::deserialize(&mut reader)?;
        reader.end()?;
        Ok(value)
    }

    fn skipped(json: &str) -> Result<&str, NeedsFallback> {
        let mut reader = Deserializer::new(json, Vec::new());
        let Raw(raw) = Raw::deserialize(&mut reader)?;
        reader.end()?;
        Ok(raw)
    }

    /// Texts of up to 12 pieces that JSON values are made of, valid and invalid ones.
    const PIECES: &str = r#"(\{|\}|\[|\]|,|:|"|"a"|"k":|null|true|fals|0|-0|-1|12|1\.5|-0\.25|1e3|01|\.5|1\.| |é|\\"|\\\\|\\/|\\n|\\u00e9|\\ud83d\\ude00|\\ud83d|\\x|\\u12|[\u{0}-\u{20}]){0,12}"#;

    proptest::proptest! {
        #![proptest_config(proptest::prelude::ProptestConfig::with_cases(5_000))]

        #[test]
        fn a_text_that_is_read_is_read_as_by_the_complete_parser(json in PIECES) {
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
            // Longer integers are not plain.
            let has_18_digits_at_most = number.unsigned_abs() < 1_000_000_000_000_000_000;
            proptest::prop_assert_eq!(read(&json).ok(), has_18_digits_at_most.then_some(full));
            proptest::prop_assert_eq!(skipped(&json).ok(), has_18_digits_at_most.then_some(&*json));
        }
    }

    #[test]
    fn what_is_not_plain_is_left_to_the_complete_parser() {
        for json in [
            "",
            "{",
            "[1,]",
            "{\"a\":1,}",
            "\"\\ud83d\"",
            "\"\\\"\u{0}null\"",
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
