//! A schedule: a random history of one shop, which follows from its seed. Steps change the shop, take and ingest
//! exports, archive, break things and repair them; in the end the oracle checks the index.

use crate::{
    World,
    coverage::{Coverage, Event},
    oracle::Oracle,
    process::{Fate, Process, ProcessStorage, WrittenChunks, WrongClock},
    shop::{Export, State},
};
use host_core::{
    clock::SharedClock,
    index::{ArchiveLimit, Index, WriteTarget},
    model::LedgerRecord,
    storage::{LedgerScope, Stores},
};
use host_pipeline::{
    archive::{Archive, ArchiveOutcome, RemovalSettings},
    ingest::chunk::ChunkBounds,
    reconcile::{Reconcile, ReconcileMode},
    worker::{DeadLetterFilter, RunUntil, Worker, WorkerSettings, redrive},
};
use host_testing::{
    build,
    fakes::{FakeIndex, FakePlugin, Next},
    next_random,
};
use jiff::SignedDuration;
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

pub(crate) const SHOP: &str = "tests.myshopify.com";
pub(crate) const INDEX: &str = "products";
/// Number of products that the shop may have: few, so that jobs meet each other's.
pub(crate) const PRODUCTS: u64 = 6;
/// Number of steps in a schedule.
const STEPS: u64 = 40;
const DAY: Duration = Duration::from_secs(86_400);
/// Limits of a chunk: so small that the documents of a product may be in two chunks.
pub(crate) const BOUNDS: ChunkBounds = ChunkBounds { documents: 3, bytes: 1_000 };

/// Random numbers that follow from a seed.
pub(crate) struct Random(u64);

impl Random {
    /// A number from 0 up to, but not including, `end`.
    pub(crate) fn below(&mut self, end: u64) -> u64 {
        next_random(&mut self.0) % end
    }

    /// True in this percentage of calls.
    pub(crate) fn chance(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }

    /// By how much a clock is wrong: by nothing, some hours or a day, ahead or behind.
    pub(crate) fn offset(&mut self) -> SignedDuration {
        let seconds = match self.below(6) {
            0 => 86_400,
            1 => -86_400,
            2 => self.below(86_400) as i64,
            3 => -(self.below(86_400) as i64),
            _ => 0,
        };
        SignedDuration::from_secs(seconds)
    }
}

/// A process that runs a worker.
struct WorkerProcess {
    task: JoinHandle<()>,
    clock: Arc<WrongClock>,
}

/// The state of a schedule.
pub(crate) struct Simulation<W> {
    pub(crate) random: Random,
    pub(crate) clock: SharedClock,
    pub(crate) world: W,
    pub(crate) written: WrittenChunks,
    pub(crate) stores: Stores,
    pub(crate) index: Arc<FakeIndex>,
    workers: Vec<WorkerProcess>,
    /// The shop's products by their numbers, deleted ones included.
    shop: BTreeMap<u64, State>,
    /// Products that the shop has and does not publish at the moment, so that no export has them.
    hidden: BTreeSet<u64>,
    last_version: i64,
    pub(crate) exports: Vec<Export>,
    /// Number of lanes of the last job; 0 before the first one.
    pub(crate) last_lanes: u16,
    /// Whether chunks are kept after their job has ended.
    pub(crate) keep_chunks: bool,
    /// Whether the ledger may lose records in this schedule.
    loses_ledger: bool,
    /// The ledger's records of an earlier time.
    ledger_backup: Vec<LedgerRecord>,
    has_open_breaker: bool,
    pub(crate) oracle: Oracle,
    pub(crate) coverage: Coverage,
}

impl<W: World> Simulation<W> {
    fn new(seed: u64, world: W, clock: SharedClock) -> Self {
        let stores = world.storage().stores();
        let mut random = Random(seed);
        let (keep_chunks, loses_ledger) = (random.chance(30), random.chance(20));
        let mut simulation = Self {
            random,
            clock,
            world,
            written: Arc::default(),
            stores,
            index: Arc::default(),
            workers: Vec::new(),
            shop: BTreeMap::new(),
            hidden: BTreeSet::new(),
            last_version: 0,
            exports: Vec::new(),
            last_lanes: 0,
            keep_chunks,
            loses_ledger,
            ledger_backup: Vec::new(),
            has_open_breaker: false,
            oracle: Oracle::default(),
            coverage: Coverage::default(),
        };
        (0..2).for_each(|_| simulation.start_worker());
        simulation
    }

