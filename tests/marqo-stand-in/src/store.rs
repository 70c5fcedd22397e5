//! All indexes, and every write that was applied to them.

use crate::index::{Document, Index};
use crate::operation::Operation;
use crate::reply::Refusal;
use crate::rules::INDEX_NOT_FOUND;
use serde::Serialize;
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::sync::Arc;

/// A write that was applied.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Write {
    /// Counts the writes of the stand-in, in the order in which they were applied.
    pub number: u64,
    /// The number of the request, see [`crate::Exchange::number`].
    pub request: u64,
    /// `Add`, `Patch` or `Delete`.
    pub operation: Operation,
    /// The value of [`crate::Options::version_field`]; null if the write has none.
    pub version: Value,
    /// What was sent; null for a deletion.
    pub content: Value,
}

/// A document as it is kept.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct StoredDocument {
    /// As sent; PATCHed fields are the patched ones.
    pub sent: Value,
    /// As read back.
    pub read_back: Value,
    /// The tensor fields whose facets are there, each once.
    pub tensor_fields: Vec<String>,
    /// The tensor fields whose facets are missing.
    pub missing_tensor_fields: Vec<String>,
}

pub(crate) struct Store {
    pub(crate) indexes: BTreeMap<String, Index>,
    /// By index and id.
    history: BTreeMap<String, BTreeMap<String, Vec<RecordedWrite>>>,
    version_field: String,
    writes: u64,
}

/// What was sent; none for a deletion.
type Content = Option<Arc<Map<String, Value>>>;

/// A write as it is kept: its number, who wrote, what.
type RecordedWrite = (u64, Origin, Content);

/// Says which request writes.
#[derive(Clone, Copy)]
pub(crate) struct Origin {
    pub(crate) request: u64,
    pub(crate) operation: Operation,
}

impl Store {
    pub(crate) fn new(version_field: &str) -> Self {
        let version_field = version_field.to_owned();
        Self { indexes: BTreeMap::new(), history: BTreeMap::new(), version_field, writes: 0 }
    }

    /// # Errors
    /// There is none of this name.
    pub(crate) fn index(&self, name: &str) -> Result<&Index, Refusal> {
        let not_found = || Refusal::new(&INDEX_NOT_FOUND, format!("Index {name} not found"));
        self.indexes.get(name).ok_or_else(not_found)
    }

    /// Puts the document in place of the one before. The index must be there.
    pub(crate) fn put(&mut self, origin: Origin, index: &str, kept_id: &str, document: Document) {
        self.note(origin, index, kept_id, Some(Arc::clone(&document.sent)));
        if let Some(index) = self.indexes.get_mut(index) {
            index.documents.insert(kept_id.to_owned(), document);
        }
    }

    /// True if there was such a document.
    pub(crate) fn remove(&mut self, origin: Origin, index: &str, kept_id: &str) -> bool {
        let index_name = index;
        let removed = self.indexes.get_mut(index).and_then(|index| index.documents.remove(kept_id));
        if removed.is_some() {
            self.note(origin, index_name, kept_id, None);
        }
        removed.is_some()
    }

    fn note(&mut self, origin: Origin, index: &str, kept_id: &str, content: Content) {
        self.writes += 1;
        let history = self.history.entry(index.to_owned()).or_default();
        history.entry(kept_id.to_owned()).or_default().push((self.writes, origin, content));
    }

    pub(crate) fn history(&self, index: &str) -> BTreeMap<String, Vec<Write>> {
        let write = |(number, origin, content): &RecordedWrite| Write {
            number: *number,
            request: origin.request,
            operation: origin.operation,
            version: content
                .as_ref()
                .and_then(|sent| sent.get(&self.version_field))
                .cloned()
                .unwrap_or_default(),
            content: content.as_ref().map(|sent| Value::Object((**sent).clone())).unwrap_or_default(),
        };
        let writes = self.history.get(index).into_iter().flatten();
        writes.map(|(id, writes)| (id.clone(), writes.iter().map(write).collect())).collect()
    }

    pub(crate) fn documents(&self, index: &str) -> BTreeMap<String, StoredDocument> {
        let documents = self.indexes.get(index).map(|index| &index.documents);
        let stored = documents.into_iter().flatten().map(|(id, document)| (id.clone(), stored(document)));
        stored.collect()
    }
}

fn stored(document: &Document) -> StoredDocument {
    let is_missing = |field: &str| document.missing.as_ref().is_some_and(|missing| missing.concerns(field));
    let mut fields: Vec<String> = document.facets.iter().map(|facet| facet.field.clone()).collect();
    fields.sort();
    fields.dedup();
    let (missing, present) = fields.into_iter().partition(|field| is_missing(field));
    let mut read_back: Map<String, Value> = document.fields.clone();
    read_back.insert("_id".to_owned(), Value::String(document.id.clone()));
    StoredDocument {
        sent: Value::Object((*document.sent).clone()),
        read_back: Value::Object(read_back),
        tensor_fields: present,
        missing_tensor_fields: missing,
    }
}
