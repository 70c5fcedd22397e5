//! All indexes of the stand-in for Marqo, and every write that was applied to them.

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
    /// The number of this write among all of the stand-in, in the order in which they were applied, from 1.
    pub number: u64,
    /// The number of the request in the log, see [`crate::Exchange::number`].
    pub request: u64,
    /// `Add`, `Patch` or `Delete`.
    pub operation: Operation,
    /// The value of the field [`crate::Options::version_field`]; null if the write has no such field.
    pub version: Value,
    /// What was sent; null for a deletion.
    pub content: Value,
}

/// A document as it is kept.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct StoredDocument {
    /// The document as sent, with the changes by later PATCHes.
    pub sent: Value,
    /// The document as a client reads it.
    pub read_back: Value,
    /// The tensor fields whose facets (parts of a text with their vectors) are there.
    pub tensor_fields: Vec<String>,
    /// The tensor fields whose facets are missing.
    pub missing_tensor_fields: Vec<String>,
}

/// The indexes and the history of writes.
pub(crate) struct Store {
    pub(crate) indexes: BTreeMap<String, Index>,
    /// All writes, by index and document id.
    history: BTreeMap<String, BTreeMap<String, Vec<RecordedWrite>>>,
    /// As in [`crate::Options`].
    version_field: String,
    /// The number of writes so far.
    writes: u64,
}

/// The document that was sent; `None` for a deletion.
type Content = Option<Arc<Map<String, Value>>>;

/// A write in the history: its number, the request that it came from, and the document.
type RecordedWrite = (u64, Origin, Content);

/// The request that a write comes from.
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

    /// The index of this name.
    ///
    /// # Errors
    /// There is no index of this name.
    pub(crate) fn index(&self, name: &str) -> Result<&Index, Refusal> {
        let not_found = || Refusal::new(&INDEX_NOT_FOUND, format!("Index {name} not found"));
        self.indexes.get(name).ok_or_else(not_found)
    }

    /// Creates or replaces a document. The index must exist.
    pub(crate) fn put(&mut self, origin: Origin, index: &str, kept_id: &str, document: Document) {
        self.record(origin, index, kept_id, Some(Arc::clone(&document.sent)));
        if let Some(index) = self.indexes.get_mut(index) {
            index.documents.insert(kept_id.to_owned(), document);
        }
    }

    /// Removes a document; returns whether it existed.
    pub(crate) fn remove(&mut self, origin: Origin, index: &str, kept_id: &str) -> bool {
        let index_name = index;
        let removed = self.indexes.get_mut(index).and_then(|index| index.documents.remove(kept_id));
        if removed.is_some() {
            self.record(origin, index_name, kept_id, None);
        }
        removed.is_some()
    }

    /// Adds a write to the history.
    fn record(&mut self, origin: Origin, index: &str, kept_id: &str, content: Content) {
        self.writes += 1;
        let history = self.history.entry(index.to_owned()).or_default();
        history.entry(kept_id.to_owned()).or_default().push((self.writes, origin, content));
    }

    /// All writes to an index, by document id.
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

    /// The documents of an index, by id.
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
