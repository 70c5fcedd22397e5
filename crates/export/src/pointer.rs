//! A line's own id and its parent's, read while the rest of the line is only checked.

use super::ExportError;
use serde::{
    Deserializer as _,
    de::{self, DeserializeSeed, IgnoredAny, MapAccess, SeqAccess, Visitor},
};
use serde_json::value::RawValue;
use std::{borrow::Cow, fmt};

/// Where a line names itself and its parent: JSON Pointers (RFC 6901), made ready for one walk over the line.
#[derive(Debug, Default)]
pub(super) struct Pointers {
    tree: Node,
    slots: usize,
}

/// What a line says of itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Ids<'a> {
    /// Its own id.
    pub(super) own: Option<Cow<'a, str>>,
    /// The first parent that is there.
    pub(super) parent: Option<Cow<'a, str>>,
}

/// Why no ids were found.
#[derive(Debug)]
pub(super) enum NoIds {
    /// The text is not JSON.
    Syntax(serde_json::Error),
    /// The text is JSON, but not an object.
    NotAnObject,
    /// What the pointer leads to is neither a string nor an integer nor null.
    Unfit(String),
}

/// The slot of the own id; parents follow in their order.
const OWN: usize = 0;

impl Pointers {
    /// Looks for nothing, only checks.
    pub(super) fn none() -> Self {
        Self::default()
    }

    pub(super) fn new(own: &str, parents: &[String]) -> Result<Self, ExportError> {
        let mut tree = Node::default();
        let pointers = std::iter::once(own).chain(parents.iter().map(String::as_str));
        for (slot, pointer) in pointers.enumerate() {
            tree.insert(pointer, slot)
                .ok_or_else(|| ExportError::InvalidPointer { pointer: pointer.to_owned() })?;
        }
        Ok(Self { tree, slots: 1 + parents.len() })
    }

    /// Checks a line's syntax and reads its ids. Of a key that comes twice, the last counts.
    pub(super) fn read<'a>(&self, text: &'a str) -> Result<Ids<'a>, NoIds> {
        let mut found = vec![None; self.slots];
        let mut line = serde_json::Deserializer::from_str(text);
        if text.trim_ascii_start().starts_with('{') {
            let walk = Walk { node: &self.tree, found: &mut found };
            line.deserialize_map(walk).and_then(|()| line.end()).map_err(NoIds::Syntax)?;
        } else {
            line.deserialize_ignored_any(IgnoredAny).and_then(|_| line.end()).map_err(NoIds::Syntax)?;
            return Err(NoIds::NotAnObject);
        }
        let mut ids = Ids::default();
        for (slot, raw) in found.into_iter().enumerate() {
            let Some(id) = raw.map(|raw| self.id(slot, raw)).transpose()?.flatten() else { continue };
            if slot == OWN {
                ids.own = Some(id);
            } else {
                ids.parent = Some(id);
                break;
            }
        }
        Ok(ids)
    }

    fn id<'a>(&self, slot: usize, raw: &'a str) -> Result<Option<Cow<'a, str>>, NoIds> {
        let unfit = || NoIds::Unfit(self.tree.pointer_of(slot).unwrap_or_default());
        match raw.as_bytes() {
            b"null" => Ok(None),
            [b'"', inner @ .., b'"'] if !inner.contains(&b'\\') => {
                Ok(Some(Cow::Borrowed(&raw[1..raw.len() - 1])))
            }
            [b'"', ..] => match without_slash_escapes(raw) {
                Some(id) => Ok(Some(Cow::Owned(id))),
                None => serde_json::from_str(raw).map(|id| Some(Cow::Owned(id))).map_err(|_| unfit()),
            },
            [b'-', digits @ ..] | digits if !digits.is_empty() && digits.iter().all(u8::is_ascii_digit) => {
                Ok(Some(Cow::Borrowed(raw)))
            }
            _ => Err(unfit()),
        }
    }
}

/// One level of the pointers.
#[derive(Debug, Default)]
struct Node {
    /// Slots of the pointers that end here.
    slots: Vec<usize>,
    /// Where the others go on.
    children: Vec<(String, Self)>,
}

