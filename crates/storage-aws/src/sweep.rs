//! Mends what dead processes have left and no message leads to any more: a message may be lost because its sender died or
//! because SQS has forgotten it after its 14 days.

use super::jobs::Records;
use host_core::{
    clock::SharedEnv,
    error::chain,
    model::JobId,
    storage::{Queue, StoreError},
};
use serde::Serialize;
use std::{convert::Infallible, sync::Arc, time::Duration};

/// Looks after the jobs of an environment. Any number may run at once.
pub struct Sweeper {
    pub(super) jobs: Arc<Records>,
    pub(super) queue: Arc<dyn Queue>,
    /// For how long a chunk may wait before its message is sent again. A message that was there all the time does no harm twice,
    /// but is paid for.
    pub(super) bound: Duration,
}

/// What was mended.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Swept {
    /// Messages sent again, of chunks that had waited too long or whose redrive had died.
    pub sent: u32,
    /// Chunks whose outcome was stored, but not counted.
    pub settled: u32,
    /// Jobs that ended by it.
    pub ended: Vec<JobId>,
    /// Jobs that were never sealed and that nobody ingests for: the same `host ingest` once more goes on with them.
    pub abandoned: Vec<JobId>,
}

impl Swept {
    /// Whether nothing was out of order.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

impl Sweeper {
    /// Whether nobody has swept for so long. Whoever is told so sweeps.
    pub async fn is_due(&self, interval: Duration) -> Result<bool, StoreError> {
        self.jobs.begin_sweep(interval).await
    }

    /// Looks at all jobs that have not ended.
    pub async fn sweep(&self) -> Result<Swept, StoreError> {
        let mut swept = Swept::default();
        for (job, is_sealed) in self.jobs.open_jobs().await? {
            let found = self.jobs.sweep(&job.id, self.bound).await?;
            swept.settled += found.settled;
            for (chunk, epoch) in &found.to_send {
                self.queue.send(&job, chunk, *epoch).await?;
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
    pub(crate) async fn run(&self, interval: Duration, clock: &SharedEnv) -> Infallible {
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
                Ok(Swept { sent, settled, ended, abandoned }) => {
                    tracing::warn!(sent, settled, ?ended, ?abandoned, "repaired what dead processes left");
                }
                Err(error) => {
                    tracing::warn!(cause = chain(&error), "the recovery sweep failed; it is tried again")
                }
            }
        }
    }
}
