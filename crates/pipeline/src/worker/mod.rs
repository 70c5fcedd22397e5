//! From chunks to the index: receive, claim, download and verify, validate, read stored versions, compare, write,
//! complete, acknowledge. Every step may be repeated after a crash; each item counts exactly once.
//!
//! | file | concern |
//! | --- | --- |
//! | `run`, `multi_shop`, `batch` | which messages are handled when: of one shop, of all shops, of a Lambda batch |
//! | `handle`, `backtrace` | one message, from claim to acknowledgement; where a panic happened |
//! | `failure_policy`, `on_failure` | what a failure means for its chunk, and what is done then |
//! | `breaker` | what stops all work on an index, and when it is tried again |
//! | `chunk`, `validate`, `changes`, `content`, `removal`, `chunk_counts` | the items of a chunk |
//! | `decide`, `tombstone` | write protection: which of them may be written |
//! | `ledger` | what is remembered of its products |
//! | `dead_letters`, `cancel_job` | what operators do |

mod backtrace;
mod batch;
mod breaker;
mod cancel_job;
mod changes;
mod chunk;
mod chunk_counts;
mod chunk_error;
mod content;
mod dead_letters;
mod decide;
mod failure_policy;
mod handle;
mod heartbeat;
mod ledger;
mod multi_shop;
mod on_failure;
mod removal;
mod run;
#[cfg(test)]
mod tests;
mod tombstone;
mod validate;

pub use backtrace::record_backtraces;
pub use batch::Deadlines;
pub use breaker::resume;
pub use cancel_job::{Cancelled, cancel};
pub use chunk_error::ChunkError;
pub use dead_letters::{DeadLetterFilter, Redriven, discard, plan_redrive, redrive};
pub use failure_policy::{FailureAction, failure_action};

use host_core::{
    clock::SharedClock,
    index::Index,
    model::{Counts, Job, JobId},
    plugin::{Validate, Version},
    storage::{JobSnapshot, Stores},
};
use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use tokio::sync::Notify;

/// Jobs whose records a worker remembers.
const MAX_KNOWN_JOBS: usize = 1_000;

/// How a worker works.
#[derive(Clone, Copy, Debug)]
pub struct WorkerSettings {
    /// Chunks handled concurrently, each of another lane.
    pub concurrency: usize,
    /// Lease of a chunk and its message: another worker may take over once it expires.
    pub lease: Duration,
    /// Wait before an empty queue is polled again.
    pub poll_interval: Duration,
    /// How long chunks in progress may take to finish after a cancellation.
    pub shutdown_timeout: Duration,
    /// How long chunks wait while work on their index is stopped; those met after that become dead letters.
    pub stopped_after: Duration,
    /// Whether the chunks of a job stay after its end.
    pub keep_chunks: bool,
}

/// Writes chunks to an index.
pub struct Worker {
    /// Chunks, messages and jobs.
    pub stores: Stores,
    /// Where documents are written.
    pub index: Arc<dyn Index>,
    /// Validates documents.
    pub validate: Arc<dyn Validate>,
    /// Compares versions.
    pub version: Arc<dyn Version>,
    /// Time and randomness.
    pub clock: SharedClock,
    /// How to work.
    pub settings: WorkerSettings,
    /// A cache of job records, of which only what never changes is used.
    jobs: Mutex<HashMap<JobId, Arc<Job>>>,
    wakeup: Notify,
    open: breaker::Open,
    observer: Option<Arc<dyn WorkObserver>>,
}

/// Is told what a worker has done. Its methods return at once.
pub trait WorkObserver: Send + Sync {
    /// A chunk was completed with these counts.
    fn chunk_completed(&self, counts: &Counts);

    /// A job ended with a chunk that this worker completed.
    fn job_ended(&self, job: &JobSnapshot);
}

/// Why a worker stopped before its work was done. Nothing is lost: the same command resumes.
#[derive(Debug, thiserror::Error)]
#[error("indexing stopped at chunk {key}, at attempt {attempts}")]
pub struct WorkerStopped {
    /// The chunk at which it happened.
    pub key: String,
    /// The job of that chunk; none if it happened before a chunk was received.
    pub job_id: Option<JobId>,
    /// How often the chunk had been tried.
    pub attempts: u32,
    /// What happened.
    #[source]
    pub error: ChunkError,
}

/// When a worker's loop ends by itself.
#[derive(Clone, Debug)]
pub enum RunUntil {
    /// When this job has ended.
    JobEnds(JobId),
    /// Only when cancelled.
    Cancelled,
}

impl Worker {
    /// A worker.
    pub fn new(
        stores: Stores,
        index: Arc<dyn Index>,
        validate: Arc<dyn Validate>,
        version: Arc<dyn Version>,
        clock: SharedClock,
        settings: WorkerSettings,
    ) -> Self {
        let (jobs, wakeup, open) = (Mutex::default(), Notify::new(), breaker::Open::default());
        Self { stores, index, validate, version, clock, settings, jobs, wakeup, open, observer: None }
    }

    /// The worker with an observer.
    pub fn with_observer(self, observer: Arc<dyn WorkObserver>) -> Self {
        Self { observer: Some(observer), ..self }
    }

    /// Lease of a chunk and its message.
    pub fn lease(&self) -> Duration {
        self.settings.lease
    }

    /// Wakes an idle loop, because this process has sent a message or sealed the job.
    pub fn wake(&self) {
        self.wakeup.notify_one();
    }

    async fn job(&self, id: &JobId) -> Result<Arc<Job>, ChunkError> {
        let missing = || ChunkError::ChunkObjectMissing { key: format!("the record of job {id}") };
        self.find_job(id).await?.ok_or_else(missing)
    }

    async fn find_job(&self, id: &JobId) -> Result<Option<Arc<Job>>, ChunkError> {
        let known = self.jobs.lock().unwrap_or_else(PoisonError::into_inner).get(id).cloned();
        if known.is_some() {
            return Ok(known);
        }
        let Some(snapshot) = self.stores.jobs.get(id).await? else { return Ok(None) };
        let job = Arc::new(snapshot.job);
        let mut jobs = self.jobs.lock().unwrap_or_else(PoisonError::into_inner);
        if jobs.len() >= MAX_KNOWN_JOBS {
            jobs.clear();
        }
        jobs.insert(id.clone(), Arc::clone(&job));
        Ok(Some(job))
    }
}
