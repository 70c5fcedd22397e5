//! The ledger's part in handling a chunk. The ledger records for each product of an index which documents it has
//! there, in which version, and why it was refused (`docs/ledger.md`). Before a chunk is written, the records of its
//! products are read, to find documents that the products do not have any more; afterwards what changed is recorded.
//! What must not come back is in `tombstone`.

use super::{
    Worker,
    chunk_counts::{AcceptedOutcome, ChunkCounts},
    chunk_error::ChunkError,
    content::version_of,
    decide::stored_version,
    removal::ConditionalRemoval,
};
use host_core::{
    model::{
        ChunkLine, Digest, Document, DocumentId, EntryClass, Job, JobRecency, LastRefusal, LedgerRecord,
        Operation, ProductId, ProductState, ReportEntry,
    },
    plugin::VersionOrdering,
    storage::{LedgerScope, RecordChange},
};
use serde_json::{Map, Value};
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// The products of one chunk, and what the ledger says of them.
pub(super) struct ChunkLedger<'a> {
    pub(super) worker: &'a Worker,
    pub(super) job: &'a Job,
    scope: LedgerScope,
    /// What the ledger said before the chunk.
    before: BTreeMap<ProductId, Option<LedgerRecord>>,
    /// Each document that the chunk names, or that leaves the index because of it.
    pub(super) documents: HashMap<DocumentId, DocumentInfo>,
    /// The products of which the chunk names all documents, as its last line about a product does.
    all_documents: BTreeMap<ProductId, ProductDocuments>,
    /// Documents that another product of the chunk has now, each with the product that the ledger names for it.
    moved: Vec<(ProductId, DocumentId)>,
}

/// All documents of a product in one version.
struct ProductDocuments {
    documents: BTreeSet<DocumentId>,
    version: Map<String, Value>,
    /// Digest of what they were made of; `None` if a later job may not skip the product by it.
    source_digest: Option<Digest>,
}

/// What is known of a document that a chunk changes.
pub(super) struct DocumentInfo {
    product: ProductId,
    /// Whether a removal concerns this document alone and not its product.
    product_stays: bool,
    /// How its version compares with the newest removal of it that the ledger knows; `None` if
    /// there is none, or if one of them has no version.
    pub(super) since_removal: Option<VersionOrdering>,
}

impl<'a> ChunkLedger<'a> {
    /// Reads what the ledger says of the products of these lines.
    pub(super) async fn read(
        worker: &'a Worker,
        job: &'a Job,
        lines: &[ChunkLine],
    ) -> Result<Self, ChunkError> {
        let scope = LedgerScope::of(job, worker.index.id());
        let products: BTreeSet<&ProductId> = lines.iter().map(|line| &line.product).collect();
        let products: Vec<ProductId> = products.into_iter().cloned().collect();
        let records = worker.stores.ledger.get(&scope, &products).await?;
        let before = products.into_iter().zip(records).collect();
        let fields = &worker.version.manifest().version_fields;
        let all_documents = |line: &ChunkLine| {
            let mut documents = line.siblings.clone()?;
            documents.insert(line.document.id.clone());
            let version = version_of(&line.document.fields, fields);
            let source_digest = line.source_digest;
            Some((line.product.clone(), ProductDocuments { documents, version, source_digest }))
        };
        let all_documents = lines.iter().filter_map(all_documents).collect();
        let info_of = |line: &ChunkLine| {
            let ChunkLine { document, product, product_stays, .. } = line;
            let (product, product_stays) = (product.clone(), *product_stays);
            (document.id.clone(), DocumentInfo { product, product_stays, since_removal: None })
        };
        let documents = lines.iter().map(info_of).collect();
        Ok(Self { worker, job, scope, before, documents, all_documents, moved: Vec::new() })
    }

    /// The product of a document that the chunk names.
    pub(super) fn product(&self, id: &DocumentId) -> Option<&ProductId> {
        self.documents.get(id).map(|info| &info.product)
    }

    /// What the ledger says of a document's product; `None` if it does not know the product.
    pub(super) fn record(&self, id: &DocumentId) -> Option<&LedgerRecord> {
        self.before.get(&self.documents.get(id)?.product)?.as_ref()
    }

