//! The life cycle of a storage backend: registration of worker processes, the ingest lease (one process at a time
//! ingests for a shop and index), and maintenance.

use super::{StoreError, Stores};
use crate::model::{Job, JobId};
use async_trait::async_trait;
use std::{convert::Infallible, time::Duration};

/// A storage backend: its stores, and the processes that share them.
#[async_trait]
pub trait Storage: Send + Sync {
    /// The stores. All calls return handles to the same ones.
    fn stores(&self) -> Stores;

    /// Registers this process as a worker for the lifetime of this value. The first process that registers after a
    /// crash releases the messages and leases of the dead one. Idempotent; may be cancelled.
    async fn register(&self) -> Result<(), StoreError>;

    /// Whether a worker process is active, best effort: always true where workers may be on other machines.
    fn has_active_worker(&self) -> bool;

    /// Whether a process ingests for the job's shop and index, best effort.
    async fn has_active_ingest(&self, job: &Job) -> Result<bool, StoreError>;

    /// Acquires the ingest lease of the job's shop and index; waits until no other process holds it, and may be
    /// cancelled meanwhile. Ends (supersedes) jobs of the same shop and index whose ingest was interrupted, and returns
    /// their ids.
    async fn acquire_ingest(&self, job: &Job) -> Result<(Vec<JobId>, Box<dyn IngestGuard>), StoreError>;

    /// Runs the recovery sweep, which repairs what crashed processes left, at an interval; never completes. Failures
    /// are logged and retried.
    async fn run_maintenance(&self) -> Infallible;

    /// Makes everything written so far survive a power cut; a backend of remote services has nothing to do. Idempotent.
    async fn flush(&self) -> Result<(), StoreError> {
        Ok(())
    }

    /// Makes removed data unreadable in the files that the storage has on this machine. Idempotent; a transient error
    /// if another process holds the files.
    async fn erase(&self) -> Result<(), StoreError> {
        Ok(())
    }

    /// Removes old jobs; `None` where the service does that by itself.
    fn job_remover(&self) -> Option<&dyn JobRemover> {
        None
    }

    /// Where objects are, for people: a folder, or `s3://bucket`. Followed by a slash and an object's key, it is the
    /// object's place.
    fn location(&self) -> String;

    /// Poll interval of an empty queue for backends that bill per request; `None` for the worker's default.
    fn poll_interval(&self) -> Option<Duration>;
}

/// Removes jobs that have ended.
#[async_trait]
pub trait JobRemover: Send + Sync {
    /// Whether chunks of the job may still be processed: it has not ended, or a message or a dead letter names it.
    /// Reads only.
    async fn may_be_worked(&self, job: &Job) -> Result<bool, StoreError>;

    /// Removes all objects of a job, then its records. False if chunks of it may still be processed; then nothing
    /// changes. Idempotent: after an error or when cancelled, the next call removes the rest.
    async fn remove_job(&self, job: &Job) -> Result<bool, StoreError>;
}

/// The ingest lease of a shop and index, held until it is released or dropped. After a drop without a release, other
/// processes wait for the lease to expire.
#[async_trait]
pub trait IngestGuard: Send + Sync {
    /// Returns when the lease is lost; pending forever on backends where it cannot be.
    async fn lost(&self);

    /// Releases the lease, so that no process waits for it to expire.
    async fn release(self: Box<Self>) -> Result<(), StoreError>;
}
