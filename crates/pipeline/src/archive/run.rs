//! Runs archiving: after a full sync, a job of removals takes the documents out of the index that the sync did not
//! have.
//!
//! An index that can archive documents, such as a relational catalog (PostgreSQL), keeps them out of sight instead of
//! removing them.

use super::{
    ArchiveError,
    missing::{MissingDocument, MissingProducts},
};
use crate::{
    ingest::retry::retry,
    removals::{RemovalPublisher, RemovalSettings, removal_job},
    removed_shop::{create_job, refuse_removed_shop},
    worker::{RunUntil, Worker},
};
use host_core::{
    clock::SharedClock,
    format::{count, pluralize},
    index::{ArchiveLimit, ArchiveRefusal, Index, WriteTarget},
    metrics as names,
    model::{Job, JobId, JobRecency, JobStatus},
    storage::{JobSnapshot, Storage, Stores},
};
use jiff::Timestamp;
use std::{fmt, sync::Arc};
use tokio_util::sync::CancellationToken;

/// What archiving needs.
pub struct Archive<'a> {
    /// Where jobs and chunks are.
    pub storage: &'a dyn Storage,
    /// The index that documents leave.
    pub index: &'a dyn Index,
    /// Carries removals out; without one they are queued for other workers.
    pub worker: Option<&'a Arc<Worker>>,
    /// How much may leave the index.
    pub limit: ArchiveLimit,
    /// How removals are published.
    pub removals: RemovalSettings,
    /// Time, waits and randomness.
    pub clock: SharedClock,
    /// Ends archiving early. What is done stays done, and the next call does the rest.
    pub cancel: &'a CancellationToken,
}

/// What archiving reports to its caller before it removes anything.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ArchiveNotice {
    /// This other job of the index was interrupted before its export was read to the end; it ends as superseded.
    Superseded(JobId),
    /// This number of products stays although the full sync did not have them, because a later job had them, or one
    /// with a later export. The time is when the full sync's export was taken.
    NewerStay(u64, Timestamp),
}

/// How archiving ended.
#[derive(Clone, Debug, PartialEq)]
pub enum ArchiveOutcome {
    /// The index has no document that the sync did not have.
    NothingMissing,
    /// Cancelled before anything was removed.
    Interrupted,
    /// This number of removals is queued for other workers.
    Queued(u64),
    /// The job that removed documents; it has not ended if archiving was interrupted.
    Removed(Box<JobSnapshot>),
}

impl ArchiveOutcome {
    /// Whether there was nothing to remove.
    pub fn is_nothing(&self) -> bool {
        *self == Self::NothingMissing
    }

    /// Whether some documents could not be removed.
    pub fn has_failures(&self) -> bool {
        match self {
            Self::Removed(job) => !matches!(job.status, JobStatus::Completed | JobStatus::Conflict),
            _ => false,
        }
    }
}

impl fmt::Display for ArchiveOutcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NothingMissing => f.write_str("the index has no document that the shop does not have any more"),
            Self::Interrupted => f.write_str(
                "interrupted before anything was archived: `host catalog archive` does it, with the same --target",
            ),
            Self::Queued(documents) => {
                let documents = pluralize(*documents, "document");
                write!(f, "{documents} queued to leave the index, which the shop does not have any more")
            }
            Self::Removed(job) => {
                let (counts, id) = (&job.counts, &job.job.id);
                let deleted = pluralize(counts.deleted, "document");
                write!(f, "{deleted} left the index, which the shop does not have any more (job {id})")?;
                if counts.conflict > 0 {
                    write!(f, ", {} were written again meanwhile and stay", count(counts.conflict))?;
                }
                if counts.failed > 0 {
                    let failed = count(counts.failed);
                    write!(f, ", {failed} could not leave it: `host jobs report` of this job says why")?;
                }
                if !job.status.has_ended() {
                    f.write_str(", the rest is queued: `host run` or `host work` continues with it")?;
                }
                Ok(())
            }
        }
    }
}

/// Documents that would leave the index.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Missing {
    /// They, in the order of their ids.
    pub documents: Vec<MissingDocument>,
    /// Number of documents in the index, the missing ones included, as far as the ledger knows.
    pub active: u64,
}

