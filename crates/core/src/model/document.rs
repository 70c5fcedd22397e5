//! Documents, their ids, and the chunk lines that hold them. A chunk line is one line of the JSON Lines object that a
//! worker processes: a document or a removal, with reserved `_mq_…` fields that tell the worker about the document's
//! product.

use crate::model::{Digest, ProductId};
pub use host_index_rules::InvalidDocumentId;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::{collections::BTreeSet, fmt};

/// The reserved field with an array of objects that the relational catalog (SQLite or PostgreSQL) loads as SKUs; a
/// search index never gets it.
pub const VARIANTS: &str = "variants";

/// The reserved field of a removal that host itself decided on: the id of the job that wrote the document. The document
/// is kept if another job has written it since.
pub const JOB_ID_FIELD: &str = "_mq_job_id";

/// The reserved field of a removal that host itself decided on: `false` deletes the document even from an index that
/// could archive it (keep it outside all lists, counts and searches).
pub const ARCHIVES_FIELD: &str = "_mq_archives";

/// The reserved field of a chunk line with the id of the document's product, where that differs from the document's id.
/// It never reaches an index.
pub const PRODUCT: &str = "_mq_product";

/// The reserved field of a removal that concerns one document while its product stays in the index: `true`.
pub const PRODUCT_STAYS: &str = "_mq_product_stays";

/// The reserved field of a product's last document in a job: an array of the ids of its other documents. Any other
/// document of the product that is in the index is removed.
pub const SIBLINGS: &str = "_mq_siblings";

/// The reserved field of a product's last document in a job: the digest of the product's lines in the export, the
/// plug-ins and their configuration. A later job with the same digest knows that the product is unchanged.
pub const SOURCE_DIGEST: &str = "_mq_source";

/// Id of a document in an index: 1 to 255 characters of `[A-Za-z0-9._~-]`, and not `.` or `..`.
///
/// Marqo puts ids into URLs without escaping, so any other character could address another document or none.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct DocumentId(String);

impl DocumentId {
    /// Validates an id.
    ///
    /// # Errors
    /// The id is empty, too long, `.` or `..`, or has a character that is not allowed.
    pub fn new(id: impl Into<String>) -> Result<Self, InvalidDocumentId> {
        let id = id.into();
        host_index_rules::check_document_id(&id)?;
        Ok(Self(id))
    }

