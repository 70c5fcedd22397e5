//! One schedule: what happens to a shop, in the order that a seed says.

use crate::{
    World,
    recorded::Recorded,
    shop::{Export, State, lines, number_of, variant_of},
};
use host_core::{
    clock::SharedClock,
    index::ArchiveLimit,
    model::{ChunkLine, Job, JobId, Seal, SourceStats},
    storage::{JobSnapshot, Storage, Stores},
};
use host_pipeline::{
    archive::{Archive, ArchiveOutcome, RemovalSettings},
    ingest::{
        chunk::{ChunkBounds, Chunker},
        publish::Publisher,
    },
    sync::new_id,
    worker::{DeadLetterFilter, RunUntil, Worker, WorkerSettings, redrive},
};
use host_testing::{
    build,
    fakes::{FakeIndex, FakePlugin, Next},
    next_random,
};
use jiff::Timestamp;
use std::{collections::BTreeMap, sync::Arc, time::Duration};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

const SHOP: &str = "tests.myshopify.com";
const PRODUCTS: u64 = 6;
const STEPS: u64 = 40;
const DAY: Duration = Duration::from_secs(86_400);
/// Small, so that chunks end within products.
const BOUNDS: ChunkBounds = ChunkBounds { documents: 3, bytes: 1_000 };

struct Random(u64);

impl Random {
    fn below(&mut self, end: u64) -> u64 {
        next_random(&mut self.0) % end
    }

    fn chance(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }
}

/// What a job says of a product, and when its export was taken.
#[derive(Clone, Debug)]
struct Statement {
    at: Timestamp,
    state: State,
}

/// That a full sync archived a product which the index had in this version.
#[derive(Debug)]
struct Absence {
    at: Timestamp,
    version: i64,
}

pub(crate) struct Simulation<W> {
    random: Random,
    clock: SharedClock,
    world: Arc<W>,
    storage: Recorded<W>,
    stores: Stores,
    index: Arc<FakeIndex>,
    workers: Vec<JoinHandle<()>>,
    shop: BTreeMap<u64, State>,
    last_version: i64,
    exports: Vec<Export>,
    jobs: BTreeMap<JobId, Export>,
    statements: BTreeMap<u64, Vec<Statement>>,
    absences: BTreeMap<u64, Vec<Absence>>,
    /// Versions of products of which a crashed ingest published a part.
    partial: BTreeMap<u64, i64>,
    coverage: Coverage,
}

/// How often schedules did what they are to do.
#[derive(Debug, Default)]
pub(crate) struct Coverage {
    pub(crate) archived: u64,
    pub(crate) redriven: u64,
    pub(crate) pruned: u64,
    pub(crate) crashed: u64,
}

impl<W: World> Simulation<W> {
    fn new(seed: u64, world: W, clock: SharedClock) -> Self {
        let world = Arc::new(world);
        let storage = Recorded::new(world.clone());
        let stores = storage.stores();
        let mut simulation = Self {
            random: Random(seed),
            clock,
            world,
            storage,
            stores,
            index: Arc::default(),
            workers: Vec::new(),
            shop: BTreeMap::new(),
            last_version: 0,
            exports: Vec::new(),
            jobs: BTreeMap::new(),
            statements: BTreeMap::new(),
            absences: BTreeMap::new(),
            partial: BTreeMap::new(),
            coverage: Coverage::default(),
        };
        (0..2).for_each(|_| simulation.start_worker());
        simulation
    }

    fn start_worker(&mut self) {
        let rules = Arc::new(FakePlugin::default());
        let settings = WorkerSettings {
            concurrency: 3,
            lease: Duration::from_secs(60),
            poll_interval: self.world.poll_interval(),
            shutdown_timeout: Duration::from_secs(20),
            stopped_after: Duration::from_secs(24 * 3_600),
            keep_chunks: false,
        };
        let (stores, index, clock) = (self.stores.clone(), self.index.clone(), self.clock.clone());
        self.workers.push(tokio::spawn(async move {
            loop {
                let worker = Worker::new(
                    stores.clone(),
                    index.clone(),
                    rules.clone(),
                    rules.clone(),
                    clock.clone(),
                    settings,
                );
                let _stopped =
                    Arc::new(worker).run(SHOP, RunUntil::Cancelled, &CancellationToken::new()).await;
                clock.sleep(Duration::from_secs(15)).await;
            }
        }));
    }

    fn change_shop(&mut self) {
        let product = self.random.below(PRODUCTS);
        self.last_version += 1;
        let version = self.last_version;
        let is_live = matches!(self.shop.get(&product), Some(State::Live { .. }));
        let state = if is_live && self.random.chance(35) {
            State::Deleted { version }
        } else {
            let variants = (0..4).filter(|_| self.random.chance(50)).chain([4]).collect();
            State::Live { version, variants }
        };
        self.shop.insert(product, state);
    }

