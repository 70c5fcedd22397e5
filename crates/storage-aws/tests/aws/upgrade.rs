//! This version continues what version 0.1.0 has left in an environment in the middle of its work. The items, objects
//! and messages in `tests/environment-0.1.0` are what ingest, worker and archiving of that version wrote, run on models
//! of DynamoDB, S3 and SQS.

use super::stand_in::{Environment, stand_in};
use aws_sdk_dynamodb::types::AttributeValue;
use host_core::{
    clock::SharedClock,
    index::ArchiveLimit,
    model::{
        Counts, DocumentId, EntryClass, Job, JobId, JobStatus, Operation, ProductId, QuarantinedProducts,
        ReportEntry, Seal, SourceStats,
    },
    storage::{ChunkLease, Claim, JobSnapshot, Storage, Stores},
};
use host_pipeline::{
    archive::{Archive, RemovalSettings},
    ingest::{
        chunk::{ChunkBounds, Chunker, PendingLine},
        publish::Publisher,
        quarantine,
    },
    worker::{self, DeadLetterFilter},
};
use host_storage_aws::{Outgoing, QueueService, QueueSpec, Sqs, Swept};
use host_testing::{
    VirtualClock,
    build::{self, MINUTE, processed},
    conformance::Backend,
    fakes::{FakeIndex, IndexedDocument},
};
use serde_json::{Map, Value, json};
use std::{collections::HashMap, path::Path, sync::Arc};
use tokio_util::sync::CancellationToken;

const SHOP_A: &str = "shop-a.myshopify.com";
const SHOP_B: &str = "shop-b.myshopify.com";
const SHOP_C: &str = "shop-c.myshopify.com";
const SHOP_D: &str = "shop-d.myshopify.com";
const SHOP_E: &str = "shop-e.myshopify.com";

/// The stand-in for AWS with everything that is in the folder.
async fn old_environment() -> Backend {
    let backend = stand_in();
    let Environment { aws, clients, .. } = environment(&backend);
    let names = aws.names();
    for (table, file) in [(names.jobs_table(), "jobs.json"), (names.settings_table(), "settings.json")] {
        let items: Vec<Map<String, Value>> = serde_json::from_str(&text(file)).unwrap();
        for item in items {
            let item = item.iter().map(|(name, value)| (name.clone(), attribute(value))).collect();
            clients.dynamodb.put_item().table_name(&table).set_item(Some(item)).send().await.unwrap();
        }
    }
    let objects: Map<String, Value> = serde_json::from_str(&text("objects.json")).unwrap();
    for (key, bytes) in &objects {
        backend.stores.chunks.put(key, bytes.as_str().unwrap().as_bytes()).await.unwrap();
    }
    let sqs = Sqs::new(clients.sqs.clone());
    let messages: Vec<HashMap<String, String>> = serde_json::from_str(&text("messages.json")).unwrap();
    for message in messages {
        let shop_id = &message["shop_id"];
        let (letters, messages) = (names.dead_letter_queue(shop_id), names.queue(shop_id));
        for (name, dead_letters) in [(letters.clone(), None), (messages, Some(letters))] {
            sqs.create(&QueueSpec { name, shop_id: shop_id.clone(), dead_letters }).await.unwrap();
        }
        let url = sqs.find(&message["QueueName"]).await.unwrap().unwrap();
        let outgoing = Outgoing {
            body: message["MessageBody"].clone(),
            group: message["MessageGroupId"].clone(),
            deduplication_id: message["MessageDeduplicationId"].clone(),
        };
        assert!(sqs.send(&url, &outgoing).await.unwrap());
    }
    backend
}

fn environment(backend: &Backend) -> &Environment {
    backend.resources.downcast_ref().unwrap()
}

fn text(file: &str) -> String {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/environment-0.1.0");
    std::fs::read_to_string(folder.join(file)).unwrap()
}

/// A value of an attribute in DynamoDB's JSON.
fn attribute(json: &Value) -> AttributeValue {
    let (kind, value) = json.as_object().unwrap().iter().next().unwrap();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    match kind.as_str() {
        "S" => AttributeValue::S(text(value)),
        "N" => AttributeValue::N(text(value)),
        "NS" => AttributeValue::Ns(value.as_array().unwrap().iter().map(text).collect()),
        other => panic!("0.1.0 writes no {other}"),
    }
}

