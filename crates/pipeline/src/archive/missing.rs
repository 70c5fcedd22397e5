//! Finds the products that are in an index, as its ledger (the recorded outcome of each product) says, and that a
//! full sync did not have.

use super::{
    ArchiveError,
    products::{published, refused},
};
use crate::{
    ids::IdSet,
    removals::{PlannedRemoval, RemovalReason},
    writers::Writers,
};
use host_core::{
    index::{ArchiveLimit, ArchiveRefusal, Index, StoredVersion, WriteTarget},
    model::{DocumentId, JobId, JobRecency, LedgerRecord, ProductId, ProductState},
    storage::{JobSnapshot, LedgerScope, Stores},
};
use jiff::Timestamp;
use serde_json::{Map, Value};

/// Records that are read from the ledger with one call.
const PAGE: usize = 1_000;

/// Documents that are looked up in the index with one call.
const LOOKUP_BATCH: usize = 1_000;

/// Which products a full sync and the jobs after it had, to compare with the index.
pub(super) struct MissingProducts<'a> {
    stores: &'a Stores,
    index: &'a dyn Index,
    target: WriteTarget,
    scope: LedgerScope,
    /// Products that the full sync had.
    products: IdSet,
    /// Products that later jobs had.
    later_products: IdSet,
    /// The documents of all these products. A document listed here stays even if the ledger has it under another
    /// product id.
    documents: IdSet,
    shop_id: String,
    /// A later job whose export is still being read, if there is one: which products it has is not known yet.
    ingesting: Option<JobId>,
    /// Products that the full sync refused and that have no id.
    unidentified: u64,
    /// Which jobs count as later than the full sync.
    order: JobRecency,
    now: Timestamp,
}

/// Counts of a comparison of the ledger with a full sync.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct LedgerCounts {
    /// Documents that are to leave the index.
    pub(super) missing_documents: u64,
    /// All documents that the ledger has in the index, the missing ones included.
    pub(super) live_documents: u64,
    /// Products that stay although the full sync did not have them: a later job had them, or one with a later export.
    pub(super) newer_products: u64,
}

impl<'a> MissingProducts<'a> {
    /// Reads what the full sync `job` had, and the jobs after it. The caller has made sure that its export was the
    /// whole shop.
    pub(super) async fn after(
        stores: &'a Stores,
        index: &'a dyn Index,
        job: &JobSnapshot,
        now: Timestamp,
    ) -> Result<Self, ArchiveError> {
        let is_later = |other: &JobSnapshot| {
            other.job.index_name == job.job.index_name
                && other.job.target.includes(&index.id())
                && other.job.id != job.job.id
                && (other.job.is_after(&job.job)
                    || JobRecency::of(&other.job).is_newer_than(JobRecency::of(&job.job), now))
        };
        let mut later = stores.jobs.list(Some(&job.job.shop_id), usize::MAX).await?;
        later.retain(is_later);

        let [mut products, mut of_later, mut documents] = <[IdSet; 3]>::default();
        let mut unidentified = 0;
        for seen in later.iter().chain([job]) {
            let is_full_sync = seen.job.id == job.job.id;
            let products = if is_full_sync { &mut products } else { &mut of_later };
            // Removals count as seen by the full sync itself, since its export listed them; not by a later job, since
            // the shop no longer has those products.
            published(stores, seen, products, &mut documents, is_full_sync).await?;
            let refused = refused(stores, seen).await?;
            refused.products.iter().for_each(|product| products.insert(product.as_str()));
            unidentified += refused.unidentified;
        }
        let is_open = |later: &&JobSnapshot| later.seal.is_none() && !later.status.has_ended();
        let ingesting = later.iter().find(is_open).map(|later| later.job.id.clone());
        Ok(Self {
            stores,
            index,
            target: WriteTarget::of(&job.job),
            scope: LedgerScope::of(&job.job, index.id()),
            products,
            later_products: of_later,
            documents,
            shop_id: job.job.shop_id.clone(),
            ingesting,
            unidentified,
            order: JobRecency::of(&job.job),
            now,
        })
    }

