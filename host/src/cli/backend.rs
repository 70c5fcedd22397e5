//! The stores that the settings name, and what depends on which they are.

use super::{
    context::{Patience, catalog, env, marqo, open},
    failure::Failure,
};
use crate::config::{Config, StoreKind, TargetIndex};
use host_core::{
    index::Index,
    model::{Job, JobId},
    storage::{StoreError, Stores},
};
use host_index_catalog::Catalog;
use host_pipeline::worker::{Worker, WorkerSettings};
use host_plugin_host::Plugins;
use host_storage_sqlite::{self as embedded, Embedded};
use std::{path::PathBuf, sync::Arc};

/// The stores of one backend.
pub(super) enum Backend {
    /// A data directory.
    Embedded(Embedded),
    /// S3, SQS and DynamoDB.
    #[cfg(feature = "aws")]
    Aws(host_storage_aws::Aws),
}

/// Held while a process ingests.
pub(super) enum Begun {
    Embedded(embedded::Ingesting),
    #[cfg(feature = "aws")]
    Aws(Box<host_storage_aws::Ingesting>),
}

impl Backend {
    /// Opens the stores; a data directory is made if `create`.
    pub(super) async fn open(config: &Config, create: bool) -> Result<Self, Failure> {
        match config.store {
            StoreKind::Embedded => Ok(Self::Embedded(open(&config.data_dir, create)?)),
            #[cfg(feature = "aws")]
            StoreKind::Aws => Ok(Self::Aws(aws(config).await)),
            #[cfg(not(feature = "aws"))]
            StoreKind::Aws => Err(Failure::usage("this host was built without AWS")
                .help("build it with the feature `aws`, which is on by default")),
        }
    }

    /// Chunks, queue, jobs and settings.
    pub(super) fn stores(&self) -> Stores {
        match self {
            Self::Embedded(embedded) => embedded.stores(),
            #[cfg(feature = "aws")]
            Self::Aws(aws) => aws.stores(),
        }
    }

    /// Joins the processes that work here.
    pub(super) async fn join(&self) -> Result<(), StoreError> {
        match self {
            Self::Embedded(embedded) => embedded.join().await,
            #[cfg(feature = "aws")]
            Self::Aws(_) => Ok(()),
        }
    }

    /// Whether somebody works here, as far as can be told.
    pub(super) fn is_worked_on(&self) -> bool {
        match self {
            Self::Embedded(embedded) => embedded.is_worked_on(),
            // Workers may be anywhere.
            #[cfg(feature = "aws")]
            Self::Aws(_) => true,
        }
    }

    /// Whether a process ingests where this job did, as far as can be told.
    pub(super) async fn is_ingested_into(&self, job: &Job) -> Result<bool, StoreError> {
        match self {
            // Of any job: a data directory has one lock for all.
            Self::Embedded(embedded) => Ok(embedded.is_ingested_into()),
            #[cfg(feature = "aws")]
            Self::Aws(aws) => aws.is_ingested_into(job).await,
        }
    }

    /// Begins to ingest; unsealed jobs of the same shop and index that nobody goes on with are superseded.
    pub(super) async fn begin_ingest(&self, job: &Job) -> Result<(Vec<JobId>, Begun), StoreError> {
        match self {
            Self::Embedded(embedded) => {
                let (superseded, begun) = embedded.begin_ingest(job).await?;
                Ok((superseded, Begun::Embedded(begun)))
            }
            #[cfg(feature = "aws")]
            Self::Aws(aws) => {
                let (superseded, begun) = aws.begin_ingest(job).await?;
                Ok((superseded, Begun::Aws(Box::new(begun))))
            }
        }
    }

    /// Mends what dead processes leave, for as long as it is polled.
    pub(super) async fn look_after(&self, config: &Config) -> std::convert::Infallible {
        #[cfg(feature = "aws")]
        if let Self::Aws(aws) = self {
            let interval = std::time::Duration::from_secs(u64::from(config.aws.sweep_minutes) * 60);
            let sweeper = aws.sweeper(config.aws.resend());
            super::aws::sweep_now_and_then(&sweeper, interval, &env()).await;
        }
        // A data directory is looked after by whoever joins.
        std::future::pending().await
    }

    /// Where the keys of objects begin.
    pub(super) fn objects(&self, config: &Config) -> PathBuf {
        match self {
            Self::Embedded(_) => config.data_dir.join("chunks"),
            #[cfg(feature = "aws")]
            Self::Aws(aws) => PathBuf::from(format!("s3://{}", aws.names().bucket())),
        }
    }

    /// The catalog that the settings name.
    pub(super) fn catalog(&self, config: &Config) -> Result<Catalog, Failure> {
        let embedded = match self {
            Self::Embedded(embedded) => Some(embedded),
            #[cfg(feature = "aws")]
            Self::Aws(_) => None,
        };
        catalog(config, embedded)
    }

    /// The index that the settings name.
    pub(super) fn index(&self, config: &Config, patience: Patience) -> Result<Arc<dyn Index>, Failure> {
        match config.target {
            TargetIndex::Catalog => Ok(Arc::new(self.catalog(config)?)),
            TargetIndex::Marqo => Ok(Arc::new(marqo(config, self.stores().settings, patience)?)),
        }
    }

    /// What writes chunks to the index that the settings name.
    pub(super) fn worker(&self, config: &Config, plugins: &Plugins) -> Result<Arc<Worker>, Failure> {
        Ok(Arc::new(Worker::new(
            self.stores(),
            self.index(config, Patience::OfWorker)?,
            plugins.validate(),
            plugins.version(),
            env(),
            self.worker_settings(config),
        )))
    }

    /// How a worker works here.
    pub(super) fn worker_settings(&self, config: &Config) -> WorkerSettings {
        let settings = config.worker.settings();
        match self {
            Self::Embedded(_) => settings,
            // Each look is paid for.
            #[cfg(feature = "aws")]
            Self::Aws(_) => WorkerSettings { idle: std::time::Duration::from_secs(1), ..settings },
        }
    }
}

/// The stores in AWS.
#[cfg(feature = "aws")]
pub(super) async fn aws(config: &Config) -> host_storage_aws::Aws {
    use host_storage_aws::{Aws, Clients};
    let options = config.aws.options();
    Aws::new(Clients::connect(&options).await, &options, env())
}

impl Begun {
    /// Returns when another process has taken over; never where that cannot be.
    pub(super) async fn lost(&self) {
        match self {
            Self::Embedded(_) => std::future::pending().await,
            #[cfg(feature = "aws")]
            Self::Aws(ingesting) => ingesting.lost().cancelled().await,
        }
    }

    /// Ends it, so that nobody waits for it.
    pub(super) async fn end(self) -> Result<(), Failure> {
        match self {
            Self::Embedded(ingesting) => drop(ingesting),
            #[cfg(feature = "aws")]
            Self::Aws(ingesting) => ingesting.end().await.map_err(super::context::store_failure)?,
        }
        Ok(())
    }
}
