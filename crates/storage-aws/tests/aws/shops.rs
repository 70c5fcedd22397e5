//! Many shops, of which few have work: how soon that is found, how many requests are open meanwhile, and what it costs. The
//! figures are those of docs/aws.md, which this compares; `HOST_RENEW_REFERENCE=1` writes them.

use super::{
    MONTH,
    metered::{Meter, MeteredChunks, MeteredQueues, MeteredTable},
    sqs, table,
};
use host_core::{
    clock::SharedClock,
    format::count,
    index::Index,
    model::{Digest, Job, Operation, Product, Seal, SourceStats},
    storage::{Storage, Stores},
};
use host_export::ExportItem;
use host_pipeline::{
    ingest::{
        chunk::{ChunkBounds, FinishedChunk},
        publish::Publisher,
        run::{Ingest, IngestProgress, IngestSettings, SourceEvent},
    },
    worker::{RunUntil, Worker, WorkerSettings},
};
use host_storage_aws::{
    Names, Outgoing, QueueService, QueueSpec, acquire_ingest_on, breakers_on, jobs_on, ledger_on,
    queue_with_jobs_on, settings_on,
};
use host_testing::{
    VirtualClock, build,
    fakes::{FakeIndex, FakePlugin, Next},
    storage::Memory,
};
use std::{
    collections::BTreeSet,
    fmt::Write,
    fs,
    path::Path,
    sync::{Arc, atomic::Ordering::Relaxed},
    time::Duration,
};
use tokio::{sync::mpsc, task::JoinHandle};
use tokio_util::sync::CancellationToken;

const HOUR: Duration = Duration::from_secs(3600);