    /// Of all products, those that are there; of some, deletions too.
    fn export(&mut self) {
        let full = self.random.chance(40);
        let mut products = self.shop.clone();
        if full {
            products.retain(|_, state| matches!(state, State::Live { .. }));
        } else {
            products.retain(|_, _| self.random.chance(60));
        }
        if !products.is_empty() {
            self.exports.push(Export { at: self.clock.now(), full, products });
        }
    }

    /// Reads an export, mostly the newest; sometimes the process crashes before the end.
    async fn ingest(&mut self) {
        if self.exports.is_empty() {
            return;
        }
        let newest = self.exports.len() as u64 - 1;
        let which = if self.random.chance(70) { newest } else { self.random.below(newest + 1) };
        let export = self.exports[which as usize].clone();
        let now = self.clock.now();
        let created_at = match self.random.below(6) {
            0 => now + DAY,
            1 => now - DAY,
            _ => now,
        };
        let lanes = 1 + self.random.below(4) as u16;
        let job = Job {
            // Says when it was created, as ids do that no test has chosen: of a job whose record is gone, that is all that is known.
            id: new_id(&*self.clock, now),
            created_at,
            exported_at: Some(export.at),
            lanes,
            full: export.full,
            ..build::job(&*self.clock, SHOP)
        };
        let (_, guard) = self.storage.acquire_ingest(&job).await.unwrap();
        let job = self.stores.jobs.create(&job).await.unwrap();
        self.jobs.insert(job.id.clone(), export.clone());
        let mut sealed = Vec::new();
        let mut chunker = Chunker::new(BOUNDS, job.lanes);
        for (number, state) in &export.products {
            sealed.extend(lines(*number, state).into_iter().flat_map(|line| line.push(&mut chunker)));
        }
        sealed.extend(chunker.finish());
        let crashes = self.random.chance(15);
        self.coverage.crashed += u64::from(crashes);
        let published = if crashes { self.random.below(sealed.len() as u64) as usize } else { sealed.len() };
        let mut publisher = Publisher::new(&self.stores, &self.clock, &job);
        for chunk in sealed.drain(..published) {
            publisher.publish(chunk).await.unwrap();
        }
        let chunks = publisher.chunks();
        if !crashes {
            let source = SourceStats { products: export.products.len() as u64, ..SourceStats::default() };
            let ids = chunker.into_ids().store(self.stores.chunks.as_ref(), &job).await.unwrap();
            let seal = Seal { source, ids: Some(ids), ..build::seal(chunks) };
            self.stores.jobs.seal(&job.id, &seal).await.unwrap();
            guard.release().await.unwrap();
        }
        self.note(&job.id, chunks, export.at).await;
    }

    /// Notes what the published chunks of a job say.
    async fn note(&mut self, job: &JobId, chunks: u32, at: Timestamp) {
        let mut parts = BTreeMap::new();
        for line in self.published(job, chunks).await {
            let number = number_of(line.product.as_str());
            let version = line.document.fields["v"].as_i64().unwrap();
            let state = match line.siblings {
                _ if line.document.fields.get("title").is_none() => State::Deleted { version },
                Some(siblings) => {
                    let variants =
                        siblings.iter().chain([&line.document.id]).map(|id| variant_of(id.as_str()));
                    State::Live { version, variants: variants.collect() }
                }
                None => {
                    parts.insert(number, version);
                    continue;
                }
            };
            parts.remove(&number);
            self.statements.entry(number).or_default().push(Statement { at, state });
        }
        for (number, version) in parts {
            let newest = self.partial.entry(number).or_default();
            *newest = version.max(*newest);
        }
    }

    async fn published(&self, job: &JobId, chunks: u32) -> Vec<ChunkLine> {
        let mut lines = Vec::new();
        for seq in 0..chunks {
            let chunk = self.stores.jobs.chunk(job, seq).await.unwrap().unwrap();
            let text = self.storage.written(&chunk.key);
            lines.extend(text.lines().map(|line| ChunkLine::parse(line).unwrap()));
        }
        lines
    }

    /// Archives after the last full sync, if it has ended.
    async fn archive(&mut self) {
        let jobs = self.stores.jobs.list(Some(SHOP), usize::MAX).await.unwrap();
        let full = jobs.into_iter().filter(|job| job.job.full);
        let Some(full) = full.max_by_key(|job| job.job.sequence) else { return };
        let cancel = CancellationToken::new();
        let archive = Archive {
            storage: &self.storage,
            index: &*self.index,
            worker: None,
            limit: ArchiveLimit { max_percent: 30, force: true },
            removals: RemovalSettings { bounds: BOUNDS, lanes: 1 + self.random.below(4) as u16 },
            clock: self.clock.clone(),
            cancel: &cancel,
        };
        let Ok(ArchiveOutcome::Queued(_)) = archive.run(&full, |_| {}).await.unwrap() else { return };
        let jobs = self.stores.jobs.list(Some(SHOP), usize::MAX).await.unwrap();
        let removal = jobs.iter().max_by_key(|job| job.job.sequence).unwrap();
        let at = self.jobs[&full.job.id].at;
        for line in self.published(&removal.job.id, removal.chunks).await {
            let number = number_of(line.product.as_str());
            self.assert_not_newer(number, at, &jobs);
            let version = line.document.fields["v"].as_i64().unwrap();
            self.absences.entry(number).or_default().push(Absence { at, version });
            self.coverage.archived += 1;
        }
    }

