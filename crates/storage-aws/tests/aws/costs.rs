//! What a chunk, a job and an idle hour cost in requests. The figures are those of docs/aws.md, which this compares;
//! `HOST_RENEW_REFERENCE=1` writes them.

use super::{
    MONTH,
    shops::{HOUR, Harness, shop},
};
use host_core::{
    format::count,
    index::Index,
    model::{Counts, Digest, Job, Operation, Product, Seal, SourceStats},
    storage::Stores,
};
use host_export::ExportItem;
use host_pipeline::{
    ingest::{
        chunk::{ChunkBounds, FinishedChunk},
        publish::Publisher,
        run::{Ingest, IngestProgress, IngestSettings, SourceEvent},
    },
    worker::RunUntil,
};
use host_storage_aws::{acquire_ingest_on, jobs_on};
use host_testing::{build, fakes::FakePlugin};
use std::{fmt::Write, fs, path::Path, sync::Arc, time::Duration};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

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
            ExportItem::Product { source: 0, product: Product { text, line: number, id }, is_damaged: false }
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

    async fn jobs_get(&self, job: &Job) -> Counts {
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

const BEGIN: &str = "<!-- costs: made by the test `costs` of crates/storage-aws -->\n";
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