/// An environment with its worker, as `host work` runs it.
pub(super) struct Harness {
    pub(super) clock: SharedClock,
    meter: Arc<Meter>,
    queues: Arc<sqs::Model>,
    jobs: Arc<table::Model>,
    table: Arc<MeteredTable>,
    products: Arc<table::Model>,
    pub(super) stores: Stores,
    index: Arc<FakeIndex>,
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
        let table = Arc::new(MeteredTable(jobs.clone(), meter.clone()));
        let service = Arc::new(MeteredQueues(queues.clone(), meter.clone()));
        let chunks = Memory::new(clock.clone()).stores().chunks;
        let stores = Stores {
            chunks: Arc::new(MeteredChunks(chunks, meter.clone())),
            queue: queue_with_jobs_on(service, table.clone(), names, clock.clone(), MONTH),
            jobs: jobs_on(table.clone(), clock.clone(), MONTH),
            settings: settings_on(table.clone()),
            ledger: ledger_on(Arc::new(MeteredTable(products.clone(), meter.clone())), clock.clone(), MONTH),
            breakers: breakers_on(table.clone()),
        };
        Self { clock, meter, queues, jobs, table, products, stores, index: Arc::default() }
    }

    fn worker(&self) -> Worker {
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

    fn work(&self) -> (JoinHandle<bool>, CancellationToken) {
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

/// What something costs.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Figures {
    pub(super) write_units: u64,
    pub(super) read_units: u64,
    pub(super) sqs: u64,
    pub(super) puts: u64,
    pub(super) gets: u64,
}

/// List prices in us-east-1 of a million.
const WRITE_UNITS: f64 = 0.625;
const READ_UNITS: f64 = 0.125;
const SQS_FIFO: f64 = 0.50;
const S3_PUT: f64 = 5.0;
const S3_GET: f64 = 0.40;

impl Figures {
    pub(super) fn minus(self, other: Self) -> Self {
        Self {
            write_units: self.write_units - other.write_units,
            read_units: self.read_units - other.read_units,
            sqs: self.sqs - other.sqs,
            puts: self.puts - other.puts,
            gets: self.gets - other.gets,
        }
    }

    fn times(self, factor: u64) -> Self {
        Self {
            write_units: self.write_units * factor,
            read_units: self.read_units * factor,
            sqs: self.sqs * factor,
            puts: self.puts * factor,
            gets: self.gets * factor,
        }
    }

    fn plus(self, other: Self) -> Self {
        Self {
            write_units: self.write_units + other.write_units,
            read_units: self.read_units + other.read_units,
            sqs: self.sqs + other.sqs,
            puts: self.puts + other.puts,
            gets: self.gets + other.gets,
        }
    }

    fn dollars(self) -> f64 {
        let priced = [
            (self.write_units, WRITE_UNITS),
            (self.read_units, READ_UNITS),
            (self.sqs, SQS_FIFO),
            (self.puts, S3_PUT),
            (self.gets, S3_GET),
        ];
        priced.iter().map(|(number, price)| *number as f64 / 1e6 * price).sum()
    }

    /// A row of the table.
    fn row(self, table: &mut String, what: &str) {
        let Self { write_units, read_units, sqs, puts, gets } = self;
        let dollars = self.dollars();
        let digits = if dollars < 0.1 { 6 } else { 2 };
        let cells = [write_units, read_units, sqs, puts, gets].map(count).join(" | ");
        let _ = writeln!(table, "| {what} | {cells} | ${dollars:.digits$} |");
    }
}

/// Products of a chunk, as `ingest.chunk_documents` has by default, and of a measured one. Each costs the same.
const PRODUCTS: u64 = 1000;
const MEASURED_PRODUCTS: u64 = 10;

/// Chunks of which the average is taken: a segment has 250.
const MEASURED_CHUNKS: u64 = 250;

/// What the second of two syncs of the same products costs, from the search for an interrupted job to its end.
async fn unchanged_sync(chunks: u64) -> Figures {
    let harness = Harness::new(1).await;
    let texts: Vec<String> = (0..chunks)
        .map(|chunk| {
            let line =
                |n| format!("{{\"_id\":\"product-{chunk}-{n}\",\"v\":1,\"title\":\"A mug of stoneware\"}}\n");
            (0..MEASURED_PRODUCTS).map(line).collect()
        })
        .collect();
    let worker = Arc::new(harness.worker());
    let (mut before, mut writes) = (Figures::default(), Vec::new());
    for _ in 0..2 {
        before = harness.spent();
        let job = Job { full: true, lanes: 1, ..build::job(&*harness.clock, &shop(0)) };
        harness.ingest(&job, &texts).await;
        worker.run(&job.shop_id, RunUntil::JobEnds(job.id.clone()), &CancellationToken::new()).await.unwrap();
        let counts = harness.jobs_get(&job).await;
        assert_eq!(counts.processed, chunks * MEASURED_PRODUCTS);
        writes.push(harness.index.state().written_shops.len());
    }
    assert_eq!(writes[0], writes[1], "the second sync writes nothing");
    harness.spent().minus(before)
}

/// What the second of two syncs costs whose products the ledger knows to be unchanged.
async fn skipped_sync(products: u64) -> Figures {
    let harness = Harness::new(1).await;
    let worker = Arc::new(harness.worker());
    let mut before = Figures::default();
    for _ in 0..2 {
        before = harness.spent();
        let transform_digest = Some(Digest::of(b"plug-in"));
        let target = harness.index.id();
        let job =
            Job { transform_digest, target, skips_unchanged: true, ..build::job(&*harness.clock, &shop(0)) };
        harness.ingest_products(&job, products).await;
        worker.run(&job.shop_id, RunUntil::JobEnds(job.id.clone()), &CancellationToken::new()).await.unwrap();
        assert_eq!(harness.jobs_get(&job).await.processed, products);
    }
    harness.spent().minus(before)
}

impl Harness {
    /// As `host ingest` begins; the job as it is stored.
    async fn begin(&self, job: &Job) {
        let Stores { jobs, .. } = &self.stores;
        assert!(jobs.find_unfinished(&job.shop_id, job.fingerprint).await.unwrap().is_none());
        assert!(jobs.shop_removal(&job.shop_id).await.unwrap().is_none());
        jobs.supersede(job).await.unwrap();
        assert!(jobs.get(&job.id).await.unwrap().is_none());
    }

    async fn ingest_products(&self, job: &Job, products: u64) {
        let (table, clock) = (self.table.clone(), self.clock.clone());
        let lease = acquire_ingest_on(table, clock, MONTH, job, Duration::from_secs(60)).await.unwrap();
        self.begin(job).await;
        let (sender, receiver) = mpsc::channel(products.max(1) as usize);
        let product = |number: u64| {
            let (id, text) = (Some(format!("gid/{number}")), format!("product-{number}"));
            ExportItem::Product { source: 0, product: Product { text, line: number, id } }
        };
        for first in (0..products).step_by(100) {
            let items = (first..products.min(first + 100)).map(product).collect();
            sender.send(Ok(SourceEvent::Items(items))).await.unwrap();
        }
        sender.send(Ok(SourceEvent::End(SourceStats::default()))).await.unwrap();
        drop(sender);
        let bounds = ChunkBounds { documents: 1_000, bytes: 1 << 20 };
        let (rules, progress) = (FakePlugin::default(), IngestProgress::default());
        let ingest = Ingest {
            stores: &self.stores,
            clock: &self.clock,
            job,
            transform: &rules,
            settings: IngestSettings { bounds, batches: 2, quarantine_bytes: 999 },
            progress: &progress,
        };
        ingest.run(receiver, &CancellationToken::new()).await.unwrap().unwrap();
        lease.end().await.unwrap();
    }

    async fn ingest(&self, job: &Job, texts: &[String]) {
        let Stores { jobs, .. } = &self.stores;
        let (table, clock) = (self.table.clone(), self.clock.clone());
        let lease = acquire_ingest_on(table, clock, MONTH, job, Duration::from_secs(60)).await.unwrap();
        self.begin(job).await;
        let job = jobs.create(job).await.unwrap();
        let mut publisher = Publisher::new(&self.stores, &self.clock, &job);
        for text in texts {
            let (operation, bytes) = (Operation::AddDocuments, text.as_bytes().to_vec());
            let sealed = FinishedChunk { lane: 0, operation, bytes, documents: MEASURED_PRODUCTS as u32 };
            publisher.publish(sealed).await.unwrap();
        }
        let total_items = texts.len() as u64 * MEASURED_PRODUCTS;
        let seal = Seal { total_items, ..build::seal(publisher.chunks()) };
        jobs.seal(&job.id, &seal).await.unwrap();
        lease.end().await.unwrap();
    }

    async fn jobs_get(&self, job: &Job) -> host_core::model::Counts {
        jobs_on(self.jobs.clone(), self.clock.clone(), MONTH).get(&job.id).await.unwrap().unwrap().counts
    }
}

/// What an hour costs in which nothing happens.
async fn idle_hour(shops: u32) -> Figures {
    let harness = Harness::new(shops).await;
    let (working, cancel) = harness.work();
    // The first round begins.
    harness.clock.sleep(Duration::from_secs(10)).await;
    let before = harness.spent();
    harness.clock.sleep(HOUR).await;
    let spent = harness.spent().minus(before);
    assert!(harness.meter.most_open() <= 50);
    cancel.cancel();
    assert!(working.await.unwrap());
    spent
}

/// Two figures are enough of what is only roughly the same in each hour.
fn rounded(number: u64) -> u64 {
    let unit = 10_u64.pow(number.max(1).ilog10().saturating_sub(1));
    (number + unit / 2) / unit * unit
}

#[tokio::test(start_paused = true)]
async fn the_costs_are_those_of_the_documentation() {
    let (none, some, more) = (
        unchanged_sync(0).await,
        unchanged_sync(MEASURED_CHUNKS).await,
        unchanged_sync(2 * MEASURED_CHUNKS).await,
    );
    let job = none;
    let measured = more.minus(some);
    let average = |all: u64| all.div_ceil(MEASURED_CHUNKS);
    let chunk = Figures {
        write_units: average(measured.write_units),
        // A product is one read of the ledger.
        read_units: average(measured.read_units) + PRODUCTS - MEASURED_PRODUCTS,
        sqs: average(measured.sqs),
        puts: average(measured.puts),
        gets: average(measured.gets),
    };
    let mut table = String::from(
        "| what | write units | read units | SQS requests | S3 PUT | S3 GET | costs |\n\
         | --- | ---: | ---: | ---: | ---: | ---: | ---: |\n",
    );
    chunk.row(&mut table, "a chunk of 1,000 products of which none is written");
    job.row(&mut table, "its job, beside the chunks");
    chunk
        .times(1000)
        .plus(job)
        .row(&mut table, "a full sync of a million products with `--force`, none written");
    let skipped = (skipped_sync(1_000).await, skipped_sync(2_000).await);
    let thousand = skipped.1.minus(skipped.0);
    let sync = thousand.times(999).plus(skipped.0);
    sync.row(&mut table, "a full sync of a million products, all unchanged");
    sync.times(30).row(&mut table, "the same daily, a month");
    for shops in [100, 10_000] {
        let hour = idle_hour(shops).await;
        let hour = Figures { sqs: rounded(hour.sqs), read_units: rounded(hour.read_units), ..hour };
        hour.row(&mut table, &format!("an idle hour of one `host work`, {} shops", count(shops.into())));
        hour.times(730).row(&mut table, "an idle month of the same");
    }
    check_documentation(&table);
}

const BEGIN: &str = "<!-- costs: made by the test `shops` of crates/storage-aws -->\n";
const END: &str = "<!-- end of costs -->\n";

fn check_documentation(table: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/aws.md");
    let page = fs::read_to_string(&path).unwrap();
    let (before, rest) = page.split_once(BEGIN).unwrap();
    let (found, after) = rest.split_once(END).unwrap();
    if std::env::var_os("HOST_RENEW_REFERENCE").is_some() {
        fs::write(path, format!("{before}{BEGIN}\n{table}\n{END}{after}")).unwrap();
        return;
    }
    assert_eq!(
        found.trim(),
        table.trim(),
        "docs/aws.md is stale; with HOST_RENEW_REFERENCE=1 this test renews it"
    );
}