    /// Starts a process with a worker, which starts again 15 s after its worker has stopped.
    fn start_worker(&mut self) {
        let clock = WrongClock::new(&self.clock, self.random.offset());
        let rules = Arc::new(FakePlugin::default());
        let settings = WorkerSettings {
            concurrency: 3,
            lease: Duration::from_secs(60),
            poll_interval: self.world.poll_interval(),
            shutdown_timeout: Duration::from_secs(20),
            stopped_after: Duration::from_secs(24 * 3_600),
            keep_chunks: self.keep_chunks,
        };
        // A worker for one shop tries chunks although a circuit breaker is open; a worker for all shops waits.
        let only_shop = self.random.chance(50);
        let (stores, index) = (self.world.process(clock.clone()).stores(), self.index.clone());
        let shared: SharedClock = clock.clone();
        let task = tokio::spawn(async move {
            loop {
                let worker = Arc::new(Worker::new(
                    stores.clone(),
                    index.clone(),
                    rules.clone(),
                    rules.clone(),
                    shared.clone(),
                    settings,
                ));
                let cancel = CancellationToken::new();
                let _stopped = match only_shop {
                    true => worker.run(SHOP, RunUntil::Cancelled, &cancel).await,
                    false => worker.run_all(None, &cancel).await,
                };
                shared.sleep(Duration::from_secs(15)).await;
            }
        });
        self.workers.push(WorkerProcess { task, clock });
    }

    fn stop_workers(&mut self) {
        self.workers.drain(..).for_each(|worker| worker.task.abort());
    }

    /// A process that ingests or archives, whose clock is wrong by `offset`.
    pub(crate) fn process(&mut self, offset: SignedDuration, fate: Fate) -> ProcessStorage {
        self.coverage.add_if(Event::IngestAhead, offset.is_positive());
        self.coverage.add_if(Event::IngestBehind, offset.is_negative());
        let clock = WrongClock::new(&self.clock, offset);
        Process::storage(self.world.process(clock.clone()), self.written.clone(), clock, fate)
    }

    /// Creates, changes, deletes, hides or shows a product.
    fn change_shop(&mut self) {
        let product = self.random.below(PRODUCTS);
        let is_live = matches!(self.shop.get(&product), Some(State::Live { .. }));
        if is_live && self.random.chance(20) {
            if !self.hidden.remove(&product) {
                self.hidden.insert(product);
            }
            return;
        }
        self.last_version += 1;
        let version = self.last_version;
        let state = if is_live && self.random.chance(35) {
            State::Deleted { version }
        } else {
            let variants = (0..4).filter(|_| self.random.chance(50)).chain([4]).collect();
            State::Live { version, variants }
        };
        self.hidden.remove(&product);
        self.shop.insert(product, state);
    }

    /// Takes an export: of all products that the shop shows if `full`, otherwise of some, deleted ones included.
    /// Returns false, and takes none, if it would be empty.
    fn export(&mut self, full: bool) -> bool {
        let mut products = self.shop.clone();
        products.retain(|number, _| !self.hidden.contains(number));
        if full {
            products.retain(|_, state| matches!(state, State::Live { .. }));
        } else {
            products.retain(|_, _| self.random.chance(60));
        }
        let has_products = !products.is_empty();
        if has_products {
            self.exports.push(Export { at: self.clock.now(), full, products });
        }
        has_products
    }

    /// Archives what the last full sync did not have, unless that is refused.
    async fn archive(&mut self, offset: SignedDuration) {
        let process = self.process(offset, Fate::default());
        let jobs = self.stores.jobs.list(Some(SHOP), usize::MAX).await.unwrap();
        let full = jobs.into_iter().filter(|job| job.job.full);
        let Some(full) = full.max_by_key(|job| job.job.sequence) else { return };
        let (clock, cancel) = (process.interceptor.clock(), CancellationToken::new());
        let archive = Archive {
            storage: &process,
            index: &*self.index,
            worker: None,
            limit: ArchiveLimit { max_percent: 30, force: true },
            removals: RemovalSettings { bounds: BOUNDS, lanes: 1 + self.random.below(4) as u16 },
            clock,
            cancel: &cancel,
        };
        let Ok(ArchiveOutcome::Queued(_)) = archive.run(&full, |_| {}).await.unwrap() else { return };
        let jobs = self.stores.jobs.list(Some(SHOP), usize::MAX).await.unwrap();
        let removal = jobs.iter().max_by_key(|job| job.job.sequence).unwrap();
        self.last_lanes = removal.job.lanes;
        let lines = self.published(&removal.job.id, removal.chunks).await;
        self.coverage.add(Event::Archived, lines.len() as u64);
        self.oracle.note_archived(&full.job, &lines, &jobs);
    }

