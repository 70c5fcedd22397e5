//! The course of a job: ingest and work side by side until it has ended, and what is said of it then.

use super::{
    super::{
        Ended,
        backend::Backend,
        catalog,
        context::store_failure,
        failure::Exit,
        jobs::{get, show},
        output::exit_of,
        plugin::comparison_text,
    },
    Halves, Run, ingest_failure, stopped,
};
use host_core::{
    error::chain,
    model::{Job, JobId},
    plugin::Transform,
    storage::{AttemptError, JobSnapshot, Stores},
    text::count,
};
use host_export::Progress;
use host_pipeline::{
    ingest::run::{IngestFault, IngestSettings, Published, Read, ingest},
    worker::Until,
};
use std::sync::Arc;
use tokio::sync::mpsc;

impl Run<'_> {
    /// Ingests what `reads` brings, a number of batches ahead, and works the queue until the job has ended.
    pub(super) async fn carry(
        &self,
        backend: &Backend,
        job: Job,
        transform: Arc<dyn Transform>,
        reading: &Progress,
        reads: impl FnOnce(usize) -> mpsc::Receiver<Result<Read, IngestFault>>,
    ) -> Ended {
        let stores = backend.stores();
        let beginning = backend.storage().acquire_ingest(&job);
        let (superseded, begun) = tokio::select! {
            begun = beginning => begun.map_err(store_failure)?,
            () = self.cancel.cancelled() => return Ok(Exit::Interrupted),
        };
        for id in superseded {
            eprintln!("job {id} was interrupted and is superseded by this run");
        }
        let found = stores.jobs.get(&job.id).await.map_err(store_failure)?;
        let sealed = found.as_ref().is_some_and(|found| found.seal.is_some());
        if let Some(found) = found {
            let (done, id) = (count(found.completed_chunks.into()), &job.id);
            eprintln!("going on with job {id}, which was interrupted: {done} of its chunks are written");
        }

        let published = Published::default();
        let worker = backend.worker(self.config, self.plugins)?;
        // What ends the work: an interrupt, or an ingest that cannot go on.
        let leave = self.cancel.child_token();
        let settings = self.ingest_settings();
        let transform = self.shadow.map_or(transform, |shadow| shadow.clone() as _);
        let reads = reads(settings.batches);
        let ingesting = async {
            if sealed {
                return Ok(());
            }
            let ingested = tokio::select! {
                sealed = ingest(&stores, &job, &transform, settings, reads, &published, &leave) => sealed.map(drop),
                // Nothing more is stored: it would stand in the way of the other process.
                () = begun.lost() => Err(IngestFault::TakenOver),
            };
            if let Err(fault) = &ingested {
                leave.cancel();
                self.note(&stores, &job.id, fault).await;
            }
            // The last chunks and the seal: the end of the job.
            worker.wake();
            ingested
        };
        let working = async {
            if self.halves == Halves::Ingest {
                return Ok(());
            }
            let worked = worker.run(self.shop, Until::JobEnds(job.id.clone()), &leave).await;
            if worked.is_err() {
                leave.cancel();
            }
            worked
        };
        let (ingested, worked) = {
            let watching = self.watch(&stores, &job.id, reading, &published);
            tokio::select! {
                both = futures::future::join(ingesting, working) => both,
                never = watching => match never {},
            }
        };
        begun.release().await.map_err(store_failure)?;
        ingested.map_err(|fault| ingest_failure(fault, &job.id))?;
        worked.map_err(|stop| stopped(stop, Some(&job.id)))?;
        let job = get(&stores, &job.id).await?;
        self.remarks(&job);
        if let Some(shadow) = self.shadow {
            eprint!("shadow: {}", comparison_text(&shadow.comparison()));
        }
        if job.status.has_ended() {
            let worker = (self.halves == Halves::Both).then_some(&worker);
            catalog::after_sync(self.config, backend, &job, worker, self.cancel).await?;
        }
        show(self.global, &job, &backend.storage().location())?;
        Ok(if self.cancel.is_cancelled() && !job.status.has_ended() {
            Exit::Interrupted
        } else if self.halves == Halves::Ingest {
            Exit::Completed
        } else {
            exit_of(job.status)
        })
    }

    /// Keeps with the job why nobody reads for it any more.
    async fn note(&self, stores: &Stores, job_id: &JobId, fault: &IngestFault) {
        // The job is another process's now, and goes on.
        if matches!(fault, IngestFault::TakenOver) {
            return;
        }
        let error = AttemptError::new(fault.code(), fault, 1, self.env.now());
        if let Err(error) = stores.jobs.record_error(job_id, &error).await {
            tracing::warn!(%job_id, cause = chain(&error), "the job's record does not say what happened");
        }
    }

    /// Says on stderr what a script that looks at the exit code alone would miss.
    fn remarks(&self, job: &JobSnapshot) {
        if self.cancel.is_cancelled() && !job.status.has_ended() {
            let (done, of) = (count(job.completed_chunks.into()), count(job.chunks.into()));
            eprintln!(
                "interrupted: {done} of {of} chunks are written and the rest is given back; run the same command again to go on \
                 with job {}",
                job.job.id
            );
        }
        match job.seal.as_ref().map(|seal| &seal.source) {
            Some(source) if source.lines == 0 => eprintln!("warning: the export is empty"),
            Some(source) if source.products == 0 => eprintln!(
                "warning: none of {} lines is a product: this is no export that {} reads; `host jobs report` says why",
                count(source.lines),
                job.job.plugin.name
            ),
            Some(_) if job.counts.skipped > 0 => eprintln!(
                "warning: {} items were skipped, which is no failure; `host jobs report` says which",
                count(job.counts.skipped)
            ),
            _ => {}
        }
    }

    fn ingest_settings(&self) -> IngestSettings {
        IngestSettings {
            bounds: self.config.ingest.bounds(),
            lanes: self.config.lanes().get(),
            // Every thread busy, and a batch waiting for each.
            batches: 2 * self.config.plugin.threads().get(),
            quarantine_bytes: self.config.ingest.quarantine_bytes,
        }
    }
}
