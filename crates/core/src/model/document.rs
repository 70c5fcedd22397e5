//! Documents and their identity.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::fmt;

/// The reserved field whose array of objects a catalog loads as SKUs; a search index never gets it.
pub const VARIANTS: &str = "variants";

/// The reserved field by which a removal that the host made itself names the job whose document is to go: what another job
/// has written since stays.
pub const WRITTEN_BY: &str = "_mq_job_id";

/// Identity of a document in an index: 1 to 255 characters of `[A-Za-z0-9._~-]`.
///
/// Marqo pastes ids unescaped into a URL, so anything else could address another document or none.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct DocumentId(String);

/// Why a text is no document id.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum InvalidDocumentId {
    /// Empty.
    #[error("the document id is empty; give each document an id of 1 to 255 characters")]
    Empty,
    /// Over 255 characters.
    #[error("the document id has {0} characters; 255 are allowed")]
    TooLong(usize),
    /// A character that would not survive in a URL.
    #[error("the document id {id:?} has the character {character:?}; only A-Z a-z 0-9 . _ ~ - are allowed")]
    Character {
        /// The id, shortened.
        id: String,
        /// The first character that is not allowed.
        character: char,
    },
}

impl DocumentId {
    /// Checks an id.
    pub fn new(id: impl Into<String>) -> Result<Self, InvalidDocumentId> {
        let id = id.into();
        if id.is_empty() {
            return Err(InvalidDocumentId::Empty);
        }
        if let Some(character) = id.chars().find(|c| !Self::takes(*c)) {
            return Err(InvalidDocumentId::Character { id: id.chars().take(80).collect(), character });
        }
        if id.len() > 255 {
            return Err(InvalidDocumentId::TooLong(id.len()));
        }
        Ok(Self(id))
    }

    /// Whether an id may have this character.
    pub fn takes(character: char) -> bool {
        character.is_ascii_alphanumeric() || "._~-".contains(character)
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for DocumentId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for DocumentId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

impl From<DocumentId> for String {
    fn from(id: DocumentId) -> Self {
        id.0
    }
}

impl TryFrom<String> for DocumentId {
    type Error = InvalidDocumentId;

    fn try_from(id: String) -> Result<Self, InvalidDocumentId> {
        Self::new(id)
    }
}

/// A document: its id and its fields, `_id` not among them.
#[derive(Clone, Debug, PartialEq)]
pub struct Document {
    /// Identity in the index.
    pub id: DocumentId,
    /// Everything but the id.
    pub fields: Map<String, Value>,
}

/// Why a chunk line is no document.
#[derive(Debug, thiserror::Error)]
pub enum InvalidDocument {
    /// The line is not a JSON object.
    #[error("the line is not a JSON object: {0}")]
    NotAnObject(#[from] serde_json::Error),
    /// There is no `_id`, or it is not a string.
    #[error("the document has no `_id` string")]
    NoId,
    /// The id is not allowed.
    #[error(transparent)]
    Id(#[from] InvalidDocumentId),
}

impl Document {
    /// Reads a chunk line: one JSON object with `_id` and the fields.
    pub fn from_line(line: &str) -> Result<Self, InvalidDocument> {
        let mut fields: Map<String, Value> = serde_json::from_str(line)?;
        match fields.remove("_id") {
            Some(Value::String(id)) => Ok(Self { id: DocumentId::new(id)?, fields }),
            _ => Err(InvalidDocument::NoId),
        }
    }

    /// The variants, if the document has any.
    pub fn variants(&self) -> &[Value] {
        self.fields.get(VARIANTS).and_then(Value::as_array).map_or(&[], Vec::as_slice)
    }

    /// What writing the document costs: 1 + number of variants (complexity in docs/catalog.md).
    pub fn complexity(&self) -> usize {
        1 + self.variants().len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_what_survives_in_a_url() {
        for good in ["a", "632910392", "A.b_c~d-e", &"x".repeat(255)] {
            assert_eq!(DocumentId::new(good).unwrap().as_str(), good);
        }
        for bad in ["", "a/b", "a#b", "a b", "é", "gid://shopify/Product/1", &"x".repeat(256)] {
            assert!(DocumentId::new(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_line_needs_a_legal_id() {
        let document = Document::from_line(r#"{"_id":"1","title":"Mug","variants":[{"id":"2"}]}"#).unwrap();
        assert_eq!((document.id.as_str(), document.complexity(), document.fields.len()), ("1", 2, 2));
        for bad in [r#"{"title":"x"}"#, r#"{"_id":1}"#, r#"{"_id":"a/b"}"#, "[]", "nonsense", ""] {
            assert!(Document::from_line(bad).is_err(), "{bad}");
        }
    }
}
