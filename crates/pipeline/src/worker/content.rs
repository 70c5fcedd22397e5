//! Computes what the host stores with a document: its version, which later writes are compared with, and a digest of
//! its content.

use host_core::{
    index::{Precondition, StoredVersion, Write},
    model::{Digest, Document},
};
use serde_json::{Map, Value};
use std::collections::BTreeMap;

/// Prefix of the fields that belong to the host, never to a document's content.
const INTERNAL: &str = "_mq_";

/// Splits a document's version off and computes the digest of its content: of everything but the version fields and
/// the host's own, so that a changed timestamp alone is not new content.
pub(super) fn prepare(document: Document, version_fields: &[String]) -> Write {
    let version = version_of(&document.fields, version_fields);
    // Ordered by name, so that two plug-ins that write the same fields in another order agree.
    let content: BTreeMap<&String, &Value> = document
        .fields
        .iter()
        .filter(|(name, _)| !name.starts_with(INTERNAL) && !version_fields.contains(name))
        .collect();
    let bytes = serde_json::to_vec(&content).expect("JSON values always serialize");
    Write {
        version,
        content_hash: Digest::of(&bytes).to_string(),
        document,
        precondition: Precondition::None,
    }
}

/// Prefix of the digest of a partial update, which covers the given fields alone. The index then has no digest of the
/// whole document.
const PARTIAL: &str = "partial:";

/// Like [`prepare`], for a partial update.
pub(super) fn prepare_update(document: Document, version_fields: &[String]) -> Write {
    let mut write = prepare(document, version_fields);
    write.content_hash.insert_str(0, PARTIAL);
    write
}

/// Whether the index has the content that is to be written, as its stored digest shows: an equal one of the same kind
/// of write, or that of a whole document all of whose fields an update repeats. A whole document never equals an
/// update, which left other fields.
pub(super) fn is_same_content(write: &Write, stored: &StoredVersion) -> bool {
    let stored = stored.content_hash.as_deref();
    stored == Some(&write.content_hash)
        || write.content_hash.strip_prefix(PARTIAL).is_some_and(|given| stored == Some(given))
}

/// Whether a digest is that of a partial update.
pub(super) fn is_partial(content_hash: &str) -> bool {
    content_hash.starts_with(PARTIAL)
}

/// The version fields that an object has.
pub(super) fn version_of(fields: &Map<String, Value>, version_fields: &[String]) -> Map<String, Value> {
    version_fields.iter().filter_map(|name| Some((name.clone(), fields.get(name)?.clone()))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hash(line: &str) -> String {
        prepare(Document::from_line(line).unwrap(), &["updated_at".to_owned(), "_mq_version".to_owned()])
            .content_hash
    }

    #[test]
    fn neither_the_order_of_fields_nor_the_version_changes_the_hash() {
        let base = hash(r#"{"_id":"1","title":"Mug","price":20.0,"updated_at":"2026-01-01T00:00:00Z"}"#);
        assert_eq!(
            base,
            hash(
                r#"{"updated_at":"2027-01-01T00:00:00Z","price":20.0,"_mq_version":7,"title":"Mug","_id":"1"}"#
            )
        );
        assert_ne!(base, hash(r#"{"_id":"1","title":"Mug","price":20,"updated_at":"2026-01-01T00:00:00Z"}"#));
        assert_ne!(base, hash(r#"{"_id":"1","title":"mug","price":20.0}"#));
    }
}
