//! Tests of whole runs on storage in memory: which products they skip because the ledger (what workers recorded of
//! each product) knows them to be unchanged.

use super::{RunError, RunJob};
use crate::{
    archive::{Archive, RemovalSettings},
    ingest::{
        chunk::ChunkBounds,
        run::{IngestProgress, IngestSettings, SourceEvent},
    },
    worker::{DeadLetterFilter, Worker, WorkerSettings, redrive},
};
use async_trait::async_trait;
use host_core::{
    clock::SharedClock,
    index::{ArchiveLimit, Index},
    model::{
        Counts, Digest, DocumentId, Issue, Job, JobId, JobStatus, LedgerRecord, Operation, PluginManifest,
        Product, ProductId, ProductState, Severity, SourceStats,
    },
    plugin::{
        BatchFailure, ProductOutcome, Transform, TransformedDocument, TransformedRemoval, Validate, Version,
    },
    storage::{JobSnapshot, LedgerScope, Storage, StoreErrorKind, Stores},
};
use host_export::ExportItem;
use host_testing::{
    VirtualClock, build,
    fakes::{FakeIndex, FakePlugin, InterceptedStorage, Next, refuse_first},
    next_random,
    storage::Memory,
};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

const SHOP: &str = "tests.myshopify.com";

/// A plug-in. A product's text is its version and words: `7 red blue`. Each word becomes a document, except for
/// `odd`, which makes it warn, and `without`, which makes it remove the document of that name. The validator refuses
/// documents with the title `bad`.
#[derive(Default)]
struct Words {
    rules: FakePlugin,
    /// Ids of the products that it got.
    seen: Mutex<Vec<String>>,
}

#[async_trait]
impl Transform for Words {
    fn manifest(&self) -> &PluginManifest {
        Transform::manifest(&self.rules)
    }

    async fn transform(
        &self,
        products: Vec<Product>,
    ) -> Result<Vec<(Product, ProductOutcome)>, BatchFailure> {
        let outcomes = products.into_iter().map(|product| {
            let product_id = product.id.clone().unwrap();
            self.seen.lock().unwrap().push(product_id.clone());
            let mut words = product.text.split(' ');
            let version = words.next().unwrap();
            let id = |word: &str| DocumentId::new(format!("{product_id}-{word}")).unwrap();
            let mut outcome = ProductOutcome::default();
            for word in words {
                match word {
                    "odd" => outcome.issues.push(Issue {
                        severity: Severity::Warning,
                        code: "odd".to_owned(),
                        message: "so".to_owned(),
                        path: None,
                    }),
                    "without" => outcome
                        .removals
                        .push(TransformedRemoval { id: id(word), version: format!("{{\"v\":{version}}}") }),
                    word => outcome.documents.push(TransformedDocument {
                        id: id(word),
                        fields: format!("{{\"v\":{version},\"title\":\"{word}\"}}"),
                    }),
                }
            }
            (product, outcome)
        });
        Ok(outcomes.collect())
    }
}

/// A shop's storage, index and plug-in.
struct World {
    storage: Memory,
    index: Arc<FakeIndex>,
    transform: Arc<Words>,
    clock: SharedClock,
    /// Number of jobs so far.
    jobs: AtomicU64,
    bounds: ChunkBounds,
}

