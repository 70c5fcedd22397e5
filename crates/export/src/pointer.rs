//! Extracts a line's own id and its parent's id, to which JSON Pointers lead, in one walk over the line; the rest of
//! the line is validated, but not parsed into values.

use super::{ExportError, form};
use serde::{
    Deserializer as _,
    de::{self, DeserializeSeed, IgnoredAny, MapAccess, SeqAccess, Visitor},
};
use serde_json::value::RawValue;
use std::{borrow::Cow, fmt};

/// JSON Pointers (RFC 6901) to a line's own id and its parent's id, as a tree for one walk over the line. A *slot* is
/// the number of a pointer, and the place of the value that it leads to.
#[derive(Debug, Default)]
pub(super) struct IdPointers {
    tree: Node,
    /// Number of slots.
    slots: usize,
}

/// The ids in a line.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Ids<'a> {
    /// Its own id; `None` if it is missing or null.
    pub(super) id: Option<Cow<'a, str>>,
    /// The value of the first parent pointer that leads to one; `None` if no pointer leads to a value other than null.
    pub(super) parent_id: Option<Cow<'a, str>>,
}

/// Why a line's ids cannot be read.
#[derive(Debug)]
pub(super) enum IdError {
    /// The text is not JSON.
    Syntax(serde_json::Error),
    /// The text is JSON, but not an object.
    NotAnObject,
    /// The value at this pointer is neither a string, an integer nor null.
    InvalidType(String),
}

/// Slot of the line's own id; the parents follow in their order.
const ID_SLOT: usize = 0;

impl IdPointers {
    /// No pointers: `read` only validates the line.
    pub(super) fn none() -> Self {
        Self::default()
    }

    pub(super) fn new(id: &str, parents: &[String]) -> Result<Self, ExportError> {
        let mut tree = Node::default();
        let pointers = std::iter::once(id).chain(parents.iter().map(String::as_str));
        for (slot, pointer) in pointers.enumerate() {
            tree.insert(pointer, slot)
                .ok_or_else(|| ExportError::InvalidPointer { pointer: pointer.to_owned() })?;
        }
        Ok(Self { tree, slots: 1 + parents.len() })
    }

    /// Validates a line's syntax and reads its ids. Of duplicate keys the last one is used.
    pub(super) fn read<'a>(&self, text: &'a str) -> Result<Ids<'a>, IdError> {
        let mut found = vec![None; self.slots];
        let mut line = serde_json::Deserializer::from_str(text);
        if text.trim_ascii_start().starts_with('{') {
            let walk = PointerVisitor { node: &self.tree, found: &mut found };
            line.deserialize_map(walk).and_then(|()| line.end()).map_err(IdError::Syntax)?;
        } else {
            line.deserialize_ignored_any(IgnoredAny).and_then(|_| line.end()).map_err(IdError::Syntax)?;
            return Err(IdError::NotAnObject);
        }
        let mut ids = Ids::default();
        for (slot, raw) in found.into_iter().enumerate() {
            let Some(id) = raw.map(|raw| self.id(slot, raw)).transpose()?.flatten() else { continue };
            if slot == ID_SLOT {
                ids.id = Some(id);
            } else {
                ids.parent_id = Some(id);
                break;
            }
        }
        Ok(ids)
    }

    /// The id whose JSON text is `raw`; `None` if it is null.
    /// The own id of a damaged line, if it is the first thing that the line says.
    pub(super) fn leading_id(&self, line: &[u8]) -> Option<String> {
        let pointer = self.tree.pointer_of(ID_SLOT)?;
        let key = form::first_key(line.trim_ascii_start())?;
        if pointer.strip_prefix('/') != Some(key) {
            return None;
        }
        let value = line.iter().position(|byte| *byte == b':')? + 1;
        let mut values = serde_json::Deserializer::from_slice(&line[value..]).into_iter::<String>();
        values.next()?.ok()
    }

    fn id<'a>(&self, slot: usize, raw: &'a str) -> Result<Option<Cow<'a, str>>, IdError> {
        let invalid_type = || IdError::InvalidType(self.tree.pointer_of(slot).unwrap_or_default());
        match raw.as_bytes() {
            b"null" => Ok(None),
            [b'"', inner @ .., b'"'] if !inner.contains(&b'\\') => {
                Ok(Some(Cow::Borrowed(&raw[1..raw.len() - 1])))
            }
            [b'"', ..] => match unescape_slashes(raw) {
                Some(id) => Ok(Some(Cow::Owned(id))),
                None => serde_json::from_str(raw).map(|id| Some(Cow::Owned(id))).map_err(|_| invalid_type()),
            },
            [b'-', digits @ ..] | digits if !digits.is_empty() && digits.iter().all(u8::is_ascii_digit) => {
                Ok(Some(Cow::Borrowed(raw)))
            }
            _ => Err(invalid_type()),
        }
    }
}