    /// Removals of the documents that the ledger knows of removed products and that the chunk does not name: the
    /// plug-in, which sees only the export, cannot know them.
    pub(super) fn other_documents(&mut self, removals: &[Document]) -> Vec<ConditionalRemoval> {
        let fields = &self.worker.version.manifest().version_fields;
        let mut others = Vec::new();
        for removal in removals {
            let Some(DocumentInfo { product, product_stays: false, .. }) = self.documents.get(&removal.id)
            else {
                continue;
            };
            let product = product.clone();
            let live = self.record(&removal.id).filter(|record| record.state == ProductState::Live);
            let documents = live.map(|record| record.documents.clone()).unwrap_or_default();
            for id in documents.into_iter().filter(|id| !self.documents.contains_key(id)).collect::<Vec<_>>()
            {
                let info =
                    DocumentInfo { product: product.clone(), product_stays: false, since_removal: None };
                self.documents.insert(id.clone(), info);
                let document = Document { id, fields: version_of(&removal.fields, fields) };
                others.push(ConditionalRemoval::of(document, fields));
            }
        }
        if !others.is_empty() {
            let documents = others.len();
            tracing::debug!(documents, "removing documents that the ledger knows of removed products");
        }
        others
    }

    /// Removals of the documents that the ledger knows of products and that these do not have any more, such as those
    /// of deleted variants. Each carries the product's version, so that a late chunk does not remove a newer
    /// document. At equal versions the document is kept if a later job wrote the product.
    pub(super) fn vanished_documents(&mut self, counts: &ChunkCounts) -> Vec<ConditionalRemoval> {
        let fields = &self.worker.version.manifest().version_fields;
        // If a document of a product was refused, nothing of the product is removed: old documents are better than
        // none.
        let refusals = counts.entries().filter(|entry| entry.class != EntryClass::Warning);
        let refused: BTreeSet<ProductId> = refusals
            .filter_map(|entry| DocumentId::new(entry.document_id.as_deref()?).ok())
            .filter_map(|id| self.documents.get(&id).map(|info| info.product.clone()))
            .collect();
        let mut vanished = Vec::new();
        for (product, ProductDocuments { documents, version, .. }) in &self.all_documents {
            let record = self.before.get(product).and_then(Option::as_ref);
            let Some(live) = record.filter(|record| record.state == ProductState::Live) else { continue };
            let mut gone = live.documents.difference(documents).peekable();
            if gone.peek().is_none() || refused.contains(product) {
                continue;
            }
            let spares_same_version = self.is_of_later_job(live);
            for id in gone {
                // Another line of the chunk names the document, which thus belongs to another product now.
                if self.documents.contains_key(id) {
                    self.moved.push((product.clone(), id.clone()));
                    continue;
                }
                let info =
                    DocumentInfo { product: product.clone(), product_stays: true, since_removal: None };
                self.documents.insert(id.clone(), info);
                let document = Document { id: id.clone(), fields: version.clone() };
                vanished.push(ConditionalRemoval::of_vanished(document, fields, spares_same_version));
            }
        }
        vanished
    }

    /// Whether a later job than this chunk's wrote a record.
    fn is_of_later_job(&self, record: &LedgerRecord) -> bool {
        record.order.is_some_and(|order| order.sequence > self.job.sequence)
    }

