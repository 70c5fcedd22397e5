//! The removal of a shop on services that fail at any one of its calls: the next one removes the rest.

use super::{
    MONTH,
    expiry::ModelStorage,
    intercepted::{
        InterceptedQueues, InterceptedTable, QueueCall, QueueInterceptor, TableCall, TableInterceptor,
    },
    sqs,
    table::Model,
};
use host_core::{
    clock::SharedClock,
    index::Index,
    model::{Job, JobStatus, Operation},
    storage::{
        Breaker, BreakerScope, IndexDocument, ShopCounts, ShopIndex, Storage, StoreError, StoreErrorKind,
        Stores,
    },
};
use host_pipeline::{
    forget::Forget,
    worker::{RunUntil, Worker, WorkerSettings},
};
use host_storage_aws::{
    Key, Names, QueueService, Table, TableError, Update, breakers_on, jobs_on, ledger_on, queue_with_jobs_on,
    settings_on,
};
use host_testing::{
    VirtualClock, build,
    fakes::{FakeIndex, FakePlugin, intercepted},
    storage::Memory,
};
use serde_json::Map;
use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};
use tokio_util::sync::CancellationToken;

const SHOP: &str = "leaves.myshopify.com";
const OTHER: &str = "stays.myshopify.com";

/// Which call fails.
#[derive(Clone, Copy, Debug)]
struct Fault {
    at: usize,
    /// Whether it takes effect, and only its answer is lost.
    takes_effect: bool,
}

/// Counts the calls of all services, and has one fail.
#[derive(Default)]
struct Faults {
    fault: Mutex<Option<Fault>>,
    calls: AtomicUsize,
    /// What another process writes just before a job's record goes.
    late: Mutex<Option<(Arc<Model>, Update)>>,
}

impl Faults {
    async fn call<T, E>(
        &self,
        call: impl Future<Output = Result<T, E>>,
        error: impl Fn() -> E,
    ) -> Result<T, E> {
        let number = self.calls.fetch_add(1, Relaxed);
        let fault = self.fault.lock().unwrap().filter(|fault| fault.at == number);
        match fault {
            None => call.await,
            Some(Fault { takes_effect: false, .. }) => Err(error()),
            Some(Fault { takes_effect: true, .. }) => call.await.and_then(|_| Err(error())),
        }
    }
}

fn lost() -> StoreError {
    StoreError { action: "a call".to_owned(), kind: StoreErrorKind::Transient, source: "lost".into() }
}

impl TableInterceptor for Faults {
    async fn of_table<T: Send>(
        &self,
        call: TableCall<'_>,
        answer: impl Future<Output = Result<T, TableError>> + Send,
    ) -> Result<T, TableError> {
        let is_job = matches!(call, TableCall::Delete(key) if key.pk.starts_with("PLATFORM#"));
        let late = self.late.lock().unwrap().take_if(|_| is_job);
        if let Some((table, late)) = late {
            table.update(&late).await?;
        }
        let lost = || TableError { kind: StoreErrorKind::Transient, source: "lost".into() };
        self.call(answer, lost).await
    }
}

impl QueueInterceptor for Faults {
    async fn of_queue<T: Send>(
        &self,
        _: QueueCall<'_>,
        answer: impl Future<Output = Result<T, StoreError>> + Send,
    ) -> Result<T, StoreError> {
        self.call(answer, lost).await
    }
}

/// An environment of two shops, each with its index.
struct World {
    clock: SharedClock,
    faults: Arc<Faults>,
    queues: Arc<sqs::Model>,
    jobs: Arc<Model>,
    products: Arc<Model>,
    storage: ModelStorage,
    index: Arc<FakeIndex>,
}

