//! Runs the conformance suites of the storage ports on a data directory, and measures its speed:
//! `cargo test --release --test conformance -- --ignored --nocapture speed`.

#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests fail as tests do")]

use host_core::{
    clock::{SharedClock, SystemClock},
    storage::Storage,
};
use host_storage_sqlite::SqliteStorage;
use host_testing::{
    VirtualClock,
    build::{MINUTE, chunk, job},
    conformance::{
        Backend,
        properties::{self, ReceiptLife},
    },
};
use std::{sync::Arc, time::Instant};
use tempfile::TempDir;

fn embedded() -> Backend {
    let dir = tempfile::tempdir().unwrap();
    let clock: SharedClock = Arc::new(VirtualClock::new(1));
    let stores = SqliteStorage::open(dir.path(), clock.clone()).unwrap().stores();
    Backend { stores, clock, insert_raw_settings, resources: Box::new(dir) }
}

/// Stores settings as they are, valid or not, as another program could.
fn insert_raw_settings(backend: &Backend, index_name: &str, json: &str) {
    let dir = backend.resources.downcast_ref::<TempDir>().unwrap();
    let file = rusqlite::Connection::open(dir.path().join("host.db")).unwrap();
    file.execute("INSERT INTO index_settings VALUES (?1, ?2)", [index_name, json]).unwrap();
}

#[test]
fn counters_equal_a_recount_and_a_job_ends_once() {
    properties::counters_equal_a_recount_and_a_job_ends_once(embedded);
}

#[test]
fn the_queue_keeps_order_and_loses_nothing() {
    properties::the_queue_keeps_order_and_loses_nothing(embedded, ReceiptLife::UntilRedelivery);
}

host_testing::chunk_tests!(embedded);
host_testing::storage_tests!(embedded);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "measures"]
async fn speed_of_the_queue_and_of_chunks() {
    const MESSAGES: u32 = 20_000;
    const CHUNKS: u32 = 200;
    let dir = tempfile::tempdir().unwrap();
    let stores = SqliteStorage::open(dir.path(), Arc::new(SystemClock)).unwrap().stores();
    let job = job(&SystemClock, "shop");
    let start = Instant::now();
    for seq in 0..MESSAGES {
        stores.queue.send(&job, &chunk(&job.id, seq, (seq % 4) as u16), 0).await.unwrap();
    }
    println!("send: {:.0}/s", f64::from(MESSAGES) / start.elapsed().as_secs_f64());
    let start = Instant::now();
    let mut received = 0;
    loop {
        let deliveries = stores.queue.receive("shop", 4, MINUTE).await.unwrap();
        if deliveries.is_empty() {
            break;
        }
        for delivery in deliveries {
            stores.queue.ack(&delivery.receipt).await.unwrap();
            received += 1;
        }
    }
    println!(
        "receive and acknowledge, 4 lanes: {:.0}/s",
        f64::from(received) / start.elapsed().as_secs_f64()
    );
    let start = Instant::now();
    for number in 0..CHUNKS {
        stores.chunks.put_if_absent(&format!("shop/{number}"), &vec![b'x'; 1 << 20]).await.unwrap();
    }
    println!("chunks of 1 MiB: {:.0}/s", f64::from(CHUNKS) / start.elapsed().as_secs_f64());
}
