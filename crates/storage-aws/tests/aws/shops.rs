//! Many shops, of which few have work: how soon that is found, and how many requests are open meanwhile.

use super::{
    MONTH,
    costs::Figures,
    intercepted::{InterceptedQueues, InterceptedTable},
    metered::Meter,
    sqs, table,
};
use host_core::{
    clock::SharedClock,
    model::{Job, Operation},
    storage::{Storage, Stores},
};
use host_pipeline::worker::{RunUntil, Worker, WorkerSettings};
use host_storage_aws::{
    Names, Outgoing, QueueService, QueueSpec, breakers_on, jobs_on, ledger_on, queue_with_jobs_on,
    settings_on,
};
use host_testing::{
    VirtualClock, build,
    fakes::{FakeIndex, FakePlugin, Next, intercepted},
    storage::Memory,
};
use std::{
    collections::BTreeSet,
    sync::{Arc, atomic::Ordering::Relaxed},
    time::Duration,
};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

pub(super) const HOUR: Duration = Duration::from_secs(3600);

/// An environment with its worker, as `host work` runs it.
pub(super) struct Harness {
    pub(super) clock: SharedClock,
    pub(super) meter: Arc<Meter>,
    queues: Arc<sqs::Model>,
    pub(super) jobs: Arc<table::Model>,
    pub(super) table: Arc<InterceptedTable<Meter>>,
    products: Arc<table::Model>,
    pub(super) stores: Stores,
    pub(super) index: Arc<FakeIndex>,
}

impl Harness {
    pub(super) async fn new(shops: u32) -> Self {
        let clock: SharedClock = Arc::new(VirtualClock::paused(1));
        let meter = Meter::new(clock.clone());
        let (queues, names) = (Arc::new(sqs::Model::new(clock.clone())), Names::new("test", None));
        for shop_id in (0..shops).map(shop) {
            for name in [names.dead_letter_queue(&shop_id), names.queue(&shop_id)] {
                let (shop_id, dead_letters) = (shop_id.clone(), None);
                queues.create(&QueueSpec { name, shop_id, dead_letters }).await.unwrap();
            }
        }
        let (jobs, products) = (Arc::new(table::Model::default()), Arc::new(table::Model::default()));
        let table = Arc::new(InterceptedTable(jobs.clone(), meter.clone()));
        let service = Arc::new(InterceptedQueues(queues.clone(), meter.clone()));
        let memory = Memory::new(clock.clone()).stores();
        let stores = Stores {
            chunks: intercepted(memory, meter.clone()).chunks,
            queue: queue_with_jobs_on(service, table.clone(), names, clock.clone(), MONTH),
            jobs: jobs_on(table.clone(), clock.clone(), MONTH),
            settings: settings_on(table.clone()),
            ledger: ledger_on(
                Arc::new(InterceptedTable(products.clone(), meter.clone())),
                clock.clone(),
                MONTH,
            ),
            breakers: breakers_on(table.clone()),
        };
        Self { clock, meter, queues, jobs, table, products, stores, index: Arc::default() }
    }

    pub(super) fn worker(&self) -> Worker {
        let rules = Arc::new(FakePlugin::default());
        let settings = WorkerSettings {
            concurrency: 4,
            lease: Duration::from_secs(60),
            poll_interval: Duration::from_secs(1),
            shutdown_timeout: Duration::from_secs(20),
            stopped_after: HOUR * 24,
            keep_chunks: false,
        };
        let (stores, clock) = (self.stores.clone(), self.clock.clone());
        Worker::new(stores, self.index.clone(), rules.clone(), rules, clock, settings)
    }

    pub(super) fn work(&self) -> (JoinHandle<bool>, CancellationToken) {
        let (worker, cancel) = (Arc::new(self.worker()), CancellationToken::new());
        let cancelled = cancel.clone();
        (tokio::spawn(async move { worker.run_all(None, &cancelled).await.is_ok() }), cancel)
    }

