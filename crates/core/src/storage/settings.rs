//! The port to stored settings of indexes (`host settings put`), such as the address of a Marqo server.

use super::{StoreError, async_trait};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::fmt;

/// The settings of one index as stored: a JSON object whose keys only the crate of that kind of index knows. It may
/// hold secrets, so `Debug` does not print its content.
#[derive(Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct IndexDocument(pub Map<String, Value>);

impl fmt::Debug for IndexDocument {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "IndexDocument({} keys)", self.0.len())
    }
}

/// Settings of indexes, by the index's name. Storage checks only that a record is a JSON object; the crate of the index
/// checks the keys, before they are stored and after they are read. All methods are idempotent.
#[async_trait]
pub trait Settings: Send + Sync {
    /// The settings of an index; `None` if it has none.
    async fn get(&self, index_name: &str) -> Result<Option<IndexDocument>, StoreError>;

    /// Stores settings in place of earlier ones.
    async fn put(&self, index_name: &str, settings: &IndexDocument) -> Result<(), StoreError>;

    /// Removes the settings of an index; false if there were none.
    async fn delete(&self, index_name: &str) -> Result<bool, StoreError>;

    /// Names of the indexes that have settings, in their order.
    async fn list(&self) -> Result<Vec<String>, StoreError>;
}
