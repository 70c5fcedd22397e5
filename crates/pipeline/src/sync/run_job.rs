//! Runs a job: ingest and worker side by side until the job has ended.

use crate::{
    ingest::{
        retry::retry,
        run::{Ingest, IngestError, IngestProgress, IngestSettings, SourceEvent},
        unchanged::is_ledger_current,
    },
    removed_shop::{ShopIsRemoved, refuse_removed_shop},
    retention::remove_chunks_left,
    worker::{RunUntil, Worker, WorkerStopped},
};
use host_core::{
    clock::SharedClock,
    error::chain,
    index::Index,
    model::{Job, JobId},
    plugin::Transform,
    storage::{AttemptError, JobSnapshot, Storage, StoreError, Stores},
};
use std::sync::Arc;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

/// What a job is run with.
pub struct RunJob<'a> {
    /// Where chunks, messages and jobs are.
    pub storage: &'a dyn Storage,
    /// Turns products into documents.
    pub transform: Arc<dyn Transform>,
    /// The index that the job is for.
    pub index: Arc<dyn Index>,
    /// Writes chunks; without one, the job is only ingested.
    pub worker: Option<Arc<Worker>>,
    /// Limits of chunks, concurrency and quarantine of the ingest.
    pub settings: IngestSettings,
    /// Whether the chunks stay after the end of the job.
    pub keep_chunks: bool,
    /// Counts what the ingest has done, for a progress display.
    pub progress: &'a IngestProgress,
    /// Time, waits and randomness.
    pub clock: SharedClock,
    /// Ends the run early: chunks under way are finished or released, and the same job can be run again.
    pub cancel: &'a CancellationToken,
}

/// What a run reports to its caller before the work begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Notice {
    /// This other job of the index was interrupted before it was read to its end, and ends as superseded by this run's.
    Superseded(JobId),
    /// The run continues this job, which was interrupted or which another process works on. The number is that of its
    /// chunks that are written.
    Resumed(JobId, u32),
}

/// Why a run ended before its job.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// A store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The ingest failed.
    #[error(transparent)]
    Ingest(IngestError),
    /// The worker stopped.
    #[error(transparent)]
    Worker(WorkerStopped),
    /// Everything of the shop is being removed.
    #[error(transparent)]
    ShopIsRemoved(#[from] ShopIsRemoved),
}

impl RunJob<'_> {
    /// Ingests what `source` sends and works the queue until the job has ended or the run is cancelled. `source`
    /// starts the reading; its argument is the number of batches to read ahead. Returns the job as it is then; `None`
    /// if the run was cancelled before it began.
    ///
    /// Idempotent: run again with the same job, it resumes where it stopped.
    pub async fn run(
        &self,
        job: &Job,
        source: impl FnOnce(usize) -> mpsc::Receiver<Result<SourceEvent, IngestError>>,
        notify: impl Fn(Notice),
    ) -> Result<Option<JobSnapshot>, RunError> {
        let stores = self.storage.stores();
        refuse_removed_shop::<RunError>(&stores, &self.clock, &job.shop_id).await?;
        let (superseded, lease) = tokio::select! {
            acquired = retry(&self.clock, || self.storage.acquire_ingest(job)) => acquired?,
            () = self.cancel.cancelled() => return Ok(None),
        };
        superseded.into_iter().map(Notice::Superseded).for_each(&notify);
        let found = retry(&self.clock, || stores.jobs.get(&job.id)).await?;
        // A resumed ingest must make the same chunks as the first one. It creates the job again, and the store
        // returns it with the first one's decision.
        let skips_unchanged = job.skips_unchanged
            && found.is_none()
            && is_ledger_current(&stores, self.index.as_ref(), job).await;
        let job = &Job { skips_unchanged, ..job.clone() };
        let is_sealed = found.as_ref().is_some_and(|found| found.seal.is_some());
        if let Some(found) = found {
            notify(Notice::Resumed(job.id.clone(), found.completed_chunks));
        }

        // Ingest and worker run side by side; each cancels the other when it cannot continue.
        let cancel = self.cancel.child_token();
        let source = source(self.settings.batches);
        let ingesting = async {
            if is_sealed {
                return Ok(());
            }
            let ingest = Ingest {
                stores: &stores,
                clock: &self.clock,
                job,
                transform: self.transform.as_ref(),
                settings: self.settings,
                progress: self.progress,
            };
            let ingested = tokio::select! {
                sealed = ingest.run(source, &cancel) => sealed.map(drop),
                // Another process ingests now; anything more from this one would conflict with it.
                () = lease.lost() => Err(IngestError::LeaseLost),
            };
            if let Err(error) = &ingested {
                cancel.cancel();
                self.record(&stores, &job.id, error).await;
            }
            // The last chunks are in the queue and the job is sealed: the worker need not wait for its next poll.
            if let Some(worker) = &self.worker {
                worker.wake();
            }
            ingested
        };
        let working = async {
            let Some(worker) = &self.worker else { return Ok(()) };
            let worked = worker.run(&job.shop_id, RunUntil::JobEnds(job.id.clone()), &cancel).await;
            if worked.is_err() {
                cancel.cancel();
            }
            worked
        };
        let (ingested, worked) = futures::future::join(ingesting, working).await;
        if let Err(cause) = lease.release().await {
            tracing::warn!(
                job_id = %job.id,
                cause = chain(&cause),
                "could not release the ingest lease; the next ingest of this index waits until it expires"
            );
        }
        ingested.map_err(RunError::Ingest)?;
        worked.map_err(RunError::Worker)?;
        let ended = retry(&self.clock, || stores.jobs.get(&job.id)).await?;
        // Usually the worker that completes the last chunk removes the chunks. A job whose chunks are all done when
        // it is sealed ends without one.
        if let Some(ended) = ended.as_ref().filter(|_| !self.keep_chunks)
            && let Err(cause) = remove_chunks_left(stores.chunks.as_ref(), ended).await
        {
            tracing::warn!(job_id = %ended.job.id, cause = chain(&cause), "chunks of the job stay until they are pruned");
        }
        Ok(ended)
    }

    /// Records with the job why its ingest stopped.
    async fn record(&self, stores: &Stores, job_id: &JobId, error: &IngestError) {
        // The process that took over owns the record.
        if matches!(error, IngestError::LeaseLost) {
            return;
        }
        let attempt = AttemptError::new(error.code(), error, 1, self.clock.now());
        if let Err(cause) = stores.jobs.record_error(job_id, &attempt).await {
            tracing::warn!(%job_id, cause = chain(&cause), "the job's record does not say why its ingest stopped");
        }
    }
}
