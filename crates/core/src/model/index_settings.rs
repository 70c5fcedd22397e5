//! How an index is reached and written; on AWS an item of the table EcomIndexSettingsTable.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::fmt;

/// Settings of one index of a search server.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct IndexSettings {
    /// Base address of the server, or of Marqo Cloud's control plane where `cloud` is set: `http://localhost:8882`.
    pub endpoint: String,
    /// Used while the endpoint cannot be reached.
    pub fallback_endpoint: Option<String>,
    /// Whether the index's own address is looked up at the endpoint, as Marqo Cloud wants it.
    pub cloud: bool,
    /// Sent as `x-api-key`.
    pub api_key: Option<Secret>,
    /// Fields that the server makes vectors of; a structured index has its own and takes none.
    pub tensor_fields: Vec<String>,
    /// Marqo's mappings: custom vectors and multimodal combinations.
    pub mappings: Map<String, Value>,
    /// Whether vectors of fields that did not change are kept, so that a change of stock costs no embedding.
    pub use_existing_tensors: bool,
    /// Headers that the server sends when it downloads pictures.
    pub media_download_headers: Map<String, Value>,
    /// Most documents of a request; the server's own limit is 128.
    pub batch_documents: usize,
    /// Most bytes of a request.
    pub batch_bytes: usize,
    /// Most complexity of a request: 1 + variants a document (seed).
    pub batch_complexity: usize,
    /// Most requests that write at once; the server allows 8.
    pub concurrency: usize,
    /// Whether documents are read back after writing, and those with missing vectors repaired or removed.
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

/// A text that is neither logged nor printed. It is written in full only where settings are stored.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Secret(String);

impl Secret {
    /// Wraps a text.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text itself, for the one place that sends it.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}
