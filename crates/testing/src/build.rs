//! Builds plain data for tests (jobs, chunks, documents), and makes the usual calls with it.

use host_core::{
    clock::Clock,
    index::{Precondition, Removal, Write, WriteTarget},
    model::{
        ChunkRef, Counts, Digest, Document, DocumentId, EntryClass, Job, JobId, LedgerRecord, Operation,
        PluginRef, QuarantinedProducts, ReportEntry, SameVersion, Seal, SourceStats,
    },
    storage::{ChunkLease, ChunkOutcome, Claim, Jobs, Ledger, LedgerScope, RecordChange, Stores},
};
use serde_json::{Value, json};
use std::time::Duration;

/// A name that no other test uses on the same backend.
pub fn name(clock: &dyn Clock, prefix: &str) -> String {
    format!("{prefix}-{:016x}", clock.random())
}

/// A new job, not stored yet, whose id no other test uses.
pub fn job(clock: &dyn Clock, shop_id: &str) -> Job {
    Job {
        id: JobId::new(name(clock, "job")).unwrap(),
        platform: "shopify".to_owned(),
        shop_id: shop_id.to_owned(),
        index_name: "products".to_owned(),
        operation: Operation::AddDocuments,
        created_at: clock.now(),
        sequence: 0,
        exported_at: None,
        lanes: 4,
        plugin: PluginRef {
            name: "shopify".to_owned(),
            version: "1.0.0".to_owned(),
            digest: Digest::of(b"plug-in"),
        },
        fingerprint: Digest::of(name(clock, "fingerprint").as_bytes()),
        sources: vec!["export.jsonl".to_owned()],
        target: "catalog".into(),
        same_version: SameVersion::default(),
        transform_digest: None,
        skips_unchanged: false,
        full: false,
        removes_missing_of: None,
    }
}

/// The target of a job whose shop no other test uses.
pub fn target(clock: &dyn Clock) -> WriteTarget {
    WriteTarget {
        shop_id: name(clock, "shop"),
        index_name: "products".to_owned(),
        job_id: "job-1".to_owned(),
    }
}

/// The usual duration of leases and visibility timeouts in tests.
pub const MINUTE: Duration = Duration::from_secs(60);

/// A chunk of ten documents. There need be no object with its documents: it is for tests of queue and jobs alone.
pub fn chunk(job_id: &JobId, seq: u32, lane: u16) -> ChunkRef {
    ChunkRef {
        job_id: job_id.clone(),
        seq,
        lane,
        operation: Operation::AddDocuments,
        key: ChunkRef::key("shopify", "example.myshopify.com", job_id, seq),
        sha256: Digest::of(&seq.to_le_bytes()),
        documents: 10,
        bytes: 1000,
    }
}

/// The seal of a job: what ingest records when all chunks are published, here so many of ten items each.
pub fn seal(chunks: u32) -> Seal {
    Seal {
        chunks,
        total_items: u64::from(chunks) * 10,
        ingest_counts: Counts::default(),
        source: SourceStats::default(),
        samples: Vec::new(),
        reports: Vec::new(),
        quarantine: QuarantinedProducts { products: 3, left_out: 1, objects: 2 },
        ids: None,
    }
}

/// The outcome of a chunk of which so many items were processed.
pub fn processed(processed: u64) -> ChunkOutcome {
    ChunkOutcome {
        counts: Counts { processed, ..Counts::default() },
        report: None,
        samples: Vec::new(),
        quarantined: None,
    }
}

/// A report entry (why an item was not written) with the detail `seen`.
pub fn entry(class: EntryClass, message: impl Into<String>) -> ReportEntry {
    ReportEntry::new(class, "some-reason", message).with("seen", 1)
}

/// Claims a chunk for a [`MINUTE`]. No other worker may hold it.
pub async fn claim(jobs: &dyn Jobs, id: &JobId, seq: u32) -> ChunkLease {
    match jobs.claim(id, seq, MINUTE).await.unwrap() {
        Claim::Acquired(lease) => lease,
        other => panic!("chunk {seq} is not free: {other:?}"),
    }
}

/// Claims a chunk and completes it.
pub async fn complete(jobs: &dyn Jobs, id: &JobId, seq: u32, outcome: &ChunkOutcome) {
    let lease = claim(jobs, id, seq).await;
    assert!(jobs.complete(&lease, outcome).await.unwrap().is_counted());
}

/// The id of a document.
pub fn id(id: &str) -> DocumentId {
    DocumentId::new(id).unwrap()
}

/// Removals without a precondition.
pub fn removals(ids: &[DocumentId]) -> Vec<Removal> {
    ids.iter().cloned().map(Removal::of).collect()
}

/// The write of a document with these fields. Its version is the field `updated_at`, if it has one.
pub fn write(name: &str, fields: Value) -> Write {
    let Value::Object(fields) = fields else { panic!("fields are an object") };
    let content_hash = Digest::of(json!(fields).to_string().as_bytes()).to_string();
    let mut version = serde_json::Map::new();
    version.extend(fields.get("updated_at").map(|time| ("updated_at".to_owned(), time.clone())));
    Write {
        document: Document { id: id(name), fields },
        version,
        content_hash,
        precondition: Precondition::None,
    }
}

/// A chunk to be published: its lane (chunks of a lane are written in order), its operation, and a document per line.
pub type Lines<'a> = (u16, Operation, &'a str);

/// Creates a job, publishes its chunks and seals it, as ingest does.
pub async fn publish(stores: &Stores, job: &Job, chunks: &[Lines<'_>]) {
    stores.jobs.create(job).await.unwrap();
    let mut total_items = 0;
    for (seq, (lane, operation, text)) in (0..).zip(chunks) {
        let documents = text.lines().count() as u32;
        let chunk = ChunkRef {
            job_id: job.id.clone(),
            seq,
            lane: *lane,
            operation: *operation,
            key: ChunkRef::key(&job.platform, &job.shop_id, &job.id, seq),
            sha256: Digest::of(text.as_bytes()),
            documents,
            bytes: text.len() as u64,
        };
        stores.chunks.put_if_absent(&chunk.key, text.as_bytes()).await.unwrap();
        stores.jobs.add_chunk(&chunk).await.unwrap();
        stores.queue.send(job, &chunk, 0).await.unwrap();
        total_items += u64::from(documents);
    }
    let seal = Seal { total_items, quarantine: QuarantinedProducts::default(), ..seal(chunks.len() as u32) };
    stores.jobs.seal(&job.id, &seal).await.unwrap();
}

/// Stores records of distinct products in the ledger, replacing those that it has.
pub async fn store_records(ledger: &dyn Ledger, scope: &LedgerScope, records: &[LedgerRecord]) {
    let products: Vec<_> = records.iter().map(|record| record.product.clone()).collect();
    let before = ledger.get(scope, &products).await.unwrap();
    let change = |(before, after): (_, &LedgerRecord)| RecordChange { before, after: after.clone() };
    let changes: Vec<_> = before.into_iter().zip(records).map(change).collect();
    assert_eq!(ledger.replace(scope, &changes).await.unwrap(), vec![true; records.len()]);
}
