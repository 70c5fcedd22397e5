//! Finds the products that need no work, because the index has the documents that the plug-in would make of them
//! again. The ledger, where workers record the outcome of each product, says so (`docs/ledger.md`).

use super::retry::retry;
use host_core::{
    clock::SharedClock,
    error::chain,
    index::{Index, StoredVersion, WriteTarget},
    model::{Digest, DocumentId, Job, LedgerRecord, Operation, Product, ProductId, ProductState},
    storage::{LedgerScope, StoreError, Stores},
};
use host_export::ExportItem;
use std::collections::BTreeSet;

/// Documents that are looked for in the index before its ledger is trusted: as many as one request takes.
const SAMPLE: usize = 1_000;

/// Records of one page of the ledger.
const PAGE: usize = 200;

/// The digest of a product's lines, the plug-ins and their configuration: all that decides which documents are made
/// of it. `None` in jobs that cannot skip by it: of an older version of the host, or of updates, which hold parts of
/// documents.
pub(super) fn source_digest(job: &Job, product: &Product) -> Option<Digest> {
    let transform = job.transform_digest.filter(|_| job.operation == Operation::AddDocuments)?;
    Some(Digest::of_parts([transform.as_bytes(), product.text.as_bytes()]))
}

/// What the ledger says of the products of a job that skips unchanged ones.
pub(super) struct KnownProducts<'a> {
    stores: &'a Stores,
    clock: &'a SharedClock,
    job: &'a Job,
    scope: LedgerScope,
}

impl<'a> KnownProducts<'a> {
    /// `None` if the job does not skip unchanged products.
    pub(super) fn of(stores: &'a Stores, clock: &'a SharedClock, job: &'a Job) -> Option<Self> {
        let scope = LedgerScope::of(job, job.target.clone());
        job.skips_unchanged.then_some(Self { stores, clock, job, scope })
    }

    /// For each item, the documents that the index has of it; `None` unless it is a product that is known to be
    /// unchanged.
    pub(super) async fn unchanged(
        &self,
        items: &[ExportItem],
        digests: &[Option<Digest>],
    ) -> Result<Vec<Option<BTreeSet<DocumentId>>>, StoreError> {
        let id = |(item, digest): (&ExportItem, &Option<Digest>)| match item {
            ExportItem::Product { product, .. } => {
                ProductId::new(product.id.clone().filter(|_| digest.is_some())?).ok()
            }
            ExportItem::Rejected(_) => None,
        };
        let ids: Vec<Option<ProductId>> = items.iter().zip(digests).map(id).collect();
        let asked: Vec<ProductId> =
            ids.iter().flatten().cloned().collect::<BTreeSet<_>>().into_iter().collect();
        if asked.is_empty() {
            return Ok(vec![None; items.len()]);
        }
        let read = retry(self.clock, || self.stores.ledger.get(&self.scope, &asked)).await;
        let records = match read {
            // A newer version of the host wrote a record: this one does not know what it says.
            Err(error) if error.is_unsupported() => return Ok(vec![None; items.len()]),
            read => read?,
        };
        let unchanged = |(id, digest): (&Option<ProductId>, &Option<Digest>)| {
            let position = asked.binary_search(id.as_ref()?).ok()?;
            let record = records[position].as_ref().filter(|record| !self.is_of_this_job(record))?;
            record.unchanged_documents((*digest)?)?;
            Some(record.documents.clone())
        };
        Ok(ids.iter().zip(digests).map(unchanged).collect())
    }

    /// Whether this job has written the record. Its own products are not skipped: an ingest that resumes makes the
    /// same chunks.
    fn is_of_this_job(&self, record: &LedgerRecord) -> bool {
        record.order.is_some_and(|order| order.sequence == self.job.sequence)
    }
}

/// Whether the index has the documents that its ledger names, as far as a sample of them shows: an index that was
/// created anew has none. False also if that cannot be found out.
pub(crate) async fn is_ledger_current(stores: &Stores, index: &dyn Index, job: &Job) -> bool {
    match lacks_documents(stores, index, job).await {
        // No product is known, so none can be skipped; and an ingest that skips none can be resumed if it is
        // interrupted.
        Ok(None) => false,
        Ok(Some(0)) => true,
        Ok(Some(missing)) => {
            tracing::info!(
                index_name = job.index_name,
                missing,
                "the index lacks documents of its ledger, so no product counts as unchanged"
            );
            false
        }
        Err(cause) => {
            tracing::info!(
                cause,
                "the index and its ledger cannot be compared, so no product counts as unchanged"
            );
            false
        }
    }
}

/// The number of documents of a sample that the index lacks; `None` if the ledger names no document. The error is its
/// message.
async fn lacks_documents(stores: &Stores, index: &dyn Index, job: &Job) -> Result<Option<usize>, String> {
    let scope = LedgerScope::of(job, index.id());
    let (mut sample, mut after) = (Vec::<DocumentId>::new(), None);
    while sample.is_empty() {
        let page = stores.ledger.page(&scope, after.as_ref(), PAGE).await.map_err(|error| chain(&error))?;
        let Some(last) = page.last() else { return Ok(None) };
        after = Some(last.product.clone());
        let live = page.into_iter().filter(|record| record.state == ProductState::Live);
        sample.extend(live.flat_map(|record| record.documents).take(SAMPLE));
    }
    let stored = index.stored(&WriteTarget::of(job), &sample).await.map_err(|error| chain(&error))?;
    let is_missing =
        |stored: &&Option<StoredVersion>| stored.as_ref().is_none_or(|stored| stored.is_archived);
    Ok(Some(stored.iter().filter(is_missing).count()))
}
