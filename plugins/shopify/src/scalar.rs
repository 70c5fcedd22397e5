//! Values as exports really write them: a number where the schema says text, a text where it says number, null
//! anywhere.
//!
//! Each type here takes any JSON value and turns what it cannot use into "nothing", so that one odd field never costs
//! the product. The same field comes as `"tags": ["a"]` or `"tags": "a, b"`, as a connection or as an array, depending
//! on the API.

use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;

use crate::gid::Gid;
use crate::lines::text_of;
use crate::text::trimmed;
use plain_json::Raw;
use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

/// A type that can be read from any JSON value; what it does not read becomes its default.
pub(crate) trait Lenient<'de>: Default {
    /// From a text, or from a number or boolean as its text.
    fn from_text(_text: Cow<'de, str>) -> Self {
        Self::default()
    }

    /// From a whole number.
    fn from_integer(number: impl ToString + TryInto<i64>) -> Self {
        Self::from_text(Cow::Owned(number.to_string()))
    }

    /// From true or false.
    fn from_bool(flag: bool) -> Self {
        Self::from_text(Cow::Borrowed(if flag { "true" } else { "false" }))
    }

    /// From an array. An implementation must read it to its end.
    fn from_seq<A: SeqAccess<'de>>(mut seq: A) -> Result<Self, A::Error> {
        while seq.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Self::default())
    }

    /// From an object. An implementation must read it to its end.
    fn from_map<A: MapAccess<'de>>(mut map: A) -> Result<Self, A::Error> {
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(Self::default())
    }
}

/// Reads a lenient type; all of them implement `Deserialize` with this.
pub(crate) fn read<'de, T: Lenient<'de>, D: Deserializer<'de>>(deserializer: D) -> Result<T, D::Error> {
    deserializer.deserialize_any(LenientVisitor(PhantomData))
}

struct LenientVisitor<T>(PhantomData<T>);

impl<'de, T: Lenient<'de>> Visitor<'de> for LenientVisitor<T> {
    type Value = T;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("any JSON value")
    }
    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<T, E> {
        Ok(T::from_text(Cow::Borrowed(text)))
    }
    fn visit_str<E>(self, text: &str) -> Result<T, E> {
        Ok(T::from_text(Cow::Owned(text.to_owned())))
    }
    fn visit_string<E>(self, text: String) -> Result<T, E> {
        Ok(T::from_text(Cow::Owned(text)))
    }
    fn visit_u64<E>(self, number: u64) -> Result<T, E> {
        Ok(T::from_integer(number))
    }
    fn visit_i64<E>(self, number: i64) -> Result<T, E> {
        Ok(T::from_integer(number))
    }
    fn visit_f64<E>(self, number: f64) -> Result<T, E> {
        Ok(T::from_text(Cow::Owned(number.to_string())))
    }
    fn visit_bool<E>(self, flag: bool) -> Result<T, E> {
        Ok(T::from_bool(flag))
    }
    fn visit_unit<E>(self) -> Result<T, E> {
        Ok(T::default())
    }
    fn visit_seq<A: SeqAccess<'de>>(self, seq: A) -> Result<T, A::Error> {
        T::from_seq(seq)
    }
    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<T, A::Error> {
        T::from_map(map)
    }
}

macro_rules! deserialize_leniently {
    ($($type:ty)*) => {$(
        impl<'de: 'a, 'a> Deserialize<'de> for $type {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                read(deserializer)
            }
        }
    )*};
}

deserialize_leniently! { Text<'a> Tags<'a> }

/// Text, or a number or boolean as its text; null, arrays and objects are nothing.
#[derive(Debug, Default, Clone)]
pub(crate) struct Text<'a>(pub(crate) Option<Cow<'a, str>>);

impl Text<'_> {
    /// The text, when there is any besides blanks.
    pub(crate) fn get(&self) -> Option<&str> {
        self.0.as_deref().map(trimmed).filter(|text| !text.is_empty())
    }
}

