//! Report entries: why items (documents, removals, products, export lines) were skipped, refused, in conflict, or
//! processed with a warning.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// The class of a report entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum EntryClass {
    /// The item never became a document.
    Skipped,
    /// The plug-in, the validator or the index refused the item.
    Failed,
    /// Write protection refused the item: an older or equal version, or a removed product.
    Conflict,
    /// The item was processed; counts ignore the entry.
    Warning,
}

/// One line of a report.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReportEntry {
    /// What became of the item.
    pub class: EntryClass,
    /// Id of the document; `None` if the item never became one.
    #[serde(default)]
    pub document_id: Option<String>,
    /// Number of the item's (first) line in its source, from 1; `None` where that is not known.
    #[serde(default)]
    pub line: Option<u64>,
    /// Stable name of the reason, in kebab-case.
    pub code: String,
    /// One sentence for people.
    pub message: String,
    /// JSON Pointer to the place in the item; `None` if the entry concerns the whole item.
    #[serde(default)]
    pub path: Option<String>,
    /// The plug-in that reported it, as `name@version`; `None` if host itself did.
    #[serde(default)]
    pub plugin: Option<String>,
    /// Details, by their names: source, byte offset, excerpt, both versions of a conflict, the backtrace of a plug-in's
    /// trap.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub details: Map<String, Value>,
}

impl ReportEntry {
    /// An entry with only a class, a code and a message.
    pub fn new(class: EntryClass, code: impl Into<String>, message: impl Into<String>) -> Self {
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

    /// Adds a detail.
    pub fn with(mut self, key: &str, value: impl Into<Value>) -> Self {
        self.details.insert(key.to_owned(), value.into());
        self
    }
}

impl ReportEntry {
    /// Appends the entry as one line of NDJSON.
    pub fn write_line(&self, bytes: &mut Vec<u8>) {
        serde_json::to_writer(&mut *bytes, self)
            .expect("plain data serializes, and writing to a Vec cannot fail");
        bytes.push(b'\n');
    }
}

/// The first entries of each class, at most [`Samples::LIMIT`] of each.
#[derive(Clone, Debug, Default)]
pub struct Samples(Vec<ReportEntry>);

impl Samples {
    /// Most entries per class: as many as fit into a job record.
    pub const LIMIT: usize = 20;

    /// Adds the entry, without its details, if its class has room.
    pub fn add(&mut self, entry: ReportEntry) {
        if self.0.iter().filter(|kept| kept.class == entry.class).count() < Self::LIMIT {
            self.0.push(ReportEntry { details: Map::new(), ..entry });
        }
    }

    /// The entries, in the order in which they were added.
    pub fn into_entries(self) -> Vec<ReportEntry> {
        self.0
    }
}