    /// Publishes a job of so many chunks, one document each.
    async fn publish(&self, shop_id: &str, chunks: u16) -> Job {
        let job = build::job(&*self.clock, shop_id);
        let texts: Vec<String> =
            (0..chunks).map(|id| format!("{{\"_id\":\"{shop_id}-{id}\",\"v\":1}}\n")).collect();
        let lines: Vec<_> =
            (0..).zip(&texts).map(|(n, text): (u16, _)| (n % 4, Operation::AddDocuments, &**text)).collect();
        build::publish(&self.stores, &job, &lines).await;
        job
    }

    /// How long it takes until a document of each of these shops is written.
    async fn until_written(&self, shops: impl IntoIterator<Item = u32>) -> Duration {
        let wanted: Vec<String> = shops.into_iter().map(shop).collect();
        let began = self.clock.now();
        while !wanted.iter().all(|shop| self.index.state().written_shops.contains(shop)) {
            self.clock.sleep(Duration::from_millis(100)).await;
            let took = self.clock.now().duration_since(began).unsigned_abs();
            assert!(took < HOUR, "not all of {wanted:?} are worked");
        }
        self.clock.now().duration_since(began).unsigned_abs()
    }

    pub(super) fn spent(&self) -> Figures {
        let (jobs, products) = (self.jobs.spent(), self.products.spent());
        Figures {
            write_units: jobs.write_units + jobs.index_write_units + products.write_units,
            read_units: jobs.read_units + products.read_units,
            sqs: self.meter.sqs.load(Relaxed),
            puts: self.meter.puts.load(Relaxed),
            gets: self.meter.gets.load(Relaxed),
        }
    }
}

pub(super) fn shop(number: u32) -> String {
    format!("shop-{number}.example")
}

/// Faults of before: `Too many open files` at 820 shops, a request for the tags of each queue at the start, and three long polls a
/// minute for each shop.
#[tokio::test(start_paused = true)]
async fn of_ten_thousand_shops_the_five_with_work_are_worked_within_seconds() {
    let harness = Harness::new(10_000).await;
    for number in 0..5 {
        harness.publish(&shop(number * 2_000), 8).await;
    }
    harness.meter.most_open();
    harness.meter.queues();
    let before = harness.spent();
    let (working, cancel) = harness.work();
    let took = harness.until_written((0..5).map(|number| number * 2_000)).await;
    assert!(took < Duration::from_secs(5), "the first chunks took {took:?}");
    // A list of all queues takes twenty requests; of the others, only those with work are asked for messages.
    let asked = harness.spent().minus(before).sqs;
    assert!(asked < 300, "{asked} requests until then");
    let names = Names::new("test", None);
    let with_work: BTreeSet<_> = (0..5).map(|number| names.queue(&shop(number * 2_000))).collect();
    assert_eq!(harness.meter.queues(), with_work);
    // Also once it is in the middle of a round through all queues.
    harness.clock.sleep(Duration::from_secs(100)).await;
    for number in 1..6 {
        harness.publish(&shop(number), 8).await;
    }
    let took = harness.until_written(1..6).await;
    assert!(took < Duration::from_secs(5), "later ones took {took:?}");
    // Another program sends a message without a job; the round takes a quarter of an hour.
    let job = build::job(&*harness.clock, &shop(9_999));
    harness.stores.queue.send(&job, &build::chunk(&job.id, 0, 0), 0).await.unwrap();
    harness.clock.sleep(HOUR / 2).await;
    assert_eq!(harness.stores.queue.depth(&shop(9_999)).await.unwrap(), 0, "no round has found it");
    // What is done is left alone: the rounds are all that is asked of SQS.
    let before = harness.spent();
    harness.clock.sleep(HOUR / 6).await;
    let asked = harness.spent().minus(before).sqs;
    assert!(asked <= 6_800, "{asked} requests in ten minutes");
    assert_eq!(harness.meter.tags.load(Relaxed), 0, "a queue's name says whose it is");
    let open = harness.meter.most_open();
    assert!(open <= 50, "{open} requests at once");
    cancel.cancel();
    assert!(working.await.unwrap());
}

