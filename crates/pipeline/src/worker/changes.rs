//! Applies the writes or removals of a chunk in rounds: reads what the index has, compares versions, decides, and
//! makes the changes under the condition that the documents are still as they were read. Where another writer was
//! faster, the next round decides anew.

use super::{
    Worker,
    chunk_counts::{AcceptedOutcome, ChunkCounts},
    chunk_error::ChunkError,
    decide::Decision,
    ledger::ChunkLedger,
};
use host_core::{
    index::{IndexError, Outcome, StoredVersion, WriteTarget},
    model::{DocumentId, EntryClass, Job, JobId, JobRecency, Operation, ReportEntry},
    plugin::{Refusal, VersionOrdering},
};
use serde_json::{Map, Value};
use std::sync::Arc;

/// A write or a removal of one document.
pub(super) trait Change: Sized + Send + Sync {
    /// The document.
    fn id(&self) -> &DocumentId;

    /// The version that is compared with the stored one; `None` where the decision does not depend on it.
    fn version_to_compare(&self, stored: &StoredVersion) -> Option<&Map<String, Value>>;

    /// Whether the change is made to a stored document. `ordering` is `Same` where nothing was compared.
    fn decide(&self, stored: &StoredVersion, ordering: VersionOrdering, job: &Job) -> Decision;

    /// Makes the change conditional on what the index had when it was read; `None`: no such document.
    fn expect(&mut self, stored: Option<StoredVersion>);

    /// Makes the changes in the index; returns one outcome for each, in their order.
    fn apply(
        changes: &Changes<'_>,
        batch: &[Self],
    ) -> impl Future<Output = Result<Vec<Outcome>, IndexError>> + Send;

    /// How a change that was made is counted.
    fn outcome(&self) -> AcceptedOutcome;
}

/// Where the changes of a chunk go, and for which job.
#[derive(Clone, Copy)]
pub(super) struct Changes<'a> {
    pub(super) worker: &'a Worker,
    pub(super) job: &'a Job,
    pub(super) target: &'a WriteTarget,
    pub(super) operation: Operation,
    /// What the ledger says of the products of the chunk.
    pub(super) ledger: &'a ChunkLedger<'a>,
}

/// The job that wrote a document.
struct Writer {
    recency: JobRecency,
    /// `None` if retention has removed its record.
    job: Option<Arc<Job>>,
}

impl<'a> Changes<'a> {
    /// The changes of the chunk whose products the ledger was read for.
    pub(super) fn of(ledger: &'a ChunkLedger<'a>, target: &'a WriteTarget, operation: Operation) -> Self {
        Self { worker: ledger.worker, job: ledger.job, target, operation, ledger }
    }
}

/// Rounds of one attempt, in each of which other writers were faster. After that the chunk fails for now and is tried
/// again later.
const MAX_ROUNDS: usize = 20;

