//! Syncs a shop every few hours for a year of virtual time, and measures how large its storage is: it must not grow
//! with time, and what is younger than retention must stay readable.

use crate::{
    MONTH, World,
    shop::{State, lines},
};
use host_core::{
    clock::SharedClock,
    index::ArchiveLimit,
    model::{
        EntryClass, Job, JobId, JobStatus, Product, QuarantinedProducts, ReportEntry, Seal, SourceStats,
    },
    storage::{JobSnapshot, Stores},
};
use host_pipeline::{
    archive::{Archive, RemovalSettings},
    ingest::{
        chunk::{ChunkBounds, Chunker},
        publish::Publisher,
        quarantine::{QuarantinedProduct, read_sealed},
    },
    sync::new_id,
    worker::{DeadLetterFilter, RunUntil, Worker, WorkerSettings, redrive},
};
use host_testing::{
    build,
    fakes::{FakeIndex, FakePlugin, Next},
};
use std::{collections::BTreeMap, sync::Arc, time::Duration};
use tokio_util::sync::CancellationToken;

const SHOP: &str = "tests.myshopify.com";
const DAY: Duration = Duration::from_secs(86_400);
const HOUR: Duration = Duration::from_secs(3_600);
/// The day from which the size is measured: jobs are removed after 30 days, so by then it should no longer grow.
const WARM_UP: u32 = 40;
/// Days after which a dead letter is redriven (its chunk is sent again).
const REDRIVE_AFTER: u32 = 25;
/// Days after which a job's refused products are read again, as a replay with a corrected plug-in does.
const REPLAY_AFTER: u32 = 25;

/// What is simulated.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// Number of days for which the shop is synced.
    pub days: u32,
    /// Hours from one sync to the next.
    pub hours: u32,
    /// Number of chunks of a sync.
    pub chunks: u32,
    /// Whether the dead letter of the first sync is not redriven until the end, so that it keeps its job and all
    /// objects of it.
    pub pins: bool,
}

/// The size of a storage.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Size {
    /// Number of its files, objects or database items.
    pub items: u64,
    /// Their total size in bytes.
    pub bytes: u64,
}

/// What [`run_year`] measured.
#[derive(Debug)]
pub struct Figures {
    /// The size on the first measured day, when jobs had been removed for some days.
    pub first: Size,
    /// The largest size of that day and all days after it.
    pub largest: Size,
    /// Number of jobs that are kept at the end.
    pub jobs: u64,
    /// Number of report objects of these jobs, all of which could be read.
    pub reports: u64,
    /// Number of dead letters that were redriven, weeks after their jobs.
    pub redriven: u64,
    /// Number of jobs whose refused products could be read again, weeks after the job.
    pub replayable: u64,
}

/// The state of the simulation.
struct Year<'a, W> {
    world: &'a W,
    clock: &'a SharedClock,
    plan: Plan,
    stores: Stores,
    index: Arc<FakeIndex>,
    worker: Arc<Worker>,
    last_version: i64,
    shop: BTreeMap<u64, State>,
    /// Jobs with a dead letter, by the day on which it is redriven.
    failed: BTreeMap<u32, JobId>,
    redriven: u64,
    /// Jobs whose plug-in refused a product, by the day on which that is read again.
    refusing: BTreeMap<u32, Job>,
    replayable: u64,
}

/// What happens in one sync.
#[derive(Clone, Copy, Default)]
struct Sync {
    full: bool,
    /// Whether a chunk of it becomes a dead letter.
    fails: bool,
    /// Whether the plug-in refuses a product.
    refuses: bool,
}