    /// Whether an id may contain the character.
    pub fn is_valid_char(character: char) -> bool {
        host_index_rules::is_document_id_char(character)
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

/// A document: its id, and its fields without `_id`.
#[derive(Clone, Debug, PartialEq)]
pub struct Document {
    /// Id in the index.
    pub id: DocumentId,
    /// All fields except `_id`.
    pub fields: Map<String, Value>,
}

/// Why a chunk line is not a document.
#[derive(Debug, thiserror::Error)]
pub enum InvalidDocument {
    /// The line is not a JSON object.
    #[error("the line is not a JSON object: {0}")]
    NotAnObject(#[from] serde_json::Error),
    /// `_id` is missing or not a string.
    #[error("the document has no `_id` string")]
    NoId,
    /// `_id` is not a valid id.
    #[error(transparent)]
    Id(#[from] InvalidDocumentId),
}

impl Document {
    /// Parses a chunk line: one JSON object with `_id` and the fields.
    ///
    /// # Errors
    /// The line is not a JSON object or has no valid `_id`.
    pub fn from_line(line: &str) -> Result<Self, InvalidDocument> {
        let mut fields: Map<String, Value> = serde_json::from_str(line)?;
        match fields.remove("_id") {
            Some(Value::String(id)) => Ok(Self { id: DocumentId::new(id)?, fields }),
            _ => Err(InvalidDocument::NoId),
        }
    }

    /// The variants; empty if there are none.
    pub fn variants(&self) -> &[Value] {
        self.fields.get(VARIANTS).and_then(Value::as_array).map_or(&[], Vec::as_slice)
    }

    /// Weight of the document where batches are cut by weight: 1 + number of variants.
    pub fn batch_weight(&self) -> usize {
        1 + self.variants().len()
    }
}

/// A line of a chunk: a document or a removal, and the product that it belongs to.
#[derive(Clone, Debug, PartialEq)]
pub struct ChunkLine {
    /// The document, without the reserved fields that tell about its product.
    pub document: Document,
    /// The product. A line that names none, as those of older versions of host, is a product of its own with the
    /// document's id.
    pub product: ProductId,
    /// Whether a removal concerns this document alone and not its product.
    pub product_stays: bool,
    /// Ids of the product's other documents; `None` if this is not the product's last line in the job, or if the list
    /// is invalid.
    pub siblings: Option<BTreeSet<DocumentId>>,
    /// Digest of what the product's documents were made of ([`SOURCE_DIGEST`]); `None` as for `siblings`.
    pub source_digest: Option<Digest>,
}

impl ChunkLine {
    /// Parses a line. A reserved field with an invalid value counts as missing.
    ///
    /// # Errors
    /// The line is not a JSON object or has no valid `_id`.
    pub fn parse(line: &str) -> Result<Self, InvalidDocument> {
        let mut document = Document::from_line(line)?;
        let named_product = match document.fields.remove(PRODUCT) {
            Some(Value::String(id)) => ProductId::new(id).ok(),
            _ => None,
        };
        let product = named_product.unwrap_or_else(|| ProductId::from(&document.id));
        let is_of_one_document = document.fields.remove(PRODUCT_STAYS) == Some(Value::Bool(true));
        let product_stays = is_of_one_document || document.fields.contains_key(JOB_ID_FIELD);
        let siblings = match document.fields.remove(SIBLINGS) {
            Some(Value::Array(ids)) => ids.into_iter().map(|id| serde_json::from_value(id).ok()).collect(),
            _ => None,
        };
        let source_digest = match document.fields.remove(SOURCE_DIGEST) {
            Some(Value::String(digest)) => Digest::try_from(digest).ok(),
            _ => None,
        };
        Ok(Self { document, product, product_stays, siblings, source_digest })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_has_only_characters_that_urls_keep() {
        for good in ["a", "632910392", "A.b_c~d-e", &"x".repeat(255)] {
            assert_eq!(DocumentId::new(good).unwrap().as_str(), good);
        }
        for bad in ["", ".", "..", "a/b", "a#b", "a b", "é", "gid://shopify/Product/1", &"x".repeat(256)] {
            assert!(DocumentId::new(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_line_may_name_its_product_siblings_and_source() {
        let line = ChunkLine::parse(r#"{"_id":"1","_mq_product":"gid://shopify/Product/1","v":1}"#).unwrap();
        assert_eq!((line.product.as_str(), line.product_stays), ("gid://shopify/Product/1", false));
        assert_eq!(line.document.fields.keys().collect::<Vec<_>>(), ["v"]);
        assert_eq!(line.siblings, None);
        let line = ChunkLine::parse(r#"{"_id":"1","_mq_siblings":["3","2"],"v":1}"#).unwrap();
        assert_eq!(line.siblings, Some(["2", "3"].map(|id| DocumentId::new(id).unwrap()).into()));
        assert_eq!(line.document.fields.keys().collect::<Vec<_>>(), ["v"]);
        let digest = Digest::of(b"lines");
        let line = ChunkLine::parse(&format!(r#"{{"_id":"1","_mq_source":"{digest}","v":1}}"#)).unwrap();
        assert_eq!((line.source_digest, line.document.fields.len()), (Some(digest), 1));
        let line = ChunkLine::parse(r#"{"_id":"1","_mq_source":"nonsense"}"#).unwrap();
        assert_eq!((line.source_digest, line.document.fields.len()), (None, 0));
        // A list with an invalid id is ignored as a whole.
        let line = ChunkLine::parse(r#"{"_id":"1","_mq_siblings":["2","a/b"]}"#).unwrap();
        assert_eq!(line.siblings, None);
        for (text, product_stays) in [
            (r#"{"_id":"1"}"#, false),
            (r#"{"_id":"1","_mq_product":7}"#, false),
            (r#"{"_id":"1","_mq_product_stays":true}"#, true),
            (r#"{"_id":"1","_mq_job_id":"j"}"#, true),
        ] {
            let line = ChunkLine::parse(text).unwrap();
            assert_eq!((line.product.as_str(), line.product_stays), ("1", product_stays), "{text}");
        }
    }

    #[test]
    fn a_line_needs_a_valid_id() {
        let document = Document::from_line(r#"{"_id":"1","title":"Mug","variants":[{"id":"2"}]}"#).unwrap();
        assert_eq!((document.id.as_str(), document.batch_weight(), document.fields.len()), ("1", 2, 2));
        for bad in [r#"{"title":"x"}"#, r#"{"_id":1}"#, r#"{"_id":"a/b"}"#, "[]", "nonsense", ""] {
            assert!(Document::from_line(bad).is_err(), "{bad}");
        }
    }
}
