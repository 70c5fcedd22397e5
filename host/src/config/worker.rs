use crate::{
    model::SameVersion,
    worker::{BatchBounds, WorkerSettings},
};
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// How chunks are written to the index.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct WorkerConfig {
    /// Chunks handled at once, each of another lane.
    pub concurrency: usize,
    /// For how long a chunk stays with a worker that gives no sign of life, in seconds.
    pub lease_seconds: u64,
    /// Most complexity of a batch written at once: 1 + variants a document.
    pub batch_complexity: usize,
    /// Most documents of a batch written at once.
    pub batch_documents: usize,
    /// What a document does whose version equals the stored one while its content differs: `conflict`, or `write` after
    /// a change of plug-in or configuration.
    pub same_version: SameVersion,
}

impl Default for WorkerConfig {
    fn default() -> Self {
        Self {
            concurrency: 4,
            lease_seconds: 60,
            // The seed's MAX_BATCH_COMPLEXITY.
            batch_complexity: 100,
            batch_documents: 128,
            same_version: SameVersion::Conflict,
        }
    }
}

impl WorkerConfig {
    /// The settings as the worker takes them.
    pub fn settings(&self) -> WorkerSettings {
        WorkerSettings {
            concurrency: self.concurrency,
            lease: Duration::from_secs(self.lease_seconds),
            batch: BatchBounds { complexity: self.batch_complexity, documents: self.batch_documents },
            idle: Duration::from_millis(20),
        }
    }
}
