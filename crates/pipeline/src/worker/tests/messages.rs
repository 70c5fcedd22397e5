//! Tests of what becomes of a message if it cannot be removed, if its chunk makes the host panic, and if its chunk
//! cannot be claimed; and of the report of a chunk whose worker lost its lease.

use super::{
    claims::{Failing, FailingClaims, Log},
    *,
};
use crate::worker::{Deadlines, record_backtraces};
use async_trait::async_trait;
use host_core::{
    model::Digest,
    storage::{Chunks, Put, StoreError, StoreErrorKind},
};
use host_testing::fakes::intercepted;
use std::sync::{
    Mutex,
    atomic::{AtomicBool, AtomicU32, Ordering::Relaxed},
};

/// Nine attempts take ten minutes, and an operator looks earlier.
#[tokio::test(start_paused = true)]
async fn a_job_says_which_attempt_failed_and_when_the_next_one_begins() {
    let harness = Harness::new();
    let id = harness.publish("job", &[(ADD, TWO)], false).await;
    let said = async |next: Vec<Next>| {
        harness.index.state().script.clear();
        harness.script(next);
        let cancel = CancellationToken::new();
        let stop = async {
            tokio::time::sleep(Duration::from_secs(1)).await;
            cancel.cancel();
        };
        let (worked, ()) = tokio::join!(harness.worker.run_all(None, &cancel), stop);
        worked.unwrap();
        harness.stores.jobs.get(&id).await.unwrap().unwrap().last_error.unwrap()
    };
    let retried = said(vec![Next::Transient; 100]).await;
    let retry_at = retried.retry_at.unwrap();
    assert_eq!((retried.code.as_str(), retried.max_attempts), ("index-unavailable", Some(9)));
    assert!((1..9).contains(&retried.attempt) && retry_at >= retried.at, "{retried:?}");
    harness.clock.sleep(Duration::from_secs(60)).await;
    let refused = said(vec![Next::Permanent; 100]).await;
    assert_eq!(
        (refused.code.as_str(), refused.max_attempts, refused.retry_at),
        ("index-refused", None, None)
    );
}

/// A queue that fails to remove messages at first.
fn harness(failures: u32) -> Harness {
    let clock: SharedClock = Arc::new(VirtualClock::paused(1));
    let stores = Memory::new(clock.clone()).stores();
    let left = AtomicU32::new(failures);
    let gate = move |name: &'static str| {
        let removes = ["queue.ack", "queue.dead_letter"].contains(&name);
        if !removes || left.fetch_update(Relaxed, Relaxed, |left| left.checked_sub(1)).is_err() {
            return Ok(());
        }
        let (action, kind) = ("removing".to_owned(), StoreErrorKind::Transient);
        Err(StoreError { action, kind, source: "no".into() })
    };
    Harness::with_stores(intercepted(stores, Arc::new(gate)), clock)
}

#[tokio::test(start_paused = true)]
async fn a_message_that_cannot_be_removed_is_redelivered_and_no_error_of_its_job() {
    let harness = harness(1);
    let id = harness.publish("job", &[(ADD, TWO), (ADD, "{\"_id\":\"3\",\"v\":1}\n")], false).await;
    let mut delivered = harness.stores.queue.receive(SHOP, 1, Duration::from_secs(60)).await.unwrap();
    let deadlines = Deadlines {
        begin_until: jiff::Timestamp::MAX,
        work_until: harness.clock.now() + Duration::from_secs(600),
    };
    let receipt = delivered[0].receipt.clone();
    let done = harness.worker.run_batch(vec![delivered.remove(0)], deadlines).await;
    assert!(!done.contains(&receipt), "the message is still in the queue");
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
    // A dead letter for another reason has no backtrace.
    let id = harness.publish("other", &[(ADD, TWO)], false).await;
    let chunk = harness.stores.jobs.chunk(&id, 0).await.unwrap().unwrap();
    harness.stores.chunks.put(&chunk.key, b"damaged").await.unwrap();
    harness.run(&id).await.unwrap();
    let dead_letters = harness.stores.queue.dead_letters(SHOP).await.unwrap();
    assert_eq!(dead_letters[1].context.backtrace, None);
}

/// A store whose first `put`, that of a report, takes effect late, even if its caller has given up by then: a request
/// in flight cannot be taken back.
struct LateReport {
    chunks: Arc<dyn Chunks>,
    is_late: AtomicBool,
}

#[async_trait]
impl Chunks for LateReport {
    async fn put_if_absent(&self, key: &str, bytes: &[u8]) -> Result<Put, StoreError> {
        self.chunks.put_if_absent(key, bytes).await
    }

    async fn put(&self, key: &str, bytes: &[u8]) -> Result<(), StoreError> {
        if !self.is_late.swap(false, Relaxed) {
            return self.chunks.put(key, bytes).await;
        }
        let (chunks, key, bytes) = (self.chunks.clone(), key.to_owned(), bytes.to_vec());
        let put = tokio::spawn(async move {
            tokio::time::sleep(Duration::from_secs(600)).await;
            chunks.put(&key, &bytes).await
        });
        put.await.unwrap()
    }

    async fn get(&self, key: &str, sha256: Option<Digest>) -> Result<Option<Vec<u8>>, StoreError> {
        self.chunks.get(key, sha256).await
    }

