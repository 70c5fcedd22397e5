//! Writes chunks to the index: a worker receives a chunk's message, claims the chunk, downloads and verifies its
//! object, validates the documents, compares their versions with the stored ones, writes, completes the chunk (its
//! counts enter the job's) and acknowledges the message. Every step may be repeated after a crash; each item counts
//! exactly once.
//!
//! | file | concern |
//! | --- | --- |
//! | `run`, `multi_shop`, `batch` | which messages are handled when: of one shop, of all shops, of a Lambda batch |
//! | `handle`, `heartbeat`, `backtrace` | one message, from claim to acknowledgement; its lease; where a panic happened |
//! | `chunk_error`, `failure_policy`, `on_failure` | what can fail, what it means for the chunk, what is done then |
//! | `breaker` | circuit breakers: what stops all work on an index, and when it is tried again |
//! | `chunk`, `validate`, `changes`, `content`, `removal`, `chunk_counts` | the items of a chunk |
//! | `decide`, `tombstone`, `later_exports` | write protection: no item may overwrite a newer document |
//! | `ledger` | the ledger: the recorded outcome of each product |
//! | `dead_letters`, `cancel_job` | commands of operators |

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
mod later_exports;
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

/// Number of jobs that a worker caches before it empties the cache, so that its memory does not grow with time.
const MAX_KNOWN_JOBS: usize = 1_000;

/// Settings of a worker.
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
    /// Whether the chunks of a job stay after its end, for as long as its record.
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
    /// Concurrency, durations, and whether chunks are kept.
    pub settings: WorkerSettings,
    /// A cache of jobs as they were created, which never change.
    jobs: Mutex<HashMap<JobId, Arc<Job>>>,
    /// A cache of the products of later exports, for the job that asked last.
    later_exports: Mutex<Option<Arc<later_exports::LaterExports>>>,
    wakeup: Notify,
    open_breakers: breaker::OpenBreakers,
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
    /// The job of that chunk; `None` if it happened before a chunk was received.
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
    /// A worker that has not begun; `run`, `run_all` and `run_batch` have it work.
    pub fn new(
        stores: Stores,
        index: Arc<dyn Index>,
        validate: Arc<dyn Validate>,
        version: Arc<dyn Version>,
        clock: SharedClock,
        settings: WorkerSettings,
    ) -> Self {
        let (jobs, wakeup, open_breakers) =
            (Mutex::default(), Notify::new(), breaker::OpenBreakers::default());
        Self {
            stores,
            index,
            validate,
            version,
            clock,
            settings,
            jobs,
            later_exports: Mutex::default(),
            wakeup,
            open_breakers,
            observer: None,
        }
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

    /// The job, which must exist.
    async fn job(&self, id: &JobId) -> Result<Arc<Job>, ChunkError> {
        let missing = || ChunkError::ChunkObjectMissing { key: format!("the record of job {id}") };
        self.find_job(id).await?.ok_or_else(missing)
    }

    /// The job; `None` if storage does not know it.
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
