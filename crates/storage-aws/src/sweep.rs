//! The recovery sweep: repairs jobs and chunks that no queue message leads to any more. A message may be lost because
//! its sender crashed, or because SQS dropped it after 14 days.

use super::jobs::{DynamoJobs, OpenJob};
use host_core::{
    clock::SharedClock,
    error::chain,
    model::{Job, JobId},
    storage::{BreakerScope, Breakers, Queue, StoreError},
};
use serde::Serialize;
use std::{
    collections::{BTreeMap, HashSet},
    convert::Infallible,
    sync::Arc,
    time::Duration,
};

/// The recovery sweep of an environment's jobs. Any number may run concurrently.
pub struct Sweeper {
    pub(super) jobs: Arc<DynamoJobs>,
    pub(super) queue: Arc<dyn Queue>,
    pub(super) breakers: Arc<dyn Breakers>,
    /// How long a chunk may wait before its message is sent again. A second message does no harm, but costs money.
    pub(super) bound: Duration,
}

/// How many times longer a chunk may wait if the shop's queue has at least as many messages as chunks are waiting. Its
/// message is then probably in the queue; but one of another program may be among them, so the chunk does not wait for
/// ever.
const QUEUED_FACTOR: u32 = 24;

/// Where chunks wait although their messages are in the queue. Sending them again would only multiply them.
#[derive(Default)]
struct Waits {
    /// Indexes whose work a circuit breaker has stopped.
    stopped: HashSet<BreakerScope>,
    /// Shops whose queues have at least as many messages as chunks wait.
    queued: HashSet<String>,
}

impl Waits {
    /// How long a chunk of a job may wait before its message is sent again; none if it is not sent again.
    fn bound_of(&self, job: &Job, bound: Duration) -> Option<Duration> {
        let scope = BreakerScope { shop_id: job.shop_id.clone(), index_name: job.index_name.clone() };
        match (self.stopped.contains(&scope), self.queued.contains(&job.shop_id)) {
            (true, _) => None,
            (false, true) => Some(bound.saturating_mul(QUEUED_FACTOR)),
            (false, false) => Some(bound),
        }
    }
}

/// What a sweep repaired.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Swept {
    /// Messages sent again, of chunks that had waited too long or whose redrive was interrupted.
    pub sent: u32,
    /// Chunks whose outcome was stored, but not counted.
    #[serde(rename = "settled")]
    pub completed: u32,
    /// Jobs that ended because their last chunk was counted.
    pub ended: Vec<JobId>,
    /// Jobs that were never sealed and that no process ingests for: the same `host ingest` resumes them.
    pub abandoned: Vec<JobId>,
}

impl Swept {
    /// Whether there was nothing to repair.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

impl Sweeper {
    /// Whether no process has swept for `interval`; then the caller must sweep. Not idempotent: one call per interval
    /// gets true.
    pub async fn is_due(&self, interval: Duration) -> Result<bool, StoreError> {
        self.jobs.begin_sweep(interval).await
    }

    /// Repairs all jobs that have not ended. Idempotent; a sweep that fails is repeated as a whole.
    pub async fn sweep(&self) -> Result<Swept, StoreError> {
        let mut swept = Swept::default();
        let open = self.jobs.open_jobs(self.bound).await?;
        let waits = self.waits(&open).await?;
        for OpenJob { job, is_unsealed, .. } in open {
            let bound = waits.bound_of(&job, self.bound);
            let found = match self.jobs.sweep(&job.id, bound).await {
                // A newer version of host wrote it, and will sweep it. The other jobs are swept all the same.
                Err(error) if error.is_unsupported() => {
                    tracing::warn!(job_id = %job.id, cause = chain(&error), "a job was left out of the sweep");
                    continue;
                }
                found => found?,
            };
            swept.completed += found.completed;
            for (chunk, redrive_count) in &found.to_send {
                self.queue.send(&job, chunk, *redrive_count).await?;
                swept.sent += 1;
            }
            if found.has_ended {
                swept.ended.push(job.id);
            } else if is_unsealed && self.jobs.is_abandoned(&job, self.bound).await? {
                swept.abandoned.push(job.id);
            }
        }
        Ok(swept)
    }

    /// Where chunks wait for another reason than that their messages are lost.
    async fn waits(&self, open: &[OpenJob]) -> Result<Waits, StoreError> {
        let mut uncounted_chunks: BTreeMap<&str, u64> = BTreeMap::new();
        for OpenJob { job, uncounted_chunks: chunks, .. } in
            open.iter().filter(|open| open.uncounted_chunks > 0)
        {
            *uncounted_chunks.entry(&job.shop_id).or_default() += chunks;
        }
        let mut waits = Waits::default();
        if uncounted_chunks.is_empty() {
            return Ok(waits);
        }
        for breaker in self.breakers.list(None).await? {
            waits.stopped.insert(breaker.scope);
        }
        for (shop_id, chunks) in uncounted_chunks {
            if self.queue.depth(shop_id).await? >= chunks {
                waits.queued.insert(shop_id.to_owned());
            }
        }
        Ok(waits)
    }

    /// Sweeps once per interval, whatever the number of processes, until the future is dropped.
    pub(crate) async fn run(&self, interval: Duration, clock: &SharedClock) -> Infallible {
        loop {
            clock.sleep(interval).await;
            let swept = async {
                match self.is_due(interval).await? {
                    true => self.sweep().await,
                    false => Ok(Swept::default()),
                }
            };
            match swept.await {
                Ok(swept) if swept.is_empty() => {}
                Ok(Swept { sent, completed, ended, abandoned }) => {
                    tracing::warn!(
                        sent,
                        completed,
                        ?ended,
                        ?abandoned,
                        "recovery sweep repaired orphaned work"
                    );
                }
                Err(error) => {
                    tracing::warn!(cause = chain(&error), "the recovery sweep failed; it is repeated");
                }
            }
        }
    }
}
