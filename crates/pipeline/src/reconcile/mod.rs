//! The use case: an index and its ledger are compared, and made to agree (`docs/ledger.md`).
//!
//! First the ledger is read, and the index is asked for the documents that it names; then the documents of the index are listed and
//! looked for in what was read. In memory are 8 bytes of each document id that the ledger names, and of each that it does not know.

use crate::{
    ingest::{chunk::ChunkBounds, publish::PublishError, retry::retry},
    removals::{RemovalPublisher, RemovalSettings, removal_job},
    removed_shop::{ShopIsRemoved, refuse_removed_shop},
};
use host_core::{
    clock::SharedClock,
    index::{Index, IndexError, WriteTarget},
    model::{DocumentId, Job, JobId, ProductId},
    storage::{JobSnapshot, LedgerScope, Storage, StoreError, Stores},
};
use run::ReconcileRun;
use std::sync::OnceLock;

mod digests;
mod index_side;
mod ledger_side;
mod run;
#[cfg(test)]
mod tests;

/// What comparing an index with its ledger needs.
pub struct Reconcile<'a> {
    /// Where the ledger and the jobs are.
    pub storage: &'a dyn Storage,
    /// The index.
    pub index: &'a dyn Index,
    /// The shop, and which index of it.
    pub target: WriteTarget,
    /// What is compared.
    pub mode: ReconcileMode,
    /// Whether documents of jobs that are no longer known are this shop's. Nothing else is sure of that in an index that shops may
    /// share.
    pub adopt: bool,
    /// The clock.
    pub clock: SharedClock,
}

/// What is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReconcileMode {
    /// Everything.
    All,
    /// Only what the index has and the ledger does not know: after a ledger was lost, or before there was one.
    Unknown,
}

/// How an index and its ledger differ about a document.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DifferenceKind {
    /// The ledger says that the index has it, and the index does not.
    Missing,
    /// The index has it, and the ledger says that it left.
    Removed,
    /// The index has it, written by a job of this shop, and the ledger does not know it.
    Unknown,
}

impl DifferenceKind {
    /// The name in output.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Missing => "missing",
            Self::Removed => "removed",
            Self::Unknown => "unknown",
        }
    }
}

/// A document about which an index and its ledger differ.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// How.
    pub kind: DifferenceKind,
    /// The document.
    pub document: DocumentId,
    /// Its product, where it is known.
    pub product: Option<ProductId>,
}

/// The result of a comparison.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Comparison {
    /// Documents that the index holds, of all writers.
    pub in_index: u64,
    /// Documents that the ledger says are in the index.
    pub in_ledger: u64,
    /// How many of these are not there.
    pub missing: u64,
    /// Documents in the index that the ledger says left it.
    pub removed: u64,
    /// Documents of this shop in the index that the ledger does not know.
    pub unknown: u64,
    /// Documents in the index that the ledger does not know and that another shop or program wrote.
    pub foreign: u64,
    /// The same of jobs that are no longer known: they may be this shop's.
    pub unattributed: u64,
    /// Whether the index has more documents than it can list. Unknown documents were then looked for in the chunks that are still
    /// there, and others may exist.
    pub is_unlisted: bool,
    /// What was repaired; none if nothing was to be.
    pub repair: Option<Repair>,
}

/// What was done about differences.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Repair {
    /// Missing documents whose records say so now: the next sync writes them.
    pub marked_missing: u64,
    /// Unknown documents that are recorded now.
    pub recorded: u64,
    /// How many of these are recorded as products of their own, because no chunk says which product they belong to.
    pub without_product: u64,
    /// The published job of removals; none if nothing is to be removed.
    pub removal_job: Option<JobId>,
    /// Documents that it removes, unless they were written again.
    pub to_remove: u64,
}

impl Comparison {
    /// Number of documents about which index and ledger differ.
    pub fn differences(&self) -> u64 {
        self.missing + self.removed + self.unknown
    }
}

/// Why a comparison or repair failed. What is repaired stays repaired; it can be done again.
#[derive(Debug, thiserror::Error)]
pub enum ReconcileError {
    /// A store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The index could not be read.
    #[error(transparent)]
    Index(#[from] IndexError),
    /// A chunk of removals could not be published.
    #[error(transparent)]
    Publish(#[from] PublishError),
    /// What a job is writing is no difference.
    #[error(
        "job {0} has not ended, and what it writes would look like differences; wait for its end or cancel it"
    )]
    Unfinished(JobId),
    /// Documents of unknown jobs may be another shop's.
    #[error(
        "shop {0} writes to this index too, so documents of jobs that are no longer known may be its own"
    )]
    Shared(String),
    /// The removals would be a job in the index of a job, and none is known.
    #[error("no job of this index is known, which says how its documents are written; run a sync first")]
    NoJob,
    /// Everything of the shop is being removed.
    #[error(transparent)]
    ShopIsRemoved(#[from] ShopIsRemoved),
    /// Another process ingests for the same index now.
    #[error("another process has taken over while removals were published")]
    LeaseLost,
}