    async fn delete(&self, key: &str) -> Result<(), StoreError> {
        self.chunks.delete(key).await
    }

    async fn delete_all(&self, keys: &[String]) -> Result<(), StoreError> {
        self.chunks.delete_all(keys).await
    }

    async fn remove_shop(&self, shop_id: &str, dry_run: bool) -> Result<u64, StoreError> {
        self.chunks.remove_shop(shop_id, dry_run).await
    }
}

#[tokio::test(start_paused = true)]
async fn a_worker_that_lost_its_chunk_does_not_replace_its_report() {
    let clock: SharedClock = Arc::new(VirtualClock::paused(1));
    let stores = Memory::new(clock.clone()).stores();
    let chunks = Arc::new(LateReport { chunks: stores.chunks.clone(), is_late: AtomicBool::new(true) });
    let harness = Harness::with_stores(Stores { chunks, ..stores }, clock);
    let id = harness.publish("job", &[(ADD, &format!("{TWO}no document\n"))], false).await;
    // Only the first attempt has this refusal, and only its report names it.
    harness.script([Next::Refuse("1")]);
    let take_over = async {
        harness.clock.sleep(Duration::from_secs(5)).await;
        let lease = ChunkLease {
            job_id: id.clone(),
            seq: 0,
            fencing_token: 1,
            attempts: 1,
            redrive_count: 0,
            first_error: None,
        };
        assert!(harness.stores.jobs.release(&lease, Release::CountAttempt(None)).await.unwrap());
    };
    let (job, ()) = tokio::join!(harness.run(&id), take_over);
    let job = job.unwrap();
    assert_eq!((job.counts.processed, job.counts.failed, job.counts.skipped), (2, 0, 1));
    harness.clock.sleep(Duration::from_secs(3_600)).await;
    let reports = harness.stores.jobs.reports(&id).await.unwrap();
    assert_eq!(reports.len(), 1);
    let report = harness.stores.chunks.get(&reports[0], None).await.unwrap().unwrap();
    let report = String::from_utf8(report).unwrap();
    assert!(report.contains("invalid-json") && !report.contains("invalid-argument"), "{report}");
}

#[tokio::test(start_paused = true)]
async fn a_claim_that_fails_is_not_delivered_again_at_once() {
    const HOUR: Duration = Duration::from_secs(3_600);
    /// Works for this time: in a loop over all shops, or in a function that is invoked for as long as there are
    /// messages.
    async fn work(harness: &Harness, in_loop: bool, time: Duration) {
        let cancel = CancellationToken::new();
        let stop = async {
            harness.clock.sleep(time).await;
            cancel.cancel();
        };
        let invoke = async {
            while !cancel.is_cancelled() {
                let queue = &harness.stores.queue;
                let deliveries = queue.receive(SHOP, 10, Duration::from_secs(900)).await.unwrap();
                let now = harness.clock.now();
                let deadlines = Deadlines { begin_until: now + HOUR / 8, work_until: now + HOUR / 4 };
                harness.worker.run_batch(deliveries, deadlines).await;
                harness.clock.sleep(Duration::from_millis(100)).await;
            }
        };
        if in_loop {
            let (done, ()) = tokio::join!(harness.worker.run_all(None, &cancel), stop);
            done.unwrap();
        } else {
            tokio::join!(invoke, stop);
        }
    }

    for failing in [
        Failing::With(StoreErrorKind::Transient),
        Failing::With(StoreErrorKind::Permanent),
        Failing::With(StoreErrorKind::Corrupt),
        Failing::ByPanic,
    ] {
        for in_loop in [true, false] {
            let clock: SharedClock = Arc::new(VirtualClock::paused(1));
            let stores = Memory::new(clock.clone()).stores();
            let jobs = FailingClaims { failing: Mutex::new(Some(failing)), claims: Mutex::default() };
            let jobs = Arc::new(jobs);
            let harness = Harness::with_stores(intercepted(stores, jobs.clone()), clock);
            let id = harness.publish("job", &[(ADD, TWO), (ADD, "{\"_id\":\"3\",\"v\":1}\n")], false).await;
            let log = Log::default();
            let logging = tracing::subscriber::set_default(log.clone());
            work(&harness, in_loop, HOUR).await;
            drop(logging);
            let (claims, what) = (*jobs.claims.lock().unwrap(), format!("{failing:?}, in a loop: {in_loop}"));
            assert!((10..100).contains(&claims), "{what}: {claims} claims");
            let job = harness.stores.jobs.get(&id).await.unwrap().unwrap();
            assert_eq!((job.completed_chunks, job.counts), (0, Counts::default()), "{what}");
            assert!(harness.stores.queue.dead_letters(SHOP).await.unwrap().is_empty(), "{what}");
            let log = std::mem::take(&mut *log.0.lock().unwrap());
            assert!(log.iter().any(|message| message.starts_with("could not handle a chunk")), "{log:?}");
            assert!(!log.iter().any(|message| message.contains("counted as failed")), "{log:?}");

            *jobs.failing.lock().unwrap() = None;
            work(&harness, in_loop, Duration::from_secs(60)).await;
            let job = harness.stores.jobs.get(&id).await.unwrap().unwrap();
            assert_eq!((job.status, job.counts), (JobStatus::Completed, counts(3)), "{what}");
        }
    }
}
