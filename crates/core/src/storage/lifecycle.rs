//! The life cycle of a storage backend: who works in it, who ingests, and what keeps it in order.

use super::{StoreError, Stores};
use crate::model::{Job, JobId};
use async_trait::async_trait;
use std::{convert::Infallible, time::Duration};

/// A storage backend: its stores, and the processes that share them.
#[async_trait]
pub trait Storage: Send + Sync {
    /// The stores. All calls return handles to the same ones.
    fn stores(&self) -> Stores;

    /// Registers this process as one that works here, until the value is dropped; the first one releases what processes that
    /// died held. Idempotent; may be cancelled.
    async fn register(&self) -> Result<(), StoreError>;

    /// Whether a process works here, as far as can be told: true where workers may be on other machines.
    fn has_active_worker(&self) -> bool;

    /// Whether a process ingests for the job's shop and index, as far as can be told.
    async fn has_active_ingest(&self, job: &Job) -> Result<bool, StoreError>;

    /// Acquires the right to ingest for the job's shop and index; waits until no other process has it, and may be cancelled
    /// meanwhile. Unsealed jobs of the same shop and index are superseded; their ids are returned.
    async fn acquire_ingest(&self, job: &Job) -> Result<(Vec<JobId>, Box<dyn IngestGuard>), StoreError>;

    /// Repairs what dead processes left, at an interval, for as long as it is polled. Failures are logged and tried again.
    async fn run_maintenance(&self) -> Infallible;

    /// What removes old jobs; none where the service does that by itself.
    fn job_remover(&self) -> Option<&dyn JobRemover> {
        None
    }

    /// Where object keys begin: a folder, or `s3://bucket`.
    fn location(&self) -> String;

    /// How long a worker waits between two looks at an empty queue, where looking costs money; none for its own default.
    fn poll_interval(&self) -> Option<Duration>;
}

/// Removes jobs that have ended.
#[async_trait]
pub trait JobRemover: Send + Sync {
    /// Removes all objects of a job, then its records. Idempotent; cancelled or after an error, the next call removes the rest. The
    /// caller has made sure that the job has ended and that no message names it.
    async fn remove_job(&self, job: &Job) -> Result<(), StoreError>;
}

/// The right to ingest, held until it is released or dropped. After a drop without a release, others wait for its lease to
/// expire.
#[async_trait]
pub trait IngestGuard: Send + Sync {
    /// Returns when another process has taken the right over; never where that cannot happen.
    async fn lost(&self);

    /// Releases the right, so that no process waits for it to expire.
    async fn release(self: Box<Self>) -> Result<(), StoreError>;
}