impl Node {
    fn insert(&mut self, pointer: &str, slot: usize) -> Option<()> {
        let mut node = self;
        for token in pointer.strip_prefix('/')?.split('/') {
            let token = unescaped(token)?;
            let at = node.children.iter().position(|(name, _)| *name == token).unwrap_or_else(|| {
                node.children.push((token, Self::default()));
                node.children.len() - 1
            });
            node = &mut node.children[at].1;
        }
        node.slots.push(slot);
        Some(())
    }

    fn child(&self, name: &str) -> Option<&Self> {
        self.children.iter().find(|(token, _)| token == name).map(|(_, child)| child)
    }

    fn pointer_of(&self, slot: usize) -> Option<String> {
        if self.slots.contains(&slot) {
            return Some(String::new());
        }
        self.children.iter().find_map(|(token, child)| {
            let rest = child.pointer_of(slot)?;
            Some(format!("/{}{rest}", token.replace('~', "~0").replace('/', "~1")))
        })
    }

    fn forget(&self, found: &mut [Option<&str>]) {
        for slot in &self.slots {
            found[*slot] = None;
        }
        for (_, child) in &self.children {
            child.forget(found);
        }
    }

    /// Takes the value that stands at this level.
    fn take<'de>(&self, raw: &'de str, found: &mut [Option<&'de str>]) -> serde_json::Result<()> {
        self.forget(found);
        if !self.children.is_empty() && raw.starts_with(['{', '[']) {
            return serde_json::Deserializer::from_str(raw).deserialize_any(Walk { node: self, found });
        }
        for slot in &self.slots {
            found[*slot] = Some(raw);
        }
        Ok(())
    }
}

/// The meaning of a JSON string whose only escapes are `\/`, as in every id that Shopify writes: several times as fast
/// as reading any string.
fn without_slash_escapes(raw: &str) -> Option<String> {
    let inner = &raw[1..raw.len() - 1];
    let mut parts = inner.split('\\');
    let mut meaning = String::with_capacity(inner.len());
    meaning.push_str(parts.next()?);
    for part in parts {
        meaning.push_str(part.starts_with('/').then_some(part)?);
    }
    Some(meaning)
}

/// The meaning of a token with `~0` and `~1`; none if another `~` is in it.
fn unescaped(token: &str) -> Option<String> {
    let mut parts = token.split('~');
    let mut meaning = parts.next()?.to_owned();
    for part in parts {
        let (sign, rest) = match part.as_bytes().first()? {
            b'0' => ('~', &part[1..]),
            b'1' => ('/', &part[1..]),
            _ => return None,
        };
        meaning.push(sign);
        meaning.push_str(rest);
    }
    Some(meaning)
}

/// Walks over one object or array, keeping what the pointers lead to.
struct Walk<'n, 's, 'de> {
    node: &'n Node,
    found: &'s mut [Option<&'de str>],
}

impl<'de> Visitor<'de> for Walk<'_, '_, 'de> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object or array")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(child) = map.next_key_seed(ChildOf(self.node))? {
            match child {
                None => map.next_value::<IgnoredAny>().map(|_| ())?,
                Some(child) => {
                    let raw = map.next_value::<&RawValue>()?;
                    child.take(raw.get(), self.found).map_err(de::Error::custom)?;
                }
            }
        }
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        for index in 0.. {
            let Some(raw) = seq.next_element::<&RawValue>()? else { break };
            if let Some(child) = self.node.child(&usize::to_string(&index)) {
                child.take(raw.get(), self.found).map_err(de::Error::custom)?;
            }
        }
        Ok(())
    }
}

/// Reads a key as the level that it leads to, without copying it.
struct ChildOf<'n>(&'n Node);

impl<'de, 'n> DeserializeSeed<'de> for ChildOf<'n> {
    type Value = Option<&'n Node>;

    fn deserialize<D: serde::Deserializer<'de>>(self, key: D) -> Result<Self::Value, D::Error> {
        key.deserialize_str(self)
    }
}

impl<'n> Visitor<'_> for ChildOf<'n> {
    type Value = Option<&'n Node>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_str<E: de::Error>(self, key: &str) -> Result<Self::Value, E> {
        Ok(self.0.child(key))
    }
}

#[cfg(test)]
mod tests;