    /// Why the missing documents may not leave the index; `None` if they may.
    pub(super) fn refusal(&self, counts: LedgerCounts, limit: ArchiveLimit) -> Option<ArchiveRefusal> {
        if let Some(job) = &self.ingesting {
            return Some(ArchiveRefusal::Ingesting(job.clone()));
        }
        if self.unidentified > 0 {
            return Some(ArchiveRefusal::Unidentified(self.unidentified));
        }
        limit.refusal(counts.missing_documents, counts.live_documents).map(ArchiveRefusal::Share)
    }

    /// Calls `take` with each document that is to leave the index, in the order of their products' ids.
    pub(super) async fn each(
        &self,
        mut take: impl AsyncFnMut(MissingDocument) -> Result<(), ArchiveError>,
    ) -> Result<LedgerCounts, ArchiveError> {
        let mut counts = LedgerCounts::default();
        let (mut after, mut waiting) = (None, Vec::new());
        loop {
            let page = self.stores.ledger.page(&self.scope, after.as_ref(), PAGE).await?;
            let is_last = page.is_empty();
            after = page.last().map(|record| record.product.clone());
            for record in page.into_iter().filter(|record| record.state == ProductState::Live) {
                counts.live_documents += record.documents.len() as u64;
                if self.products.contains(record.product.as_str()) {
                    continue;
                }
                // Retention may have removed the later job, and with it the list of its ids; the ledger still names
                // its order.
                if self.later_products.contains(record.product.as_str())
                    || record.order.is_some_and(|order| order.is_newer_than(self.order, self.now))
                {
                    counts.newer_products += 1;
                    continue;
                }
                let LedgerRecord { product, documents, job_id, at, .. } = record;
                let missing = documents.into_iter().filter(|id| !self.documents.contains(id.as_str()));
                waiting.extend(missing.map(|document| Candidate {
                    document,
                    product: product.clone(),
                    job_id: job_id.clone(),
                    at,
                }));
            }
            while waiting.len() >= LOOKUP_BATCH || (is_last && !waiting.is_empty()) {
                let batch = waiting.drain(..LOOKUP_BATCH.min(waiting.len())).collect();
                for document in self.look_up(batch).await? {
                    counts.missing_documents += 1;
                    take(document).await?;
                }
            }
            if is_last {
                return Ok(counts);
            }
        }
    }

    /// The documents that the index has, unless another program or another shop wrote them.
    async fn look_up(&self, batch: Vec<Candidate>) -> Result<Vec<MissingDocument>, ArchiveError> {
        let ids: Vec<DocumentId> = batch.iter().map(|candidate| candidate.document.clone()).collect();
        let stored = self.index.stored(&self.target, &ids).await?;
        let (mut missing, mut writers) = (Vec::new(), Writers::new(self.stores, &self.shop_id));
        for (candidate, stored) in batch.into_iter().zip(stored) {
            let Some(StoredVersion { version, job_id, is_archived: false, .. }) = stored else { continue };
            let Some(writer) = job_id.and_then(JobId::new) else { continue };
            if !writers.wrote(&writer, &candidate.job_id, candidate.at).await? {
                continue;
            }
            let Candidate { document: id, product, at, .. } = candidate;
            missing.push(MissingDocument { id, product, version, writer, recorded_at: at });
        }
        Ok(missing)
    }
}

/// A document in the index that a full sync did not have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MissingDocument {
    /// The document.
    pub id: DocumentId,
    /// The product that it belongs to.
    pub product: ProductId,
    /// The job that wrote the document last.
    pub writer: JobId,
    /// When the ledger was last told something about the product.
    pub recorded_at: Timestamp,
    /// Its version fields in the index.
    version: Map<String, Value>,
}

impl MissingDocument {
    /// The removal of this version of the document and of older ones.
    pub(super) fn removal(self) -> PlannedRemoval {
        let Self { id, product, version, writer, .. } = self;
        PlannedRemoval::new(id, product, version, &writer, RemovalReason::Absent)
    }
}

/// A document that leaves the index if it is there and a job of this shop wrote it.
struct Candidate {
    document: DocumentId,
    product: ProductId,
    /// The job that wrote the product last, as the ledger knows it, and when.
    job_id: JobId,
    at: Timestamp,
}
