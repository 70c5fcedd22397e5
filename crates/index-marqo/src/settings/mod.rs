//! Settings of one index: how its server is reached, and how documents are written to it. The store keeps them as JSON
//! that it does not interpret.

use host_core::{
    secret::Secret,
    storage::{IndexDocument, Settings, StoreError},
};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

mod check;

pub use check::{check_index_name, fits_index_name};

/// Settings of one index of a Marqo server.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct IndexSettings {
    /// Base address of the server, or of Marqo Cloud's control plane where `cloud` is set: `http://localhost:8882`.
    pub endpoint: String,
    /// Base address of another server, used while the endpoint cannot be reached.
    pub fallback_endpoint: Option<String>,
    /// Whether the index's own address is looked up at the endpoint, as Marqo Cloud requires.
    pub cloud: bool,
    /// Key that is sent as the header `x-api-key`; `None` for a server that needs none.
    pub api_key: Option<Secret>,
    /// Fields that the server computes vectors of. Empty for a structured index, whose schema names them.
    pub tensor_fields: Vec<String>,
    /// Marqo's mappings: custom vectors and multimodal combinations.
    pub mappings: Map<String, Value>,
    /// Whether vectors of fields that did not change are kept, so that a change of stock costs no embedding.
    pub use_existing_tensors: bool,
    /// Headers that the server sends when it downloads images.
    pub media_download_headers: Map<String, Value>,
    /// Most documents of a request; the server's own limit is 128.
    pub batch_documents: usize,
    /// Most bytes of a request.
    pub batch_bytes: usize,
    /// Most products and variants of a request: each document counts 1 + the number of its variants.
    pub batch_complexity: usize,
    /// Most write requests at once; a Marqo server allows 8 by default.
    pub concurrency: usize,
    /// Whether documents are read back after writing, and those that still lack vectors after two more checks are
    /// removed and refused.
    pub readback: bool,
}

impl Default for IndexSettings {
    fn default() -> Self {
        Self {
            endpoint: "http://localhost:8882".to_owned(),
            fallback_endpoint: None,
            cloud: false,
            api_key: None,
            tensor_fields: Vec::new(),
            mappings: Map::new(),
            use_existing_tensors: true,
            media_download_headers: Map::new(),
            batch_documents: 128,
            batch_bytes: 4 << 20,
            batch_complexity: 100,
            concurrency: 8,
            readback: false,
        }
    }
}

/// Stored settings that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A record has a key that this version does not know, or a value of another kind. Dropping it would lose it when the record
    /// is written again.
    #[error(
        "the stored settings of index {index} hold what this host does not know ({reason}); use the newer host that wrote them"
    )]
    Unknown {
        /// Name of the index.
        index: String,
        /// What the JSON parser says up to its first comma, such as ``unknown field `flavour` ``.
        reason: String,
    },
}

impl IndexSettings {
    /// Reads the settings of an index from the store, if it has any.
    pub async fn load(store: &dyn Settings, index: &str) -> Result<Option<Self>, SettingsError> {
        let Some(IndexDocument(document)) = store.get(index).await? else { return Ok(None) };
        serde_json::from_value(document.into()).map(Some).map_err(|error| {
            let error = error.to_string();
            let reason = error.split([',', '\n']).next().unwrap_or_default().to_owned();
            SettingsError::Unknown { index: index.to_owned(), reason }
        })
    }

    /// Stores the settings, replacing those that were there.
    pub async fn store(&self, store: &dyn Settings, index: &str) -> Result<(), StoreError> {
        store.put(index, &IndexDocument(self.to_object())).await
    }

    /// The settings as an object, secrets in full.
    pub fn to_object(&self) -> Map<String, Value> {
        match serde_json::to_value(self) {
            Ok(Value::Object(object)) => object,
            _ => unreachable!("a struct of plain data serializes to an object"),
        }
    }

    /// Everything that is wrong with the settings: a sentence each, which names the flag to correct and repeats no secret.
    pub fn problems(&self) -> Vec<String> {
        check::problems(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use host_core::storage::Storage;
    use host_testing::{VirtualClock, storage::Memory};
    use serde_json::json;
    use std::sync::Arc;

    fn store() -> Arc<dyn Settings> {
        Memory::new(Arc::new(VirtualClock::new(1))).stores().settings
    }

    /// A store of one record.
    async fn store_of(json: Value) -> Arc<dyn Settings> {
        let store = store();
        store.put("shop", &serde_json::from_value(json).unwrap()).await.unwrap();
        store
    }

    #[tokio::test]
    async fn settings_are_stored_in_full_and_not_printed() {
        let settings = IndexSettings { api_key: Some(Secret::new("hush")), ..IndexSettings::default() };
        let store = store();
        settings.store(&*store, "shop").await.unwrap();
        let stored = store.get("shop").await.unwrap().unwrap();
        assert_eq!(stored.0["api_key"], "hush");
        assert!(!format!("{stored:?} {settings:?}").contains("hush"));
        assert_eq!(IndexSettings::load(&*store, "shop").await.unwrap(), Some(settings));
    }

    #[tokio::test]
    async fn a_record_of_an_older_version_gets_defaults_and_one_of_a_newer_version_is_refused() {
        let older = store_of(json!({"endpoint": "http://older"})).await;
        let expected = IndexSettings { endpoint: "http://older".to_owned(), ..IndexSettings::default() };
        assert_eq!(IndexSettings::load(&*older, "shop").await.unwrap(), Some(expected));
        let newer = store_of(json!({"endpoint": "http://localhost", "flavour": "hush"})).await;
        let error = IndexSettings::load(&*newer, "shop").await.unwrap_err().to_string();
        assert!(
            error.contains("shop") && error.contains("`flavour`") && error.contains("newer host"),
            "{error}"
        );
        assert!(!error.contains("hush"), "{error}");
    }
}