    /// Stores the records that changed. `counts` has the outcomes of the chunk's lines, `others` those of documents
    /// that no line names. Returns the number of products whose records another worker has changed since they were
    /// read; these stay as that worker stored them.
    pub(super) async fn write(
        &self,
        counts: &ChunkCounts,
        others: &ChunkCounts,
    ) -> Result<usize, ChunkError> {
        let mut changes: BTreeMap<&ProductId, ProductChange<'_>> = BTreeMap::new();
        for (id, outcome) in counts.accepted().chain(others.accepted()) {
            let Some(info) = self.documents.get(id) else { continue };
            changes.entry(&info.product).or_default().accepted.push((id, outcome, info));
        }
        // Only entries about the chunk's own lines count as refusals of the product: those of `others` say why a
        // document was kept.
        for entry in counts.entries() {
            let id = entry.document_id.as_deref().and_then(|id| DocumentId::new(id).ok());
            let Some(id) = id else { continue };
            let Some(info) = self.documents.get(&id) else { continue };
            let change = changes.entry(&info.product).or_default();
            match entry.class {
                EntryClass::Warning => change.has_warnings = true,
                _ => change.entries.push((id, entry)),
            }
        }
        for (product, id) in &self.moved {
            // If the other product's line was refused, the document stays with this product.
            if counts.accepted().any(|(done, _)| done == id) {
                changes.entry(product).or_default().moved.push(id);
            }
        }
        for (product, all_documents) in &self.all_documents {
            if let Some(change) = changes.get_mut(product) {
                change.all_documents = Some(all_documents);
            }
        }
        let changed: Vec<RecordChange> = changes
            .into_iter()
            .filter_map(|(product, change)| {
                let before = self.before.get(product)?.clone();
                let after = change.apply(before.as_ref(), product, self.job, self.worker.clock.now())?;
                Some(RecordChange { before, after })
            })
            .collect();
        if changed.is_empty() {
            return Ok(0);
        }
        let replaced = self.worker.stores.ledger.replace(&self.scope, &changed).await?;
        Ok(replaced.into_iter().filter(|replaced| !replaced).count())
    }
}

