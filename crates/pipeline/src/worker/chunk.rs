//! The steps of one chunk between claim and settle, in their order.

use super::{
    content::{prepare, prepare_update},
    decide::{Decision, decide, is_same},
    removal::remove,
    run::Worker,
    validate::validate,
};
use crate::fault::Fault;
use host_core::{
    index::{IndexError, Outcome, Precondition, StoredVersion, Write, WriteTarget},
    model::{ChunkRef, Class, Counts, Document, DocumentId, Entry, Job, Operation, report::Samples},
    plugin::VersionOrdering,
    storage::{ChunkOutcome, Chunks, GivenUp, StoreError},
};
use serde_json::{Map, Value};

/// What became of a chunk's items so far, in their order.
#[derive(Default)]
pub(super) struct Tally {
    counts: Counts,
    entries: Vec<Entry>,
}

impl Tally {
    /// Counts an item whose document is gone.
    pub(super) fn remove(&mut self) {
        self.counts.processed += 1;
        self.counts.deleted += 1;
    }

    /// Counts an item by the class of its entry.
    pub(super) fn refuse(&mut self, entry: Entry) {
        match entry.class {
            Class::Skipped => self.counts.skipped += 1,
            Class::Failed => self.counts.failed += 1,
            Class::Conflict => self.counts.conflict += 1,
            Class::Warning => {}
        }
        self.entries.push(entry);
    }
}

/// Handles the items of a claimed chunk and stores its report. Running it again gives the same outcome: what this job wrote
/// itself counts as before.
pub(super) async fn handle(worker: &Worker, job: &Job, chunk: &ChunkRef) -> Result<ChunkOutcome, Fault> {
    let bytes = worker.stores.chunks.get(&chunk.key, Some(chunk.sha256)).await?;
    let bytes = bytes.ok_or_else(|| Fault::LostInput { key: chunk.key.clone() })?;
    let target = WriteTarget::of(job);
    let mut tally = Tally::default();
    let documents = read(&bytes, &mut tally);
    match chunk.operation {
        Operation::DeleteDocuments => {
            remove(worker, &target, documents, &mut tally).await?;
        }
        operation @ (Operation::AddDocuments | Operation::UpdateDocuments) => {
            let accepted = validate(worker, operation, documents, &mut tally).await?;
            write(worker, job, &target, operation, accepted, &mut tally).await?;
        }
    }
    Ok(finish(worker.stores.chunks.as_ref(), chunk, tally, None).await?)
}

/// The outcome of a chunk that cannot be handled: all its items failed, for this reason.
pub(super) async fn give_up(
    chunks: &dyn Chunks,
    chunk: &ChunkRef,
    mut reason: GivenUp,
) -> Result<ChunkOutcome, StoreError> {
    reason.evidence.host_version = env!("CARGO_PKG_VERSION").to_owned();
    reason.evidence.sample_ids = sample_ids(chunks, chunk).await;
    reason.evidence.report_key = Some(chunk.report_key());
    let mut tally = Tally::default();
    tally.counts.failed = chunk.documents.into();
    // One entry for all: the object may be unreadable, and the chunk's key leads to its documents where it is not.
    let entry = Entry::new(Class::Failed, reason.code.as_str(), reason.message.as_str())
        .with("chunk", chunk.key.as_str())
        .with("documents", chunk.documents);
    tally.entries.push(entry);
    finish(chunks, chunk, tally, Some(reason)).await
}

/// Ids that a dead letter names.
const SAMPLE_IDS: usize = 5;

/// The first documents of a chunk that cannot be handled, as far as they can be read: it may not be what was written.
async fn sample_ids(chunks: &dyn Chunks, chunk: &ChunkRef) -> Vec<String> {
    let Ok(Some(bytes)) = chunks.get(&chunk.key, None).await else { return Vec::new() };
    let documents = read(&bytes, &mut Tally::default());
    documents.iter().take(SAMPLE_IDS).map(|document| document.id.to_string()).collect()
}

async fn finish(
    chunks: &dyn Chunks,
    chunk: &ChunkRef,
    tally: Tally,
    quarantined: Option<GivenUp>,
) -> Result<ChunkOutcome, StoreError> {
    let Tally { counts, entries } = tally;
    let mut report = None;
    let mut samples = Samples::default();
    if !entries.is_empty() {
        let mut bytes = Vec::new();
        entries.iter().for_each(|entry| entry.write_line(&mut bytes));
        let key = chunk.report_key();
        chunks.put(&key, &bytes).await?;
        report = Some(key);
    }
    entries.into_iter().for_each(|entry| samples.add(entry));
    Ok(ChunkOutcome { counts, report, samples: samples.into_entries(), quarantined })
}

/// Parses the lines; one that is no document is skipped (seed, step 7).
fn read(bytes: &[u8], tally: &mut Tally) -> Vec<Document> {
    let mut documents = Vec::new();
    for (position, line) in bytes.split(|byte| *byte == b'\n').enumerate() {
        if line.iter().all(u8::is_ascii_whitespace) {
            continue;
        }
        match std::str::from_utf8(line)
            .map_err(|error| error.to_string())
            .and_then(|line| Document::from_line(line).map_err(|error| error.to_string()))
        {
            Ok(document) => documents.push(document),
            Err(error) => {
                let message = format!("line {} of the chunk is no document: {error}", position + 1);
                tally.refuse(Entry::new(Class::Skipped, "invalid-json", message));
            }
        }
    }
    documents
}

