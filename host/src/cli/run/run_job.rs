//! Runs a job while its progress is shown, archives after a full sync, and prints how the job ended.

use super::{
    super::{
        CliResult,
        backend::Backend,
        catalog,
        context::store_failure,
        failure::{Exit, Failure},
        hints::{options, same_plugins},
        jobs::{get, show},
        output::exit_of,
        plugin::comparison_text,
        prune,
        resume::print_stopped,
        shop::removed_shop,
    },
    Run, Stages, ingest_failure, stopped,
};
use host_core::{
    format::{count, pluralize},
    model::{Job, JobId},
    plugin::Transform,
    storage::JobSnapshot,
};
use host_export::Progress;
use host_net::RetryProfile;
use host_pipeline::{
    ingest::run::{IngestError, IngestProgress, IngestSettings, SourceEvent},
    sync::{Notice, RunError, RunJob},
};
use std::sync::Arc;
use tokio::sync::mpsc;

impl Run<'_> {
    /// Ingests what `source` sends and works the queue until the job has ended. `source` takes the number of batches
    /// that it may read ahead.
    pub(super) async fn run_job(
        &self,
        backend: &Backend,
        job: Job,
        transform: Arc<dyn Transform>,
        reading: &Progress,
        source: impl FnOnce(usize) -> mpsc::Receiver<Result<SourceEvent, IngestError>>,
    ) -> CliResult {
        let worker = match self.stages {
            Stages::IngestAndWork => Some(backend.worker(self.config, self.plugins)?),
            Stages::Ingest => None,
        };
        let published = IngestProgress::default();
        let run = RunJob {
            storage: backend.storage(),
            index: backend.index(self.config, RetryProfile::Interactive)?,
            transform: self.shadow.map_or(transform, |shadow| shadow.clone() as _),
            worker: worker.clone(),
            settings: self.ingest_settings(),
            keep_chunks: self.config.retention.keep_chunks,
            progress: &published,
            clock: self.clock.clone(),
            cancel: self.cancel,
        };
        let stores = backend.stores();
        if worker.is_some() {
            print_stopped(&stores, self.shop).await?;
        }
        let ended = tokio::select! {
            ended = run.run(&job, source, print_notice) => ended.map_err(|error| run_failure(error, &job.id))?,
            never = self.watch(backend.storage(), &job.id, reading, &published) => match never {},
        };
        if ended.is_none() && self.cancel.is_cancelled() {
            return Ok(Exit::Interrupted);
        }
        let mut job = get(&stores, &job.id).await?;
        self.print_warnings(&job);
        if let Some(shadow) = self.shadow {
            eprint!("shadow: {}", comparison_text(&shadow.comparison()));
        }
        let mut kept_newer = None;
        if job.status.has_ended() {
            let kept = catalog::after_sync(self.config, backend, &job, worker.as_ref(), self.cancel).await?;
            if job.job.full {
                kept_newer = Some(kept);
                // Archiving may have recorded why it did nothing.
                job = get(&stores, &job.job.id).await?;
            }
            prune::after_run(self.config, backend, &job.job.shop_id).await;
        }
        backend.flush().await?;
        show(self.global, &stores, &job, &backend.storage().location(), kept_newer).await?;
        Ok(if self.cancel.is_cancelled() && !job.status.has_ended() {
            Exit::Interrupted
        } else if self.stages == Stages::Ingest && job.archive_refused.is_none() {
            Exit::Completed
        } else {
            exit_of(&job)
        })
    }

    /// Prints on stderr what the exit code alone does not show.
    fn print_warnings(&self, job: &JobSnapshot) {
        if self.cancel.is_cancelled() && !job.status.has_ended() {
            let (done, of) = (count(job.completed_chunks.into()), count(job.chunks.into()));
            eprintln!(
                "interrupted: {done} of {of} chunks are written and the rest is queued again; re-run the same command to \
                 resume job {}",
                job.job.id
            );
        }
        let report = format!("host jobs report {}{}", job.job.id, options(self.global));
        match job.seal.as_ref().map(|seal| &seal.source) {
            Some(source) if source.lines == 0 => eprintln!("warning: the export is empty"),
            Some(source) if source.products == 0 => eprintln!(
                "warning: no products in {}: not an export that {} supports; see `{report}`",
                pluralize(source.lines, "line"),
                job.job.plugin.name
            ),
            Some(_) if job.counts.skipped > 0 => eprintln!(
                "warning: skipped {}, which is not a failure; `{report}` tells why",
                pluralize(job.counts.skipped, "item")
            ),
            _ => {}
        }
        if self.stages == Stages::Ingest {
            if job.counts.failed > 0 {
                let failed = pluralize(job.counts.failed, "item");
                eprintln!("warning: {failed} failed; `{report}` tells why");
            }
            if !job.status.has_ended() {
                let (id, target, options) = (&job.job.id, job.job.target.kind(), options(self.global));
                eprintln!(
                    "queued: `host jobs watch {id}{options}` follows it; where no worker runs, \
                     `host work --target {target}{options}` writes it{}",
                    same_plugins(self.config, [&job.job])
                );
            }
        }
    }

    fn ingest_settings(&self) -> IngestSettings {
        IngestSettings {
            bounds: self.config.ingest.bounds(),
            // For each thread that runs plug-ins a batch in work, and one that waits.
            batches: 2 * self.config.plugin.threads().get(),
            quarantine_bytes: self.config.ingest.quarantine_bytes,
        }
    }
}

fn print_notice(notice: Notice) {
    match notice {
        Notice::Superseded(id) => eprintln!("job {id} was interrupted and is superseded by this run"),
        Notice::Resumed(id, done) => {
            eprintln!(
                "resuming job {id}, which was interrupted or which another process works on: {} of its chunks are written",
                count(done.into())
            );
        }
    }
}

fn run_failure(error: RunError, job: &JobId) -> Failure {
    match error {
        RunError::Store(error) => store_failure(error),
        RunError::Ingest(error) => ingest_failure(error, job),
        RunError::Worker(stop) => stopped(stop, Some(job)),
        RunError::ShopIsRemoved(removed) => removed_shop(removed),
    }
}