    /// One step: an event, and some time until the next one.
    async fn step(&mut self) {
        match self.random.below(24) {
            0..=5 => self.change_shop(),
            6..=8 => {
                let full = self.random.chance(40);
                self.export(full);
            }
            9..=13 => self.ingest_some().await,
            14 | 15 => {
                let offset = self.random.offset();
                self.archive(offset).await;
            }
            16 => {
                let worker = self.random.below(2) as usize;
                self.workers.remove(worker).task.abort();
                self.coverage.add(Event::WorkerCrashed, 1);
                self.start_worker();
            }
            17 => self.script_failures(),
            18 => self.redrive().await,
            19 => self.expire().await,
            20 => self.jump(),
            21 => self.replay().await,
            22 => {
                let is_broken = self.index.state().broken_shop.is_some();
                let broken = (!is_broken && self.random.chance(50)).then(|| SHOP.to_owned());
                self.index.state().broken_shop = broken;
            }
            _ => self.damage_ledger().await,
        }
        match self.random.below(10) {
            // Long pauses are rare where everything expires meanwhile: nothing of interest is left after them.
            0 | 1 if self.world.forgets() && self.random.chance(80) => {}
            0 => self.pause(365 * DAY).await,
            1 => self.pause(40 * DAY).await,
            2..=4 => self.clock.sleep(Duration::from_secs(self.random.below(10_000))).await,
            _ => self.clock.sleep(Duration::from_secs(1 + self.random.below(30))).await,
        }
        self.look_at_breaker().await;
    }

    /// Has the next writes of the index fail or take long.
    fn script_failures(&mut self) {
        let next = match self.random.below(5) {
            0 => Next::Transient,
            1 => Next::Permanent,
            2 => Next::LostAnswer,
            3 => Next::Slow(Duration::from_secs(self.random.below(200))),
            _ => Next::Panic,
        };
        // Sometimes more often than a chunk is tried, so that it becomes a dead letter or work stops.
        let times = 1 + self.random.below(30) as usize;
        self.index.state().script.extend(std::iter::repeat_n(next, times));
    }

    /// Has the clock of a worker jump while it works.
    fn jump(&mut self) {
        let (worker, offset) = (self.random.below(2) as usize, self.random.offset());
        let clock = &self.workers[worker].clock;
        let before = clock.offset();
        clock.set(offset);
        self.coverage.add_if(Event::WorkerAhead, offset > before);
        self.coverage.add_if(Event::WorkerBehind, offset < before);
    }

    /// Counts it if the circuit breaker of the index has opened since the last look.
    async fn look_at_breaker(&mut self) {
        let is_open = !self.stores.breakers.list(Some(SHOP)).await.unwrap().is_empty();
        self.coverage.add_if(Event::BreakerOpened, is_open && !self.has_open_breaker);
        self.has_open_breaker = is_open;
    }

    /// Removes old jobs.
    async fn expire(&mut self) {
        let expired = self.world.expire(self.keep_chunks).await;
        self.coverage.add(Event::Expired, expired);
    }

    /// Lets a long time pass without workers, which would otherwise poll thousands of times.
    async fn pause(&mut self, time: Duration) {
        if self.world.forgets() {
            self.drain().await;
        }
        self.stop_workers();
        self.clock.sleep(time).await;
        if self.world.forgets() {
            self.expire().await;
            // The tombstones of removed products have expired, so old exports would bring these back: they are not
            // read again.
            self.exports.clear();
        }
        (0..2).for_each(|_| self.start_worker());
    }

    /// Makes two full syncs with a year between them, in which everything is removed that may be. After each, the index
    /// must have what the shop has.
    async fn year_apart(&mut self) {
        self.full_sync().await;
        self.pause(365 * DAY).await;
        self.expire().await;
        (0..6).for_each(|_| self.change_shop());
        self.full_sync().await;
        self.coverage.add(Event::YearApart, 1);
    }