async fn write(
    worker: &Worker,
    job: &Job,
    target: &WriteTarget,
    operation: Operation,
    documents: Vec<Document>,
    tally: &mut Tally,
) -> Result<(), Fault> {
    let fields = &worker.version.manifest().version_fields;
    let prepare = if operation == Operation::UpdateDocuments { prepare_update } else { prepare };
    let mut batch: Vec<Write> = documents.into_iter().map(|document| prepare(document, fields)).collect();
    for _ in 0..MOST_ROUNDS {
        if batch.is_empty() {
            return Ok(());
        }
        batch = write_round(worker, job, target, operation, batch, tally).await?;
    }
    Err(too_many_conflicts(target))
}

/// Most times that a document is decided about because another writer was faster.
pub(super) const MOST_ROUNDS: usize = 20;

pub(super) fn too_many_conflicts(target: &WriteTarget) -> Fault {
    Fault::Index(IndexError {
        action: format!("changing index {}", target.index_name),
        transient: true,
        source: "somebody else writes the same documents all the time".into(),
    })
}

/// Decides about each document and writes it. Gives those that somebody else wrote meanwhile.
async fn write_round(
    worker: &Worker,
    job: &Job,
    target: &WriteTarget,
    operation: Operation,
    batch: Vec<Write>,
    tally: &mut Tally,
) -> Result<Vec<Write>, Fault> {
    let ids: Vec<DocumentId> = batch.iter().map(|write| write.document.id.clone()).collect();
    let stored = stored(worker, target, &ids).await?;

    let pairs = batch.iter().zip(&stored).filter_map(|(write, stored)| {
        let stored = stored.as_ref()?;
        (!is_same(write, stored)).then(|| (write.version.clone(), stored.version.clone()))
    });
    let mut orderings = compare(worker, pairs.collect()).await?.into_iter();

    let mut writes = Vec::with_capacity(batch.len());
    // The export has them, whatever becomes of them.
    let mut seen = Vec::new();
    for (mut write, stored) in batch.into_iter().zip(stored) {
        let decision = match &stored {
            None => Decision::Write,
            Some(stored) => {
                let ordering = if is_same(&write, stored) {
                    VersionOrdering::Same
                } else {
                    match orderings.next().expect("compare answers each pair") {
                        Ok(ordering) => ordering,
                        Err(refusal) => {
                            let mut entry = refusal.into_entry(worker.version.manifest());
                            entry.document_id = Some(write.document.id.to_string());
                            tally.refuse(entry);
                            seen.push(write.document.id);
                            continue;
                        }
                    }
                };
                decide(&write, stored, ordering, &target.job_id, job.same_version)
            }
        };
        match decision {
            Decision::Write => {
                write.precondition = stored.map_or(Precondition::Absent, Precondition::Matches);
                writes.push(write);
                continue;
            }
            Decision::Written => tally.counts.processed += 1,
            Decision::Unchanged => {
                tally.counts.processed += 1;
                tally.counts.unchanged += 1;
            }
            Decision::Conflict(entry) => tally.refuse(entry),
        }
        seen.push(write.document.id);
    }
    worker.index.mark_seen(target, &seen).await?;
    if writes.is_empty() {
        return Ok(Vec::new());
    }
    let outcomes = if operation == Operation::UpdateDocuments {
        worker.index.update(target, &writes).await?
    } else {
        worker.index.write(target, &writes).await?
    };
    answered_all(target, writes.len(), outcomes.len())?;
    let mut conflicting = Vec::new();
    for (write, outcome) in writes.into_iter().zip(outcomes) {
        match outcome {
            Outcome::Done => tally.counts.processed += 1,
            Outcome::Refused { code, message } => {
                tally.refuse(refused_by_index(&write.document.id, code, message));
            }
            Outcome::Conflict => conflicting.push(write),
        }
    }
    Ok(conflicting)
}

pub(super) async fn stored(
    worker: &Worker,
    target: &WriteTarget,
    ids: &[DocumentId],
) -> Result<Vec<Option<StoredVersion>>, Fault> {
    let stored = worker.index.stored(target, ids).await?;
    answered_all(target, ids.len(), stored.len())?;
    Ok(stored)
}

pub(super) type Pair = (Map<String, Value>, Map<String, Value>);

pub(super) async fn compare(
    worker: &Worker,
    pairs: Vec<Pair>,
) -> Result<Vec<Result<VersionOrdering, host_core::plugin::Refusal>>, Fault> {
    if pairs.is_empty() {
        return Ok(Vec::new());
    }
    Ok(worker.version.compare(pairs).await?)
}

/// An index that answers for fewer documents than it was asked about must not be believed.
pub(super) fn answered_all(target: &WriteTarget, asked: usize, answered: usize) -> Result<(), Fault> {
    if asked == answered {
        return Ok(());
    }
    Err(Fault::Index(IndexError {
        action: format!("reading the answer of index {}", target.index_name),
        transient: false,
        source: format!("it answered for {answered} documents of {asked}").into(),
    }))
}

pub(super) fn refused_by_index(id: &DocumentId, code: String, message: String) -> Entry {
    Entry { document_id: Some(id.to_string()), ..Entry::new(Class::Failed, code, message) }
}