fn id(id: &str) -> JobId {
    JobId::new(id).unwrap()
}

async fn job(stores: &Stores, name: &str) -> JobSnapshot {
    stores.jobs.get(&id(name)).await.unwrap().unwrap()
}

/// The entries of all reports of a job.
async fn reported(stores: &Stores, name: &str) -> Vec<ReportEntry> {
    let mut entries = Vec::new();
    for key in stores.jobs.reports(&id(name)).await.unwrap() {
        let report = stores.chunks.get(&key, None).await.unwrap().unwrap();
        let lines = report.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
        entries.extend(lines.map(|line| serde_json::from_slice::<ReportEntry>(line).unwrap()));
    }
    entries
}

fn codes(entries: &[ReportEntry]) -> Vec<&str> {
    entries.iter().map(|entry| entry.code.as_str()).collect()
}

/// Handles all messages of a shop's queue as a worker does; the numbers of the chunks that were completed.
async fn work(stores: &Stores, shop: &str) -> Vec<u32> {
    let mut written = Vec::new();
    while let Some(delivery) = stores.queue.receive(shop, 1, MINUTE).await.unwrap().pop() {
        let chunk = &delivery.chunk;
        let bytes = stores.chunks.get(&chunk.key, Some(chunk.sha256)).await.unwrap();
        assert!(bytes.is_some(), "{} is there, with its digest", chunk.key);
        match stores.jobs.claim(&chunk.job_id, chunk.seq, MINUTE).await.unwrap() {
            Claim::Acquired(lease) => {
                assert!(
                    stores
                        .jobs
                        .complete(&lease, &processed(chunk.documents.into()))
                        .await
                        .unwrap()
                        .is_counted()
                );
                written.push(chunk.seq);
            }
            Claim::Done { quarantined } => assert_eq!(quarantined, None),
            other => panic!("{other:?}"),
        }
        assert!(stores.queue.ack(&delivery.receipt).await.unwrap());
    }
    written
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_item_of_an_older_job_counts_once() {
    let backend = old_environment().await;
    let stores = &backend.stores;
    let open = job(stores, "job-c").await;
    assert_eq!((open.status, open.completed_chunks, open.chunks), (JobStatus::InProgress, 2, 5));
    assert_eq!(open.last_error.unwrap().code, "index-unavailable");

    // A worker that crashed has claimed the fourth chunk, after an attempt that failed.
    let Claim::Acquired(lease) = stores.jobs.claim(&open.job.id, 3, MINUTE).await.unwrap() else {
        panic!("its lease has expired")
    };
    assert_eq!((lease.fencing_token, lease.attempts, lease.redrive_count), (3, 3, 0));
    assert_eq!(lease.first_error.as_ref().unwrap().code, "index-unavailable");
    let old = ChunkLease { fencing_token: 2, ..lease.clone() };
    assert!(
        !stores.jobs.complete(&old, &processed(1)).await.unwrap().is_counted(),
        "the lease of the earlier worker is lost, even if it did not crash"
    );
    assert!(stores.jobs.complete(&lease, &processed(1)).await.unwrap().is_counted());

    // In 0.1.0, one chunk was done, one counted, and of one the outcome was stored. Only the last chunk is left.
    assert_eq!(work(stores, SHOP_C).await, [4]);
    let ended = job(stores, "job-c").await;
    assert_eq!(ended.status, JobStatus::Conflict);
    assert_eq!(ended.counts, Counts { processed: 4, conflict: 1, ..Counts::default() });
    assert_eq!(codes(&ended.samples), ["older-version"]);
    assert_eq!(codes(&reported(stores, "job-c").await), ["older-version"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_sweep_repairs_what_older_processes_left() {
    let backend = old_environment().await;
    let stores = &backend.stores;
    let Swept { sent, completed, ended, abandoned } =
        environment(&backend).aws.sweeper().sweep().await.unwrap();
    assert_eq!((completed, ended), (1, Vec::new()));
    // A chunk of shop b, whose message SQS has moved to the dead letters. The other waiting chunks have their messages.
    assert_eq!(sent, 1);
    assert_eq!(abandoned, [id("job-e"), id("job-d")]);
    assert_eq!(work(stores, SHOP_C).await, [3, 4]);
    assert!(job(stores, "job-c").await.status.has_ended());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn older_dead_letters_are_redriven() {
    let backend = old_environment().await;
    let stores = &backend.stores;
    let mut dead_letters = stores.queue.dead_letters(SHOP_B).await.unwrap();
    dead_letters.sort_by_key(|dead_letter| dead_letter.chunk.seq);
    let known: Vec<_> = dead_letters
        .iter()
        .map(|dead_letter| (dead_letter.chunk.seq, dead_letter.code.as_str(), dead_letter.redrive_count))
        .collect();
    assert_eq!(known, [(0, "corrupt-chunk", 1), (1, "corrupt-chunk", 0), (3, "received-too-often", 0)]);
    let context = &dead_letters[0].context;
    assert_eq!((context.attempts, context.host_version.as_str()), (1, "0.1.0"));
    assert_eq!(context.last_error.as_ref().unwrap().code, "corrupt-chunk");
    let open = job(stores, "job-b").await;
    assert_eq!((open.status, open.counts.processed, open.counts.failed), (JobStatus::InProgress, 1, 2));

    let all = DeadLetterFilter::default();
    let redriven = worker::redrive(stores, &backend.clock, SHOP_B, &all).await.unwrap();
    assert_eq!((redriven.sent.len(), redriven.done.len(), redriven.orphaned.len()), (3, 0, 0));
    let mut written = work(stores, SHOP_B).await;
    written.sort_unstable();
    assert_eq!(written, [0, 1, 3]);
    let ended = job(stores, "job-b").await;
    assert_eq!((ended.status, ended.counts.processed, ended.counts.failed), (JobStatus::Completed, 4, 0));
    assert!(ended.samples.is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn why_an_older_chunk_was_quarantined_is_read() {
    let backend = old_environment().await;
    for (seq, redrive_count) in [(0, 1), (1, 0)] {
        let claim = backend.stores.jobs.claim(&id("job-b"), seq, MINUTE).await.unwrap();
        let Claim::Done { quarantined: Some(reason) } = claim else { panic!("{claim:?}") };
        assert_eq!((reason.code.as_str(), reason.redrive_count), ("corrupt-chunk", redrive_count));
        assert_eq!(reason.context.host_version, "0.1.0");
    }
}

/// Publishes an export and seals the job, as an ingest does that starts again after a crash.
async fn publish(stores: &Stores, job: &Job, ids: &[&str], refused: Counts) {
    stores.jobs.create(job).await.unwrap();
    let mut chunker = Chunker::new(ChunkBounds { documents: 1, bytes: 1 << 20 }, 1);
    let clock: SharedClock = Arc::new(VirtualClock::new(1));
    let mut publisher = Publisher::new(stores, &clock, job);
    let mut full = Vec::new();
    for id in ids {
        let id = DocumentId::new(*id).unwrap();
        let (operation, product) = (Operation::AddDocuments, ProductId::from(&id));
        let object = r#"{"title":"Mug","v":1}"#;
        full.extend(chunker.push(
            id,
            PendingLine {
                operation,
                product: &product,
                product_stays: false,
                siblings: None,
                source_digest: None,
                object,
            },
        ));
    }
    full.extend(chunker.finish());
    for chunk in full {
        publisher.publish(chunk).await.unwrap();
    }
    let seal = Seal {
        chunks: publisher.chunks(),
        total_items: ids.len() as u64 + refused.total(),
        ingest_counts: refused,
        source: SourceStats::default(),
        samples: Vec::new(),
        reports: Vec::new(),
        quarantine: QuarantinedProducts::default(),
        ids: None,
    };
    stores.jobs.seal(&job.id, &seal).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_older_ingest_that_crashed_is_resumed() {
    let backend = old_environment().await;
    let stores = &backend.stores;
    let open = job(stores, "job-d").await;
    assert_eq!((open.status, &open.seal), (JobStatus::Pending, &None));
    assert_eq!(open.last_error.as_ref().unwrap().code, "internal-error");
    let found = stores.jobs.find_unfinished(SHOP_D, open.job.fingerprint).await.unwrap();
    assert_eq!(found.as_ref(), Some(&open.job));

    let aws = &environment(&backend).aws;
    assert!(!aws.has_active_ingest(&open.job).await.unwrap(), "its lease has expired");
    let (superseded, guard) = aws.acquire_ingest(&open.job).await.unwrap();
    assert!(superseded.is_empty());
    guard.release().await.unwrap();
    let refused = Counts { failed: 1, ..Counts::default() };
    publish(stores, &open.job, &["d0", "d1", "d2"], refused).await;
    assert_eq!(work(stores, SHOP_D).await, [0, 1, 2]);
    let ended = job(stores, "job-d").await;
    assert_eq!((ended.status, ended.counts.processed, ended.counts.failed), (JobStatus::Failed, 3, 1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_older_ingest_that_crashed_is_superseded() {
    let backend = old_environment().await;
    let stores = &backend.stores;
    let chunks = job(stores, "job-e").await.chunks;
    let next = backend.job(SHOP_E);
    stores.jobs.create(&next).await.unwrap();
    let (superseded, guard) = environment(&backend).aws.acquire_ingest(&next).await.unwrap();
    assert_eq!(superseded, [id("job-e")]);
    guard.release().await.unwrap();
    assert_eq!(work(stores, SHOP_E).await.len(), chunks as usize);
    let ended = job(stores, "job-e").await;
    assert_eq!((ended.status, ended.counts.processed), (JobStatus::Failed, chunks.into()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ended_jobs_and_settings_of_an_older_version_are_read() {
    let backend = old_environment().await;
    let stores = &backend.stores;
    let jobs = stores.jobs.list(Some(SHOP_A), 10).await.unwrap();
    let known: Vec<_> = jobs.iter().map(|job| (job.job.id.as_str(), job.status, job.job.full)).collect();
    assert_eq!(
        known,
        [
            ("job-a3", JobStatus::Failed, false),
            ("job-a2", JobStatus::Conflict, true),
            ("job-a1", JobStatus::Completed, false)
        ]
    );
    let last = &jobs[0];
    assert_eq!(last.counts, Counts { processed: 2, failed: 1, skipped: 1, conflict: 1, ..Counts::default() });
    let seal = last.seal.as_ref().unwrap();
    assert_eq!((seal.total_items, seal.quarantine.products), (5, 1));
    assert_eq!(codes(&last.samples), ["no-document", "invalid-price", "no-picture", "older-version"]);
    assert_eq!(
        codes(&reported(stores, "job-a3").await),
        ["invalid-price", "no-document", "no-picture", "older-version"]
    );

    let quarantined = quarantine::read_sealed(&*stores.chunks, &last.job, 0).await.unwrap();
    let [product] = quarantined.as_slice() else { panic!("{quarantined:?}") };
    assert_eq!((product.reason.class, product.reason.path.as_deref()), (EntryClass::Failed, Some("/price")));
    assert_eq!((product.product.id.as_deref(), product.plugin.name.as_str()), (Some("vase"), "rules"));

    let targets = ["job-a1", "job-b", "job-c", "job-d"];
    for (name, target) in targets.into_iter().zip(["marqo", "", "catalog", "catalog:embedded"]) {
        assert_eq!(job(stores, name).await.job.target.to_string(), target);
    }
    let settings = stores.settings.get("products").await.unwrap().unwrap();
    assert_eq!(
        (&settings.0["endpoint"], &settings.0["api_key"]),
        (&"http://search.example:8882".into(), &"secret".into())
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn archiving_leaves_documents_alone_that_no_job_of_this_version_had() {
    let backend = old_environment().await;
    let stores = &backend.stores;
    let next = Job { target: "marqo".into(), full: true, ..backend.job(SHOP_A) };
    publish(stores, &next, &["mug", "cup", "jug"], Counts::default()).await;
    let index = FakeIndex::default();
    for id in ["old", "removed", "mug", "cup", "pot", "jug", "bowl"] {
        let held = IndexedDocument { write: build::write(id, json!({})), job_id: "job-a1".to_owned() };
        index.state().documents.insert(DocumentId::new(id).unwrap(), held);
    }
    let cancel = CancellationToken::new();
    let archive = Archive {
        storage: &environment(&backend).aws,
        index: &index,
        worker: None,
        limit: ArchiveLimit { max_percent: 100, force: false },
        removals: RemovalSettings { bounds: ChunkBounds { documents: 10, bytes: 1 << 20 }, lanes: 1 },
        clock: backend.clock.clone(),
        cancel: &cancel,
    };
    let missing = archive.missing(&job(stores, next.id.as_str()).await).await.unwrap();
    assert_eq!(missing.documents, []);
}
