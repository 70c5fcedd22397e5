//! Walks JSON text one level at a time, without building a tree: the parts stay slices of the text.
//!
//! The walk accepts every syntactically right part, so that a value with a lone surrogate, say, spoils its own field
//! and not the whole document. It does not recurse: nesting costs no stack.

use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;

use serde::de::{DeserializeSeed, Deserializer as _, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

/// What a JSON text is, seen from its first character.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Text,
    Number,
    Boolean,
    Null,
    Array,
    Object,
}

impl Kind {
    /// The kind of a text that is right JSON.
    pub(crate) fn of(raw: &str) -> Self {
        match raw.as_bytes().first() {
            Some(b'"') => Self::Text,
            Some(b't' | b'f') => Self::Boolean,
            Some(b'[') => Self::Array,
            Some(b'{') => Self::Object,
            Some(b'-' | b'0'..=b'9') => Self::Number,
            _ => Self::Null,
        }
    }

    /// The kind as a noun for messages.
    pub(crate) fn noun(self) -> &'static str {
        match self {
            Self::Text => "a string",
            Self::Number => "a number",
            Self::Boolean => "a boolean",
            Self::Null => "null",
            Self::Array => "an array",
            Self::Object => "an object",
        }
    }
}

/// Calls `visit` with each key and the text of its value. The same key may come more than once.
pub(crate) fn entries<'a>(raw: &'a str, visit: impl FnMut(Cow<'a, str>, &'a str)) -> serde_json::Result<()> {
    let mut deserializer = serde_json::Deserializer::from_str(raw);
    deserializer.deserialize_map(Entries { visit, text: PhantomData })?;
    deserializer.end()
}

/// Calls `visit` with the position and the text of each element.
pub(crate) fn elements<'a>(raw: &'a str, visit: impl FnMut(usize, &'a str)) -> serde_json::Result<()> {
    let mut deserializer = serde_json::Deserializer::from_str(raw);
    deserializer.deserialize_seq(Elements { visit, text: PhantomData })?;
    deserializer.end()
}

/// The value of a JSON string; `None` if it has a lone surrogate.
pub(crate) fn decode(raw: &str) -> Option<Cow<'_, str>> {
    let body = raw.strip_prefix('"')?.strip_suffix('"')?;
    if body.contains('\\') {
        serde_json::from_str(raw).ok().map(Cow::Owned)
    } else {
        Some(Cow::Borrowed(body))
    }
}

struct Entries<'a, F> {
    visit: F,
    text: PhantomData<&'a str>,
}

impl<'a, F: FnMut(Cow<'a, str>, &'a str)> Visitor<'a> for Entries<'a, F> {
    type Value = ();

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a JSON object")
    }

    fn visit_map<A: MapAccess<'a>>(mut self, mut map: A) -> Result<(), A::Error> {
        while let Some(key) = map.next_key_seed(Key)? {
            let value: &RawValue = map.next_value()?;
            (self.visit)(key, value.get());
        }
        Ok(())
    }
}

struct Elements<'a, F> {
    visit: F,
    text: PhantomData<&'a str>,
}

impl<'a, F: FnMut(usize, &'a str)> Visitor<'a> for Elements<'a, F> {
    type Value = ();

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a JSON array")
    }

    fn visit_seq<A: SeqAccess<'a>>(mut self, mut sequence: A) -> Result<(), A::Error> {
        let mut position = 0;
        while let Some(element) = sequence.next_element::<&RawValue>()? {
            (self.visit)(position, element.get());
            position += 1;
        }
        Ok(())
    }
}

/// A key, borrowed from the text unless it is written with escapes.
struct Key;

impl<'a> DeserializeSeed<'a> for Key {
    type Value = Cow<'a, str>;

    fn deserialize<D: serde::Deserializer<'a>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl<'a> Visitor<'a> for Key {
    type Value = Cow<'a, str>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a key")
    }

    fn visit_borrowed_str<E>(self, key: &'a str) -> Result<Self::Value, E> {
        Ok(Cow::Borrowed(key))
    }

    fn visit_str<E>(self, key: &str) -> Result<Self::Value, E> {
        Ok(Cow::Owned(key.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn walk(raw: &str) -> serde_json::Result<Vec<(String, String)>> {
        let mut found = Vec::new();
        entries(raw, |key, value| found.push((key.into_owned(), value.to_owned())))?;
        Ok(found)
    }

    #[test]
    fn entries_come_in_order_with_duplicates() {
        let found = walk(" {\"a\" : [1, 2] ,\n\"\\u0061\":\"x\"} ").unwrap();
        assert_eq!(found, [("a".into(), "[1, 2]".into()), ("a".into(), "\"x\"".into())]);
    }

    #[test]
    fn deep_nesting_costs_no_stack() {
        let deep = format!("{{\"a\":{}{}}}", "[".repeat(1_000_000), "]".repeat(1_000_000));
        assert_eq!(walk(&deep).unwrap().len(), 1);
    }

    #[test]
    fn errors_tell_another_kind_from_broken_syntax() {
        assert!(walk("[]").unwrap_err().is_data());
        assert!(walk("{]").unwrap_err().is_syntax());
        assert!(walk("{} x").unwrap_err().is_syntax());
        assert!(walk("{\"a\":NaN}").unwrap_err().is_syntax());
    }

    #[test]
    fn decoding_refuses_a_lone_surrogate() {
        assert_eq!(decode(r#""a\/b""#).as_deref(), Some("a/b"));
        assert_eq!(decode(r#""plain""#).as_deref(), Some("plain"));
        assert_eq!(decode(r#""\ud800""#), None);
    }
}