/// A node in the tree of the pointers. A *token* is one of the parts of a pointer between its slashes: a key or an
/// index.
#[derive(Debug, Default)]
struct Node {
    /// Slots of the pointers that end at this node.
    slots: Vec<usize>,
    /// The nodes that the next token leads to.
    children: Vec<(String, Self)>,
}

impl Node {
    /// Adds a pointer; `None` if it is not a valid JSON Pointer of at least one token.
    fn insert(&mut self, pointer: &str, slot: usize) -> Option<()> {
        let mut node = self;
        for token in pointer.strip_prefix('/')?.split('/') {
            let token = unescape_token(token)?;
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

    /// The pointer of a slot, from this node on; `None` if the slot is not below it.
    fn pointer_of(&self, slot: usize) -> Option<String> {
        if self.slots.contains(&slot) {
            return Some(String::new());
        }
        self.children.iter().find_map(|(token, child)| {
            let rest = child.pointer_of(slot)?;
            Some(format!("/{}{rest}", token.replace('~', "~0").replace('/', "~1")))
        })
    }

    /// Forgets the values at and below this node, because a later duplicate key replaces them.
    fn clear(&self, found: &mut [Option<&str>]) {
        for slot in &self.slots {
            found[*slot] = None;
        }
        for (_, child) in &self.children {
            child.clear(found);
        }
    }

    /// Records the value at this node.
    fn record<'de>(&self, raw: &'de str, found: &mut [Option<&'de str>]) -> serde_json::Result<()> {
        self.clear(found);
        if !self.children.is_empty() && raw.starts_with(['{', '[']) {
            return serde_json::Deserializer::from_str(raw)
                .deserialize_any(PointerVisitor { node: self, found });
        }
        for slot in &self.slots {
            found[*slot] = Some(raw);
        }
        Ok(())
    }
}

/// Unescapes a JSON string (with its quotes) whose only escapes are `\/`, as in every id that Shopify writes; several
/// times as fast as the general parser. `None` if it has another escape.
fn unescape_slashes(raw: &str) -> Option<String> {
    let inner = &raw[1..raw.len() - 1];
    let mut parts = inner.split('\\');
    let mut text = String::with_capacity(inner.len());
    text.push_str(parts.next()?);
    for part in parts {
        text.push_str(part.starts_with('/').then_some(part)?);
    }
    Some(text)
}

/// Unescapes `~0` and `~1` in a token; `None` if it has any other `~`.
fn unescape_token(token: &str) -> Option<String> {
    let mut parts = token.split('~');
    let mut text = parts.next()?.to_owned();
    for part in parts {
        let (unescaped, rest) = match part.as_bytes().first()? {
            b'0' => ('~', &part[1..]),
            b'1' => ('/', &part[1..]),
            _ => return None,
        };
        text.push(unescaped);
        text.push_str(rest);
    }
    Some(text)
}

/// Visits one object or array and records, by slot, the JSON texts of the values that the pointers lead to.
struct PointerVisitor<'n, 's, 'de> {
    node: &'n Node,
    found: &'s mut [Option<&'de str>],
}

impl<'de> Visitor<'de> for PointerVisitor<'_, '_, 'de> {
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
                    child.record(raw.get(), self.found).map_err(de::Error::custom)?;
                }
            }
        }
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        for index in 0.. {
            let Some(raw) = seq.next_element::<&RawValue>()? else { break };
            if let Some(child) = self.node.child(&usize::to_string(&index)) {
                child.record(raw.get(), self.found).map_err(de::Error::custom)?;
            }
        }
        Ok(())
    }
}

/// Maps a key to its child node without copying the key.
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
