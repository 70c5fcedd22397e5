//! Tests of the worker with storage in memory, an index that fails as its script says, and virtual time.
//!
//! The fake plug-ins compare versions by the field `v`, refuse documents with the title `bad`, warn of `odd`, and
//! fail on a batch with `fatal`.

use super::{RunUntil, Worker, WorkerSettings};
use host_core::{
    clock::SharedClock,
    model::{ChunkRef, Counts, DocumentId, EntryClass, Job, JobId, JobStatus, Operation},
    storage::{ChunkLease, ChunkOutcome, Claim, JobSnapshot, Release, Storage, Stores},
};
use host_testing::{
    VirtualClock, build,
    fakes::{FakeIndex, FakePlugin, Next},
    storage::Memory,
};
use serde_json::Value;
use std::{sync::Arc, time::Duration};
use tokio_util::sync::CancellationToken;

mod batch;
mod breaker;
mod cancelled;
mod chunks;
mod claims;
mod conflicts;
mod lanes;
mod ledger;
mod messages;
mod multi_shop;
mod poison;
mod same_version;
mod updates;

const SHOP: &str = "tests.myshopify.com";

/// A worker with its storage, index and clock.
struct Harness {
    stores: Stores,
    index: Arc<FakeIndex>,
    worker: Arc<Worker>,
    clock: SharedClock,
}

impl Harness {
    fn new() -> Self {
        let clock: SharedClock = Arc::new(VirtualClock::paused(1));
        let stores = Memory::new(clock.clone()).stores();
        Self::with_stores(stores, clock)
    }

    fn with_stores(stores: Stores, clock: SharedClock) -> Self {
        let (index, rules) = (Arc::new(FakeIndex::default()), Arc::new(FakePlugin::default()));
        let settings = WorkerSettings {
            concurrency: 3,
            lease: Duration::from_secs(60),
            poll_interval: Duration::from_millis(50),
            shutdown_timeout: Duration::from_secs(20),
            stopped_after: Duration::from_secs(24 * 3_600),
            keep_chunks: false,
        };
        let worker =
            Worker::new(stores.clone(), index.clone(), rules.clone(), rules, clock.clone(), settings);
        Self { stores, index, worker: Arc::new(worker), clock }
    }

    /// Adds what the index does at its next writes.
    fn script(&self, next: impl IntoIterator<Item = Next>) {
        self.index.state().script.extend(next);
    }

    /// Number of requests in which documents were written or updated.
    fn writes(&self) -> usize {
        self.index.state().written_shops.len()
    }

    /// Publishes a sealed job of these chunks, all in one lane or, if `side_by_side`, each in a lane of its own.
    async fn publish(&self, name: &str, chunks: &[(Operation, &str)], side_by_side: bool) -> JobId {
        self.publish_for(SHOP, name, chunks, side_by_side).await
    }

    async fn publish_for(
        &self,
        shop_id: &str,
        name: &str,
        chunks: &[(Operation, &str)],
        side_by_side: bool,
    ) -> JobId {
        let lane = |seq: usize| if side_by_side { seq as u16 } else { 0 };
        let lanes: Vec<u16> = (0..chunks.len()).map(lane).collect();
        self.publish_in(shop_id, name, chunks, &lanes).await
    }

    /// Publishes a sealed job of these chunks, each in the lane at its position in `lanes`.
    async fn publish_in(
        &self,
        shop_id: &str,
        name: &str,
        chunks: &[(Operation, &str)],
        lanes: &[u16],
    ) -> JobId {
        let job = Job { id: JobId::new(name).unwrap(), ..build::job(&*self.clock, shop_id) };
        let chunks: Vec<_> =
            chunks.iter().zip(lanes).map(|((operation, text), lane)| (*lane, *operation, *text)).collect();
        build::publish(&self.stores, &job, &chunks).await;
        job.id
    }

    /// Works until the job has ended.
    async fn run(&self, id: &JobId) -> Result<JobSnapshot, super::WorkerStopped> {
        self.worker.run(SHOP, RunUntil::JobEnds(id.clone()), &CancellationToken::new()).await?;
        Ok(self.stores.jobs.get(id).await.unwrap().unwrap())
    }

    /// Claims the first chunk of a job, which must be free.
    async fn claim(&self, id: &JobId, duration: Duration) -> ChunkLease {
        match self.stores.jobs.claim(id, 0, duration).await.unwrap() {
            Claim::Acquired(lease) => lease,
            other => panic!("the chunk is not free: {other:?}"),
        }
    }

