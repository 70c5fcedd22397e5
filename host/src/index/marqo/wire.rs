//! A document as it is sent.

use super::measure;
use crate::{
    index::Write,
    model::{DocumentId, document::VARIANTS},
};
use serde::{
    Serialize, Serializer,
    ser::{SerializeMap, SerializeSeq},
};
use serde_json::Value;
use std::borrow::Cow;

/// Names of the fields that the host adds. An index with a schema of its own needs them as texts.
pub(super) const CONTENT_HASH: &str = "_mq_content_hash";
/// The job that wrote it.
pub(super) const JOB_ID: &str = "_mq_job_id";
/// The names of its version fields, parted by commas: their values are fields already.
pub(super) const VERSION_FIELDS: &str = "_mq_version_fields";

/// The server's limit of `json.dumps` characters.
pub(super) const MOST_CHARACTERS: usize = 100_000;

/// A document, or only an id, on its way to the server.
#[derive(Debug)]
pub(super) struct Wire<'a> {
    /// Its place in the caller's batch.
    pub(super) at: usize,
    pub(super) id: &'a DocumentId,
    pub(super) complexity: usize,
    /// Empty for a removal.
    pub(super) json: Vec<u8>,
    /// `json.dumps` characters.
    pub(super) characters: usize,
    /// What is sent; none for a removal.
    pub(super) write: Option<&'a Write>,
}

impl<'a> Wire<'a> {
    /// A document with the host's fields beside its own.
    pub(super) fn of(at: usize, write: &'a Write, job_id: &str) -> Self {
        let names: Vec<&str> = write.version.keys().map(String::as_str).collect();
        let version_fields = names.join(",");
        let added = [
            ("_id", write.document.id.as_str()),
            (CONTENT_HASH, &write.content_hash),
            (JOB_ID, job_id),
            (VERSION_FIELDS, &version_fields),
        ];
        let texts = added.iter().map(|(name, text)| measure::of_member(name, measure::of_text(text)));
        let values = sent(write).map(|(name, value)| measure::of_member(name, clean_characters(value)));
        let characters = measure::of_list(texts.chain(values));
        let body = Body { added: &added, write };
        let json = serde_json::to_vec(&body).expect("JSON values always serialize");
        let complexity = write.document.complexity();
        Self { at, id: &write.document.id, complexity, json, characters, write: Some(write) }
    }

    /// Only the id.
    pub(super) fn removal(at: usize, id: &'a DocumentId) -> Self {
        Self { at, id, complexity: 1, json: Vec::new(), characters: 0, write: None }
    }

    /// The names of its own fields.
    pub(super) fn names(&self) -> impl Iterator<Item = &'a str> + use<'a> {
        self.write.into_iter().flat_map(|write| sent(write).map(|(name, _)| name.as_str()))
    }
}

/// The fields that are sent: no variants, nothing that is null, nothing in a place that is the host's.
fn sent(write: &Write) -> impl Iterator<Item = (&String, &Value)> + Clone {
    let is_hosts = |name: &str| [VARIANTS, "_id", CONTENT_HASH, JOB_ID, VERSION_FIELDS].contains(&name);
    write.document.fields.iter().filter(move |(name, value)| !value.is_null() && !is_hosts(name))
}

struct Body<'a> {
    added: &'a [(&'static str, &'a str)],
    write: &'a Write,
}

impl Serialize for Body<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        for (name, text) in self.added {
            map.serialize_entry(name, text)?;
        }
        for (name, value) in sent(self.write) {
            map.serialize_entry(name, &Clean(value))?;
        }
        map.end()
    }
}

/// A value without what no server takes: nulls, and characters that its store refuses.
struct Clean<'a>(&'a Value);