/// Jobs that no process seals keep their shops ready: they take turns.
#[tokio::test(start_paused = true)]
async fn a_thousand_open_jobs_without_messages_hold_few_connections_and_no_other_shop_back() {
    let harness = Harness::new(1_001).await;
    for number in 0..1_000 {
        harness.stores.jobs.create(&build::job(&*harness.clock, &shop(number))).await.unwrap();
    }
    let (working, cancel) = harness.work();
    harness.clock.sleep(Duration::from_secs(120)).await;
    harness.publish(&shop(1_000), 1).await;
    let took = harness.until_written([1_000]).await;
    assert!(took < Duration::from_secs(5), "it took {took:?}");
    let open = harness.meter.most_open();
    assert!(open <= 50, "{open} requests at once");
    cancel.cancel();
    assert!(working.await.unwrap());
}

/// Stored the moment before.
#[tokio::test(start_paused = true)]
async fn a_queue_that_sqs_does_not_know_yet_is_used_seconds_later() {
    let harness = Harness::new(0).await;
    harness.queues.unknown_for(Duration::from_secs(5));
    let job = build::job(&*harness.clock, "new.example");
    harness.stores.queue.send(&job, &build::chunk(&job.id, 0, 0), 0).await.unwrap();
    assert_eq!(harness.stores.queue.depth("new.example").await.unwrap(), 1);
}

/// Fault of before: 10 of 28 were listed, since SQS hands out no more of a group while its first messages are in flight.
#[tokio::test(start_paused = true)]
async fn all_dead_letters_are_listed_those_that_sqs_has_moved_and_unreadable_ones_too() {
    let harness = Harness::new(1).await;
    let (shop_id, dead) = (shop(0), Names::new("test", None).dead_letter_queue(&shop(0)));
    let job = build::job(&*harness.clock, &shop_id);
    // As SQS moves them: with their bodies and groups.
    for seq in 0..28 {
        harness.stores.queue.send(&job, &build::chunk(&job.id, seq, 0), 0).await.unwrap();
        let delivery = harness.stores.queue.receive(&shop_id, 1, HOUR).await.unwrap().remove(0);
        let body = harness.queues.bodies(&Names::new("test", None).queue(&shop_id)).remove(0);
        let (group, deduplication_id) = (format!("{shop_id}#0"), seq.to_string());
        let moved = Outgoing { body, group: group.clone(), deduplication_id };
        assert!(harness.queues.send(&dead, &moved).await.unwrap());
        let (body, deduplication_id) = (format!("{seq} is theirs"), format!("theirs-{seq}"));
        let theirs = Outgoing { body, group, deduplication_id };
        assert!(harness.queues.send(&dead, &theirs).await.unwrap());
        assert!(harness.stores.queue.ack(&delivery.receipt).await.unwrap());
    }
    for _ in 0..2 {
        let listed = harness.stores.queue.dead_letters(&shop_id).await.unwrap();
        let mut seqs: Vec<u32> = listed.iter().map(|dead_letter| dead_letter.chunk.seq).collect();
        seqs.sort_unstable();
        assert_eq!(seqs, (0..28).collect::<Vec<_>>());
        assert!(listed.iter().all(|dead_letter| dead_letter.code == "received-too-often"));
        assert_eq!(harness.stores.queue.unreadable(&shop_id).await.unwrap().len(), 28);
    }
    let bodies = harness.queues.bodies(&dead);
    assert_eq!(bodies.len(), 56);
    assert!(bodies.contains(&"27 is theirs".to_owned()), "what cannot be read is left as it is");
}

/// Fault of before: 21 to 44 reads a second, for the end of the job alone.
#[tokio::test(start_paused = true)]
async fn a_run_that_waits_reads_once_a_second() {
    let harness = Harness::new(1).await;
    let job = harness.publish(&shop(0), 1).await;
    harness.index.state().script.push_back(Next::Slow(Duration::from_secs(60)));
    let before = harness.spent();
    let worker = Arc::new(harness.worker());
    worker.run(&job.shop_id, RunUntil::JobEnds(job.id), &CancellationToken::new()).await.unwrap();
    let spent = harness.spent().minus(before);
    assert!(spent.read_units < 90 && spent.sqs < 90, "{spent:?} in a minute");
}
