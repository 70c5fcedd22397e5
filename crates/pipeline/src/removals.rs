//! Removals that the host decides on by itself: a job in the lanes of their products, after everything published before, which
//! workers carry out under write protection.

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
    /// How large chunks are.
    pub bounds: ChunkBounds,
    /// Number of lanes, unless chunks of the index wait in others.
    pub lanes: u16,
}

/// A document that is to leave an index.
#[derive(Debug)]
pub(crate) struct PlannedRemoval {
    pub(crate) document: DocumentId,
    /// Its lane is that of the product, after all that was published of it.
    pub(crate) product: ProductId,
    /// What the removal says, as JSON object text: the version and the job that it holds for.
    pub(crate) removal: String,
}

/// How a document leaves an index.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RemovalReason {
    /// No export has it any more: an index that can archives it.
    Absent,
    /// A removal named it, or its product without it.
    Removed,
}

impl PlannedRemoval {
    /// The removal of a document in this version and older ones, as long as no other job has written it.
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

/// A job of removals in the index of another job. `of` tells it from other ones.
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

/// Publishes removals as a job. The caller holds the right to ingest for it.
pub(crate) struct RemovalPublisher<'a> {
    stores: &'a Stores,
    clock: &'a SharedClock,
    job: &'a Job,
    chunker: Chunker,
    publisher: Publisher<'a>,
    removals: u64,
}

impl<'a> RemovalPublisher<'a> {
    /// For a job as it was created.
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

    /// Publishes the rest and seals the job; returns the number of removals. `kind` says in its record what they are.
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
