//! What becomes of a message whose chunk is done, when the queue fails, and of one whose chunk makes the host panic.

use super::*;
use crate::worker::record_backtraces;
use async_trait::async_trait;
use host_core::storage::{
    DeadLetter, Delivery, LeasedDeadLetter, QuarantineReason, Queue, Receipt, StoreError, StoreErrorKind,
};
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

/// A queue that fails to remove messages at first.
struct Unremovable {
    queue: Arc<dyn Queue>,
    failures: AtomicU32,
}

impl Unremovable {
    fn fail(&self) -> Result<(), StoreError> {
        if self.failures.fetch_update(Relaxed, Relaxed, |left| left.checked_sub(1)).is_err() {
            return Ok(());
        }
        Err(StoreError {
            action: "removing".to_owned(),
            kind: StoreErrorKind::Transient,
            source: "no".into(),
        })
    }
}

#[async_trait]
impl Queue for Unremovable {
    async fn send(&self, job: &Job, chunk: &ChunkRef, redrive_count: u32) -> Result<(), StoreError> {
        self.queue.send(job, chunk, redrive_count).await
    }

    async fn receive(
        &self,
        shop_id: &str,
        max: usize,
        visibility: Duration,
    ) -> Result<Vec<Delivery>, StoreError> {
        self.queue.receive(shop_id, max, visibility).await
    }

    async fn shops(&self) -> Result<Vec<String>, StoreError> {
        self.queue.shops().await
    }

    async fn ready_shops(&self, visibility: Duration) -> Result<Vec<String>, StoreError> {
        self.queue.ready_shops(visibility).await
    }

    async fn change_visibility(&self, receipt: &Receipt, visibility: Duration) -> Result<bool, StoreError> {
        self.queue.change_visibility(receipt, visibility).await
    }

    async fn release(&self, receipt: &Receipt, delay: Duration) -> Result<bool, StoreError> {
        self.queue.release(receipt, delay).await
    }

    async fn ack(&self, receipt: &Receipt) -> Result<bool, StoreError> {
        self.fail()?;
        self.queue.ack(receipt).await
    }

    async fn dead_letter(&self, receipt: &Receipt, reason: &QuarantineReason) -> Result<bool, StoreError> {
        self.fail()?;
        self.queue.dead_letter(receipt, reason).await
    }

    async fn depth(&self, shop_id: &str) -> Result<u64, StoreError> {
        self.queue.depth(shop_id).await
    }

    async fn dead_letters(&self, shop_id: &str) -> Result<Vec<DeadLetter>, StoreError> {
        self.queue.dead_letters(shop_id).await
    }

    async fn receive_dead_letters(
        &self,
        shop_id: &str,
        visibility: Duration,
    ) -> Result<Vec<LeasedDeadLetter>, StoreError> {
        self.queue.receive_dead_letters(shop_id, visibility).await
    }

    async fn remove_shop(&self, shop_id: &str, dry_run: bool) -> Result<u64, StoreError> {
        self.queue.remove_shop(shop_id, dry_run).await
    }
}

fn harness(failures: u32) -> Harness {
    let clock: SharedClock = Arc::new(VirtualClock::paused(1));
    let stores = Memory::new(clock.clone()).stores();
    let queue = Arc::new(Unremovable { queue: stores.queue.clone(), failures: AtomicU32::new(failures) });
    Harness::with_stores(Stores { queue, ..stores }, clock)
}

#[tokio::test(start_paused = true)]
async fn a_message_that_cannot_be_removed_is_no_error_of_its_job() {
    let harness = harness(1);
    let id = harness.publish("job", &[(ADD, TWO), (ADD, "{\"_id\":\"3\",\"v\":1}\n")], false).await;
    let mut delivered = harness.stores.queue.receive(SHOP, 1, Duration::from_secs(60)).await.unwrap();
    let deadlines = crate::worker::Deadlines {
        begin_until: jiff::Timestamp::MAX,
        work_until: harness.clock.now() + Duration::from_secs(600),
    };
    let receipt = delivered[0].receipt.clone();
    let done = harness.worker.run_batch(vec![delivered.remove(0)], deadlines).await;
    assert!(!done.contains(&receipt), "it was called done");
    let job = harness.stores.jobs.get(&id).await.unwrap().unwrap();
    assert_eq!((job.completed_chunks, job.last_error), (1, None));
    let job = harness.run(&id).await.unwrap();
    assert_eq!((job.status, job.counts), (JobStatus::Completed, counts(3)));
    assert_eq!(harness.stores.queue.depth(SHOP).await.unwrap(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_dead_letter_says_where_the_host_panicked() {
    record_backtraces();
    let harness = harness(0);
    let id = harness.publish("job", &[(ADD, TWO)], false).await;
    harness.script([Next::Panic, Next::Panic]);
    assert_eq!(harness.run(&id).await.unwrap().status, JobStatus::Failed);
    let dead_letters = harness.stores.queue.dead_letters(SHOP).await.unwrap();
    let backtrace = dead_letters[0].context.backtrace.as_deref().unwrap();
    assert!(backtrace.starts_with("at ") && backtrace.contains("fakes/index.rs"), "{backtrace}");
    // Others have none.
    let id = harness.publish("other", &[(ADD, TWO)], false).await;
    let chunk = harness.stores.jobs.chunk(&id, 0).await.unwrap().unwrap();
    harness.stores.chunks.put(&chunk.key, b"damaged").await.unwrap();
    harness.run(&id).await.unwrap();
    let dead_letters = harness.stores.queue.dead_letters(SHOP).await.unwrap();
    assert_eq!(dead_letters[1].context.backtrace, None);
}
