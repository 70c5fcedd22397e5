//! Tests with several shops in one data directory: they share one writer to the database, but do not wait for each
//! other.

#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests fail as tests do")]

use host_core::{
    clock::SystemClock,
    model::Job,
    storage::{Storage, Stores},
};
use host_storage_sqlite::SqliteStorage;
use host_testing::build::{self, MINUTE, chunk};
use std::{path::Path, sync::Arc, time::Duration};

/// Longer than anything here takes, and shorter than the 30 s that a transaction waits for a writer.
const TIMEOUT: Duration = Duration::from_secs(15);

fn open(dir: &Path) -> SqliteStorage {
    SqliteStorage::open(dir, Arc::new(SystemClock)).unwrap()
}

async fn job(stores: &Stores, shop: &str) -> Job {
    stores.jobs.create(&build::job(&SystemClock, shop)).await.unwrap()
}

/// A regression test: once each look took the write lock, 50 times a second for each shop, and 200 idle shops took 45 %
/// of a core.
#[tokio::test]
async fn looking_for_messages_waits_for_no_writer() {
    let dir = tempfile::tempdir().unwrap();
    let stores = open(dir.path()).stores();
    let sent = job(&stores, "busy").await;
    stores.queue.send(&sent, &chunk(&sent.id, 0, 0), 0).await.unwrap();
    let other = rusqlite::Connection::open(dir.path().join("host.db")).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let ready = tokio::time::timeout(TIMEOUT, stores.queue.ready_shops(MINUTE)).await;
    assert_eq!(ready.expect("it waits for the writer").unwrap(), ["busy"]);
    let received = tokio::time::timeout(TIMEOUT, stores.queue.receive("idle", 1, MINUTE)).await;
    assert!(received.expect("it waits for the writer").unwrap().is_empty());
    other.execute_batch("COMMIT").unwrap();
    assert_eq!(stores.queue.receive("busy", 1, MINUTE).await.unwrap().len(), 1);
    assert!(stores.queue.ready_shops(MINUTE).await.unwrap().is_empty(), "its only message is invisible");
}

/// A regression test: once there was one lock for a whole data directory.
#[tokio::test]
async fn an_ingest_waits_only_for_another_one_of_its_shop_and_index() {
    let dir = tempfile::tempdir().unwrap();
    let (first, second) = (open(dir.path()), open(dir.path()));
    let (interrupted, other_shop) = (job(&first.stores(), "shop").await, job(&first.stores(), "other").await);
    let other_index = Job { index_name: "other".to_owned(), ..build::job(&SystemClock, "shop") };
    first.stores().jobs.create(&other_index).await.unwrap();
    let (_, of_other_shop) = first.acquire_ingest(&other_shop).await.unwrap();
    assert!(second.has_active_ingest(&other_shop).await.unwrap());
    assert!(!second.has_active_ingest(&interrupted).await.unwrap());

    // While another shop ingests, a new ingest ends the interrupted job of its own shop and index.
    let new = job(&second.stores(), "shop").await;
    let (superseded, held) = second.acquire_ingest(&new).await.unwrap();
    assert_eq!(superseded, [interrupted.id]);
    let (_, of_other_index) = first.acquire_ingest(&other_index).await.unwrap();
    let waiting = first.acquire_ingest(&new);
    tokio::pin!(waiting);
    let waited = tokio::time::timeout(Duration::from_millis(600), &mut waiting).await;
    assert!(waited.is_err(), "two processes ingest for one index");
    held.release().await.unwrap();
    tokio::time::timeout(TIMEOUT, waiting).await.expect("it is free").unwrap().1.release().await.unwrap();
    for guard in [of_other_shop, of_other_index] {
        guard.release().await.unwrap();
    }
    assert!(!second.has_active_ingest(&other_shop).await.unwrap());
}
