//! The settings of indexes, a JSON document each, as one item in a table of their own.

use super::table::{Item, Key, Table, TableError, Update};
use async_trait::async_trait;
use host_core::storage::{IndexDocument, Settings, StoreError};
use std::sync::Arc;

/// All settings are in one partition, so that one query lists them, ordered by name.
const PARTITION: &str = "INDEX_SETTINGS";
const PREFIX: &str = "INDEX#";

/// The settings of all indexes.
pub(super) struct DynamoSettings {
    table: Arc<dyn Table>,
}

impl DynamoSettings {
    pub(super) fn new(table: Arc<dyn Table>) -> Self {
        Self { table }
    }
}

fn key(index_name: &str) -> Key {
    Key::new(PARTITION, format!("{PREFIX}{index_name}"))
}

fn parse(item: &Item) -> Result<IndexDocument, TableError> {
    serde_json::from_str(item.text("settings").unwrap_or_default()).map_err(TableError::corrupt)
}

#[async_trait]
impl Settings for DynamoSettings {
    async fn get(&self, index_name: &str) -> Result<Option<IndexDocument>, StoreError> {
        let read = self.table.get(&key(index_name)).await;
        let parsed = read.and_then(|item| item.as_ref().map(parse).transpose());
        parsed.map_err(|error| error.during(format!("reading the settings of index {index_name}")))
    }

    async fn put(&self, index_name: &str, settings: &IndexDocument) -> Result<(), StoreError> {
        let text = serde_json::to_string(settings).expect("settings are plain data");
        let update = Update::new(key(index_name)).set("index_name", index_name).set("settings", text);
        let done = self.table.update(&update).await;
        done.map(drop).map_err(|error| error.during(format!("storing the settings of index {index_name}")))
    }

    async fn delete(&self, index_name: &str) -> Result<bool, StoreError> {
        let during = |error: TableError| error.during(format!("removing the settings of index {index_name}"));
        self.table.delete(&key(index_name)).await.map_err(during)
    }

    async fn list(&self) -> Result<Vec<String>, StoreError> {
        let items = self.table.query(PARTITION, PREFIX, false, None).await;
        let items = items.map_err(|error| error.during("listing the indexes with settings"))?;
        Ok(items.iter().filter_map(|item| item.text("index_name")).map(str::to_owned).collect())
    }
}