impl Reconcile<'_> {
    /// Compares, and hands each difference to `report`. Changes nothing.
    pub async fn compare(
        &self,
        report: impl FnMut(&Difference) + Send,
    ) -> Result<Comparison, ReconcileError> {
        let stores = self.storage.stores();
        let jobs = self.jobs(&stores).await?;
        ReconcileRun::new(self, &stores, &jobs, report).run().await
    }

    /// Compares, hands each difference to `report`, and repairs it: records say what the index has, and what left the index
    /// according to the ledger is removed by a job, which is published and which workers carry out. Can be repeated.
    pub async fn repair(
        &self,
        settings: RemovalSettings,
        report: impl FnMut(&Difference) + Send,
    ) -> Result<Comparison, ReconcileError> {
        refuse_removed_shop::<ReconcileError>(&self.storage.stores(), &self.clock, &self.target.shop_id)
            .await?;
        self.repair_removed_shop(settings, report).await
    }

    /// As [`repair`](Self::repair), also of a shop that is being removed.
    pub(crate) async fn repair_removed_shop(
        &self,
        settings: RemovalSettings,
        report: impl FnMut(&Difference) + Send,
    ) -> Result<Comparison, ReconcileError> {
        let stores = self.storage.stores();
        let newest = self.jobs(&stores).await?.into_iter().next();
        let job = newest.map(|newest| self.removal_job(&newest.job, settings.lanes));
        let Some(job) = job else {
            let run = ReconcileRun::new(self, &stores, &[], report).repairing(None);
            return run.run().await;
        };
        // No ingest begins meanwhile.
        let (_, guard) = retry(&self.clock, || self.storage.acquire_ingest(&job)).await?;
        let repaired = async {
            let jobs = self.jobs(&stores).await?;
            let created = OnceLock::new();
            let removals =
                Removals { job: &job, created: &created, bounds: settings.bounds, publisher: None };
            ReconcileRun::new(self, &stores, &jobs, report).repairing(Some(removals)).run().await
        };
        let repaired = tokio::select! {
            repaired = repaired => repaired,
            () = guard.lost() => Err(ReconcileError::LeaseLost),
        };
        guard.release().await?;
        repaired
    }

    /// The jobs of the index, newest first. All must have ended.
    async fn jobs(&self, stores: &Stores) -> Result<Vec<JobSnapshot>, ReconcileError> {
        let (index, shop) = (self.index.id(), &self.target.shop_id);
        let mut jobs = stores.jobs.list((!self.adopt).then_some(shop), usize::MAX).await?;
        jobs.retain(|job| job.job.index_name == self.target.index_name && job.job.target.includes(&index));
        if let Some(other) = jobs.iter().find(|job| job.job.shop_id != *shop && !self.index.is_per_shop()) {
            return Err(ReconcileError::Shared(other.job.shop_id.clone()));
        }
        jobs.retain(|job| job.job.shop_id == *shop);
        match jobs.iter().find(|job| !job.status.has_ended()) {
            Some(open) => Err(ReconcileError::Unfinished(open.job.id.clone())),
            None => Ok(jobs),
        }
    }

    fn scope(&self) -> LedgerScope {
        let WriteTarget { shop_id, index_name, .. } = self.target.clone();
        LedgerScope { shop_id, target: self.index.id(), index_name }
    }

    /// The job that removes what left the index according to the ledger.
    fn removal_job(&self, newest: &Job, lanes: u16) -> Job {
        let source = "what the ledger says was removed".to_owned();
        let job = removal_job(newest, &*self.clock, lanes, ["reconcile", newest.id.as_str()], source);
        Job { target: self.index.id(), exported_at: None, ..job }
    }
}

/// The job of removals, which is created with the first of them.
struct Removals<'a> {
    job: &'a Job,
    /// The same with its number and lanes.
    created: &'a OnceLock<Job>,
    bounds: ChunkBounds,
    publisher: Option<RemovalPublisher<'a>>,
}