    /// Ingests and writes a full export, archives what it does not have, and checks that the index has what the shop
    /// shows.
    async fn full_sync(&mut self) {
        self.drain().await;
        if !self.export(true) {
            return;
        }
        let newest = self.exports.len() - 1;
        self.ingest(newest, SignedDuration::ZERO, Fate::default(), false).await;
        self.drain().await;
        self.archive(SignedDuration::ZERO).await;
        self.drain().await;
        if self.oracle.is_ledger_whole() {
            for number in 0..PRODUCTS {
                let shown = self.shop.get(&number).filter(|_| !self.hidden.contains(&number));
                let expected = shown.map(State::documents).unwrap_or_default();
                let found = self.indexed(number);
                assert_eq!(found, expected, "p{number} after a full sync: {:?}", self.shop.get(&number));
            }
        }
    }

    /// Redrives all dead letters (sends their chunks again), except for those that have to wait for others.
    async fn redrive(&mut self) {
        let dead_letters = self.stores.queue.dead_letters(SHOP).await.unwrap();
        self.coverage.add(Event::DeadLettered, dead_letters.len() as u64);
        let filter = DeadLetterFilter::default();
        let redriven = redrive(&self.stores, &self.clock, SHOP, &filter).await.unwrap();
        self.coverage.add(Event::Redriven, redriven.sent.len() as u64);
    }

    /// Ends all failures of the index, and lets workers go on until no message and no dead letter is left.
    async fn drain(&mut self) {
        {
            let mut index = self.index.state();
            index.script.clear();
            index.broken_shop = None;
        }
        for _ in 0..100 {
            self.clock.sleep(Duration::from_secs(600)).await;
            self.redrive().await;
            let waiting = self.stores.queue.depth(SHOP).await.unwrap();
            if waiting == 0 && self.stores.queue.dead_letters(SHOP).await.unwrap().is_empty() {
                return;
            }
        }
        panic!("the queue does not become empty");
    }

    /// Has the ledger lose records, or replaces it by an earlier state, as a restore of a backup does. Half of the
    /// calls only take the backup.
    async fn damage_ledger(&mut self) {
        if !self.loses_ledger {
            return;
        }
        let (target, ledger) = (self.index.id(), self.stores.ledger.clone());
        let scope = LedgerScope { shop_id: SHOP.to_owned(), target, index_name: INDEX.to_owned() };
        let records = ledger.page(&scope, None, PRODUCTS as usize).await.unwrap();
        let kept = match self.random.below(4) {
            0 | 1 => return self.ledger_backup = records,
            2 => {
                self.coverage.add(Event::LedgerStale, 1);
                std::mem::take(&mut self.ledger_backup)
            }
            _ => {
                self.coverage.add_if(Event::LedgerLost, !records.is_empty());
                records.into_iter().filter(|_| self.random.chance(50)).collect()
            }
        };
        self.oracle.lose_ledger();
        ledger.remove_shop(SHOP, false).await.unwrap();
        build::store_records(&*ledger, &scope, &kept).await;
    }

    /// Rebuilds a damaged ledger from the index, as `host reconcile --repair` does, and checks that the next full
    /// sync then makes the index what the shop shows.
    async fn rebuild_ledger(&mut self) {
        // Its ingest ends the jobs that crashed ones have left: nothing is compared while a job is open.
        self.full_sync().await;
        let process = self.process(SignedDuration::ZERO, Fate::default());
        let job_id = String::new();
        let target = WriteTarget { shop_id: SHOP.to_owned(), index_name: INDEX.to_owned(), job_id };
        let reconcile = Reconcile {
            storage: &process,
            index: &*self.index,
            target,
            mode: ReconcileMode::All,
            adopt: true,
            clock: process.interceptor.clock(),
        };
        let settings = RemovalSettings { bounds: BOUNDS, lanes: 4 };
        reconcile.repair(settings, |_| {}).await.unwrap();
        self.oracle.rebuild_ledger();
        self.full_sync().await;
    }
}

/// Runs the schedule of a seed, and returns what happened in it.
pub(crate) async fn run<W: World>(seed: u64, world: W, clock: SharedClock) -> Coverage {
    let mut simulation = Simulation::new(seed, world, clock);
    let year_at = simulation.random.chance(10).then(|| simulation.random.below(STEPS));
    for step in 0..STEPS {
        simulation.step().await;
        if year_at == Some(step) {
            simulation.year_apart().await;
        }
    }
    simulation.drain().await;
    for number in 0..PRODUCTS {
        simulation.oracle.check(number, &simulation.indexed(number));
    }
    if !simulation.oracle.is_ledger_whole() {
        simulation.rebuild_ledger().await;
    }
    simulation.stop_workers();
    simulation.coverage
}
