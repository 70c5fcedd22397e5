//! The life cycle of a storage backend: registration of workers, the ingest lease, and maintenance.

use super::{StoreError, Stores};
use crate::model::{Job, JobId};
use async_trait::async_trait;
use std::{convert::Infallible, time::Duration};

/// A storage backend: its stores, and the processes that share them.
#[async_trait]
pub trait Storage: Send + Sync {
    /// The stores. All calls return handles to the same ones.
    fn stores(&self) -> Stores;

    /// Registers this process as a worker for the lifetime of the value. The first process after a crash releases orphaned
    /// messages and leases. Idempotent; may be cancelled.
    async fn register(&self) -> Result<(), StoreError>;

    /// Whether a worker is active, best effort: true where workers may be on other machines.
    fn has_active_worker(&self) -> bool;

    /// Whether a process ingests for the job's shop and index, best effort.
    async fn has_active_ingest(&self, job: &Job) -> Result<bool, StoreError>;

    /// Acquires the ingest lease of the job's shop and index; waits until no other process holds it, and may be cancelled
    /// meanwhile. Unsealed jobs of the same shop and index are superseded; their ids are returned.
    async fn acquire_ingest(&self, job: &Job) -> Result<(Vec<JobId>, Box<dyn IngestGuard>), StoreError>;

    /// Runs the recovery sweep at an interval; never completes. Failures are logged and retried.
    async fn run_maintenance(&self) -> Infallible;

    /// Makes all that was written survive a power cut; what is written by services does anyway. Idempotent.
    async fn flush(&self) -> Result<(), StoreError> {
        Ok(())
    }

    /// Makes what was removed unreadable in the files that the storage has on this machine. Idempotent; what it needs for that may be
    /// held by another process, which is a transient error.
    async fn erase(&self) -> Result<(), StoreError> {
        Ok(())
    }

    /// What removes old jobs; none where the service does that by itself.
    fn job_remover(&self) -> Option<&dyn JobRemover> {
        None
    }

    /// Where object keys begin: a folder, or `s3://bucket`.
    fn location(&self) -> String;

    /// Poll interval of an empty queue for backends that bill per request; `None` for the worker's default.
    fn poll_interval(&self) -> Option<Duration>;
}

/// Removes jobs that have ended.
#[async_trait]
pub trait JobRemover: Send + Sync {
    /// Whether the job has not ended, or a message or a dead letter names it: chunks of it may still be worked. Reads only.
    async fn may_be_worked(&self, job: &Job) -> Result<bool, StoreError>;

    /// Removes all objects of a job, then its records. False if the job may still be worked; then nothing changes. Idempotent; cancelled or after an error, the next call removes the rest.
    async fn remove_job(&self, job: &Job) -> Result<bool, StoreError>;
}

/// The ingest lease, held until it is released or dropped. After a drop without a release, others wait for the lease to
/// expire.
#[async_trait]
pub trait IngestGuard: Send + Sync {
    /// Returns when the lease is lost; pending forever on backends where it cannot be.
    async fn lost(&self);

    /// Releases the lease, so that no process waits for it to expire.
    async fn release(self: Box<Self>) -> Result<(), StoreError>;
}
