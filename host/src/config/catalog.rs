use host_core::{index::ArchiveLimit, model::Secret};
use host_index_catalog::{Bounds, TextFields};
use serde::{Deserialize, Serialize};
use std::num::{NonZeroU32, NonZeroU64, NonZeroUsize};

/// Where the catalog is, and how it is written.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CatalogConfig {
    /// A PostgreSQL database, `postgres://user:password@server/database`; without one the catalog is embedded.
    pub url: Option<Secret>,
    /// Most connections to the database.
    pub connections: NonZeroUsize,
    /// Most complexity of one transaction: 1 + variants a product.
    pub batch_complexity: NonZeroUsize,
    /// Most rows of one transaction: products, SKUs and attributes.
    pub batch_rows: NonZeroUsize,
    /// Largest share of the products that one full sync may archive, or remove from a Marqo index, in percent.
    pub archive_percent: u8,
    /// Fields whose words a product is searched by.
    pub search_fields: Vec<String>,
    /// How embeddings are made.
    pub embeddings: EmbeddingsConfig,
}

/// How embeddings of products are made: with an endpoint that speaks as OpenAI's does.
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
    pub timeout_seconds: NonZeroU64,
    /// Fields whose text is embedded.
    pub fields: Vec<String>,
    /// Most characters of a text; the rest is cut off.
    pub characters: NonZeroUsize,
}

impl Default for CatalogConfig {
    fn default() -> Self {
        let Bounds { complexity, rows } = Bounds::default();
        let at_least_one = |number| NonZeroUsize::new(number).unwrap_or(NonZeroUsize::MIN);
        Self {
            url: None,
            // A worker's chunks and what looks at them.
            connections: const { NonZeroUsize::new(8).expect("is not 0") },
            batch_complexity: at_least_one(complexity),
            batch_rows: at_least_one(rows),
            archive_percent: 30,
            search_fields: TextFields::default().search,
            embeddings: EmbeddingsConfig::default(),
        }
    }
}

impl Default for EmbeddingsConfig {
    fn default() -> Self {
        let texts = TextFields::default();
        Self {
            url: None,
            key: None,
            model: "text-embedding-3-small".to_owned(),
            dimensions: None,
            batch_size: const { NonZeroUsize::new(64).expect("is not 0") },
            concurrency: const { NonZeroUsize::new(4).expect("is not 0") },
            attempts: const { NonZeroU32::new(8).expect("is not 0") },
            timeout_seconds: const { NonZeroU64::new(60).expect("is not 0") },
            fields: texts.embed,
            characters: NonZeroUsize::new(texts.embed_characters).unwrap_or(NonZeroUsize::MIN),
        }
    }
}

impl CatalogConfig {
    /// The bounds of a transaction.
    pub fn bounds(&self) -> Bounds {
        Bounds { complexity: self.batch_complexity.get(), rows: self.batch_rows.get() }
    }

    /// The fields that products are found by.
    pub fn texts(&self) -> TextFields {
        TextFields {
            search: self.search_fields.clone(),
            embed: self.embeddings.fields.clone(),
            embed_characters: self.embeddings.characters.get(),
        }
    }

    /// What may be archived.
    pub fn archiving(&self, force: bool) -> ArchiveLimit {
        ArchiveLimit { max_percent: self.archive_percent, force }
    }
}
