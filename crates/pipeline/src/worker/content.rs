//! What the host adds to a document: its version for the next comparison, and a digest of the rest.

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

/// Before the digest of an update, which covers the given fields alone: of the document as a whole the index then knows
/// no digest.
const PARTIAL: &str = "partial:";

/// The same for an update.
pub(super) fn prepare_update(document: Document, version_fields: &[String]) -> Write {
    let mut write = prepare(document, version_fields);
    write.content_hash.insert_str(0, PARTIAL);
    write
}

/// Whether the index holds the content that is to be written: by the same kind of write, or by a whole document whose
/// fields an update repeats, all of them. A whole document is never the same as an update, which left other fields.
pub(super) fn is_same_content(write: &Write, stored: &StoredVersion) -> bool {
    let stored = stored.content_hash.as_deref();
    stored == Some(&write.content_hash)
        || write.content_hash.strip_prefix(PARTIAL).is_some_and(|given| stored == Some(given))
}

/// Whether a digest covers a part of a document.
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
    fn only_content_decides_the_hash() {
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
