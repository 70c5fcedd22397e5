//! Tests that this version finishes the work in a data directory that version 0.1.0 left in the middle of it. The rows
//! and chunk objects of the directory were made with the code of that version.

#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests fail as tests do")]

use host_core::{
    clock::SystemClock,
    model::{Counts, JobId, JobStatus, LedgerRecord, ProductId},
    storage::{ChunkOutcome, Claim, LedgerScope, Storage, Stores},
};
use host_storage_sqlite::SqliteStorage;
use host_testing::build;
use std::{fs, path::Path, sync::Arc, time::Duration};

const MINUTE: Duration = Duration::from_secs(60);

/// Fills `dir` with the data directory of version 0.1.0, and opens it as a worker.
async fn old_directory(dir: &Path) -> Stores {
    let old = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data-directory-0.1.0");
    // The steps of the schema that 0.1.0 had are never changed: an empty file gets the same tables.
    drop(SqliteStorage::open(dir, Arc::new(SystemClock)).unwrap());
    let rows = fs::read_to_string(old.join("host.sql")).unwrap();
    rusqlite::Connection::open(dir.join("host.db")).unwrap().execute_batch(&rows).unwrap();
    copy(&old.join("chunks"), &dir.join("chunks"));
    let embedded = SqliteStorage::open(dir, Arc::new(SystemClock)).unwrap();
    embedded.register().await.unwrap();
    embedded.stores()
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap().map(Result::unwrap) {
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

fn id(id: &str) -> JobId {
    JobId::new(id).unwrap()
}

/// The outcome of a chunk with one document, which was written.
fn written() -> ChunkOutcome {
    let counts = Counts { processed: 1, ..Counts::default() };
    ChunkOutcome { counts, report: None, samples: Vec::new(), quarantined: None }
}

/// Processes all messages of a shop; returns how many chunks were written.
async fn work(stores: &Stores, shop: &str) -> usize {
    let mut written_chunks = 0;
    while let Some(delivery) = stores.queue.receive(shop, 1, MINUTE).await.unwrap().pop() {
        let chunk = &delivery.chunk;
        let bytes = stores.chunks.get(&chunk.key, Some(chunk.sha256)).await.unwrap();
        assert!(bytes.is_some(), "{} is there, with its digest", chunk.key);
        match stores.jobs.claim(&chunk.job_id, chunk.seq, MINUTE).await.unwrap() {
            Claim::Acquired(lease) => {
                assert!(stores.jobs.complete(&lease, &written()).await.unwrap().is_counted());
                written_chunks += 1;
            }
            Claim::Done { quarantined } => assert_eq!(quarantined, None),
            other => panic!("{other:?}"),
        }
        assert!(stores.queue.ack(&delivery.receipt).await.unwrap());
    }
    written_chunks
}

#[tokio::test]
async fn each_item_of_an_older_job_counts_once() {
    let dir = tempfile::tempdir().unwrap();
    let stores = old_directory(dir.path()).await;
    let open = stores.jobs.get(&id("job-c")).await.unwrap().unwrap();
    assert_eq!((open.status, open.completed_chunks), (JobStatus::InProgress, 2));
    assert_eq!(open.last_error.unwrap().code, "index-unavailable");
    // Version 0.1.0 left one chunk done, one counted but not marked, one with its outcome stored; the other two are
    // written now.
    assert_eq!(work(&stores, "shop-c").await, 2);
    let ended = stores.jobs.get(&id("job-c")).await.unwrap().unwrap();
    assert_eq!((ended.status, ended.counts.processed), (JobStatus::Completed, 5));
}

#[tokio::test]
async fn an_older_dead_letter_is_redriven() {
    let dir = tempfile::tempdir().unwrap();
    let stores = old_directory(dir.path()).await;
    let dead_letters = stores.queue.dead_letters("shop-b").await.unwrap();
    let [dead_letter] = dead_letters.as_slice() else { panic!("{dead_letters:?}") };
    assert_eq!((dead_letter.code.as_str(), dead_letter.redrive_count), ("index-refused", 0));
    assert_eq!(stores.jobs.redrive(&id("job-b"), 0, 0).await.unwrap(), Some(1));
    let job = stores.jobs.get(&id("job-b")).await.unwrap().unwrap();
    stores.queue.send(&job.job, &dead_letter.chunk, 1).await.unwrap();
    assert_eq!(work(&stores, "shop-b").await, 1);
    let ended = stores.jobs.get(&id("job-b")).await.unwrap().unwrap();
    assert_eq!((ended.status, ended.counts.processed, ended.counts.failed), (JobStatus::Completed, 1, 0));
}

#[tokio::test]
async fn jobs_that_have_ended_and_settings_are_read() {
    let dir = tempfile::tempdir().unwrap();
    let stores = old_directory(dir.path()).await;
    let ended = stores.jobs.get(&id("job-a")).await.unwrap().unwrap();
    assert_eq!(
        (ended.status, ended.job.target.to_string()),
        (JobStatus::Completed, "catalog:embedded".to_owned())
    );
    let settings = stores.settings.get("products").await.unwrap().unwrap();
    assert_eq!(settings.0["endpoint"], "http://search.example:8882");
}

/// The test goes back to schema 5, the last one without a ledger (what host remembers of products).
#[tokio::test]
async fn a_directory_without_a_ledger_gets_an_empty_one() {
    let dir = tempfile::tempdir().unwrap();
    drop(old_directory(dir.path()).await);
    let file = rusqlite::Connection::open(dir.path().join("host.db")).unwrap();
    file.execute_batch(
        "DROP TABLE ledger; DROP TABLE ledger_scope; DROP TABLE job_sequence; DROP TABLE breaker; DROP TABLE cleared_breaker;
        DROP TABLE shop_removal; DROP INDEX job_open; CREATE TABLE seen (product_id INTEGER);
        DROP INDEX products_by_search_config; ALTER TABLE products DROP COLUMN search_config;
        ALTER TABLE job DROP COLUMN archive_refused;
        PRAGMA user_version = 5;",
    )
    .unwrap();
    drop(file);
    let stores = SqliteStorage::open(dir.path(), Arc::new(SystemClock)).unwrap().stores();
    let job = stores.jobs.get(&id("job-c")).await.unwrap().unwrap().job;
    let scope = LedgerScope::of(&job, "catalog:embedded".into());
    let product = ProductId::new("gid://shopify/Product/1").unwrap();
    assert_eq!(stores.ledger.get(&scope, std::slice::from_ref(&product)).await.unwrap(), [None]);
    let record = LedgerRecord::new(product, job.id, job.created_at);
    build::store_records(&*stores.ledger, &scope, std::slice::from_ref(&record)).await;
    assert_eq!(stores.ledger.page(&scope, None, 9).await.unwrap(), [record]);
}
