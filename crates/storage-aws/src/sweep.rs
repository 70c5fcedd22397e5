//! The recovery sweep: repairs orphaned work that no message leads to any more. A message may be lost
//! because its sender crashed, or because SQS dropped it after 14 days.

use super::jobs::Records;
use host_core::{
    clock::SharedClock,
    error::chain,
    model::JobId,
    storage::{Queue, StoreError},
};
use serde::Serialize;
use std::{convert::Infallible, sync::Arc, time::Duration};

/// The recovery sweep of an environment's jobs. Any number may run concurrently.
pub struct Sweeper {
    pub(super) jobs: Arc<Records>,
    pub(super) queue: Arc<dyn Queue>,
    /// How long a chunk may wait before its message is sent again. A second message does no harm, but costs money.
    pub(super) bound: Duration,
}

/// What a sweep repaired.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Swept {
    /// Messages sent again, of chunks that had waited too long or whose redrive was interrupted.
    pub sent: u32,
    /// Chunks whose outcome was stored, but not counted.
    #[serde(rename = "settled")]
    pub completed: u32,
    /// Jobs that ended by it.
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
    /// Whether no process has swept for so long; then the caller sweeps. Not idempotent: one call an interval gets true.
    pub async fn is_due(&self, interval: Duration) -> Result<bool, StoreError> {
        self.jobs.begin_sweep(interval).await
    }

    /// Repairs all jobs that have not ended. Idempotent; a sweep that fails is repeated as a whole.
    pub async fn sweep(&self) -> Result<Swept, StoreError> {
        let mut swept = Swept::default();
        for (job, is_sealed) in self.jobs.open_jobs().await? {
            let found = match self.jobs.sweep(&job.id, self.bound).await {
                // It is for a newer version, and no reason to leave the other jobs.
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
            } else if !is_sealed && self.jobs.is_abandoned(&job, self.bound).await? {
                swept.abandoned.push(job.id);
            }
        }
        Ok(swept)
    }

    /// Sweeps at an interval, for as long as it is polled; of many processes one at a time.
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
