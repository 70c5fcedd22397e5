//! Handles the items of one chunk: reads its object, validates, writes or removes documents, and stores the chunk's
//! report.

use super::{
    Worker,
    changes::Changes,
    chunk_counts::ChunkCounts,
    chunk_error::ChunkError,
    content::{prepare, prepare_update},
    ledger::ChunkLedger,
    removal::ConditionalRemoval,
    validate::validate,
};
use host_core::{
    index::WriteTarget,
    model::{ChunkLine, ChunkRef, Document, EntryClass, Job, Operation, ReportEntry},
    storage::{ChunkLease, ChunkOutcome, Chunks, QuarantineReason, StoreError, StoreErrorKind},
};

/// Handles the items of a claimed chunk and stores its report. Idempotent: what this job has written itself counts as
/// before.
pub(super) async fn handle(
    worker: &Worker,
    job: &Job,
    chunk: &ChunkRef,
    lease: &ChunkLease,
) -> Result<ChunkOutcome, ChunkError> {
    let bytes = worker.stores.chunks.get(&chunk.key, Some(chunk.sha256)).await?;
    let missing = || ChunkError::ChunkObjectMissing { key: format!("chunk {}", chunk.key) };
    let bytes = bytes.ok_or_else(missing)?;
    let mut changed = 0;
    for pass in 1..=MAX_PASSES {
        let is_first = pass == 1 && lease.fencing_token == 1;
        let counts = match handle_lines(worker, job, chunk.operation, &bytes, is_first).await? {
            Ok(counts) => counts,
            Err(products) => {
                tracing::warn!(
                    key = chunk.key,
                    products,
                    "another worker has the same products; handling the chunk again"
                );
                changed = products;
                continue;
            }
        };
        let report_key = chunk.report_key(lease.fencing_token);
        return Ok(counts.into_outcome(worker.stores.chunks.as_ref(), report_key, None).await?);
    }
    Err(ChunkError::Store(StoreError {
        action: format!("recording the products of chunk {}", chunk.key),
        kind: StoreErrorKind::Transient,
        source: format!("other workers keep changing the records of {changed} of them").into(),
    }))
}

/// How often one attempt handles a chunk, if other workers change the ledger's records of its products meanwhile.
const MAX_PASSES: u32 = 4;

/// Handles the lines of a chunk. `is_first` is false if an earlier pass or attempt may have written some of them. The
/// inner error is the number of products whose ledger records another worker has changed since they were read.
async fn handle_lines(
    worker: &Worker,
    job: &Job,
    operation: Operation,
    bytes: &[u8],
    is_first: bool,
) -> Result<Result<ChunkCounts, usize>, ChunkError> {
    let target = WriteTarget::of(job);
    let (mut counts, mut others) = (ChunkCounts::default(), ChunkCounts::default());
    let lines = read(bytes, &mut counts);
    let mut ledger = ChunkLedger::read(worker, job, &lines).await?;
    let documents: Vec<Document> = lines.into_iter().map(|line| line.document).collect();
    let documents = ledger.compare(documents, &mut counts).await?;
    let fields = &worker.version.manifest().version_fields;
    match operation {
        Operation::DeleteDocuments => {
            let unnamed = ledger.other_documents(&documents);
            let changes = Changes::of(&ledger, &target, operation);
            let removals = documents.into_iter().map(|removal| ConditionalRemoval::of(removal, fields));
            changes.apply(removals.collect(), &mut counts).await?;
            changes.apply(unnamed, &mut others).await?;
        }
        Operation::AddDocuments | Operation::UpdateDocuments => {
            let (documents, overtaken) = ledger.leave_out_removed(documents, &mut counts);
            let changes = Changes::of(&ledger, &target, operation);
            if !is_first {
                // An earlier pass may have written them before the removal was known.
                changes.apply(overtaken, &mut ChunkCounts::default()).await?;
            }
            let accepted = validate(worker, operation, documents, &mut counts).await?;
            let prepare = if operation == Operation::UpdateDocuments { prepare_update } else { prepare };
            let writes = accepted.into_iter().map(|document| prepare(document, fields));
            changes.apply(writes.collect(), &mut counts).await?;
            if operation == Operation::AddDocuments {
                let vanished = ledger.vanished_documents(&counts);
                Changes::of(&ledger, &target, operation).apply(vanished, &mut others).await?;
            }
        }
    }
    // The ledger is written before the chunk is completed: if this worker crashes in between, the next one writes the
    // same records.
    match ledger.write(&counts, &others).await? {
        0 => Ok(Ok(counts)),
        products => Ok(Err(products)),
    }
}

/// Stores the report of a claimed chunk that cannot be handled, and returns its outcome: all its items failed, for
/// this reason.
pub(super) async fn quarantine(
    chunks: &dyn Chunks,
    chunk: &ChunkRef,
    lease: &ChunkLease,
    mut reason: QuarantineReason,
) -> Result<ChunkOutcome, StoreError> {
    let report_key = chunk.report_key(lease.fencing_token);
    reason.redrive_count = lease.redrive_count;
    reason.context.host_version = env!("CARGO_PKG_VERSION").to_owned();
    reason.context.sample_ids = sample_ids(chunks, chunk).await;
    reason.context.report_key = Some(report_key.clone());
    // One entry stands for all items: the object may be unreadable, and if it is not, the chunk's key leads to them.
    let entry = ReportEntry::new(EntryClass::Failed, reason.code.as_str(), reason.message.as_str())
        .with("chunk", chunk.key.as_str())
        .with("documents", chunk.documents);
    ChunkCounts::all_failed(chunk.documents, entry).into_outcome(chunks, report_key, Some(reason)).await
}

/// Number of document ids that a dead letter names, as examples.
const SAMPLE_IDS: usize = 5;

/// Ids of the first documents of a chunk that cannot be handled, as far as its object can be read.
async fn sample_ids(chunks: &dyn Chunks, chunk: &ChunkRef) -> Vec<String> {
    let Ok(Some(bytes)) = chunks.get(&chunk.key, None).await else { return Vec::new() };
    let lines = read(&bytes, &mut ChunkCounts::default());
    lines.iter().take(SAMPLE_IDS).map(|line| line.document.id.to_string()).collect()
}

/// Parses the lines of a chunk. A line that is not a document counts as skipped.
fn read(bytes: &[u8], counts: &mut ChunkCounts) -> Vec<ChunkLine> {
    let mut lines = Vec::new();
    for (position, line) in bytes.split(|byte| *byte == b'\n').enumerate() {
        if line.iter().all(u8::is_ascii_whitespace) {
            continue;
        }
        match std::str::from_utf8(line)
            .map_err(|error| error.to_string())
            .and_then(|line| ChunkLine::parse(line).map_err(|error| error.to_string()))
        {
            Ok(line) => lines.push(line),
            Err(error) => {
                let message = format!("line {} of the chunk is not a document: {error}", position + 1);
                counts.add_entry(ReportEntry::new(EntryClass::Skipped, "invalid-json", message));
            }
        }
    }
    lines
}
