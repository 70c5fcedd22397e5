//! The settings of the relational catalog: where it is, and how it is written. Their comments are the user's manual
//! (`docs/reference/settings.md`).

use crate::{batch::Bounds, text::TextConfig};
use host_core::{seconds, secret::Secret};
use serde::{Deserialize, Serialize};
use std::{
    num::{NonZeroU32, NonZeroUsize},
    time::Duration,
};

/// The relational catalog of products and variants: where it is, and how it is written.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CatalogConfig {
    /// A PostgreSQL database, `postgres://user:password@server/database`; without one the catalog is in SQLite in the
    /// data directory.
    pub url: Option<Secret>,
    /// Maximum number of connections to the database.
    pub connections: NonZeroUsize,
    /// Maximum complexity of one transaction: each product and each variant counts 1. Other writers wait for the rows
    /// of its products, in SQLite for the whole database.
    pub batch_complexity: NonZeroUsize,
    /// Maximum number of rows that one transaction writes: products, SKUs and attributes.
    pub batch_rows: NonZeroUsize,
    /// Largest share of the products, in percent, that one full sync may archive, or remove from a Marqo index.
    pub archive_percent: u8,
    /// Fields whose words a product is searched by: strings, numbers, and lists of them. `variants.sku` is the field
    /// `sku` of each variant. After a change the next search makes the words of all products anew.
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
    /// API key, sent as `authorization: Bearer`.
    pub key: Option<Secret>,
    /// Name of the model.
    pub model: String,
    /// Length of a vector, for models that let it be chosen; without it the model's own.
    pub dimensions: Option<NonZeroU32>,
    /// Number of texts in a request.
    pub batch_size: NonZeroUsize,
    /// Number of requests at once.
    pub concurrency: NonZeroUsize,
    /// Number of attempts at a request while the endpoint is unavailable or throttles.
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
            // Enough for the chunks that a worker processes at once and for a few commands at the same time.
            connections: const { NonZeroUsize::new(8).expect("is not 0") },
            batch_complexity: const { NonZeroUsize::new(100).expect("is not 0") },
            // Within the default complexity, only variants with dozens of attributes reach it.
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
                "handle",
                "sku",
                "skus",
                "variants.sku",
                "barcode",
                "barcodes",
                "variants.barcode",
                "gtin",
                "mpn",
                "description",
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
            // Usual models read up to 8,192 tokens. A token of English has about four characters, but in other scripts
            // it may have one.
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
    /// The name under which vectors are stored: vectors can be compared if they have the same model and length.
    pub(crate) fn model_id(&self) -> String {
        match self.dimensions {
            None => self.model.clone(),
            Some(dimensions) => format!("{}@{dimensions}", self.model),
        }
    }
}