impl<'de: 'a, 'a> Lenient<'de> for Text<'a> {
    fn from_text(text: Cow<'de, str>) -> Self {
        Text(Some(text))
    }
}

/// An id: text or a whole number, read as soon as it is met. Anything else names nothing.
#[derive(Debug, Default, Clone)]
pub(crate) struct Id<'a>(Option<Gid<'a>>);

impl<'a> Id<'a> {
    pub(crate) fn get(&self) -> Option<&Gid<'a>> {
        self.0.as_ref()
    }

    fn from_raw(raw: Raw<'a>) -> Option<Gid<'a>> {
        let json = raw.get();
        if !json.starts_with('"') {
            let is_number = json.bytes().all(|byte| byte.is_ascii_digit());
            return is_number.then(|| Gid::parse(json));
        }
        let inside = json.get(1..json.len() - 1)?;
        let gid = if let Some(gid) = Gid::parse_escaped(inside) {
            gid
        } else if memchr::memchr(b'\\', inside.as_bytes()).is_none() {
            Gid::parse(inside)
        } else {
            Gid::parse(&text_of(raw)?).into_owned()
        };
        (gid != *Gid::NONE).then_some(gid)
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Id<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Raw::deserialize(deserializer).map(|raw| Id(Id::from_raw(raw)))
    }
}

/// Text that keeps apart "the export did not ask for it" and "it is null".
#[derive(Debug, Default, Clone)]
pub(crate) enum Nullable<'a> {
    /// The key is not there: the export did not ask for it.
    #[default]
    Absent,
    /// The key is there, with null.
    Null,
    Value(Cow<'a, str>),
}

impl Nullable<'_> {
    pub(crate) fn get(&self) -> Option<&str> {
        match self {
            Nullable::Value(text) => Some(trimmed(text)).filter(|text| !text.is_empty()),
            Nullable::Absent | Nullable::Null => None,
        }
    }

    pub(crate) fn is_null(&self) -> bool {
        matches!(self, Nullable::Null)
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Nullable<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(Text::deserialize(deserializer)?.0.map_or(Nullable::Null, Nullable::Value))
    }
}

/// A whole number, also as text or as `5.0`.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Int(pub(crate) Option<i64>);

impl<'de> Lenient<'de> for Int {
    fn from_text(text: Cow<'de, str>) -> Self {
        let text = text.trim();
        let whole = text.split_once('.').map_or(text, |(whole, fraction)| {
            if fraction.bytes().all(|digit| digit == b'0') { whole } else { text }
        });
        Int(whole.parse().ok())
    }

    fn from_integer(number: impl ToString + TryInto<i64>) -> Self {
        Int(number.try_into().ok())
    }
}

/// A boolean, also as text.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Flag(pub(crate) Option<bool>);

impl<'de> Lenient<'de> for Flag {
    fn from_text(text: Cow<'de, str>) -> Self {
        Flag(match text.trim() {
            flag if flag.eq_ignore_ascii_case("true") => Some(true),
            flag if flag.eq_ignore_ascii_case("false") => Some(false),
            _ => None,
        })
    }

    fn from_bool(flag: bool) -> Self {
        Flag(Some(flag))
    }
}

impl<'de> Deserialize<'de> for Int {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        read(deserializer)
    }
}

impl<'de> Deserialize<'de> for Flag {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        read(deserializer)
    }
}

/// Several values: an array, or a GraphQL connection with `edges { node }` or `nodes`. Nulls among them are omitted. The second
/// field says that the connection has another page.
#[derive(Debug)]
pub(crate) struct List<T>(pub(crate) Vec<T>, pub(crate) bool);

impl<T> List<T> {
    /// Whether there are more values than the export has: `pageInfo.hasNextPage` of the connection.
    pub(crate) fn has_next_page(&self) -> bool {
        self.1
    }
}

impl<T> Default for List<T> {
    fn default() -> Self {
        List(Vec::new(), false)
    }
}

