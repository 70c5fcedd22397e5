use super::{StoreError, async_trait};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::fmt;

/// The settings of one index as stored: a JSON object whose keys only the crate of that index knows. It may hold secrets and is
/// not printed.
#[derive(Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct IndexDocument(pub Map<String, Value>);

impl fmt::Debug for IndexDocument {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "IndexDocument({} keys)", self.0.len())
    }
}

/// Settings of indexes, by the index's name. Storage checks only that a record is a JSON object; what its keys may be is checked
/// by the crate of the index, before it stores them and after it reads them.
#[async_trait]
pub trait Settings: Send + Sync {
    /// The settings of an index, if it has any.
    async fn get(&self, index_name: &str) -> Result<Option<IndexDocument>, StoreError>;

    /// Stores settings, replacing those that were there. The second call changes nothing.
    async fn put(&self, index_name: &str, settings: &IndexDocument) -> Result<(), StoreError>;

    /// Removes the settings of an index; false if there are none.
    async fn delete(&self, index_name: &str) -> Result<bool, StoreError>;

    /// Names of the indexes that have settings, in their order.
    async fn list(&self) -> Result<Vec<String>, StoreError>;
}