impl Changes<'_> {
    /// Makes all changes that may be made, and counts each item.
    pub(super) async fn apply<C: Change>(
        &self,
        mut batch: Vec<C>,
        counts: &mut ChunkCounts,
    ) -> Result<(), ChunkError> {
        for _ in 0..MAX_ROUNDS {
            if batch.is_empty() {
                return Ok(());
            }
            batch = self.round(batch, counts).await?;
        }
        Err(self.too_many_conflicts())
    }

    /// Decides about each change and makes it. Returns those whose documents another writer changed meanwhile.
    async fn round<C: Change>(&self, batch: Vec<C>, counts: &mut ChunkCounts) -> Result<Vec<C>, ChunkError> {
        let ids: Vec<DocumentId> = batch.iter().map(|change| change.id().clone()).collect();
        let stored = self.worker.index.stored(self.target, &ids).await?;
        self.ensure_one_result_each(ids.len(), stored.len())?;
        let mut orderings = self.compare(&batch, &stored).await?.into_iter();

        let mut accepted = Vec::with_capacity(batch.len());
        for (mut change, stored) in batch.into_iter().zip(stored) {
            let decision = match &stored {
                None => Decision::Write,
                Some(stored) => {
                    let ordering = match change.version_to_compare(stored) {
                        Some(_) => orderings.next().expect("there is an ordering for each compared pair"),
                        None => Ok(VersionOrdering::Same),
                    };
                    match ordering {
                        Ok(ordering) => match change.decide(stored, ordering, self.job) {
                            Decision::WriteIfLater(entry) if !self.is_later(change.id(), stored).await? => {
                                Decision::Refused(entry)
                            }
                            Decision::WriteUnlessEarlier(entry)
                                if self.is_earlier(change.id(), stored).await? =>
                            {
                                Decision::Refused(entry)
                            }
                            Decision::WriteIfLater(_) | Decision::WriteUnlessEarlier(_) => Decision::Write,
                            decision => decision,
                        },
                        Err(refusal) => Decision::Refused(self.entry(change.id(), refusal)),
                    }
                }
            };
            match decision {
                Decision::Write => {
                    change.expect(stored);
                    accepted.push(change);
                }
                Decision::Written => counts.done(change.id().clone(), change.outcome()),
                Decision::Unchanged(version) => {
                    counts.done(change.id().clone(), AcceptedOutcome::Unchanged(version));
                }
                Decision::Refused(entry)
                | Decision::WriteIfLater(entry)
                | Decision::WriteUnlessEarlier(entry) => counts.add_entry(entry),
            }
        }
        if accepted.is_empty() {
            return Ok(Vec::new());
        }
        let outcomes = C::apply(self, &accepted).await?;
        self.ensure_one_result_each(accepted.len(), outcomes.len())?;
        let mut conflicts = Vec::new();
        for (change, outcome) in accepted.into_iter().zip(outcomes) {
            match outcome {
                // A removal counts also where nothing was there: when it is repeated after a crash, it must count the
                // same.
                Outcome::Done => counts.done(change.id().clone(), change.outcome()),
                Outcome::Refused { code, message } => {
                    let document_id = Some(change.id().to_string());
                    counts.add_entry(ReportEntry {
                        document_id,
                        ..ReportEntry::new(EntryClass::Failed, code, message)
                    });
                }
                Outcome::Conflict => conflicts.push(change),
            }
        }
        Ok(conflicts)
    }

    /// Has the plug-in compare versions where the decision depends on them; returns one answer for each of these, in
    /// their order.
    async fn compare<C: Change>(
        &self,
        batch: &[C],
        stored: &[Option<StoredVersion>],
    ) -> Result<Vec<Result<VersionOrdering, Refusal>>, ChunkError> {
        let pairs = batch.iter().zip(stored).filter_map(|(change, stored)| {
            let stored = stored.as_ref()?;
            Some((change.version_to_compare(stored)?.clone(), stored.version.clone()))
        });
        let pairs: Vec<_> = pairs.collect();
        if pairs.is_empty() {
            return Ok(Vec::new());
        }
        Ok(self.worker.version.compare(pairs).await?)
    }

    /// Whether the job is later than the one that wrote a stored document: its export was taken later, or it is as old and
    /// a later job makes other documents of it, with other plug-ins or another configuration. False where that is not
    /// known, where another shop or program wrote the document, and where a later export had the product unchanged.
    async fn is_later(&self, id: &DocumentId, stored: &StoredVersion) -> Result<bool, ChunkError> {
        let Some(writer) = self.writer(id, stored).await? else { return Ok(false) };
        let recency = JobRecency::of(self.job);
        let has_other_transform = writer
            .job
            .is_some_and(|writer| self.job.has_other_transform_than(&writer) && self.job.is_after(&writer));
        let is_later = recency.has_later_export_than(writer.recency, self.worker.clock.now())
            || (recency.exported_at == writer.recency.exported_at && has_other_transform);
        let Some(product) = self.ledger.product(id).filter(|_| is_later) else { return Ok(is_later) };
        Ok(!self.worker.is_in_later_export(self.job, product).await?)
    }

    /// Whether the export of the job that wrote a stored document was taken later than this one's, as far as is known, or
    /// a later export had the product unchanged.
    async fn is_earlier(&self, id: &DocumentId, stored: &StoredVersion) -> Result<bool, ChunkError> {
        let writer = self.writer(id, stored).await?;
        let (recency, now) = (JobRecency::of(self.job), self.worker.clock.now());
        if writer.is_some_and(|writer| writer.recency.has_later_export_than(recency, now)) {
            return Ok(true);
        }
        let Some(product) = self.ledger.product(id) else { return Ok(false) };
        self.worker.is_in_later_export(self.job, product).await
    }

    /// The job that wrote a stored document, if it is one of this index.
    async fn writer(&self, id: &DocumentId, stored: &StoredVersion) -> Result<Option<Writer>, ChunkError> {
        let Some(writer_id) = stored.job_id.as_deref().and_then(JobId::new) else { return Ok(None) };
        if let Some(job) = self.worker.find_job(&writer_id).await? {
            let recency = JobRecency::of(&job);
            return Ok(self.job.is_of_same_index(&job).then_some(Writer { recency, job: Some(job) }));
        }
        // Retention has removed the record; the ledger still has the place of the job that wrote a product last.
        let record = self.ledger.record(id).filter(|record| record.job_id == writer_id);
        Ok(record.and_then(|record| record.order).map(|recency| Writer { recency, job: None }))
    }

    /// The report entry of a document whose versions the plug-in could not compare.
    fn entry(&self, id: &DocumentId, refusal: Refusal) -> ReportEntry {
        let entry = refusal.into_entry(self.worker.version.manifest());
        ReportEntry { document_id: Some(id.to_string()), ..entry }
    }

    /// Fails unless the index has answered for each document: otherwise it is not known which answer is for which.
    fn ensure_one_result_each(&self, asked: usize, answered: usize) -> Result<(), ChunkError> {
        if asked == answered {
            return Ok(());
        }
        Err(ChunkError::Index(IndexError {
            action: format!("reading the answer of index {}", self.target.index_name),
            transient: false,
            source: format!("it answered for {answered} documents of {asked}").into(),
        }))
    }

    fn too_many_conflicts(&self) -> ChunkError {
        ChunkError::Index(IndexError {
            action: format!("changing index {}", self.target.index_name),
            transient: true,
            source: "another process keeps writing the same documents".into(),
        })
    }
}
