//! The settings of one index, as the table `EcomIndexSettingsTable` stores them.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::fmt;

/// How to reach and write one index of a search server.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct IndexSettings {
    /// Base address of the server, or of Marqo Cloud's control plane where `cloud` is set: `http://localhost:8882`.
    pub endpoint: String,
    /// Base address used while `endpoint` cannot be reached.
    pub fallback_endpoint: Option<String>,
    /// Whether to look up the index's own address at `endpoint`, as Marqo Cloud requires.
    pub cloud: bool,
    /// API key, sent as `x-api-key`.
    pub api_key: Option<Secret>,
    /// Fields that the server embeds; leave empty for a structured index, which defines its own.
    pub tensor_fields: Vec<String>,
    /// Marqo's `mappings`: custom vectors and multimodal combinations.
    pub mappings: Map<String, Value>,
    /// Whether to keep the vectors of unchanged fields, so that a change of stock costs no embedding.
    pub use_existing_tensors: bool,
    /// HTTP headers for the server's download of pictures.
    pub media_download_headers: Map<String, Value>,
    /// Most documents per request; Marqo allows 128.
    pub batch_documents: usize,
    /// Most bytes per request.
    pub batch_bytes: usize,
    /// Most complexity per request; a document counts 1 + its variants.
    pub batch_complexity: usize,
    /// Most concurrent write requests; Marqo allows 8.
    pub concurrency: usize,
    /// Whether to read documents back after writing, and to repair or remove those without vectors.
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

/// A secret text: never logged or printed, serialized in full only to store settings.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Secret(String);

impl Secret {
    /// Wraps a text.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The secret itself; use it only to send it.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}