/// The products of an export: id and text.
type Products = Vec<(&'static str, String)>;

impl World {
    fn new(seed: u64) -> Self {
        let clock: SharedClock = Arc::new(VirtualClock::paused(seed));
        let bounds = ChunkBounds { documents: 9, bytes: 9_999 };
        let (index, transform) = (Arc::default(), Arc::default());
        Self { storage: Memory::new(clock.clone()), index, transform, clock, jobs: AtomicU64::new(0), bounds }
    }

    fn stores(&self) -> Stores {
        self.storage.stores()
    }

    fn worker(&self) -> Arc<Worker> {
        let rules = Arc::new(FakePlugin::default());
        let settings = WorkerSettings {
            concurrency: 2,
            lease: Duration::from_secs(60),
            poll_interval: Duration::from_millis(50),
            shutdown_timeout: Duration::from_secs(20),
            stopped_after: Duration::from_secs(24 * 3_600),
            keep_chunks: false,
        };
        let (index, validate) = (self.index.clone(), rules.clone() as Arc<dyn Validate>);
        Arc::new(Worker::new(
            self.stores(),
            index,
            validate,
            rules as Arc<dyn Version>,
            self.clock.clone(),
            settings,
        ))
    }

    fn job(&self) -> Job {
        let number = self.jobs.fetch_add(1, Relaxed);
        Job {
            id: JobId::new(format!("job-{number:03}")).unwrap(),
            target: self.index.id(),
            lanes: 2,
            transform_digest: Some(Digest::of(b"plug-in 1")),
            skips_unchanged: true,
            ..build::job(&*self.clock, SHOP)
        }
    }

    /// Runs a job; with `crash`, the reader stops before the end of the export.
    async fn try_run(&self, job: &Job, products: &Products, crash: bool) -> Result<JobSnapshot, RunError> {
        self.try_run_on(&self.storage, job, products, crash).await
    }

    async fn try_run_on(
        &self,
        storage: &dyn Storage,
        job: &Job,
        products: &Products,
        crash: bool,
    ) -> Result<JobSnapshot, RunError> {
        let (progress, cancel) = (IngestProgress::default(), CancellationToken::new());
        let run = RunJob {
            storage,
            index: self.index.clone(),
            transform: self.transform.clone(),
            worker: Some(self.worker()),
            settings: IngestSettings { bounds: self.bounds, batches: 2, quarantine_bytes: 999 },
            keep_chunks: false,
            progress: &progress,
            clock: self.clock.clone(),
            cancel: &cancel,
        };
        let (sender, receiver) = mpsc::channel(99);
        let mut lines = 1..;
        for batch in products.chunks(2) {
            let items = batch.iter().map(|(id, text)| {
                let (text, id) = (text.clone(), Some((*id).to_owned()));
                ExportItem::Product {
                    source: 0,
                    product: Product { text, line: lines.next().unwrap(), id },
                    is_damaged: false,
                }
            });
            sender.send(Ok(SourceEvent::Items(items.collect()))).await.unwrap();
        }
        let stats = SourceStats { products: products.len() as u64, ..SourceStats::default() };
        if !crash {
            sender.send(Ok(SourceEvent::End(stats))).await.unwrap();
        }
        drop(sender);
        Ok(run.run(job, |_| receiver, |_| {}).await?.unwrap())
    }

    async fn run(&self, products: &Products) -> JobSnapshot {
        self.try_run(&self.job(), products, false).await.unwrap()
    }

    /// Which products the plug-in got since the last call, and how often the index was asked.
    fn take_work(&self) -> (String, u64) {
        let seen = std::mem::take(&mut *self.transform.seen.lock().unwrap()).join(" ");
        (seen, std::mem::take(&mut self.index.state().reads))
    }

    /// The documents of the index, with their versions.
    fn indexed(&self) -> BTreeMap<String, i64> {
        let state = self.index.state();
        let version =
            |indexed: &host_testing::fakes::IndexedDocument| indexed.write.version["v"].as_i64().unwrap();
        state.documents.iter().map(|(id, indexed)| (id.to_string(), version(indexed))).collect()
    }
}

fn products(texts: &[(&'static str, &str)]) -> Products {
    texts.iter().map(|(id, text)| (*id, (*text).to_owned())).collect()
}

fn unchanged(number: u64) -> Counts {
    Counts { processed: number, unchanged: number, ..Counts::default() }
}

#[tokio::test(start_paused = true)]
async fn an_unchanged_product_is_not_transformed_again() {
    let world = World::new(1);
    let mut export = products(&[("a", "1 red blue"), ("b", "1 red"), ("c", "1 red")]);
    let first = world.run(&export).await;
    assert_eq!(
        (first.counts.processed, first.counts.unchanged, world.take_work().0.as_str()),
        (4, 0, "a b c")
    );

    let second = world.run(&export).await;
    // The one read of the index checks whether it has the documents that the ledger names.
    assert_eq!(
        (second.counts, second.status, world.take_work()),
        (unchanged(4), JobStatus::Completed, (String::new(), 1))
    );
    assert_eq!((second.chunks, second.seal.unwrap().total_items), (0, 4));

    export[1].1 = "2 red green".to_owned();
    let third = world.run(&export).await;
    assert_eq!((third.counts.processed, third.counts.unchanged, world.take_work().0.as_str()), (5, 3, "b"));
    assert_eq!(world.indexed().len(), 5);
    assert_eq!((world.run(&export).await.counts, world.take_work().0.as_str()), (unchanged(5), ""));
}

/// Regression: one temporary failure of a store ended a run. It now makes up to nine attempts, as a worker does.
#[tokio::test(start_paused = true)]
async fn a_run_outlasts_eight_temporary_failures_of_each_call() {
    for call in ["storage.acquire_ingest", "jobs.shop_removal", "jobs.get"] {
        for (failures, kind, has_ended) in [
            (8, StoreErrorKind::Transient, true),
            (9, StoreErrorKind::Transient, false),
            (1, StoreErrorKind::Permanent, false),
        ] {
            let world = World::new(1);
            let (gate, calls) = refuse_first(call, failures, kind);
            let storage = InterceptedStorage { storage: Arc::new(world.storage.clone()), interceptor: gate };
            let export = products(&[("a", "1 red")]);
            let run = world.try_run_on(&storage, &world.job(), &export, false).await;
            let what = format!("{call}: {failures} {kind:?}");
            assert_eq!(run.is_ok_and(|job| job.status == JobStatus::Completed), has_ended, "{what}");
            let calls = calls.load(Relaxed);
            assert!(if has_ended { calls > failures } else { calls == failures }, "{what}: {calls} calls");
        }
    }
}

/// Each case could make other documents of the same product, or the ledger does not know what its documents were made
/// of.
#[tokio::test(start_paused = true)]
async fn a_product_is_transformed_again_where_something_else_changed() {
    let export = products(&[("a", "1 red blue"), ("b", "1 red")]);
    type Change = fn(&mut Job);
    let cases: [(&str, Change); 4] = [
        ("another plug-in", |job| job.transform_digest = Some(Digest::of(b"plug-in 2"))),
        ("an update", |job| job.operation = Operation::UpdateDocuments),
        ("--force", |job| job.skips_unchanged = false),
        ("a job of an older version", |job| job.transform_digest = None),
    ];
    for (case, change) in cases {
        let world = World::new(1);
        world.run(&export).await;
        world.take_work();
        let mut job = world.job();
        change(&mut job);
        world.try_run(&job, &export, false).await.unwrap();
        assert_eq!(world.take_work().0, "a b", "{case}");
    }
    let world = World::new(1);
    world.run(&export).await;
    world.take_work();
    world.index.state().documents.clear();
    let again = world.run(&export).await;
    assert_eq!(
        (again.counts.unchanged, world.take_work().0.as_str()),
        (0, "a b"),
        "an index that was made anew"
    );
    assert_eq!(world.indexed().len(), 3);
}

/// A document of the product was refused, or each job has to warn or remove again, or its documents are in several
/// chunks.
#[tokio::test(start_paused = true)]
async fn a_product_that_is_not_wholly_in_one_chunk_and_accepted_is_never_skipped() {
    let world = World { bounds: ChunkBounds { documents: 3, bytes: 9_999 }, ..World::new(1) };
    let export = products(&[
        ("refused", "1 red bad"),
        ("warned", "1 odd red"),
        ("removes", "1 red without"),
        ("large", "1 a b c d e"),
        ("plain", "1 red"),
    ]);
    world.run(&export).await;
    world.take_work();
    world.run(&export).await;
    assert_eq!(world.take_work().0, "refused warned removes large");
}

/// The product does not have the document any more, but its removal was a conflict: the next job must try again.
#[tokio::test(start_paused = true)]
async fn a_product_whose_former_document_is_still_in_the_index_is_not_skipped() {
    let world = World::new(1);
    world.run(&products(&[("a", "1 red blue")])).await;
    let export = products(&[("a", "2 red")]);
    // Another program has given it a later version.
    let id = DocumentId::new("a-blue").unwrap();
    world.index.state().documents.get_mut(&id).unwrap().write.version.insert("v".to_owned(), 9.into());
    world.run(&export).await;
    assert_eq!(world.indexed()["a-blue"], 9);
    world.take_work();
    world.run(&export).await;
    assert_eq!(world.take_work().0, "a");
}

/// Skipped products are in no chunk, and still count as part of the export: archiving must not remove them.
#[tokio::test(start_paused = true)]
async fn unchanged_products_of_a_full_sync_and_of_later_jobs_stay() {
    let world = World::new(1);
    let all = products(&[("a", "1 red"), ("b", "1 red"), ("c", "1 red"), ("d", "1 red")]);
    world.run(&all).await;
    // A record under another product id has the same document: as after the ledger was lost and rebuilt from the index.
    let mut duplicate = LedgerRecord::new(
        ProductId::new("a-red").unwrap(),
        JobId::new("job-000").unwrap(),
        world.clock.now(),
    );
    duplicate.state = ProductState::Live;
    duplicate.add_document(DocumentId::new("a-red").unwrap());
    let scope = LedgerScope::of(&world.job(), world.index.id());
    build::store_records(&*world.stores().ledger, &scope, &[duplicate]).await;
    let full = Job { full: true, ..world.job() };
    let full = world.try_run(&full, &products(&[("a", "1 red"), ("b", "1 red")]), false).await.unwrap();
    assert_eq!((full.chunks, full.counts), (0, unchanged(2)));
    let later = world.run(&products(&[("c", "1 red")])).await;
    assert_eq!((later.chunks, later.counts), (0, unchanged(1)));
    let (limit, cancel) = (ArchiveLimit { max_percent: 100, force: false }, CancellationToken::new());
    let (removals, clock) = (RemovalSettings { bounds: world.bounds, lanes: 1 }, world.clock.clone());
    let (storage, index) = (&world.storage, world.index.as_ref());
    let archive = Archive { storage, index, worker: None, limit, removals, clock, cancel: &cancel };
    let missing = archive.missing(&full).await.unwrap();
    assert_eq!(missing.documents.iter().map(|missing| missing.id.as_str()).collect::<Vec<_>>(), ["d-red"]);
}

/// The chunk that waits in the queue may change what the ledger says.
#[tokio::test(start_paused = true)]
async fn nothing_is_skipped_while_a_chunk_of_the_index_waits() {
    let world = World::new(1);
    let export = products(&[("a", "1 red")]);
    world.run(&export).await;
    world.take_work();
    let waiting = Job { id: JobId::new("waiting").unwrap(), lanes: 2, ..world.job() };
    let line = "{\"_id\":\"a-red\",\"_mq_product\":\"a\",\"v\":2}\n";
    build::publish(&world.stores(), &waiting, &[(0, Operation::AddDocuments, line)]).await;
    world.run(&export).await;
    assert_eq!(world.take_work().0, "a");
}

/// The second lines of a product are compared with what the first ones made of it, not with what the ledger says.
#[tokio::test(start_paused = true)]
async fn a_product_that_an_export_has_twice_is_transformed_twice_if_one_of_them_changed() {
    let world = World::new(1);
    world.run(&products(&[("a", "1 red"), ("b", "1 red")])).await;
    world.take_work();
    let twice = products(&[("a", "2 red blue"), ("b", "1 red"), ("b", "1 red"), ("a", "1 red")]);
    let job = world.run(&twice).await;
    assert_eq!(world.take_work().0, "a a");
    assert_eq!((job.counts.unchanged, job.counts.conflict), (2, 1));
    assert_eq!(world.indexed()["a-red"], 2);
}

/// A worker has meanwhile recorded the job's first chunks in the ledger; the resumed ingest must make the same chunks
/// all the same.
#[tokio::test(start_paused = true)]
async fn an_ingest_that_resumes_skips_what_it_skipped_before() {
    let world = World { bounds: ChunkBounds { documents: 1, bytes: 9_999 }, ..World::new(1) };
    let mut export = products(&[("a", "1 red"), ("b", "1 red"), ("c", "1 red")]);
    world.run(&export).await;
    export[0].1 = "2 red".to_owned();
    export[2].1 = "2 red".to_owned();
    let job = world.job();
    world.try_run(&job, &export, true).await.unwrap_err();
    let worker = world.worker();
    let shutdown = CancellationToken::new();
    let worked = worker.run(SHOP, crate::worker::RunUntil::Cancelled, &shutdown);
    tokio::select! {
        _ = worked => {}
        () = world.clock.sleep(Duration::from_secs(60)) => {}
    }
    assert_eq!(world.indexed()["a-red"], 2);
    world.take_work();
    let stored = world.stores().jobs.get(&job.id).await.unwrap().unwrap().job;
    let ended = world.try_run(&stored, &export, false).await.unwrap();
    assert_eq!((ended.counts.processed, ended.counts.unchanged), (3, 1));
    assert_eq!(world.take_work().0, "a c");
}

/// Skipping must leave the index as it would be without: a last run that skips nothing changes nothing.
#[test]
fn after_any_history_a_run_that_skips_nothing_finds_nothing_to_change() {
    let only = std::env::var("HOST_TEST_SEED").ok().map(|seed| seed.parse::<u64>().unwrap());
    let mut skipped = 0;
    for seed in only.map_or(0..400, |seed| seed..seed + 1) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
        let history = || runtime.unwrap().block_on(history(seed));
        let Ok(number) = std::panic::catch_unwind(std::panic::AssertUnwindSafe(history)) else {
            panic!("seed {seed}: HOST_TEST_SEED={seed} runs it alone");
        };
        skipped += number;
    }
    assert!(only.is_some() || skipped > 1_000, "{skipped}");
}

/// Plays a random history of exports and faults, checks its end, and returns how many documents were skipped.
async fn history(seed: u64) -> u64 {
    const NAMES: [&str; 5] = ["a", "b", "c", "d", "e"];
    const WORDS: [&str; 8] = ["red", "blue", "green", "bad", "odd", "without", "tall", "wide"];
    let mut random = seed;
    let mut below = |end: usize| (next_random(&mut random) % end as u64) as usize;
    // Documents in a chunk. With 1, a product is in as many chunks as it has documents, and none is ever skipped.
    let documents = [1, 1_000][below(2)];
    let world = World { bounds: ChunkBounds { documents, bytes: 1 << 20 }, ..World::new(seed) };
    let mut shop: BTreeMap<&str, String> = BTreeMap::new();
    let (mut version, mut exports, mut skipped) = (0, Vec::new(), 0);
    for _ in 0..14 {
        for _ in 0..below(3) {
            version += 1;
            let words: BTreeSet<&str> = (0..1 + below(4)).map(|_| WORDS[below(WORDS.len())]).collect();
            let words: Vec<&str> = words.into_iter().collect();
            // The document `top` is always there: some sets of words make no document at all.
            shop.insert(NAMES[below(5)], format!("{version} top {}", words.join(" ")));
        }
        let mut export: Products = shop.iter().map(|(name, text)| (*name, text.clone())).collect();
        if below(3) == 0 {
            export.retain(|_| below(2) == 0);
        }
        exports.push(export);
        // Sometimes an older export is read again.
        let chosen = if below(4) == 0 { below(exports.len()) } else { exports.len() - 1 };
        let export = exports[chosen].clone();
        let faults = [Next::Transient, Next::LostAnswer, Next::Refuse("a-top"), Next::Panic];
        if below(3) == 0 {
            world.index.state().script.push_back(faults[below(4)].clone());
        }
        let mut job = world.job();
        match below(12) {
            0 => job.operation = Operation::UpdateDocuments,
            1 => job.transform_digest = Some(Digest::of(b"plug-in 2")),
            2 => world.index.state().documents.clear(),
            3 => {
                // The process dies during the ingest; the next job supersedes this one.
                let _ended = world.try_run(&job, &export, true).await;
                continue;
            }
            4 => {
                let filter = DeadLetterFilter::default();
                redrive(&world.stores(), &world.clock, SHOP, &filter).await.unwrap();
            }
            5 => {
                // Half of the ledger is lost.
                let scope = LedgerScope::of(&job, world.index.id());
                let records = world.stores().ledger.page(&scope, None, 99).await.unwrap();
                world.stores().ledger.remove_shop(SHOP, false).await.unwrap();
                let some: Vec<_> = records.into_iter().filter(|_| below(2) == 0).collect();
                build::store_records(&*world.stores().ledger, &scope, &some).await;
            }
            _ => {}
        }
        let ended = world.try_run(&job, &export, false).await.unwrap();
        assert!(ended.status.has_ended());
        skipped += ended.seal.unwrap().ingest_counts.unchanged;
    }
    let all: Products = shop.iter().map(|(name, text)| (*name, text.clone())).collect();
    world.index.state().script.clear();
    let last = world.run(&all).await;
    let before = world.indexed();
    let forced = Job { skips_unchanged: false, ..world.job() };
    let forced = world.try_run(&forced, &all, false).await.unwrap();
    assert_eq!(world.indexed(), before);
    let total = |job: &JobSnapshot| (job.counts.total(), job.counts.failed, job.counts.conflict);
    assert_eq!(total(&forced), total(&last));
    let Counts { processed, unchanged, deleted, .. } = forced.counts;
    assert_eq!(processed - unchanged - deleted, 0, "nothing is written");
    skipped
}