/// Syncs the shop as the plan says; `size` measures the storage. Panics if something that must be kept is gone.
pub async fn run_year<W: World>(
    world: &W,
    clock: &SharedClock,
    plan: Plan,
    size: impl AsyncFn() -> Size,
) -> Figures {
    let mut year = Year::new(world, clock, plan);
    let (mut first, mut largest) = (Size::default(), Size::default());
    let pinned = year.sync(Sync { full: true, fails: true, refuses: false }).await;
    assert_eq!(pinned.status, JobStatus::Failed);
    if !plan.pins {
        year.redrive(&pinned.job.id).await;
    }
    for day in 1..=plan.days {
        for hour in (0..24).step_by(plan.hours as usize) {
            let fails = day % 10 == 5 && hour == 0;
            let refuses = day % 10 == 8 && hour == 0;
            let job = year.sync(Sync { full: hour == 0 && !fails, fails, refuses }).await;
            if refuses {
                year.refusing.insert(day + REPLAY_AFTER, job.job.clone());
            }
            if fails {
                year.failed.insert(day + REDRIVE_AFTER, job.job.id);
            }
            clock.sleep(HOUR * plan.hours).await;
        }
        if let Some(id) = year.failed.remove(&day) {
            year.redrive(&id).await;
        }
        if let Some(job) = year.refusing.remove(&day) {
            year.read_quarantine(&job).await;
        }
        world.expire(false).await;
        if day >= WARM_UP {
            let found = size().await;
            first = if day == WARM_UP { found } else { first };
            largest.items = largest.items.max(found.items);
            largest.bytes = largest.bytes.max(found.bytes);
        }
    }
    let (jobs, reports) = year.check(plan.pins.then_some(&pinned.job.id)).await;
    Figures { first, largest, jobs, reports, redriven: year.redriven, replayable: year.replayable }
}

impl<'a, W: World> Year<'a, W> {
    fn new(world: &'a W, clock: &'a SharedClock, plan: Plan) -> Self {
        let stores = world.storage().stores();
        let (index, rules) = (Arc::new(FakeIndex::default()), Arc::new(FakePlugin::default()));
        let settings = WorkerSettings {
            concurrency: 4,
            lease: Duration::from_secs(60),
            poll_interval: Duration::from_secs(1),
            shutdown_timeout: Duration::from_secs(20),
            stopped_after: DAY,
            keep_chunks: false,
        };
        let worker =
            Worker::new(stores.clone(), index.clone(), rules.clone(), rules, clock.clone(), settings);
        let live = |number| (number, State::Live { version: 1, variants: (0..2).collect() });
        let shop = (0..u64::from(plan.chunks) * 2).map(live).collect();
        let (worker, failed, refusing) = (Arc::new(worker), BTreeMap::new(), BTreeMap::new());
        let (last_version, redriven, replayable) = (1, 0, 0);
        Self {
            world,
            clock,
            plan,
            stores,
            index,
            worker,
            last_version,
            shop,
            failed,
            redriven,
            refusing,
            replayable,
        }
    }

    /// Changes one product in twenty, and the first one each time.
    fn change_shop(&mut self) {
        self.last_version += 1;
        let version = self.last_version;
        for (number, state) in &mut self.shop {
            if *number == 0 || (*number as i64 + version) % 20 == 0 {
                *state = State::Live { version, variants: (0..2).collect() };
            }
        }
    }

    /// Publishes the shop's export as a job and writes it to the index. Each export also has product 0 in an older
    /// version than the index, a conflict, so that each job has a report.
    async fn sync(&mut self, Sync { full, fails, refuses }: Sync) -> JobSnapshot {
        self.change_shop();
        let now = self.clock.now();
        let job = Job {
            id: new_id(&**self.clock, now),
            created_at: now,
            exported_at: Some(now),
            lanes: 4,
            full,
            ..build::job(&**self.clock, SHOP)
        };
        let (_, guard) = self.world.storage().acquire_ingest(&job).await.unwrap();
        let job = self.stores.jobs.create(&job).await.unwrap();
        // A product has two documents, so a chunk has two products.
        let mut chunker = Chunker::new(ChunkBounds { documents: 4, bytes: 10_000 }, job.lanes);
        let mut publisher = Publisher::new(&self.stores, self.clock, &job);
        let old = (0, State::Live { version: 0, variants: (0..2).collect() });
        for (number, state) in self.shop.iter().chain([(&old.0, &old.1)]) {
            for full in lines(*number, state).into_iter().flat_map(|line| line.push(&mut chunker)) {
                publisher.publish(full).await.unwrap();
            }
        }
        for full in chunker.finish() {
            publisher.publish(full).await.unwrap();
        }
        let chunks = publisher.chunks();
        let ids = chunker.into_ids().store(self.stores.chunks.as_ref(), &job).await.unwrap();
        let source = SourceStats { products: self.shop.len() as u64, ..SourceStats::default() };
        let quarantine = if refuses { self.quarantine(&job).await } else { QuarantinedProducts::default() };
        let seal = Seal { source, ids: Some(ids), quarantine, ..build::seal(chunks) };
        self.stores.jobs.seal(&job.id, &seal).await.unwrap();
        guard.release().await.unwrap();
        if fails {
            // Enough for a chunk to become a dead letter at its second panic, whatever the others of the job take.
            let attempts = self.plan.chunks as usize + 4;
            self.index.state().script.extend(std::iter::repeat_n(Next::Panic, attempts));
        }
        let job = self.work(&job.id).await;
        self.index.state().script.clear();
        if full {
            self.archive(&job).await;
        }
        job
    }

