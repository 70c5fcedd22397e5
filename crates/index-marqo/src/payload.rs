//! A document as it is sent.

use super::json::Json;
use host_core::{
    index::Write,
    model::{DocumentId, document::VARIANTS},
};
use serde_json::Value;
use std::collections::BTreeSet;

/// Names of the fields that the host adds. A structured index needs them as text fields.
pub(super) const CONTENT_HASH: &str = "_mq_content_hash";
/// The job that wrote it.
pub(super) const JOB_ID: &str = "_mq_job_id";
/// The names of its version fields, separated by commas: their values are fields already.
pub(super) const VERSION_FIELDS: &str = "_mq_version_fields";

/// The server's limit of `json.dumps` characters.
pub(super) const MAX_CHARACTERS: usize = host_index_rules::MAX_DOCUMENT_LEN;

/// A document, or only an id, to send to the server.
#[derive(Debug)]
pub(super) struct Payload<'a> {
    /// Its index in the caller's batch.
    pub(super) at: usize,
    pub(super) id: &'a DocumentId,
    pub(super) complexity: usize,
    /// Empty for a removal.
    pub(super) json: &'a [u8],
    /// `json.dumps` characters.
    pub(super) characters: usize,
    /// All its fields were written before.
    pub(super) is_of_known_fields: bool,
    /// What is sent; none for a removal.
    pub(super) write: Option<&'a Write>,
}

impl<'a> Payload<'a> {
    /// Only the id.
    pub(super) fn removal(at: usize, id: &'a DocumentId) -> Self {
        Self { at, id, complexity: 1, json: &[], characters: 0, is_of_known_fields: true, write: None }
    }

    /// The names of its own fields, in order.
    pub(super) fn names(&self) -> impl Iterator<Item = &'a str> + use<'a> {
        self.write.into_iter().flat_map(|write| sent(write).map(|(name, _)| name.as_str()))
    }
}

/// Documents as they are sent, with the host's fields added, concatenated.
#[derive(Debug, Default)]
pub(super) struct Payloads {
    text: Vec<u8>,
    extents: Vec<Extent>,
}

#[derive(Clone, Copy, Debug)]
struct Extent {
    /// Where the document ends in the text.
    end: usize,
    characters: usize,
    is_of_known_fields: bool,
}

impl Payloads {
    /// `known` are the fields that were written before.
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
            // Both are in order, so that one walk along the known ones finds all.
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
                // The others will be about as long.
                json.bytes.reserve(end * batch.len());
            }
        }
        Self { text: json.bytes, extents }
    }

    /// One for each document of the batch that they were made of.
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

/// The fields that are sent: no variants, nothing that is null, nothing under a name that the host uses.
fn sent(write: &Write) -> impl Iterator<Item = (&String, &Value)> + Clone {
    let is_hosts = |name: &str| {
        name == VARIANTS
            || name.starts_with('_') && ["_id", CONTENT_HASH, JOB_ID, VERSION_FIELDS].contains(&name)
    };
    write.document.fields.iter().filter(move |(name, value)| !value.is_null() && !is_hosts(name))
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
    fn what_is_sent_and_what_is_not() {
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
        for (also, knows) in [("title", true), ("title2", false)] {
            let known = ["_mq_version", "a", "dims", "price", "stock", "tags", "updated_at", "z", also];
            let known = known.map(str::to_owned).into();
            assert_eq!(
                Payloads::of(&batch, job_id, &known).iter(&batch).all(|payload| payload.is_of_known_fields),
                knows
            );
        }
        // Python writes a blank after each of 10 commas and 12 colons.
        assert_eq!(payload.characters, expected.len() + 22);
    }
}