/// `pageInfo` of a connection.
#[derive(Default)]
struct PageInfo {
    has_next_page: Flag,
}

impl<'de> Lenient<'de> for PageInfo {
    fn from_map<A: MapAccess<'de>>(mut map: A) -> Result<Self, A::Error> {
        let mut info = PageInfo::default();
        while let Some(key) = map.next_key::<Text<'_>>()? {
            if key.get() == Some("hasNextPage") {
                info.has_next_page = map.next_value()?;
            } else {
                map.next_value::<IgnoredAny>()?;
            }
        }
        Ok(info)
    }
}

impl<'de> Deserialize<'de> for PageInfo {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        read(deserializer)
    }
}

impl<'de, T: Deserialize<'de>> Lenient<'de> for List<T> {
    fn from_seq<A: SeqAccess<'de>>(mut seq: A) -> Result<Self, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = seq.next_element::<Option<T>>()? {
            if let Some(item) = item {
                items.push(item);
            }
        }
        Ok(List(items, false))
    }

    fn from_map<A: MapAccess<'de>>(mut map: A) -> Result<Self, A::Error> {
        let (mut items, mut info) = (Vec::new(), PageInfo::default());
        while let Some(key) = map.next_key::<Text<'_>>()? {
            match key.get() {
                Some("nodes") => items = map.next_value::<Items<T>>()?.0,
                Some("edges") => {
                    let edges: Items<Edge<T>> = map.next_value()?;
                    items = edges.0.into_iter().filter_map(|edge| edge.0).collect();
                }
                Some("pageInfo") => info = map.next_value()?,
                _ => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        Ok(List(items, info.has_next_page.0.unwrap_or_default()))
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for List<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        read(deserializer)
    }
}

/// The array inside a connection. Not a list: a connection holds no connections of the same kind.
struct Items<T>(Vec<T>);

impl<T> Default for Items<T> {
    fn default() -> Self {
        Items(Vec::new())
    }
}

impl<'de, T: Deserialize<'de>> Lenient<'de> for Items<T> {
    fn from_seq<A: SeqAccess<'de>>(seq: A) -> Result<Self, A::Error> {
        let mut seq = seq;
        let mut items = Vec::new();
        while let Some(item) = seq.next_element::<Option<T>>()? {
            if let Some(item) = item {
                items.push(item);
            }
        }
        Ok(Items(items))
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Items<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        read(deserializer)
    }
}

struct Edge<T>(Option<T>);

impl<T> Default for Edge<T> {
    fn default() -> Self {
        Edge(None)
    }
}

impl<'de, T: Deserialize<'de>> Lenient<'de> for Edge<T> {
    fn from_map<A: MapAccess<'de>>(mut map: A) -> Result<Self, A::Error> {
        let mut edge = Edge(None);
        while let Some(key) = map.next_key::<Text<'_>>()? {
            if key.get() == Some("node") {
                edge = Edge(map.next_value()?);
            } else {
                map.next_value::<IgnoredAny>()?;
            }
        }
        Ok(edge)
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Edge<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        read(deserializer)
    }
}

/// Tags: an array (GraphQL) or one text with commas (REST and webhooks).
#[derive(Debug, Default)]
pub(crate) struct Tags<'a>(pub(crate) Vec<Cow<'a, str>>);

impl<'de: 'a, 'a> Lenient<'de> for Tags<'a> {
    fn from_text(text: Cow<'de, str>) -> Self {
        Tags(match text {
            Cow::Borrowed(text) => text.split(',').map(Cow::Borrowed).collect(),
            Cow::Owned(text) => text.split(',').map(|tag| Cow::Owned(tag.to_owned())).collect(),
        })
    }

    fn from_seq<A: SeqAccess<'de>>(mut seq: A) -> Result<Self, A::Error> {
        let mut tags = Vec::new();
        while let Some(tag) = seq.next_element::<Text<'de>>()? {
            tags.extend(tag.0);
        }
        Ok(Tags(tags))
    }
}