    /// Stores a product that the plug-in refused, as an ingest does.
    async fn quarantine(&self, job: &Job) -> QuarantinedProducts {
        let product =
            Product { text: "{\"id\":\"refused\"}".to_owned(), line: 1, id: Some("refused".to_owned()) };
        let reason = ReportEntry::new(EntryClass::Skipped, "refused", "The plug-in refused it.");
        let refused = QuarantinedProduct { reason, plugin: job.plugin.clone(), source: 0, product };
        let line = serde_json::to_vec(&refused).unwrap();
        let key = format!("{}/quarantine_0000.ndjson", job.folder());
        self.stores.chunks.put(&key, &line).await.unwrap();
        QuarantinedProducts { products: 1, left_out: 0, objects: 1 }
    }

    /// Checks that what a replay of the job needs is there: its record, and all refused products that it names.
    async fn read_quarantine(&mut self, job: &Job) {
        let found = self.stores.jobs.get(&job.id).await.unwrap().expect("the job is kept");
        let named = found.seal.expect("it was sealed").quarantine;
        let mut products = 0;
        for object in 0..named.objects {
            products += read_sealed(self.stores.chunks.as_ref(), job, object).await.unwrap().len() as u64;
        }
        assert_eq!((products, named.products), (1, 1), "{}", job.id);
        self.replayable += 1;
    }

    /// Has the worker write the job's chunks until it has ended.
    async fn work(&self, id: &JobId) -> JobSnapshot {
        let until = RunUntil::JobEnds(id.clone());
        self.worker.run(SHOP, until, &CancellationToken::new()).await.unwrap();
        self.stores.jobs.get(id).await.unwrap().unwrap()
    }

    /// Archives what a full sync did not have, which is nothing.
    async fn archive(&self, job: &JobSnapshot) {
        let archive = Archive {
            storage: self.world.storage(),
            index: &*self.index,
            worker: Some(&self.worker),
            limit: ArchiveLimit { max_percent: 30, force: false },
            removals: RemovalSettings { bounds: ChunkBounds { documents: 9, bytes: 999 }, lanes: 4 },
            clock: self.clock.clone(),
            cancel: &CancellationToken::new(),
        };
        let archived = archive.run(job, |_| {}).await.unwrap();
        assert!(archived.as_ref().is_ok_and(|outcome| outcome.is_nothing()), "{archived:?}");
    }

    /// Redrives the dead letters of a job, which then ends once more, without a failure.
    async fn redrive(&mut self, id: &JobId) {
        let filter = DeadLetterFilter { job: Some(id.clone()), ..DeadLetterFilter::default() };
        let redriven = redrive(&self.stores, self.clock, SHOP, &filter).await.unwrap();
        assert!(!redriven.sent.is_empty() && redriven.orphaned.is_empty(), "{redriven:?}");
        self.redriven += redriven.sent.len() as u64;
        let job = self.work(id).await;
        assert!(matches!(job.status, JobStatus::Completed | JobStatus::Conflict), "{job:?}");
    }

    /// Checks that the jobs of the last month and all their reports can be read, and that the dead letter of the
    /// first sync can be redriven if it was `pinned`. Returns the number of jobs and of reports.
    async fn check(&mut self, pinned: Option<&JobId>) -> (u64, u64) {
        let jobs = self.stores.jobs.list(Some(SHOP), usize::MAX).await.unwrap();
        let mut reports = 0;
        for job in &jobs {
            for key in self.stores.jobs.reports(&job.job.id).await.unwrap() {
                assert!(self.stores.chunks.get(&key, None).await.unwrap().is_some(), "{key}");
                reports += 1;
            }
        }
        let since = self.clock.now() - MONTH;
        let recent = jobs.iter().filter(|job| job.job.created_at > since).count() as u32;
        assert!(recent >= MONTH.as_secs() as u32 / 3_600 / self.plan.hours - 1, "{recent} jobs of a month");
        if let Some(id) = pinned {
            self.redrive(id).await;
        }
        (jobs.len() as u64, reports)
    }
}
