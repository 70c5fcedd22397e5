//! The settings of indexes in memory: JSON that is parsed when it is read.

use super::SharedState;
use async_trait::async_trait;
use host_core::storage::{IndexDocument, Settings, StoreError, StoreErrorKind};
use serde_json::Value;

#[async_trait]
impl Settings for SharedState {
    async fn get(&self, index_name: &str) -> Result<Option<IndexDocument>, StoreError> {
        let Some(json) = self.state().settings.get(index_name).cloned() else { return Ok(None) };
        let parsed = serde_json::from_str(&json);
        parsed.map(Some).map_err(|error| StoreError {
            action: format!("reading the settings of {index_name}"),
            kind: StoreErrorKind::Corrupt,
            source: error.into(),
        })
    }

    async fn put(&self, index_name: &str, settings: &IndexDocument) -> Result<(), StoreError> {
        let json = Value::Object(settings.0.clone()).to_string();
        self.state().settings.insert(index_name.to_owned(), json);
        Ok(())
    }

    async fn delete(&self, index_name: &str) -> Result<bool, StoreError> {
        Ok(self.state().settings.remove(index_name).is_some())
    }

    async fn list(&self) -> Result<Vec<String>, StoreError> {
        Ok(self.state().settings.keys().cloned().collect())
    }
}
