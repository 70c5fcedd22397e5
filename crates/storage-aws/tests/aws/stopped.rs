//! An index that cannot be written to, behind an event source like Lambda's: all of a batch that is not acknowledged is visible again
//! when its time is over, receive counts grow, and nothing waits between two invocations.

use crate::model_with;
use host_core::{
    model::{JobId, JobStatus, Operation},
    storage::Delivery,
};
use host_pipeline::worker::{Deadlines, Worker, WorkerSettings};
use host_testing::{
    VirtualClock, build,
    conformance::Backend,
    fakes::{FakeIndex, Next, Rules},
};
use std::{sync::Arc, time::Duration};

const SHOP: &str = "example.myshopify.com";
const HOUR: Duration = Duration::from_secs(3_600);
/// How long a function may run.
const TIMEOUT: Duration = Duration::from_secs(900);
const CHUNKS: u32 = 12;

struct Function {
    backend: Backend,
    index: Arc<FakeIndex>,
    worker: Arc<Worker>,
    job: JobId,
    /// The most deliveries of a message that this has seen.
    receive_count: u32,
}

impl Function {
    /// With a job of three chunks in each of four lanes, in an index that fails in this way.
    async fn new(stopped_after: Duration, outage: Next) -> Self {
        let backend = model_with(Arc::new(VirtualClock::paused(1)));
        let (index, rules) = (Arc::new(FakeIndex::default()), Arc::new(Rules::default()));
        index.state().script.extend(vec![outage; 100_000]);
        let settings = WorkerSettings {
            concurrency: 4,
            lease: Duration::from_secs(60),
            poll_interval: Duration::from_millis(500),
            shutdown_timeout: Duration::from_secs(20),
            stopped_after,
            keep_chunks: false,
        };
        let (stores, clock) = (backend.stores.clone(), backend.clock.clone());
        let worker = Worker::new(stores, index.clone(), rules.clone(), rules, clock, settings);
        let job = build::job(&*backend.clock, SHOP);
        let chunks: Vec<String> = (0..CHUNKS).map(|id| format!("{{\"_id\":\"{id}\",\"v\":1}}\n")).collect();
        let chunks: Vec<_> = (0..)
            .zip(&chunks)
            .map(|(seq, text): (u16, _)| (seq % 4, Operation::AddDocuments, text.as_str()))
            .collect();
        build::publish(&backend.stores, &job, &chunks).await;
        Self { backend, index, worker: Arc::new(worker), job: job.id, receive_count: 0 }
    }

    /// Polls and invokes for a time; the number of invocations.
    async fn invoke_for(&mut self, time: Duration) -> usize {
        let (clock, queue) = (self.backend.clock.clone(), self.backend.stores.queue.clone());
        let end = clock.now() + time;
        let mut invocations = 0;
        while clock.now() < end {
            let mut batch: Vec<Delivery> = Vec::new();
            while batch.len() < 10 {
                let received = queue.receive(SHOP, 10, TIMEOUT).await.unwrap();
                if received.is_empty() {
                    break;
                }
                batch.extend(received);
            }
            if batch.is_empty() {
                clock.sleep(Duration::from_secs(1)).await;
                continue;
            }
            invocations += 1;
            let seen = batch.iter().map(|delivery| delivery.receive_count);
            self.receive_count = seen.fold(self.receive_count, u32::max);
            let now = clock.now();
            let deadlines = Deadlines { begin_until: now + TIMEOUT / 2, work_until: now + TIMEOUT };
            self.worker.run_batch(batch, deadlines).await;
        }
        invocations
    }
}

#[tokio::test(start_paused = true)]
async fn ten_hours_of_refusals_are_few_invocations_and_lose_nothing() {
    for outage in [Next::Permanent, Next::Transient] {
        let mut function = Function::new(HOUR * 24, outage.clone()).await;
        for hour in 0..10 {
            let invocations = function.invoke_for(HOUR).await;
            assert!((1..=100).contains(&invocations), "{outage:?}: {invocations} in hour {hour}");
        }
        let stores = &function.backend.stores;
        assert!(stores.queue.dead_letters(SHOP).await.unwrap().is_empty());
        let breaker = stores.breakers.list(Some(SHOP)).await.unwrap().pop().unwrap();
        assert!(breaker.probes > 500, "{breaker:?}");
        function.index.state().script.clear();
        function.invoke_for(Duration::from_secs(120)).await;
        let job = function.backend.stores.jobs.get(&function.job).await.unwrap().unwrap();
        assert_eq!((job.status, job.counts.processed), (JobStatus::Completed, CHUNKS.into()), "{outage:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_chunk_is_counted_before_sqs_takes_its_message_away() {
    let mut function = Function::new(HOUR * 24 * 365, Next::Permanent).await;
    function.invoke_for(HOUR * 24 * 5).await;
    assert!((900..1_000).contains(&function.receive_count), "{} deliveries", function.receive_count);
    let stores = &function.backend.stores;
    let letters = stores.queue.dead_letters(SHOP).await.unwrap();
    let job = stores.jobs.get(&function.job).await.unwrap().unwrap();
    assert!(!letters.is_empty());
    assert_eq!(job.counts.failed, letters.len() as u64);
    assert!(letters.iter().all(|letter| letter.message.contains("stopped since")), "{letters:?}");
}