/// What a chunk did to one product.
#[derive(Default)]
struct ProductChange<'a> {
    /// Outcomes of documents that were not refused.
    accepted: Vec<(&'a DocumentId, &'a AcceptedOutcome, &'a DocumentInfo)>,
    /// Report entries of documents that were refused or in conflict.
    entries: Vec<(DocumentId, &'a ReportEntry)>,
    /// Documents that another product has now.
    moved: Vec<&'a DocumentId>,
    /// All documents of the product, if the chunk names them.
    all_documents: Option<&'a ProductDocuments>,
    /// Whether there is a warning about a document: then the next job must not skip the product, but warn again.
    has_warnings: bool,
}

impl ProductChange<'_> {
    /// The record after the change; `None` if the change leaves it as it was.
    fn apply(
        &self,
        before: Option<&LedgerRecord>,
        product: &ProductId,
        job: &Job,
        now: jiff::Timestamp,
    ) -> Option<LedgerRecord> {
        let mut record =
            before.cloned().unwrap_or_else(|| LedgerRecord::new(product.clone(), job.id.clone(), now));
        for id in &self.moved {
            record.documents.remove(*id);
        }
        for (id, outcome, info) in &self.accepted {
            match outcome {
                AcceptedOutcome::Written(version) => add_live(&mut record, id, version, true),
                AcceptedOutcome::Unchanged(version) => add_live(&mut record, id, version, false),
                AcceptedOutcome::Removed(version) if record.state == ProductState::Live => {
                    record.remove_document(id, version);
                }
                // A record of a removed product lists the documents that were removed.
                AcceptedOutcome::Removed(_) if !info.product_stays => {
                    record.add_document((*id).clone());
                }
                AcceptedOutcome::Removed(_) => {}
            }
        }
        for (id, entry) in &self.entries {
            if let Some(stored) = stored_version(entry) {
                add_live(&mut record, id, stored, false);
            }
        }
        if record.state != ProductState::Live || record.documents.is_empty() {
            self.mark_removed(&mut record, before);
        }
        if let (Some(all_documents), true) = (self.all_documents, self.entries.is_empty()) {
            record.set_complete_version(&all_documents.version);
        }
        record.refusal = self.refusal(before, job);
        // The digest is set only if the index now has exactly these documents. If not, the old one stays; writing or
        // removing a document has cleared it.
        if let Some(all_documents) = self.all_documents
            && let Some(digest) = all_documents.source_digest
            && self.holds_exactly(all_documents, &record)
        {
            record.source_digest = Some(digest);
        }
        let Some(before) = before else {
            return Some(LedgerRecord { order: Some(JobRecency::of(job)), ..record });
        };
        // A write may leave the record's version as it was and change the content; `job_id` then names the job that
        // wrote it.
        let is_written = before.job_id != job.id
            && self.accepted.iter().any(|(_, outcome, _)| matches!(outcome, AcceptedOutcome::Written(_)));
        if !is_written && record.says_the_same(before) {
            return None;
        }
        // If only the refusal changed, `job_id` and `at` stay as they were: the refusal names its own job.
        let refused_only = LedgerRecord { refusal: before.refusal.clone(), ..record.clone() };
        if is_written || !refused_only.says_the_same(before) {
            (record.job_id, record.at, record.repaired_at) = (job.id.clone(), now, None);
            // A job that only removed some documents of a live product did not have the product in its export.
            let is_removal = |outcome: &AcceptedOutcome| matches!(outcome, AcceptedOutcome::Removed(_));
            if record.state != ProductState::Live
                || !self.accepted.iter().all(|(_, outcome, _)| is_removal(outcome))
            {
                record.order = Some(JobRecency::of(job));
            }
        }
        Some(record)
    }

    /// Whether the index has exactly the documents of the product that this chunk names, each as the chunk has it.
    fn holds_exactly(&self, all_documents: &ProductDocuments, record: &LedgerRecord) -> bool {
        let is_in_index = |outcome: &AcceptedOutcome| {
            matches!(outcome, AcceptedOutcome::Written(_) | AcceptedOutcome::Unchanged(_))
        };
        let indexed = self.accepted.iter().filter(|(_, outcome, _)| is_in_index(outcome));
        let indexed: BTreeSet<&DocumentId> = indexed.map(|(id, ..)| *id).collect();
        let is_complete = all_documents.documents.iter().all(|id| indexed.contains(id));
        is_complete
            && record.documents == all_documents.documents
            && self.entries.is_empty()
            && !self.has_warnings
    }

    /// Marks a product of which no document is left in the index as removed, or as absent if no removal named it as a
    /// whole.
    fn mark_removed(&self, record: &mut LedgerRecord, before: Option<&LedgerRecord>) {
        let was_live = record.state == ProductState::Live;
        for (id, outcome, info) in &self.accepted {
            let AcceptedOutcome::Removed(version) = outcome else { continue };
            let stays = info.product_stays;
            let state = if stays { ProductState::Absent } else { ProductState::Removed };
            // The record keeps a newer removal; a removal of a document that was already gone does not change it
            // either.
            let is_older = info.since_removal == Some(VersionOrdering::Older);
            let says_nothing = version.is_empty() && !record.version.is_empty();
            if is_older || (!was_live && before.is_some() && (stays || says_nothing)) {
                continue;
            }
            record.state = state;
            record.set_version(version.clone());
            record.add_document((*id).clone());
        }
        if was_live && let Some(before) = before {
            before.documents.iter().for_each(|id| record.add_document(id.clone()));
        }
    }

    /// The refusal that the record has after the change: the last one of this chunk, or an existing one of a later
    /// job. `None` if the chunk refused no document of the product.
    fn refusal(&self, before: Option<&LedgerRecord>, job: &Job) -> Option<LastRefusal> {
        let earlier = before.and_then(|before| before.refusal.clone());
        if earlier
            .as_ref()
            .is_some_and(|earlier| (earlier.sequence, earlier.at) > (job.sequence, job.created_at))
        {
            return earlier;
        }
        let Some((_, entry)) = self.entries.last() else {
            // What the host removes by itself, such as what a full sync did not have, accepts nothing: why the product was left out
            // before stays worth knowing.
            return earlier.filter(|_| job.operation == Operation::DeleteDocuments);
        };
        let refusal = LastRefusal::of(entry, job);
        Some(earlier.filter(|earlier| refusal.repeats(earlier)).unwrap_or(refusal))
    }
}

/// Records that the index has a document of the product. If the record has the document already, it changes only if
/// the chunk wrote it (`is_written`).
fn add_live(record: &mut LedgerRecord, id: &DocumentId, version: &Map<String, Value>, is_written: bool) {
    if record.state != ProductState::Live {
        record.documents.clear();
        record.documents_left_out = false;
        record.complete_version.clear();
        record.version.clear();
        record.state = ProductState::Live;
    } else if !is_written && record.documents.contains(id) {
        return;
    }
    record.gone.remove(id);
    record.add_document(id.clone());
    // Version fields that the update lacks keep their old value.
    let mut merged = std::mem::take(&mut record.version);
    merged.extend(version.clone());
    record.set_version(merged);
}
