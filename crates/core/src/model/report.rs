//! Report entries: what is said of each item that did not simply succeed.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// What an entry says of its item.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Class {
    /// Never became a document.
    Skipped,
    /// Refused.
    Failed,
    /// Older than the index.
    Conflict,
    /// Went on, with a remark; not counted.
    Warning,
}

/// One line of a report: why an item was skipped, failed, stood in conflict, or deserves a remark.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// What became of the item.
    pub class: Class,
    /// The document, if the item has become one.
    #[serde(default)]
    pub document_id: Option<String>,
    /// Line in the source, from 1, where it is known.
    #[serde(default)]
    pub line: Option<u64>,
    /// Stable kebab-case name of the reason.
    pub code: String,
    /// One sentence for a person.
    pub message: String,
    /// JSON Pointer into the item.
    #[serde(default)]
    pub path: Option<String>,
    /// The plug-in that said so, as `name@version`; none if the host did.
    #[serde(default)]
    pub plugin: Option<String>,
    /// More facts: source, byte offset, excerpt, both versions of a conflict, a trap's backtrace.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub details: Map<String, Value>,
}

impl Entry {
    /// An entry with nothing but class, code and message.
    pub fn new(class: Class, code: impl Into<String>, message: impl Into<String>) -> Self {
        Self {
            class,
            document_id: None,
            line: None,
            code: code.into(),
            message: message.into(),
            path: None,
            plugin: None,
            details: Map::new(),
        }
    }

    /// Adds a fact to the details.
    pub fn with(mut self, key: &str, value: impl Into<Value>) -> Self {
        self.details.insert(key.to_owned(), value.into());
        self
    }
}

impl Entry {
    /// Appends the entry as one line of NDJSON.
    pub fn write_line(&self, bytes: &mut Vec<u8>) {
        serde_json::to_writer(&mut *bytes, self).expect("an entry is plain data, and a Vec takes everything");
        bytes.push(b'\n');
    }
}

/// The first entries of each class, at most [`Samples::LIMIT`] of each.
#[derive(Clone, Debug, Default)]
pub struct Samples(Vec<Entry>);

impl Samples {
    /// Entries kept of each class: what a job record can carry and a person reads.
    pub const LIMIT: usize = 20;

    /// Keeps the entry if its class has room; details are left to the report.
    pub fn add(&mut self, entry: Entry) {
        if self.0.iter().filter(|kept| kept.class == entry.class).count() < Self::LIMIT {
            self.0.push(Entry { details: Map::new(), ..entry });
        }
    }

    /// The kept entries in their order.
    pub fn into_entries(self) -> Vec<Entry> {
        self.0
    }
}
