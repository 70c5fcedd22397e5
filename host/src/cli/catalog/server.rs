//! Archiving in a Marqo index: what a full sync did not have is removed from it, by a job of its own.

use crate::{
    cli::{
        backend::Backend,
        context::{Patience, env, store_failure},
        failure::Failure,
        jobs::get,
        run::stopped,
    },
    config::Config,
};
use host_core::{
    index::{ArchiveLimit, ArchiveRefusal},
    model::{Digest, DocumentId, Job, JobStatus, Operation, SameVersion},
    storage::JobSnapshot,
    text::count,
};
use host_pipeline::{
    archive::{self, ArchiveError, Plan, Sorting},
    worker::{Until, Worker},
};
use std::{fmt, sync::Arc};
use tokio_util::sync::CancellationToken;

/// How the removals ended.
pub(super) enum Removed {
    /// The index has nothing that the sync did not have.
    Nothing,
    /// There was no earlier job to compare with.
    IsFirst,
    /// Somebody did not want to wait for what the index has.
    Interrupted,
    /// They are queued, and it is for others to carry them out.
    Queued(u64),
    /// They are carried out, but for those that an interrupt left in the queue.
    Done(Box<JobSnapshot>),
}

impl fmt::Display for Removed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Nothing => f.write_str("the index has no document that the shop does not have any more"),
            Self::IsFirst => f.write_str(
                "this is the first sync into this index, so there is nothing to compare it with: later full syncs remove what \
                 the shop does not have any more",
            ),
            Self::Interrupted => f.write_str(
                "interrupted before anything was removed: `host catalog archive --target marqo` removes what the shop does not have \
                 any more",
            ),
            Self::Queued(documents) => {
                write!(f, "{} documents that the shop does not have any more are to be removed by workers", count(*documents))
            }
            Self::Done(job) => {
                let counts = &job.counts;
                write!(
                    f,
                    "{} documents were removed that the shop does not have any more (job {})",
                    count(counts.deleted),
                    job.job.id
                )?;
                if counts.conflict > 0 {
                    write!(f, ", {} were written again meanwhile and stay", count(counts.conflict))?;
                }
                if counts.failed > 0 {
                    write!(f, ", {} could not be removed: `host jobs report` of this job says why", count(counts.failed))?;
                }
                if !job.status.has_ended() {
                    f.write_str(", the rest is queued: `host run` or `host work` goes on with it")?;
                }
                Ok(())
            }
        }
    }
}

impl Removed {
    /// Whether all that was to be removed is gone.
    pub(super) fn is_clean(&self) -> bool {
        match self {
            Self::Done(job) => matches!(job.status, JobStatus::Completed | JobStatus::Conflict),
            Self::Nothing | Self::IsFirst | Self::Queued(_) | Self::Interrupted => true,
        }
    }
}

/// Ids of the documents that would be removed, and how many there are with those of the sync.
pub(super) async fn missing(
    config: &Config,
    backend: &Backend,
    job: &JobSnapshot,
) -> Result<(Vec<DocumentId>, u64), Failure> {
    let plan = plan(config, backend, job, false).await?;
    let active = plan.active();
    Ok((plan.ids().map_err(failure)?, active))
}

/// Removes what a full sync did not have, unless there is a reason not to. Without a worker, others carry it out.
pub(super) async fn remove(
    config: &Config,
    backend: &Backend,
    job: &JobSnapshot,
    archiving: ArchiveLimit,
    worker: Option<&Arc<Worker>>,
    cancel: &CancellationToken,
) -> Result<Result<Removed, ArchiveRefusal>, Failure> {
    let reason = ArchiveRefusal::after(job).filter(|reason| !(archiving.force && reason.is_overridable()));
    if let Some(reason) = reason {
        return Ok(Err(reason));
    }
    let stores = backend.stores();
    let removal = removal(&job.job);
    // What died while it ingested is ended by this; who ingests now is waited for, or the reason for doing nothing.
    let (superseded, begun) = backend.storage().acquire_ingest(&removal).await.map_err(store_failure)?;
    for id in superseded {
        eprintln!("job {id} was interrupted and can no longer be gone on with: run its command again");
    }
    let published = async {
        let plan = plan(config, backend, job, true).await?;
        if plan.missing == 0 {
            return Ok(Ok(if plan.is_first { Some(Removed::IsFirst) } else { Some(Removed::Nothing) }));
        }
        if let Some(refusal) = plan.refusal(archiving) {
            return Ok(Err(refusal));
        }
        let queued = Removed::Queued(plan.missing);
        let publishing = plan.publish(&stores, &removal, config.ingest.bounds(), config.lanes().get());
        tokio::select! {
            published = publishing => published.map_err(failure)?,
            () = begun.lost() => return Err(Failure::broke("another process has taken the removal over")),
        }
        Ok(Ok(worker.is_none().then_some(queued)))
    };
    let published = tokio::select! {
        published = published => published,
        () = cancel.cancelled() => Ok(Ok(Some(Removed::Interrupted))),
    };
    begun.release().await.map_err(store_failure)?;
    let worker = match published? {
        Err(reason) => return Ok(Err(reason)),
        Ok(Some(removed)) => return Ok(Ok(removed)),
        Ok(None) => worker,
    };
    if let Some(worker) = worker {
        let until = Until::JobEnds(removal.id.clone());
        let worked = worker.run(&removal.shop_id, until, cancel).await;
        worked.map_err(|stop| stopped(stop, Some(&removal.id)))?;
    }
    Ok(Ok(Removed::Done(Box::new(get(&stores, &removal.id).await?))))
}

async fn plan(config: &Config, backend: &Backend, job: &JobSnapshot, keep: bool) -> Result<Plan, Failure> {
    let sorting =
        Sorting { scratch_dir: config.data_dir.join("scratch"), memory: config.ingest.spill_memory_bytes };
    let index = backend.index(config, Patience::OfWorker)?;
    archive::plan(&backend.stores(), index.as_ref(), job, &sorting, keep).await.map_err(failure)
}

/// The job that removes what a full sync did not have.
fn removal(job: &Job) -> Job {
    let (env, created_at) = (env(), env().now());
    Job {
        id: host_pipeline::sync::new_id(env.as_ref(), created_at),
        operation: Operation::DeleteDocuments,
        created_at,
        fingerprint: Digest::of_parts([b"archive".as_slice(), job.id.as_str().as_bytes()]),
        sources: vec![format!("what job {} did not have", job.id)],
        same_version: SameVersion::default(),
        full: false,
        ..job.clone()
    }
}

pub(super) fn failure(error: ArchiveError) -> Failure {
    match error {
        ArchiveError::Store(error) => store_failure(error),
        error => Failure::broke(error).help("`host catalog archive --target marqo` tries it again"),
    }
}
