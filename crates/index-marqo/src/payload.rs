//! Documents in the form in which they are sent: JSON, with the fields that the host adds.

use super::json::Json;
use host_core::{
    index::Write,
    model::{DocumentId, document::VARIANTS},
};
use serde_json::Value;
use std::collections::BTreeSet;

// The fields that the host adds to each document. The schema of a structured index must have them as text fields.

/// Digest of the content, by which a document is recognised that is already written.
pub(super) const CONTENT_HASH: &str = "_mq_content_hash";
/// The job that wrote the document last.
pub(super) const JOB_ID: &str = "_mq_job_id";
/// The names of the version fields, by which two versions of a document are ordered, separated by commas. Their values
/// are ordinary fields of the document.
pub(super) const VERSION_FIELDS: &str = "_mq_version_fields";

/// Marqo's limit of a document, in characters of its JSON as Python's `json.dumps` writes it.
pub(super) const MAX_CHARACTERS: usize = host_index_rules::MAX_DOCUMENT_LEN;

/// A document, or only an id, to send to the server.
#[derive(Debug)]
pub(super) struct Payload<'a> {
    /// Its position in the caller's batch.
    pub(super) at: usize,
    pub(super) id: &'a DocumentId,
    /// Weight in a request: 1 + number of variants.
    pub(super) complexity: usize,
    /// Empty for a removal.
    pub(super) json: &'a [u8],
    /// Size as [`MAX_CHARACTERS`] measures it.
    pub(super) characters: usize,
    /// Whether this process has written all its fields to the index before, in this or other documents.
    pub(super) is_of_known_fields: bool,
    /// The document; `None` for a removal.
    pub(super) write: Option<&'a Write>,
}

impl<'a> Payload<'a> {
    /// An id to remove.
    pub(super) fn removal(at: usize, id: &'a DocumentId) -> Self {
        Self { at, id, complexity: 1, json: &[], characters: 0, is_of_known_fields: true, write: None }
    }

    /// The names of its fields that are sent, without those that the host adds, in alphabetical order.
    pub(super) fn names(&self) -> impl Iterator<Item = &'a str> + use<'a> {
        self.write.into_iter().flat_map(|write| sent(write).map(|(name, _)| name.as_str()))
    }
}

/// The JSON of all documents of a batch, concatenated.
#[derive(Debug, Default)]
pub(super) struct Payloads {
    text: Vec<u8>,
    extents: Vec<Extent>,
}

/// One document of the concatenation.
#[derive(Clone, Copy, Debug)]
struct Extent {
    /// Where the document ends in the text.
    end: usize,
    characters: usize,
    is_of_known_fields: bool,
}

impl Payloads {
    /// Writes the JSON of a batch; `known` are the fields that this process has written to the index before.
    pub(super) fn of(batch: &[Write], job_id: &str, known: &BTreeSet<String>) -> Self {
        let (mut json, mut extents) = (Json::default(), Vec::with_capacity(batch.len()));
        let mut version_fields = String::new();
        for write in batch {
            version_fields.clear();
            for name in write.version.keys() {
                if !version_fields.is_empty() {
                    version_fields.push(',');
                }
                version_fields.push_str(name);
            }
            json.characters = 0;
            json.open(b'{');
            for (name, text) in [
                ("_id", write.document.id.as_str()),
                (CONTENT_HASH, &write.content_hash),
                (JOB_ID, job_id),
                (VERSION_FIELDS, &version_fields),
            ] {
                json.name(name);
                json.text(text);
            }
            // The fields of both are sorted, so that one pass over the known ones finds them all.
            let (mut known, mut is_of_known_fields) = (known.iter(), true);
            for (name, value) in sent(write) {
                is_of_known_fields = is_of_known_fields && known.any(|known| known == name);
                json.name(name);
                json.value(value);
            }
            json.close(b'}');
            let end = json.bytes.len();
            extents.push(Extent { end, characters: json.characters, is_of_known_fields });
            if extents.len() == 1 {
                // An estimate: the other documents are about as long as the first.
                json.bytes.reserve(end * batch.len());
            }
        }
        Self { text: json.bytes, extents }
    }

    /// A payload for each document. The batch must be the one that was passed to [`Self::of`].
    pub(super) fn iter<'a>(&'a self, batch: &'a [Write]) -> impl Iterator<Item = Payload<'a>> {
        let mut begin = 0;
        batch.iter().zip(&self.extents).enumerate().map(move |(at, (write, extent))| {
            let json = &self.text[begin..extent.end];
            begin = extent.end;
            let &Extent { characters, is_of_known_fields, .. } = extent;
            let (id, complexity) = (&write.document.id, write.document.batch_weight());
            Payload { at, id, complexity, json, characters, is_of_known_fields, write: Some(write) }
        })
    }
}

/// The fields that are sent: no variants, no nulls, and none with a name that the host itself uses.
fn sent(write: &Write) -> impl Iterator<Item = (&String, &Value)> + Clone {
    let is_reserved = |name: &str| {
        name == VARIANTS
            || name.starts_with('_') && ["_id", CONTENT_HASH, JOB_ID, VERSION_FIELDS].contains(&name)
    };
    write.document.fields.iter().filter(move |(name, value)| !value.is_null() && !is_reserved(name))
}

#[cfg(test)]
mod tests {
    use super::*;
    use host_core::{index::Precondition, model::Document};

    fn write(line: &str) -> Write {
        let document = Document::from_line(line).unwrap();
        let version = document.fields.iter().filter(|(name, _)| *name == "updated_at");
        let version = version.map(|(name, value)| (name.clone(), value.clone())).collect();
        Write { document, version, content_hash: "hash".to_owned(), precondition: Precondition::None }
    }

    #[test]
    fn variants_nulls_and_unstorable_characters_are_left_out() {
        let write = write(
            r#"{"_id":"1","title":"a\u0000b\uFFFEc\n","price":20.0,"stock":20,"none":null,"tags":["x",null],
                "dims":{"w":1,"h":null},"variants":[{"id":"1"}],"updated_at":"now","_mq_version":7}"#,
        );
        let (batch, job_id) = ([write.clone(), write], "job");
        let payloads = Payloads::of(&batch, job_id, &BTreeSet::new());
        let payload = payloads.iter(&batch).nth(1).unwrap();
        let expected = concat!(
            r#"{"_id":"1","_mq_content_hash":"hash","_mq_job_id":"job","_mq_version_fields":"updated_at","#,
            r#""_mq_version":7,"dims":{"w":1},"price":20.0,"stock":20,"tags":["x"],"title":"abc\n","updated_at":"now"}"#
        );
        assert_eq!(std::str::from_utf8(payload.json).unwrap(), expected);
        assert_eq!(payload.complexity, 2);
        let names: Vec<_> = payload.names().collect();
        assert_eq!(names, ["_mq_version", "dims", "price", "stock", "tags", "title", "updated_at"]);
        assert!(!payload.is_of_known_fields);
        for (extra, is_known) in [("title", true), ("title2", false)] {
            let known = ["_mq_version", "a", "dims", "price", "stock", "tags", "updated_at", "z", extra];
            let known = known.map(str::to_owned).into();
            assert_eq!(
                Payloads::of(&batch, job_id, &known).iter(&batch).all(|payload| payload.is_of_known_fields),
                is_known
            );
        }
        // Python writes a blank after each of 10 commas and 12 colons.
        assert_eq!(payload.characters, expected.len() + 22);
    }
}
