//! Many shops in one data directory: they share one writer, and do not wait for each other.
#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests fail as tests do")]

use host_core::{
    clock::SystemClock,
    model::Job,
    storage::{Storage, Stores},
};
use host_storage_sqlite::SqliteStorage;
use host_testing::build::{self, MINUTE, chunk};
use std::{path::Path, sync::Arc, time::Duration};

/// More than anything here takes, and less than the wait for a writer.
const SOON: Duration = Duration::from_secs(15);

fn open(dir: &Path) -> SqliteStorage {
    SqliteStorage::open(dir, Arc::new(SystemClock)).unwrap()
}

async fn job(stores: &Stores, shop: &str) -> Job {
    stores.jobs.create(&build::job(&SystemClock, shop)).await.unwrap()
}

/// Fault of before: a transaction that writes for each shop, 50 times a second: 200 idle shops took 45 % of a core.
#[tokio::test]
async fn a_look_for_messages_waits_for_no_writer() {
    let dir = tempfile::tempdir().unwrap();
    let stores = open(dir.path()).stores();
    let sent = job(&stores, "busy").await;
    stores.queue.send(&sent, &chunk(&sent.id, 0, 0), 0).await.unwrap();
    let other = rusqlite::Connection::open(dir.path().join("host.db")).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let ready = tokio::time::timeout(SOON, stores.queue.ready_shops(MINUTE)).await;
    assert_eq!(ready.expect("it waits for the writer").unwrap(), ["busy"]);
    let received = tokio::time::timeout(SOON, stores.queue.receive("idle", 1, MINUTE)).await;
    assert!(received.expect("it waits for the writer").unwrap().is_empty());
    other.execute_batch("COMMIT").unwrap();
    assert_eq!(stores.queue.receive("busy", 1, MINUTE).await.unwrap().len(), 1);
    assert!(stores.queue.ready_shops(MINUTE).await.unwrap().is_empty(), "its only message is invisible");
}

/// Fault of before: one lock for all of a data directory.
#[tokio::test]
async fn ingests_wait_for_that_of_their_own_shop_and_index_alone() {
    let dir = tempfile::tempdir().unwrap();
    let (first, second) = (open(dir.path()), open(dir.path()));
    let (left, other) = (job(&first.stores(), "shop").await, job(&first.stores(), "other").await);
    let elsewhere = Job { index_name: "elsewhere".to_owned(), ..build::job(&SystemClock, "shop") };
    first.stores().jobs.create(&elsewhere).await.unwrap();
    let (_, guard) = first.acquire_ingest(&other).await.unwrap();
    assert!(second.has_active_ingest(&other).await.unwrap());
    assert!(!second.has_active_ingest(&left).await.unwrap());

    // Beside that of another shop it ends what was left of its own.
    let new = job(&second.stores(), "shop").await;
    let (superseded, held) = second.acquire_ingest(&new).await.unwrap();
    assert_eq!(superseded, [left.id]);
    let (_, beside) = first.acquire_ingest(&elsewhere).await.unwrap();
    let waiting = first.acquire_ingest(&new);
    tokio::pin!(waiting);
    let waited = tokio::time::timeout(Duration::from_millis(600), &mut waiting).await;
    assert!(waited.is_err(), "two processes ingest for one index");
    held.release().await.unwrap();
    tokio::time::timeout(SOON, waiting).await.expect("it is free").unwrap().1.release().await.unwrap();
    for guard in [guard, beside] {
        guard.release().await.unwrap();
    }
    assert!(!second.has_active_ingest(&other).await.unwrap());
}
