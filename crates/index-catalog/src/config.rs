//! Where the catalog is, and how it is written.

use crate::{batch::Bounds, text::TextConfig};
use host_core::{seconds, secret::Secret};
use serde::{Deserialize, Serialize};
use std::{
    num::{NonZeroU32, NonZeroUsize},
    time::Duration,
};

/// Where the catalog is, and how it is written.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CatalogConfig {
    /// A PostgreSQL database, `postgres://user:password@server/database`; without one the catalog is embedded.
    pub url: Option<Secret>,
    /// Most connections to the database.
    pub connections: NonZeroUsize,
    /// Most complexity of one transaction: 1 + variants a product. Other writers wait for the rows of its products, and for the
    /// whole embedded database.
    pub batch_complexity: NonZeroUsize,
    /// Most rows of one transaction: products, SKUs and attributes.
    pub batch_rows: NonZeroUsize,
    /// Most of the products, in percent, that one full sync may archive, or remove from a Marqo index.
    pub archive_percent: u8,
    /// Fields whose words a product is searched by.
    pub search_fields: Vec<String>,
    /// How embeddings are made.
    pub embeddings: EmbeddingsConfig,
}

/// How embeddings of products are made: by an endpoint that is compatible with OpenAI's.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct EmbeddingsConfig {
    /// Address of the endpoint, `https://api.openai.com/v1/embeddings`; without one no embeddings are made.
    pub url: Option<String>,
    /// Sent as `authorization: Bearer`.
    pub key: Option<Secret>,
    /// Name of the model.
    pub model: String,
    /// Length of a vector, for models that let it be chosen.
    pub dimensions: Option<NonZeroU32>,
    /// Texts of a request.
    pub batch_size: NonZeroUsize,
    /// Requests at once.
    pub concurrency: NonZeroUsize,
    /// Attempts at a request that the endpoint cannot answer now.
    pub attempts: NonZeroU32,
    /// Longest wait for the answer to one attempt, in seconds.
    #[serde(rename = "timeout_seconds", with = "seconds")]
    pub timeout: Duration,
    /// Fields whose text is embedded.
    pub fields: Vec<String>,
    /// Maximum number of characters of a text; the rest is truncated.
    pub characters: NonZeroUsize,
}

fn names(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

impl Default for CatalogConfig {
    fn default() -> Self {
        Self {
            url: None,
            // A worker's chunks, and a few commands beside them.
            connections: const { NonZeroUsize::new(8).expect("is not 0") },
            batch_complexity: const { NonZeroUsize::new(100).expect("is not 0") },
            // Reached only by variants with dozens of attributes.
            batch_rows: const { NonZeroUsize::new(5_000).expect("is not 0") },
            archive_percent: 30,
            search_fields: names(&[
                "title",
                "vendor",
                "product_type",
                "category",
                "tags",
                "collections",
                "options",
            ]),
            embeddings: EmbeddingsConfig::default(),
        }
    }
}

impl Default for EmbeddingsConfig {
    fn default() -> Self {
        Self {
            url: None,
            key: None,
            model: "text-embedding-3-small".to_owned(),
            dimensions: None,
            batch_size: const { NonZeroUsize::new(64).expect("is not 0") },
            concurrency: const { NonZeroUsize::new(4).expect("is not 0") },
            attempts: const { NonZeroU32::new(8).expect("is not 0") },
            timeout: Duration::from_secs(60),
            fields: names(&["title", "vendor", "product_type", "category", "tags", "options", "description"]),
            // 8,192 tokens of four characters are what usual models read; other scripts have shorter tokens.
            characters: const { NonZeroUsize::new(8_000).expect("is not 0") },
        }
    }
}

impl CatalogConfig {
    pub(crate) fn bounds(&self) -> Bounds {
        Bounds { complexity: self.batch_complexity.get(), rows: self.batch_rows.get() }
    }

    pub(crate) fn texts(&self) -> TextConfig {
        TextConfig {
            search: self.search_fields.clone(),
            embed: self.embeddings.fields.clone(),
            embed_characters: self.embeddings.characters.get(),
        }
    }
}

impl EmbeddingsConfig {
    /// Identifies vectors that can be compared with each other.
    pub(crate) fn model_id(&self) -> String {
        match self.dimensions {
            None => self.model.clone(),
            Some(dimensions) => format!("{}@{dimensions}", self.model),
        }
    }
}
