//! From the index to the ledger: is everything known that jobs of the shop wrote?

use super::{
    Difference, DifferenceKind, ReconcileError,
    digests::Digests,
    run::{LOOKUP_BATCH, ReconcileRun},
};
use crate::{removals::RemovalReason, writers::Writer};
use futures::{StreamExt, TryStreamExt, stream};
use host_core::{
    error::chain,
    index::StoredVersion,
    model::{ChunkLine, DocumentId, JobId, LedgerRecord, Operation, ProductId, ProductState},
    storage::{RecordChange, StoreError, StoreErrorKind},
};
use std::collections::{BTreeMap, HashSet};

/// Ids of one page of an index.
pub(super) const PAGE: usize = 10_000;

/// Chunks read concurrently.
const READS: usize = 4;

/// A document of this shop that the ledger does not know.
struct UnknownDocument {
    id: DocumentId,
    /// Its product, if a chunk says which.
    product: Option<ProductId>,
    stored: StoredVersion,
    writer: JobId,
}

/// The ids of an index, page by page.
#[derive(Default)]
struct Pages {
    after: Option<DocumentId>,
    is_last: bool,
}

impl Pages {
    /// The next page; none after the last one. A short page is the last: an index without pages lists everything each time.
    async fn next<F>(
        &mut self,
        run: &ReconcileRun<'_, F>,
    ) -> Result<Option<Vec<DocumentId>>, ReconcileError> {
        if self.is_last {
            return Ok(None);
        }
        let (index, target) = (run.reconcile.index, &run.reconcile.target);
        let page = index.list(target, self.after.as_ref(), PAGE).await?;
        self.is_last = page.len() < PAGE;
        self.after = page.last().cloned();
        Ok(Some(page))
    }
}

