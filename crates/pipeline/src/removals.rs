//! Publishes removals that the host decides on by itself, after a full sync or a comparison of ledger and index: as a
//! job whose chunks go to the lanes of their products, behind all earlier changes of these. Workers carry them out
//! and leave alone what is newer.

use crate::{
    ingest::{
        chunk::{ChunkBounds, Chunker, PendingLine},
        publish::{PublishError, Publisher},
        retry::retry,
    },
    sync::new_id,
};
use host_core::{
    clock::{Clock, SharedClock},
    model::{
        Counts, Digest, DocumentId, Job, JobId, Operation, ProductId, QuarantinedProducts, SameVersion, Seal,
        SourceStats,
        document::{ARCHIVES_FIELD, JOB_ID_FIELD},
    },
    storage::Stores,
};
use serde_json::{Map, Value};

/// How removals are published.
#[derive(Clone, Copy, Debug)]
pub struct RemovalSettings {
    /// Limits of a chunk.
    pub bounds: ChunkBounds,
    /// Number of lanes, which keep the changes of a product in order. While chunks of the index wait in another number
    /// of lanes, that one is used instead.
    pub lanes: u16,
}

/// A document that is to leave an index.
#[derive(Debug)]
pub(crate) struct PlannedRemoval {
    pub(crate) document: DocumentId,
    /// The product that it belongs to, which decides its lane.
    pub(crate) product: ProductId,
    /// JSON object text: up to which version, and for a document written by which job, the removal holds.
    pub(crate) removal: String,
}

/// How a document leaves an index.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RemovalReason {
    /// A full sync did not have it: an index that can archive documents, such as a relational catalog (PostgreSQL),
    /// does so.
    Absent,
    /// An export said that it is gone: it removed the document, or named its product without it.
    Removed,
}

impl PlannedRemoval {
    /// Removes a document in this version and older ones, as long as the job `writer` is the last that wrote it.
    pub(crate) fn new(
        document: DocumentId,
        product: ProductId,
        mut version: Map<String, Value>,
        writer: &JobId,
        reason: RemovalReason,
    ) -> Self {
        version.insert(JOB_ID_FIELD.to_owned(), writer.as_str().into());
        if reason == RemovalReason::Removed {
            version.insert(ARCHIVES_FIELD.to_owned(), false.into());
        }
        Self { document, product, removal: Value::from(version).to_string() }
    }
}

/// A job that removes documents from the index of job `other`. `of` (a purpose, and what it is for) makes its
/// fingerprint, which tells it from other jobs; `source` says for people where the removals come from.
pub(crate) fn removal_job(other: &Job, clock: &dyn Clock, lanes: u16, of: [&str; 2], source: String) -> Job {
    let created_at = clock.now();
    Job {
        id: new_id(clock, created_at),
        operation: Operation::DeleteDocuments,
        created_at,
        sequence: 0,
        lanes,
        fingerprint: Digest::of_parts(of.map(str::as_bytes)),
        sources: vec![source],
        same_version: SameVersion::default(),
        transform_digest: None,
        skips_unchanged: false,
        full: false,
        removes_missing_of: None,
        ..other.clone()
    }
}

/// Publishes removals as the chunks of a job. The caller holds the ingest lease of the index: one process at a time
/// publishes.
pub(crate) struct RemovalPublisher<'a> {
    stores: &'a Stores,
    clock: &'a SharedClock,
    job: &'a Job,
    chunker: Chunker,
    publisher: Publisher<'a>,
    removals: u64,
}

impl<'a> RemovalPublisher<'a> {
    /// `job` is as the store returned it at creation, which decides the number of lanes.
    pub(crate) fn new(stores: &'a Stores, clock: &'a SharedClock, job: &'a Job, bounds: ChunkBounds) -> Self {
        let (chunker, publisher) = (Chunker::new(bounds, job.lanes), Publisher::new(stores, clock, job));
        Self { stores, clock, job, chunker, publisher, removals: 0 }
    }

    /// Adds a removal.
    pub(crate) async fn publish(&mut self, planned: PlannedRemoval) -> Result<(), PublishError> {
        let PlannedRemoval { document, product, removal } = planned;
        self.removals += 1;
        let operation = Operation::DeleteDocuments;
        let (product_stays, siblings, source_digest) = (false, None, None);
        let new = PendingLine {
            operation,
            product: &product,
            product_stays,
            siblings,
            source_digest,
            object: &removal,
        };
        for full in self.chunker.push(document, new) {
            self.publisher.publish(full).await?;
        }
        Ok(())
    }

    /// Publishes the rest and seals the job (no chunk follows, so it can end); returns the number of removals.
    /// `kind`, such as `archive`, says in the job's record what they are.
    pub(crate) async fn seal(mut self, kind: &str) -> Result<u64, PublishError> {
        for full in self.chunker.finish() {
            self.publisher.publish(full).await?;
        }
        let ids = self.chunker.into_ids();
        let ids = retry(self.clock, || ids.clone().store(self.stores.chunks.as_ref(), self.job)).await?;
        let products = self.removals;
        let source = SourceStats { products, grouping: kind.to_owned(), ..SourceStats::default() };
        let seal = Seal {
            chunks: self.publisher.chunks(),
            total_items: self.removals,
            ingest_counts: Counts::default(),
            source,
            samples: Vec::new(),
            reports: Vec::new(),
            quarantine: QuarantinedProducts::default(),
            ids: Some(ids),
        };
        retry(self.clock, || self.stores.jobs.seal(&self.job.id, &seal)).await?;
        Ok(self.removals)
    }
}