impl Archive<'_> {
    /// The documents that would leave the index after this job. Changes nothing.
    pub async fn missing(&self, job: &JobSnapshot) -> Result<Missing, ArchiveError> {
        let stores = self.storage.stores();
        let mut documents = Vec::new();
        let missing = MissingProducts::after(&stores, self.index, job, self.clock.now()).await?;
        let take = async |document: MissingDocument| {
            documents.push(document);
            Ok(())
        };
        let active = missing.each(take).await?.live_documents;
        documents.sort_by(|one, other| one.id.cmp(&other.id));
        Ok(Missing { documents, active })
    }

    /// Archives what the full sync `job` did not have, unless that is refused as it may be wrong (the inner error),
    /// and records the outcome in the index if that keeps a log of loads. Idempotent.
    pub async fn run(
        &self,
        job: &JobSnapshot,
        notify: impl Fn(ArchiveNotice),
    ) -> Result<Result<ArchiveOutcome, ArchiveRefusal>, ArchiveError> {
        let refusal = ArchiveRefusal::after(job).filter(|refusal| !self.limit.overrides(refusal));
        let archived = match refusal {
            Some(refusal) => Err(refusal),
            None => self.remove(job, notify).await?,
        };
        self.record(job, archived.as_ref().err()).await?;
        if let Some(log) = self.index.load_log() {
            let (documents, note) = load_note(&archived);
            log.record_load(&WriteTarget::of(&job.job), job, documents, note).await?;
        }
        Ok(archived)
    }

    /// Records with the job why nothing was archived after it, or that it was. A job that is no full sync, or that has
    /// not ended, has nothing to record yet.
    async fn record(&self, job: &JobSnapshot, refusal: Option<&ArchiveRefusal>) -> Result<(), ArchiveError> {
        if matches!(refusal, Some(ArchiveRefusal::NotFull | ArchiveRefusal::NotEnded)) {
            return Ok(());
        }
        let jobs = &self.storage.stores().jobs;
        let refused = refusal.map(|refusal| refusal.record(self.clock.now()));
        if let Some(refusal) = refusal {
            metrics::counter!(names::ARCHIVE_REFUSALS, "reason" => refusal.reason()).increment(1);
        }
        if refused.is_some() || job.archive_refused.is_some() {
            retry(&self.clock, || jobs.record_archiving(&job.job.id, refused.as_ref())).await?;
        }
        Ok(())
    }

    /// Publishes the removals as a job and, if there is a worker, carries them out.
    async fn remove(
        &self,
        job: &JobSnapshot,
        notify: impl Fn(ArchiveNotice),
    ) -> Result<Result<ArchiveOutcome, ArchiveRefusal>, ArchiveError> {
        let stores = self.storage.stores();
        refuse_removed_shop::<ArchiveError>(&stores, &self.clock, &job.job.shop_id).await?;
        let removal = self.removal_job(&job.job);
        // Waits for an ingest that another process runs, and ends jobs whose ingest has crashed.
        let (superseded, guard) = retry(&self.clock, || self.storage.acquire_ingest(&removal)).await?;
        superseded.into_iter().map(ArchiveNotice::Superseded).for_each(&notify);
        let published = tokio::select! {
            published = self.publish(job, &removal, &notify) => published,
            () = guard.lost() => Err(ArchiveError::LeaseLost),
            () = self.cancel.cancelled() => Ok(Ok(Some(ArchiveOutcome::Interrupted))),
        };
        guard.release().await?;
        match (published?, self.worker) {
            (Err(refusal), _) => return Ok(Err(refusal)),
            (Ok(Some(outcome)), _) => return Ok(Ok(outcome)),
            (Ok(None), Some(worker)) => {
                let until = RunUntil::JobEnds(removal.id.clone());
                let worked = worker.run(&removal.shop_id, until, self.cancel).await;
                worked.map_err(|stop| ArchiveError::Stopped {
                    job: removal.id.clone(),
                    stop: Box::new(stop),
                })?;
            }
            (Ok(None), None) => {}
        }
        let job = stores.jobs.get(&removal.id).await?;
        let job = job.ok_or_else(|| ArchiveError::ObjectMissing {
            key: format!("the record of job {}", removal.id),
        })?;
        Ok(Ok(ArchiveOutcome::Removed(Box::new(job))))
    }

    /// Publishes the removals. Returns the outcome if archiving ends with that, and `None` if the worker is to carry
    /// them out now.
    async fn publish(
        &self,
        job: &JobSnapshot,
        removal: &Job,
        notify: &impl Fn(ArchiveNotice),
    ) -> Result<Result<Option<ArchiveOutcome>, ArchiveRefusal>, ArchiveError> {
        let stores = self.storage.stores();
        let missing = MissingProducts::after(&stores, self.index, job, self.clock.now()).await?;
        let counts = missing.each(async |_| Ok(())).await?;
        if counts.newer_products > 0 {
            notify(ArchiveNotice::NewerStay(counts.newer_products, JobRecency::of(&job.job).exported_at));
        }
        if counts.missing_documents == 0 {
            return Ok(Ok(Some(ArchiveOutcome::NothingMissing)));
        }
        if let Some(refusal) = missing.refusal(counts, self.limit) {
            return Ok(Err(refusal));
        }
        let removals = self.publish_removals(&stores, removal, &missing).await?;
        Ok(Ok(self.worker.is_none().then_some(ArchiveOutcome::Queued(removals))))
    }

    /// Publishes the removals as this job, seals it and returns their number. The caller holds the ingest lease of
    /// the index.
    async fn publish_removals(
        &self,
        stores: &Stores,
        job: &Job,
        missing: &MissingProducts<'_>,
    ) -> Result<u64, ArchiveError> {
        let job = &create_job(stores, job).await??;
        let mut publisher = RemovalPublisher::new(stores, &self.clock, job, self.removals.bounds);
        missing.each(async |document| Ok(publisher.publish(document.removal()).await?)).await?;
        Ok(publisher.seal("archive").await?)
    }

    /// The job that removes what a full sync did not have.
    fn removal_job(&self, job: &Job) -> Job {
        let (of, source) = (["archive", job.id.as_str()], format!("what job {} did not have", job.id));
        let removal = removal_job(job, &*self.clock, self.removals.lanes, of, source);
        Job { removes_missing_of: Some(job.id.clone()), ..removal }
    }
}

/// How many documents were archived and, unless that is all that were missing, why. Kept in the index's log of loads.
fn load_note(archived: &Result<ArchiveOutcome, ArchiveRefusal>) -> (u64, Option<String>) {
    match archived {
        Ok(ArchiveOutcome::NothingMissing) | Err(ArchiveRefusal::NotFull) => (0, None),
        Ok(ArchiveOutcome::Removed(job)) if job.status == JobStatus::Completed => (job.counts.deleted, None),
        Ok(ArchiveOutcome::Removed(job)) => {
            (job.counts.deleted, archived.as_ref().ok().map(ToString::to_string))
        }
        Ok(outcome) => (0, Some(outcome.to_string())),
        Err(refusal) => (0, Some(format!("nothing archived: {refusal}"))),
    }
}
