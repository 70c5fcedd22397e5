//! Settings, one struct for each section of the file. Later sources override earlier ones: built-in values,
//! `host.toml`, `HOST_*` variables, flags. Unknown keys are refused.
//!
//! A variable names its key in capitals, with `__` between section and key: `HOST_SHOP`, `HOST_INGEST__LANES`.

mod explain;
mod ingest;
mod load;
mod plugin;
mod retention;
mod telemetry;
mod worker;

pub use explain::place;
pub use ingest::{GroupingMode, IngestConfig};
pub use load::{ConfigError, Effective, Origin, Overrides, load};
pub use plugin::PluginConfig;
pub use retention::RetentionConfig;
pub use telemetry::TelemetryConfig;
pub use worker::WorkerConfig;

use host_index_catalog::CatalogConfig;
use host_index_marqo::MarqoConfig;
use host_storage_aws::AwsConfig;
use serde::{Deserialize, Serialize};
use std::{num::NonZeroU16, path::PathBuf};

/// All settings.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Folder of the embedded storage: queue, jobs, catalog and chunks.
    pub data_dir: PathBuf,
    /// Storage of queue, jobs, chunks and settings of indexes.
    pub store: StoreKind,
    /// The shop whose products are indexed, such as `example.myshopify.com`.
    pub shop: Option<String>,
    /// Name of the index; by default made of platform and shop, such as `shopify-example`.
    pub index: Option<String>,
    /// Kind of index that documents are written to.
    pub target: TargetIndex,
    /// Storage on AWS.
    pub aws: AwsConfig,
    /// How an export becomes chunks.
    pub ingest: IngestConfig,
    /// How chunks are written to the index.
    pub worker: WorkerConfig,
    /// How the catalog is written.
    pub catalog: CatalogConfig,
    /// Requests to a Marqo server.
    pub marqo: MarqoConfig,
    /// How plug-ins run, and their configuration.
    pub plugin: PluginConfig,
    /// What is kept, and for how long.
    pub retention: RetentionConfig,
    /// Where metrics go.
    pub telemetry: TelemetryConfig,
}

/// The kinds of storage.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum StoreKind {
    /// A data directory on one machine.
    #[default]
    Embedded,
    /// S3, SQS and DynamoDB.
    Aws,
}

/// The kinds of index that documents can be written to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum TargetIndex {
    /// The relational catalog, in the data directory or in PostgreSQL.
    #[default]
    Catalog,
    /// A Marqo server; `host settings` keeps its endpoint.
    Marqo,
}

impl TargetIndex {
    /// The kind of this name (see [`Self::as_str`]); `None` if there is no such kind.
    pub fn named(name: &str) -> Option<Self> {
        [Self::Catalog, Self::Marqo].into_iter().find(|kind| kind.as_str() == name)
    }

    /// The name in settings and in jobs: `catalog` or `marqo`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Catalog => host_index_catalog::KIND,
            Self::Marqo => host_index_marqo::KIND,
        }
    }
}

impl Config {
    /// Number of lanes of a run; chunks in different lanes are written in parallel. The default for the catalog is one,
    /// since all lanes would write to one database. A search server takes requests in parallel, and with a single lane
    /// would be idle between the end of a chunk and the start of the next.
    pub fn lanes(&self) -> NonZeroU16 {
        self.ingest.lanes.unwrap_or_else(|| match self.target {
            TargetIndex::Catalog => NonZeroU16::MIN,
            TargetIndex::Marqo => self.worker.concurrency.try_into().unwrap_or(NonZeroU16::MAX),
        })
    }
}

impl Default for Config {
    fn default() -> Self {
        Self {
            data_dir: PathBuf::from(".host"),
            store: StoreKind::default(),
            shop: None,
            index: None,
            target: TargetIndex::default(),
            aws: AwsConfig::default(),
            ingest: IngestConfig::default(),
            worker: WorkerConfig::default(),
            catalog: CatalogConfig::default(),
            marqo: MarqoConfig::default(),
            plugin: PluginConfig::default(),
            retention: RetentionConfig::default(),
            telemetry: TelemetryConfig::default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn by_default_a_server_has_as_many_lanes_as_parallel_chunks_and_the_catalog_has_one() {
        let mut config = Config::default();
        assert_eq!(config.lanes().get(), 1);
        config.target = TargetIndex::Marqo;
        assert_eq!(usize::from(config.lanes().get()), config.worker.concurrency.get());
        config.ingest.lanes = NonZeroU16::new(2);
        assert_eq!(config.lanes().get(), 2);
    }
}