impl Serialize for Clean<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            Value::String(text) => serializer.serialize_str(&clean_text(text)),
            Value::Array(members) => {
                let mut list = serializer.serialize_seq(None)?;
                for member in members.iter().filter(|member| !member.is_null()) {
                    list.serialize_element(&Clean(member))?;
                }
                list.end()
            }
            Value::Object(members) => {
                let mut map = serializer.serialize_map(None)?;
                for (name, value) in members.iter().filter(|(_, value)| !value.is_null()) {
                    map.serialize_entry(name, &Clean(value))?;
                }
                map.end()
            }
            // A float keeps its point (`20.0`), an integer has none: to the server these are different kinds.
            other => other.serialize(serializer),
        }
    }
}

fn clean_characters(value: &Value) -> usize {
    match value {
        Value::String(text) => measure::of_text(&clean_text(text)),
        Value::Array(members) => {
            measure::of_list(members.iter().filter(|member| !member.is_null()).map(clean_characters))
        }
        Value::Object(members) => {
            let members = members.iter().filter(|(_, value)| !value.is_null());
            measure::of_list(members.map(|(name, value)| measure::of_member(name, clean_characters(value))))
        }
        other => measure::characters(other),
    }
}

fn clean_text(text: &str) -> Cow<'_, str> {
    if !measure::is_printable_ascii(text) && text.chars().any(is_refused) {
        return Cow::Owned(text.chars().filter(|c| !is_refused(*c)).collect());
    }
    Cow::Borrowed(text)
}

/// Control characters and those that Unicode keeps for nobody.
fn is_refused(c: char) -> bool {
    match c {
        '\t' | '\n' | '\r' => false,
        '\0'..='\u{1f}' | '\u{fdd0}'..='\u{fdef}' => true,
        _ => u32::from(c) & 0xfffe == 0xfffe,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{index::Over, model::Document};
    use proptest::prelude::*;

    fn write(line: &str) -> Write {
        let document = Document::from_line(line).unwrap();
        let version = document.fields.iter().filter(|(name, _)| *name == "updated_at");
        let version = version.map(|(name, value)| (name.clone(), value.clone())).collect();
        Write { document, version, content_hash: "hash".to_owned(), over: Over::Anything }
    }

    #[test]
    fn what_is_sent_and_what_is_not() {
        let write = write(
            r#"{"_id":"1","title":"a\u0000b\uFFFEc\n","price":20.0,"stock":20,"none":null,"tags":["x",null],
                "dims":{"w":1,"h":null},"variants":[{"id":"1"}],"updated_at":"now","_mq_version":7}"#,
        );
        let wire = Wire::of(0, &write, "job");
        let expected = concat!(
            r#"{"_id":"1","_mq_content_hash":"hash","_mq_job_id":"job","_mq_version_fields":"updated_at","#,
            r#""_mq_version":7,"dims":{"w":1},"price":20.0,"stock":20,"tags":["x"],"title":"abc\n","updated_at":"now"}"#
        );
        assert_eq!(String::from_utf8(wire.json.clone()).unwrap(), expected);
        assert_eq!(wire.complexity, 2);
        let names: Vec<_> = wire.names().collect();
        assert_eq!(names, ["_mq_version", "dims", "price", "stock", "tags", "title", "updated_at"]);
    }

    proptest! {
        #[test]
        fn the_measure_is_that_of_what_is_sent(
            texts in prop::collection::vec("\\PC{0,20}|[\u{0}-\u{ff}\u{1F600}]{0,9}", 0..6),
            number in any::<f64>(),
        ) {
            let fields = texts.iter().enumerate().map(|(at, text)| (format!("f{at}"), Value::from(text.as_str())));
            let mut write = write(r#"{"_id":"1"}"#);
            write.document.fields.extend(fields);
            write.document.fields.insert("list".to_owned(), texts.into());
            write.document.fields.insert("n".to_owned(), number.into());
            let wire = Wire::of(0, &write, "job");
            let sent: Value = serde_json::from_slice(&wire.json).unwrap();
            prop_assert_eq!(wire.characters, measure::characters(&sent));
        }
    }
}
