//! The backends that the settings name: the storage of jobs, queue and chunks (a data directory, or AWS), and the index
//! that documents are written to (the relational catalog, or a Marqo server).

use super::{
    context::{catalog, clock, marqo, open, store_failure},
    failure::Failure,
};
use crate::config::{Config, StoreKind, TargetIndex};
use host_core::{
    index::Index,
    storage::{Storage, Stores},
};
use host_index_catalog::Catalog;
use host_net::RetryProfile;
use host_pipeline::worker::{WorkObserver, Worker, WorkerSettings};
use host_plugin_host::Plugins;
use host_sqlite::Database;
use host_storage_aws::{Aws, Clients};
use std::sync::Arc;

/// The storage of one backend.
pub(super) struct Backend {
    storage: Arc<dyn Storage>,
    /// The SQLite file of the data directory, where the relational catalog is too unless it is in PostgreSQL; `None` on
    /// AWS.
    database: Option<Arc<Database>>,
}

impl Backend {
    /// Opens the storage; `create` makes a data directory that does not exist yet.
    pub(super) async fn open(config: &Config, create: bool) -> Result<Self, Failure> {
        Ok(match config.store {
            StoreKind::Embedded => {
                let storage = open(&config.data_dir, create)?;
                Self { database: Some(storage.database().clone()), storage: Arc::new(storage) }
            }
            StoreKind::Aws => Self { storage: Arc::new(aws(config).await), database: None },
        })
    }

    /// The storage as a whole: registering this process, removing old jobs, flushing.
    pub(super) fn storage(&self) -> &dyn Storage {
        self.storage.as_ref()
    }

    /// Chunks, queue, jobs and settings.
    pub(super) fn stores(&self) -> Stores {
        self.storage.stores()
    }

    /// Makes what a command has done survive a power cut, before its exit code says that it is done.
    pub(super) async fn flush(&self) -> Result<(), Failure> {
        self.storage.flush().await.map_err(store_failure)
    }

    /// The relational catalog that the settings name.
    pub(super) fn catalog(&self, config: &Config) -> Result<Catalog, Failure> {
        catalog(config, self.database.as_ref())
    }

    /// The index that the settings name.
    pub(super) fn index(&self, config: &Config, profile: RetryProfile) -> Result<Arc<dyn Index>, Failure> {
        match config.target {
            TargetIndex::Catalog => Ok(Arc::new(self.catalog(config)?)),
            TargetIndex::Marqo => Ok(Arc::new(marqo(config, self.stores().settings, profile)?)),
        }
    }

    /// The worker that writes chunks to the index that the settings name.
    pub(super) fn worker(&self, config: &Config, plugins: &Plugins) -> Result<Arc<Worker>, Failure> {
        let index = self.index(config, RetryProfile::Background)?;
        Ok(Arc::new(worker(self.storage(), config, index, plugins)))
    }

    /// The same worker with an observer.
    pub(super) fn observed_worker(
        &self,
        config: &Config,
        plugins: &Plugins,
        observer: Arc<dyn WorkObserver>,
    ) -> Result<Arc<Worker>, Failure> {
        let index = self.index(config, RetryProfile::Background)?;
        Ok(Arc::new(worker(self.storage(), config, index, plugins).with_observer(observer)))
    }
}

/// A worker that takes chunks from a storage and writes them to an index.
pub(super) fn worker(
    storage: &dyn Storage,
    config: &Config,
    index: Arc<dyn Index>,
    plugins: &Plugins,
) -> Worker {
    let settings = config.worker.settings();
    let settings = WorkerSettings {
        poll_interval: storage.poll_interval().unwrap_or(settings.poll_interval),
        keep_chunks: config.retention.keep_chunks,
        ..settings
    };
    Worker::new(storage.stores(), index, plugins.validate(), plugins.version(), clock(), settings)
}

/// The storage in AWS.
pub(super) async fn aws(config: &Config) -> Aws {
    Aws::new(Clients::connect(&config.aws).await, &config.aws, config.retention.age(), clock())
}