impl World {
    async fn new() -> Self {
        let clock: SharedClock = Arc::new(VirtualClock::paused(1));
        let (queues, faults) = (Arc::new(sqs::Model::new(clock.clone())), Arc::<Faults>::default());
        let [jobs, products] = <[Arc<Model>; 2]>::default();
        let table = Arc::new(InterceptedTable(jobs.clone(), faults.clone()));
        let service = Arc::new(InterceptedQueues(queues.clone(), faults.clone()));
        let ledger = Arc::new(InterceptedTable(products.clone(), faults.clone()));
        // A bucket removes what it has of a shop in one step.
        let of_bucket = faults.clone();
        let gate = move |_: &'static str| {
            let number = of_bucket.calls.fetch_add(1, Relaxed);
            let fails = of_bucket.fault.lock().unwrap().is_some_and(|fault| fault.at == number);
            if fails { Err(lost()) } else { Ok(()) }
        };
        let stores = Stores {
            chunks: intercepted(Memory::new(clock.clone()).stores(), Arc::new(gate)).chunks,
            queue: queue_with_jobs_on(service, table.clone(), Names::new("test", None), clock.clone(), MONTH),
            jobs: jobs_on(table.clone(), clock.clone(), MONTH),
            settings: settings_on(table.clone()),
            ledger: ledger_on(ledger, clock.clone(), MONTH),
            breakers: breakers_on(table),
        };
        let storage = ModelStorage { stores, jobs: jobs.clone(), clock: clock.clone() };
        let world = Self { clock, faults, queues, jobs, products, storage, index: Arc::default() };
        world.work(SHOP, &["1", "2"], JobStatus::Completed).await;
        world.work(OTHER, &["7"], JobStatus::Completed).await;
        // Its chunk becomes a dead letter.
        let job = world.work(SHOP, &["3"], JobStatus::Failed).await;
        let Stores { settings, breakers, .. } = world.storage.stores();
        let secret = IndexDocument(Map::from_iter([("api_key".to_owned(), "secret".into())]));
        settings.put(&index_name(SHOP), &secret).await.unwrap();
        settings.put(&index_name(OTHER), &secret).await.unwrap();
        let scope = BreakerScope { shop_id: SHOP.to_owned(), index_name: index_name(SHOP) };
        let failure = ("index-refused", "401".to_owned());
        let breaker = Breaker::opened(scope, &build::chunk(&job.id, 0, 0), failure, world.clock.now());
        assert!(breakers.replace(None, &breaker).await.unwrap());
        world
    }

    /// Works a job of one chunk.
    async fn work(&self, shop: &str, ids: &[&str], status: JobStatus) -> Job {
        let rules = Arc::new(FakePlugin::default());
        let settings = WorkerSettings {
            concurrency: 1,
            lease: Duration::from_secs(60),
            poll_interval: Duration::from_millis(500),
            shutdown_timeout: Duration::from_secs(20),
            stopped_after: Duration::from_secs(86_400),
            keep_chunks: true,
        };
        let stores = self.storage.stores();
        let (index, clock) = (self.index.clone(), self.clock.clone());
        let worker = Worker::new(stores.clone(), index, rules.clone(), rules, clock, settings);
        let job = build::job(&*self.clock, shop);
        let job = Job { index_name: index_name(shop), target: self.index.id(), ..job };
        // The plug-in fails on a batch with that word.
        let title = if status == JobStatus::Failed { "fatal" } else { "mug" };
        let line = |id: &&str| format!("{{\"_id\":\"{id}\",\"v\":1,\"title\":\"{title}\"}}\n");
        let lines: String = ids.iter().map(line).collect();
        build::publish(&stores, &job, &[(0, Operation::AddDocuments, &lines)]).await;
        let until = RunUntil::JobEnds(job.id.clone());
        Arc::new(worker).run(shop, until, &CancellationToken::new()).await.unwrap();
        let ended = stores.jobs.get(&job.id).await.unwrap().unwrap();
        assert_eq!(ended.status, status);
        job
    }

    fn forget(&self) -> Forget<'_> {
        let of_shop = ShopIndex { target: self.index.id(), index_name: index_name(SHOP), is_exclusive: true };
        let indexes = vec![(of_shop, self.index.clone() as Arc<dyn Index>)];
        let (storage, clock) = (&self.storage, self.clock.clone());
        Forget { storage, shop_id: SHOP, indexes, gone: Vec::new(), clock }
    }

    /// Whether nothing names the shop, and all of the other one is there.
    async fn check(&self, what: &str) {
        let found = [
            ("the tables", format!("{:?} {:?}", self.jobs.items(), self.products.items())),
            ("the queues", format!("{:?}", self.queues.list("").await.unwrap())),
        ];
        let shop = Names::new("test", None).queue(SHOP);
        let in_names = shop.trim_start_matches("test-ecom-indexer-").trim_end_matches(".fifo").to_owned();
        for (place, text) in found {
            for name in [SHOP, &index_name(SHOP), &in_names] {
                assert!(!text.contains(name), "{what}: {name} is in {place}: {text}");
            }
        }
        let Stores { chunks, jobs, queue, settings, .. } = self.storage.stores();
        assert_eq!(chunks.remove_shop(SHOP, true).await.unwrap(), 0, "{what}");
        assert_eq!(self.index.state().documents.keys().map(|id| id.as_str()).collect::<Vec<_>>(), ["7"]);
        assert_eq!(chunks.remove_shop(OTHER, true).await.unwrap(), 1, "{what}");
        assert_eq!(jobs.list(None, 9).await.unwrap().len(), 1, "{what}");
        assert_eq!(queue.shops().await.unwrap(), [OTHER], "{what}");
        assert_eq!(settings.list().await.unwrap(), [index_name(OTHER)], "{what}");
    }
}