    /// The first chunk in the queue, which must be the job's. Its message stays visible.
    async fn chunk(&self, id: &JobId) -> ChunkRef {
        let mut delivered = self.stores.queue.receive(SHOP, 1, Duration::ZERO).await.unwrap();
        let chunk = delivered.remove(0).chunk;
        assert_eq!(chunk.job_id, *id);
        chunk
    }
}

const ADD: Operation = Operation::AddDocuments;

fn counts(processed: u64) -> Counts {
    Counts { processed, ..Counts::default() }
}

/// A chunk of two documents.
const TWO: &str = "{\"_id\":\"1\",\"v\":1,\"title\":\"a\"}\n{\"_id\":\"2\",\"v\":1,\"title\":\"b\"}\n";

#[tokio::test(start_paused = true)]
async fn every_item_is_counted_in_exactly_one_class() {
    let harness = Harness::new();
    harness
        .publish(
            "old",
            &[(ADD, "{\"_id\":\"4\",\"v\":9,\"title\":\"x\"}\n{\"_id\":\"5\",\"v\":1,\"title\":\"same\"}\n")],
            false,
        )
        .await;
    let chunk = "{\"_id\":\"1\",\"v\":1,\"title\":\"fine\"}\n{\"_id\":\"2\",\"v\":1,\"title\":\"bad\"}\nno document\n\
                 {\"_id\":\"3\",\"v\":1,\"title\":\"odd\"}\n{\"_id\":\"4\",\"v\":2,\"title\":\"old\"}\n{\"_id\":\"5\",\"v\":1,\"title\":\"same\"}\n\
                 {\"_id\":\"6\",\"v\":1,\"title\":\"refused by the index\"}\n";
    let id = harness.publish("new", &[(ADD, chunk)], false).await;
    // The first write is that of the job `old`, which is before this one in the lane.
    harness.script([Next::Slow(Duration::ZERO), Next::Refuse("6")]);
    let job = harness.run(&id).await.unwrap();
    let expected = Counts { processed: 3, unchanged: 1, failed: 2, skipped: 1, conflict: 1, deleted: 0 };
    assert_eq!((job.counts, job.status), (expected, JobStatus::Failed));
    assert_eq!(job.counts.total(), 7);
    let codes: Vec<_> = job.samples.iter().map(|entry| (entry.class, entry.code.as_str())).collect();
    for entry in [
        (EntryClass::Failed, "bad-title"),
        (EntryClass::Skipped, "invalid-json"),
        (EntryClass::Warning, "odd-title"),
        (EntryClass::Conflict, "older-version"),
        (EntryClass::Failed, "invalid-argument"),
    ] {
        assert!(codes.contains(&entry), "{entry:?} is not in {codes:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_chunk_is_retried_after_temporary_failures_and_counted_once() {
    let harness = Harness::new();
    let id = harness.publish("job", &[(ADD, TWO)], false).await;
    harness.script([Next::Transient, Next::LostAnswer, Next::Transient, Next::Panic]);
    let job = harness.run(&id).await.unwrap();
    assert_eq!((job.status, job.counts), (JobStatus::Completed, counts(2)));
    // After the lost answer the documents are there: written by this very job, they are neither written again nor
    // `unchanged`.
    assert_eq!(harness.writes(), 2);
    assert_eq!(harness.stores.queue.depth(SHOP).await.unwrap(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_failure_that_a_person_must_fix_stops_the_worker_and_uses_up_no_attempt() {
    for (next, attempts) in
        [(vec![Next::Permanent], 1), (vec![Next::TooFewOutcomes], 1), (vec![Next::Transient; 9], 9)]
    {
        let harness = Harness::new();
        let id = harness.publish("job", &[(ADD, TWO)], false).await;
        harness.script(next);
        let stop = harness.run(&id).await.unwrap_err();
        assert_eq!(stop.attempts, attempts);
        assert_eq!(harness.stores.queue.depth(SHOP).await.unwrap(), 1);
        // The cause is fixed; the same worker resumes immediately.
        let job = harness.run(&id).await.unwrap();
        assert_eq!((job.status, job.counts), (JobStatus::Completed, counts(2)));
    }
}

#[tokio::test(start_paused = true)]
async fn a_done_chunk_is_acknowledged_without_touching_the_index() {
    let harness = Harness::new();
    let id = harness.publish("job", &[(ADD, TWO), (ADD, "{\"_id\":\"3\",\"v\":1}\n")], false).await;
    // A worker crashed between completing and acknowledging.
    let lease = harness.claim(&id, Duration::from_secs(60)).await;
    let outcome = ChunkOutcome { counts: counts(2), report: None, samples: Vec::new(), quarantined: None };
    assert!(harness.stores.jobs.complete(&lease, &outcome).await.unwrap().is_counted());
    let job = harness.run(&id).await.unwrap();
    assert_eq!((job.status, job.counts), (JobStatus::Completed, counts(3)));
    assert_eq!(harness.writes(), 1, "only the second chunk is written");
    assert_eq!(harness.stores.queue.depth(SHOP).await.unwrap(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_slow_chunk_keeps_its_lease() {
    let harness = Harness::new();
    let id = harness.publish("job", &[(ADD, TWO)], false).await;
    harness.script([Next::Slow(Duration::from_secs(600))]);
    // A second worker waits for the same queue all the while.
    let (job, _) = tokio::join!(harness.run(&id), harness.run(&id));
    assert_eq!(job.unwrap().counts, counts(2));
    assert_eq!(harness.writes(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_worker_without_its_lease_counts_nothing() {
    let harness = Harness::new();
    let id = harness.publish("job", &[(ADD, TWO)], false).await;
    let chunk = harness.chunk(&id).await;
    harness.script([Next::Slow(Duration::from_secs(50))]);
    let other_worker = async {
        tokio::time::sleep(Duration::from_secs(5)).await;
        // As if the first worker had been paused for longer than its lease: the chunk is released, and another worker
        // claims it.
        let (job_id, seq) = (id.clone(), chunk.seq);
        let lease =
            ChunkLease { job_id, seq, fencing_token: 1, attempts: 1, redrive_count: 0, first_error: None };
        let jobs = &harness.stores.jobs;
        assert!(jobs.release(&lease, Release::CountAttempt(None)).await.unwrap());
        assert_eq!(harness.claim(&id, Duration::from_secs(40)).await.fencing_token, 2);
    };
    let (job, ()) = tokio::join!(harness.run(&id), other_worker);
    // The first worker drops the chunk; the other one crashes while it has the lease; the third attempt counts.
    let job = job.unwrap();
    assert_eq!((job.status, job.counts, job.completed_chunks), (JobStatus::Completed, counts(2), 1));
}

#[tokio::test(start_paused = true)]
async fn chunks_of_one_lane_go_one_after_another_and_lanes_side_by_side() {
    for (side_by_side, seconds) in [(false, 30), (true, 10)] {
        let harness = Harness::new();
        let text = |id: u32| format!("{{\"_id\":\"{id}\",\"v\":1}}\n");
        let texts: Vec<String> = (0..3).map(text).collect();
        let chunks: Vec<_> = texts.iter().map(|text| (ADD, text.as_str())).collect();
        let id = harness.publish("job", &chunks, side_by_side).await;
        harness.script([const { Next::Slow(Duration::from_secs(10)) }; 3]);
        let started = harness.clock.now();
        assert_eq!(harness.run(&id).await.unwrap().counts, counts(3));
        let took = harness.clock.now().duration_since(started).as_secs();
        assert!((seconds..seconds + 3).contains(&took), "in lanes of their own: {side_by_side}, {took} s");
    }
}

#[tokio::test(start_paused = true)]
async fn a_removal_of_an_older_version_is_a_conflict() {
    let harness = Harness::new();
    let id = harness.publish("job", &[(ADD, TWO)], false).await;
    harness.run(&id).await.unwrap();
    let removals = "{\"_id\":\"1\",\"v\":0}\n{\"_id\":\"2\"}\n{\"_id\":\"404\",\"v\":1}\n";
    let id = harness.publish("removal", &[(Operation::DeleteDocuments, removals)], false).await;
    let job = harness.run(&id).await.unwrap();
    let expected = Counts { processed: 2, deleted: 2, conflict: 1, ..Counts::default() };
    assert_eq!((job.status, job.counts), (JobStatus::Conflict, expected));
    assert_eq!(harness.index.state().documents.keys().map(DocumentId::as_str).collect::<Vec<_>>(), ["1"]);
}
