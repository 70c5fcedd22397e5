use super::{StoreError, async_trait};
use crate::model::IndexSettings;

/// Settings of indexes, by the index's name.
#[async_trait]
pub trait Settings: Send + Sync {
    /// The settings of an index, if it has any. A record with a field that this host does not know, written by a newer
    /// one, is an error that says so.
    async fn get(&self, index_name: &str) -> Result<Option<IndexSettings>, StoreError>;

    /// Stores settings, replacing those that were there. The second call changes nothing.
    async fn put(&self, index_name: &str, settings: &IndexSettings) -> Result<(), StoreError>;

    /// Removes the settings of an index; false if there are none.
    async fn delete(&self, index_name: &str) -> Result<bool, StoreError>;

    /// Names of the indexes that have settings, in their order.
    async fn list(&self) -> Result<Vec<String>, StoreError>;
}