impl<F: FnMut(&Difference) + Send> ReconcileRun<'_, F> {
    /// Looks for documents that the ledger does not name, and records them in a repair.
    pub(super) async fn compare_index(&mut self, known: &Digests) -> Result<(), ReconcileError> {
        let limit = self.reconcile.index.list_limit();
        self.found.is_unlisted = limit.is_some_and(|limit| self.found.in_index > limit);
        if self.found.is_unlisted {
            self.search_chunks(|id| !known.contains(id), true).await?;
            return Ok(());
        }
        let mut unknown = Vec::new();
        let mut pages = Pages::default();
        while let Some(page) = pages.next(self).await? {
            let page = page.into_iter().filter(|id| !known.contains(id)).map(|id| (id, None)).collect();
            for document in self.of_shop(page, true).await? {
                self.differs(DifferenceKind::Unknown, &document.id, None);
                unknown.push(Digests::of(&document.id));
            }
        }
        if !self.is_repairing() || unknown.is_empty() {
            return Ok(());
        }
        let unknown = Digests::new(unknown);
        let recorded = self.search_chunks(|id| unknown.contains(id), false).await?;
        let is_left = |id: &DocumentId| unknown.contains(id) && !recorded.contains(&Digests::of(id));
        let mut pages = Pages::default();
        while let Some(page) = pages.next(self).await? {
            let page = page.into_iter().filter(is_left).map(|id| (id, None)).collect();
            let left = self.of_shop(page, false).await?;
            self.record(left).await?;
        }
        Ok(())
    }

    /// Looks documents that are wanted up that the shop's chunks name, in the index. Reports them as unknown if `report`, records
    /// them in a repair, and returns the digests of those that the index has.
    async fn search_chunks(
        &mut self,
        is_wanted: impl Fn(&DocumentId) -> bool,
        report: bool,
    ) -> Result<HashSet<u64>, ReconcileError> {
        let (mut found, mut asked, mut waiting) = (HashSet::new(), HashSet::new(), Vec::new());
        for job in self.jobs {
            let stores = self.stores;
            let read = |seq| async move {
                let Some(chunk) = stores.jobs.chunk(&job.job.id, seq).await? else {
                    return Ok::<_, StoreError>(None);
                };
                if chunk.operation == Operation::DeleteDocuments {
                    return Ok(None);
                }
                match stores.chunks.get(&chunk.key, Some(chunk.sha256)).await {
                    Err(error) if error.kind == StoreErrorKind::Corrupt => {
                        tracing::warn!(error = chain(&error), "this chunk is not looked through");
                        Ok(None)
                    }
                    read => read,
                }
            };
            let mut chunks = stream::iter(0..job.chunks).map(read).buffered(READS);
            while let Some(chunk) = chunks.try_next().await? {
                for line in chunk.iter().flat_map(|bytes| bytes.split(|byte| *byte == b'\n')) {
                    let line = std::str::from_utf8(line).ok().and_then(|line| ChunkLine::parse(line).ok());
                    let Some(ChunkLine { document, product, .. }) = line else { continue };
                    if is_wanted(&document.id) && asked.insert(Digests::of(&document.id)) {
                        waiting.push((document.id, Some(product)));
                    }
                }
                if waiting.len() >= LOOKUP_BATCH {
                    self.look_up(std::mem::take(&mut waiting), report, &mut found).await?;
                }
            }
        }
        self.look_up(waiting, report, &mut found).await?;
        Ok(found)
    }

    async fn look_up(
        &mut self,
        documents: Vec<(DocumentId, Option<ProductId>)>,
        report: bool,
        found: &mut HashSet<u64>,
    ) -> Result<(), ReconcileError> {
        let unknown = self.of_shop(documents, report).await?;
        found.extend(unknown.iter().map(|document| Digests::of(&document.id)));
        if report {
            unknown.iter().for_each(|document| {
                self.differs(DifferenceKind::Unknown, &document.id, document.product.as_ref());
            });
        }
        self.record(unknown).await
    }

    /// Those of the documents that the index has and that a job of this shop wrote; the others are counted if `count`.
    async fn of_shop(
        &mut self,
        documents: Vec<(DocumentId, Option<ProductId>)>,
        count: bool,
    ) -> Result<Vec<UnknownDocument>, ReconcileError> {
        let ids: Vec<DocumentId> = documents.iter().map(|(id, _)| id.clone()).collect();
        let mut own = Vec::new();
        for ((id, product), stored) in documents.into_iter().zip(self.stored(&ids).await?) {
            let Some(stored) = stored else { continue };
            let writer = stored.job_id.clone().and_then(JobId::new);
            let is_certain = self.reconcile.adopt || self.reconcile.index.is_per_shop();
            match writer {
                Some(writer) => match self.writers.of(&writer).await? {
                    Writer::Unknown if !is_certain => self.found.unattributed += u64::from(count),
                    Writer::OtherShop => self.found.foreign += u64::from(count),
                    Writer::Own | Writer::Unknown => {
                        own.push(UnknownDocument { id, product, stored, writer });
                    }
                },
                None => self.found.foreign += u64::from(count),
            }
        }
        Ok(own)
    }

    /// Records documents with their products. One of a removed product is removed instead.
    async fn record(&mut self, documents: Vec<UnknownDocument>) -> Result<(), ReconcileError> {
        if !self.is_repairing() || documents.is_empty() {
            return Ok(());
        }
        let mut products: BTreeMap<ProductId, Vec<UnknownDocument>> = BTreeMap::new();
        for document in documents {
            let product = document.product.clone().unwrap_or_else(|| ProductId::from(&document.id));
            products.entry(product).or_default().push(document);
        }
        let ids: Vec<ProductId> = products.keys().cloned().collect();
        let before = self.stores.ledger.get(&self.scope, &ids).await?;
        let (mut changes, mut numbers) = (Vec::with_capacity(ids.len()), Vec::with_capacity(ids.len()));
        for ((product, documents), before) in products.into_iter().zip(before) {
            if let Some(removed) = before.as_ref().filter(|record| record.state == ProductState::Removed) {
                for UnknownDocument { id, writer, .. } in documents {
                    self.remove(&id, &product, &removed.version, &writer, RemovalReason::Removed).await?;
                }
                continue;
            }
            let mut record = before.clone();
            let (mut recorded, mut without_product) = (0, 0);
            for UnknownDocument { id, product: named, stored, writer } in documents {
                let now = self.reconcile.clock.now();
                let record =
                    record.get_or_insert_with(|| LedgerRecord::new(product.clone(), writer.clone(), now));
                if record.state != ProductState::Live {
                    record.documents.clear();
                    record.documents_left_out = false;
                    record.state = ProductState::Live;
                    record.set_version(stored.version);
                    (record.job_id, record.at) = (writer, now);
                }
                // A worker may have recorded it meanwhile; then nothing is repaired.
                if !record.documents.contains(&id) {
                    record.add_document(id);
                    record.repaired_at = Some(now);
                }
                recorded += 1;
                without_product += u64::from(named.is_none());
            }
            if let Some(after) = record {
                changes.push(RecordChange { before, after });
                numbers.push((recorded, without_product));
            }
        }
        // What a job has written meanwhile stays as it is.
        let replaced = self.stores.ledger.replace(&self.scope, &changes).await?;
        if let Some(repair) = &mut self.found.repair {
            for (recorded, without_product) in numbers
                .into_iter()
                .zip(replaced)
                .filter_map(|(numbers, replaced)| replaced.then_some(numbers))
            {
                repair.recorded += recorded;
                repair.without_product += without_product;
            }
        }
        Ok(())
    }
}
