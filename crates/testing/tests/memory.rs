//! The conformance suites on the storage in memory, and checks of what is stricter there than they demand.

#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests fail as tests do")]

use host_core::{
    model::Job,
    storage::{ChunkOutcome, Claim, Delivery, QuarantineReason, Queue, Release, Storage},
};
use host_testing::{
    VirtualClock,
    build::{MINUTE, chunk, claim, processed},
    conformance::{
        Backend,
        properties::{self, ReceiptLife},
    },
    storage::Memory,
};
use std::{sync::Arc, time::Duration};

fn memory() -> Backend {
    Memory::new(Arc::new(VirtualClock::new(1))).backend()
}

host_testing::chunk_tests!(memory);
host_testing::storage_tests!(memory);

#[test]
fn counters_equal_a_recount_and_a_job_ends_once() {
    properties::counters_equal_a_recount_and_a_job_ends_once(memory);
}

#[test]
fn the_queue_keeps_order_and_loses_nothing() {
    properties::the_queue_keeps_order_and_loses_nothing(memory, ReceiptLife::UntilVisible);
}

/// A queue with one message, and that message's delivery.
async fn delivered(backend: &Backend) -> (&dyn Queue, Delivery) {
    let (queue, job) = (&*backend.stores.queue, backend.job("shop"));
    queue.send(&job, &chunk(&job.id, 0, 0), 0).await.unwrap();
    (queue, queue.receive("shop", 1, MINUTE).await.unwrap().remove(0))
}

#[tokio::test]
async fn a_receipt_is_void_once_its_message_is_visible_or_released() {
    let backend = memory();
    let (queue, delivery) = delivered(&backend).await;
    backend.clock.sleep(MINUTE).await;
    assert!(!queue.ack(&delivery.receipt).await.unwrap(), "the visibility timeout is over");
    let delivery = queue.receive("shop", 1, MINUTE).await.unwrap().remove(0);
    assert!(queue.release(&delivery.receipt, MINUTE).await.unwrap());
    assert!(!queue.ack(&delivery.receipt).await.unwrap(), "it is released");
    assert!(queue.receive("shop", 1, MINUTE).await.unwrap().is_empty(), "its delay is not over");
    backend.clock.sleep(MINUTE).await;
    let delivery = queue.receive("shop", 1, MINUTE).await.unwrap().remove(0);
    assert!(queue.release(&delivery.receipt, Duration::ZERO).await.unwrap());
    assert_eq!(queue.receive("shop", 1, MINUTE).await.unwrap().len(), 1, "it is redelivered immediately");
}

#[tokio::test]
async fn a_message_may_be_sent_twice_after_five_minutes() {
    let backend = memory();
    let (queue, delivery) = delivered(&backend).await;
    let job = Job { id: delivery.chunk.job_id.clone(), ..backend.job("shop") };
    for (minutes, depth) in [(4, 1), (1, 2)] {
        backend.clock.sleep(MINUTE * minutes).await;
        queue.send(&job, &delivery.chunk, 0).await.unwrap();
        assert_eq!(queue.depth("shop").await.unwrap(), depth);
    }
}

#[tokio::test]
async fn a_worker_that_had_a_chunk_before_its_redrive_is_refused() {
    let backend = memory();
    let (jobs, job) = (&backend.stores.jobs, backend.job_with_chunks(1).await);
    let lease = claim(&**jobs, &job.id, 0).await;
    let quarantined = Some(QuarantineReason::new("bad-checksum", "It differs."));
    assert!(jobs.complete(&lease, &ChunkOutcome { quarantined, ..processed(0) }).await.unwrap().is_counted());
    assert_eq!(jobs.redrive(&job.id, 0, 0).await.unwrap(), Some(1));
    assert!(!jobs.release(&lease, Release::CountAttempt(None)).await.unwrap());
    assert!(!jobs.renew(&lease, MINUTE).await.unwrap());
    assert!(!jobs.complete(&lease, &processed(1)).await.unwrap().is_counted());
}

#[tokio::test]
async fn a_second_process_does_not_release_what_the_first_one_holds() {
    let first = Memory::new(Arc::new(VirtualClock::new(1)));
    let backend = first.backend();
    let (queue, job) = (&backend.stores.queue, backend.job_with_chunks(1).await);
    queue.send(&job, &chunk(&job.id, 0, 0), 0).await.unwrap();
    first.register().await.unwrap();
    assert_eq!(queue.receive(&job.shop_id, 1, MINUTE).await.unwrap().len(), 1);
    let try_claim = async || backend.stores.jobs.claim(&job.id, 0, MINUTE).await.unwrap();
    assert!(matches!(try_claim().await, Claim::Acquired(_)));

    let second = first.another_process();
    second.register().await.unwrap();
    assert!(matches!(try_claim().await, Claim::Held { .. }), "the first one lives");
    assert!(queue.receive(&job.shop_id, 1, MINUTE).await.unwrap().is_empty());
}

#[tokio::test]
async fn one_process_ingests_for_a_shop_and_index() {
    let memory = Memory::new(Arc::new(VirtualClock::new(1)));
    let backend = memory.backend();
    let [old, new] = [backend.job("shop"), backend.job("shop")];
    backend.stores.jobs.create(&old).await.unwrap();
    let (superseded, guard) = memory.acquire_ingest(&old).await.unwrap();
    assert_eq!(superseded, []);
    assert!(memory.has_active_ingest(&new).await.unwrap());
    assert!(!memory.has_active_ingest(&backend.job("other")).await.unwrap());
    let other = memory.another_process();
    let waiting = other.acquire_ingest(&new);
    let hold_and_drop = async {
        for _ in 0..5 {
            backend.clock.sleep(MINUTE).await;
        }
        assert_eq!(backend.stores.jobs.get(&old.id).await.unwrap().unwrap().ended_at, None);
        let dropped_at = backend.clock.now();
        drop(guard);
        dropped_at
    };
    let (acquired, dropped_at) = futures::join!(waiting, hold_and_drop);
    let (superseded, guard) = acquired.unwrap();
    assert_eq!(superseded, [old.id]);
    assert!(backend.clock.now().duration_since(dropped_at).unsigned_abs() >= MINUTE, "its lease had to end");
    guard.release().await.unwrap();
    assert!(!memory.has_active_ingest(&new).await.unwrap());
}