    /// Of what a later export had, nothing is archived.
    fn assert_not_newer(&self, product: u64, at: Timestamp, known: &[JobSnapshot]) {
        for job in known {
            let Some(export) = self.jobs.get(&job.job.id) else { continue };
            let has_it = matches!(export.products.get(&product), Some(State::Live { .. }));
            let is_read = job.seal.is_some();
            assert!(
                !(has_it && is_read && export.at > at),
                "p{product} is archived, and {} had it",
                job.job.id
            );
        }
    }

    async fn step(&mut self) {
        match self.random.below(20) {
            0..=5 => self.change_shop(),
            6..=8 => self.export(),
            9..=13 => self.ingest().await,
            14 | 15 => self.archive().await,
            16 => {
                let which = self.random.below(2) as usize;
                self.workers.remove(which).abort();
                self.start_worker();
            }
            17 => {
                let next = match self.random.below(5) {
                    0 => Next::Transient,
                    1 => Next::Permanent,
                    2 => Next::LostAnswer,
                    3 => Next::Slow(Duration::from_secs(self.random.below(200))),
                    _ => Next::Panic,
                };
                let times = 1 + self.random.below(3) as usize;
                self.index.state().script.extend(std::iter::repeat_n(next, times));
            }
            18 => self.redrive().await,
            _ => {
                self.coverage.pruned += self.world.expire().await;
            }
        }
        match self.random.below(10) {
            // Where everything is forgotten meanwhile, seldom.
            0 | 1 if self.world.forgets() && self.random.chance(80) => {}
            0 => self.pause(365 * DAY).await,
            1 => self.pause(40 * DAY).await,
            2..=4 => self.clock.sleep(Duration::from_secs(self.random.below(10_000))).await,
            _ => self.clock.sleep(Duration::from_secs(1 + self.random.below(30))).await,
        }
    }

    /// A long time without a worker, so that none polls through it.
    async fn pause(&mut self, time: Duration) {
        if self.world.forgets() {
            self.drain().await;
        }
        self.workers.drain(..).for_each(|worker| worker.abort());
        self.clock.sleep(time).await;
        if self.world.forgets() {
            self.coverage.pruned += self.world.expire().await;
            // Nothing says any more that what they have was removed.
            self.exports.clear();
        }
        (0..2).for_each(|_| self.start_worker());
    }

    async fn redrive(&mut self) {
        let redriven = redrive(&self.stores, &self.clock, SHOP, &DeadLetterFilter::default()).await.unwrap();
        self.coverage.redriven += redriven.sent.len() as u64;
    }

    /// Works until nothing waits and no dead letter is left.
    async fn drain(&mut self) {
        self.index.state().script.clear();
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

    /// The versions of a product's variants in the index.
    fn indexed(&self, product: u64) -> BTreeMap<u64, i64> {
        let state = self.index.state();
        let of_product = state.documents.iter().filter(|(id, _)| number_of(id.as_str()) == product);
        of_product
            .map(|(id, held)| (variant_of(id.as_str()), held.write.version["v"].as_i64().unwrap()))
            .collect()
    }

    fn check(&self) {
        for product in 0..PRODUCTS {
            let statements = self.statements.get(&product).into_iter().flatten();
            let newest = statements.max_by_key(|statement| statement.state.version());
            let Some(Statement { at, state }) = newest else { continue };
            if self.partial.get(&product).is_some_and(|version| *version > state.version()) {
                continue;
            }
            let latest = self.statements[&product].iter().map(|statement| statement.at).max().unwrap_or(*at);
            let absences = self.absences.get(&product).into_iter().flatten();
            let later: Vec<&Absence> = absences.filter(|absence| absence.at > latest).collect();
            // A newer version than the archived one comes back: its export was perhaps taken before, by a wrong clock.
            if !later.is_empty() && later.iter().all(|absence| absence.version < state.version()) {
                continue;
            }
            let expected = match state {
                State::Live { version, variants } if later.is_empty() => {
                    variants.iter().map(|variant| (*variant, *version)).collect()
                }
                _ => BTreeMap::new(),
            };
            assert_eq!(self.indexed(product), expected, "p{product}: {state:?}, archived {later:?}");
        }
    }
}

/// Runs the schedule of a seed.
pub(crate) async fn run<W: World>(seed: u64, world: W, clock: SharedClock) -> Coverage {
    let mut simulation = Simulation::new(seed, world, clock);
    for _ in 0..STEPS {
        simulation.step().await;
    }
    simulation.drain().await;
    simulation.workers.iter().for_each(JoinHandle::abort);
    simulation.check();
    simulation.coverage
}