fn index_name(shop: &str) -> String {
    format!("products-of-{}", shop.split('.').next().unwrap())
}

#[tokio::test(start_paused = true)]
async fn a_removal_that_fails_at_any_call_is_finished_by_the_next() {
    let mut failed = 0;
    for takes_effect in [false, true] {
        for at in 0.. {
            let world = World::new().await;
            let counts = world.forget().find().await.unwrap().counts;
            let expected =
                ShopCounts { documents: 2, messages: 1, objects: 3, products: 2, jobs: 2, settings: 1 };
            assert_eq!(counts, expected);
            world.faults.calls.store(0, Relaxed);
            *world.faults.fault.lock().unwrap() = Some(Fault { at, takes_effect });
            let first = world.forget().run(counts).await;
            let is_over = world.faults.calls.load(Relaxed) <= at;
            *world.faults.fault.lock().unwrap() = None;
            let what = format!("call {at}, which takes effect: {takes_effect}: {first:?}");
            assert!(first.is_ok() || !is_over, "{what}");
            failed += u64::from(first.is_err());
            if first.is_err() {
                // As the command does, which counts anew.
                world.clock.sleep(Duration::from_secs(60)).await;
                let counts = world.forget().find().await.unwrap().counts;
                world.forget().run(counts).await.unwrap();
            }
            world.check(&what).await;
            let receipt = world.storage.stores().jobs.shop_removal(SHOP).await.unwrap().unwrap();
            assert_eq!((receipt.counts, receipt.is_open()), (counts, false), "{what}");
            if is_over {
                break;
            }
        }
    }
    assert!(failed > 50, "{failed} calls failed");
}

/// A worker remembers what it cleared after the breaker is closed, which may be after the removal of breakers.
#[tokio::test(start_paused = true)]
async fn what_a_worker_clears_during_the_removal_goes_too() {
    let world = World::new().await;
    let cleared = Key::new("BREAKERS", format!("CLEARED#SHOP#{SHOP}#INDEX#{}", index_name(SHOP)));
    let late = Update::new(cleared).set("breaker", "{}");
    *world.faults.late.lock().unwrap() = Some((world.jobs.clone(), late));
    let counts = world.forget().find().await.unwrap().counts;
    world.forget().run(counts).await.unwrap();
    assert!(world.faults.late.lock().unwrap().is_none(), "it was written");
    world.check("cleared late").await;
}
