//! The settings `[worker]`: how a worker writes chunks (files of up to a thousand documents) to the index. Chunks of
//! one lane are written one after the other, those of different lanes in parallel.

use host_core::model::SameVersion;
use host_pipeline::worker::WorkerSettings;
use serde::{Deserialize, Serialize};
use std::{
    num::{NonZeroU64, NonZeroUsize},
    time::Duration,
};

/// How chunks are written to the index.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct WorkerConfig {
    /// Chunks handled in parallel, each of another lane.
    pub concurrency: NonZeroUsize,
    /// Lease of a chunk in seconds; another worker may take over once it expires.
    pub lease_seconds: NonZeroU64,
    /// Shutdown timeout in seconds: how long chunks in progress may take after Ctrl-C or SIGTERM; what is not done then
    /// is requeued.
    pub grace_seconds: u64,
    /// How long chunks wait, in hours, while work on their index is stopped by a failure that a person must fix; those
    /// met after that become dead letters.
    pub stopped_hours: NonZeroU64,
    /// What happens to a document whose version equals the stored one while its content differs.
    pub same_version: SameVersion,
}

impl Default for WorkerConfig {
    fn default() -> Self {
        Self {
            concurrency: const { NonZeroUsize::new(4).expect("is not 0") },
            lease_seconds: const { NonZeroU64::new(60).expect("is not 0") },
            // Many supervisors kill a process 30 s after SIGTERM; the worker is done before.
            grace_seconds: 20,
            stopped_hours: const { NonZeroU64::new(24).expect("is not 0") },
            same_version: SameVersion::Newer,
        }
    }
}

impl WorkerConfig {
    /// The settings in the worker's own type. `keep_chunks` is a setting of another section, which the caller fills in.
    pub fn settings(&self) -> WorkerSettings {
        WorkerSettings {
            concurrency: self.concurrency.get(),
            lease: Duration::from_secs(self.lease_seconds.get()),
            // For a queue on this machine; storage that bills each request sets a longer interval.
            poll_interval: Duration::from_millis(20),
            shutdown_timeout: Duration::from_secs(self.grace_seconds),
            stopped_after: Duration::from_secs(self.stopped_hours.get().saturating_mul(3_600)),
            keep_chunks: false,
        }
    }
}
