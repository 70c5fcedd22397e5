//! Shops that are removed, at once or with interrupts, on storage in memory.

use super::{Forget, ForgetError, NotAsked, indexes};
use crate::{
    archive::{Archive, ArchiveError},
    ingest::{
        chunk::ChunkBounds,
        run::{IngestProgress, IngestSettings},
    },
    reconcile::{Reconcile, ReconcileError, ReconcileMode},
    removals::RemovalSettings,
    removed_shop::{ShopIsRemoved, create_job},
    sync::{RunError, RunJob},
    worker::{RunUntil, Worker, WorkerSettings},
};
use async_trait::async_trait;
use host_core::{
    clock::SharedClock,
    index::{ArchiveLimit, Index, IndexError, Outcome, WriteTarget},
    model::{Digest, DocumentId, Job, JobId, JobStatus, Operation},
    storage::{
        DocumentsLeft, IndexDocument, JobRemover, LedgerScope, LeftReason, ShopCounts, ShopIndex,
        ShopRemoval, Storage, StoreErrorKind, Stores,
    },
};
use host_testing::{
    VirtualClock, build,
    fakes::{
        FakeIndex, FakePlugin, IndexCall, IndexedDocument, Intercepted, InterceptedStorage, Interceptor,
        refuse_first,
    },
    storage::Memory,
};
use serde_json::Map;
use std::{sync::Arc, time::Duration};
use tokio_util::sync::CancellationToken;

const SHOP: &str = "leaves.myshopify.com";
const OTHER: &str = "stays.myshopify.com";

struct World {
    storage: Memory,
    index: Arc<FakeIndex>,
    worker: Arc<Worker>,
    clock: SharedClock,
}

impl World {
    /// Two shops in one index, and a document of another program in it.
    async fn new() -> Self {
        let clock: SharedClock = Arc::new(VirtualClock::paused(1));
        let storage = Memory::new(clock.clone());
        let (index, rules) = (Arc::new(FakeIndex::default()), Arc::new(FakePlugin::default()));
        let settings = WorkerSettings {
            concurrency: 2,
            lease: Duration::from_secs(60),
            poll_interval: Duration::from_millis(50),
            shutdown_timeout: Duration::from_secs(20),
            stopped_after: Duration::from_secs(24 * 3_600),
            keep_chunks: false,
        };
        let worker =
            Worker::new(storage.stores(), index.clone(), rules.clone(), rules, clock.clone(), settings);
        let world = Self { storage, index, worker: Arc::new(worker), clock };
        for (shop, products) in [(SHOP, ["1", "2", "3"]), (OTHER, ["7", "8", "9"])] {
            let lines: String = products.iter().map(|id| format!("{{\"_id\":\"{id}\",\"v\":1}}\n")).collect();
            world.work(shop, Operation::AddDocuments, &lines).await;
            let removed = format!("{{\"_id\":\"{}\",\"v\":2}}\n", products[2]);
            world.work(shop, Operation::DeleteDocuments, &removed).await;
        }
        let program = world.index.state().documents[&id("1")].clone();
        let program = IndexedDocument { job_id: "another program".to_owned(), ..program };
        world.index.state().documents.insert(id("program"), program);
        // The ledger does not know it, and the job does.
        let lost = world.index.state().documents[&id("1")].clone();
        world.index.state().documents.insert(id("lost"), lost);
        let settings = IndexDocument(Map::from_iter([("key".to_owned(), "secret".into())]));
        world.stores().settings.put("products", &settings).await.unwrap();
        world
    }

    fn stores(&self) -> Stores {
        self.storage.stores()
    }

    async fn work(&self, shop_id: &str, operation: Operation, text: &str) -> JobId {
        let job = build::job(&*self.clock, shop_id);
        build::publish(&self.stores(), &job, &[(0, operation, text)]).await;
        let until = RunUntil::JobEnds(job.id.clone());
        self.worker.run(shop_id, until, &CancellationToken::new()).await.unwrap();
        job.id
    }

    async fn forget(&self) -> Forget<'_> {
        let found = indexes(&self.stores(), SHOP).await.unwrap();
        let indexes = found.into_iter().map(|of_shop| (of_shop, self.index.clone() as Arc<dyn Index>));
        Forget {
            storage: &self.storage,
            shop_id: SHOP,
            indexes: indexes.collect(),
            gone: Vec::new(),
            clock: self.clock.clone(),
        }
    }

    fn ids(&self) -> Vec<String> {
        self.index.state().documents.keys().map(ToString::to_string).collect()
    }

    /// Whether nothing of the shop is left, and all of the other one.
    async fn check(&self) {
        let stores = self.stores();
        assert_eq!(self.ids(), ["7", "8", "program"]);
        let nothing = self.forget().await.find().await.unwrap().counts;
        assert_eq!(nothing, ShopCounts::default());
        assert_eq!(stores.jobs.list(Some(OTHER), 9).await.unwrap().len(), 2);
        let index_name = "products".to_owned();
        let scope = LedgerScope { shop_id: OTHER.to_owned(), target: self.index.id(), index_name };
        assert_eq!(stores.ledger.page(&scope, None, 9).await.unwrap().len(), 3);
        assert_eq!(stores.chunks.remove_shop(OTHER, true).await.unwrap(), 2);
    }
}

fn id(id: &str) -> DocumentId {
    DocumentId::new(id).unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_shop_goes_and_the_others_stay() {
    let world = World::new().await;
    let counts = world.forget().await.find().await.unwrap().counts;
    let expected = ShopCounts { documents: 3, messages: 0, objects: 2, products: 3, jobs: 2, settings: 0 };
    assert_eq!(counts, expected);
    assert_eq!(world.ids().len(), 6, "counting removes nothing");
    let removal = world.forget().await.run(counts).await.unwrap();
    assert_eq!((removal.counts, removal.is_open(), removal.indexes.len()), (expected, false, 0));
    let stored = world.stores().jobs.shop_removal(SHOP).await.unwrap().unwrap();
    assert_eq!(stored, removal);
    assert!(!serde_json::to_string(&stored).unwrap().contains("leaves"));
    assert!(world.stores().settings.get("products").await.unwrap().is_some(), "the other shop needs them");
    world.check().await;
    world.clock.sleep(Duration::from_secs(1)).await;
    let again = world.forget().await.run(ShopCounts::default()).await.unwrap();
    assert_eq!(again, removal, "what there was at first");

    // The shop comes back as a new one, also with what was removed.
    let job = world.work(SHOP, Operation::AddDocuments, "{\"_id\":\"3\",\"v\":1}\n").await;
    let job = world.stores().jobs.get(&job).await.unwrap().unwrap();
    assert_eq!((job.counts.processed, job.counts.conflict), (1, 0));
    assert_eq!(world.ids(), ["3", "7", "8", "program"]);
}

/// The steps of a removal, the first `steps` of which were done before a kill.
#[tokio::test(start_paused = true)]
async fn an_interrupted_removal_is_finished_by_the_next() {
    for steps in 0..=6 {
        let world = World::new().await;
        let counts = world.forget().await.find().await.unwrap().counts;
        let began_at = world.clock.now();
        let stores = world.stores();
        let mut found = indexes(&stores, SHOP).await.unwrap();
        found.iter_mut().for_each(|of_shop| of_shop.is_exclusive = true);
        let begun = ShopRemoval { began_at, ended_at: None, counts, indexes: found, left: Vec::new() };
        stores.jobs.put_shop_removal(SHOP, &begun).await.unwrap();
        if steps > 0 {
            stores.queue.remove_shop(SHOP, false).await.unwrap();
        }
        if steps > 1 {
            world.index.state().documents.retain(|id, _| ["7", "8", "program"].contains(&id.as_str()));
        }
        if steps > 2 {
            stores.chunks.remove_shop(SHOP, false).await.unwrap();
        }
        if steps > 3 {
            stores.ledger.remove_shop(SHOP, false).await.unwrap();
        }
        if steps > 4 {
            stores.jobs.remove_shop(SHOP, false).await.unwrap();
        }
        if steps > 5 {
            stores.settings.delete("products").await.unwrap();
        }
        let removal = world.forget().await.run(ShopCounts::default()).await.unwrap();
        assert_eq!((removal.began_at, removal.counts), (began_at, counts), "what there was at first");
        assert!(!removal.is_open(), "{steps}");
        assert!(stores.settings.get("products").await.unwrap().is_none());
        world.check().await;
    }
}

/// An index that fails keeps what says whose documents are left.
#[tokio::test(start_paused = true)]
async fn a_removal_that_fails_at_the_documents_keeps_what_the_next_one_needs() {
    for effective in [false, true] {
        let world = World::new().await;
        let failing = Intercepted { index: FakeIndex::default(), interceptor: Failing { effective } };
        let failing = Arc::new(failing);
        *failing.index.state() = std::mem::take(&mut *world.index.state());
        let found = indexes(&world.stores(), SHOP).await.unwrap();
        let indexes = found.into_iter().map(|of_shop| (of_shop, failing.clone() as Arc<dyn Index>)).collect();
        let forget = Forget { indexes, ..world.forget().await };
        let failed = forget.run(ShopCounts::default()).await;
        assert!(matches!(failed, Err(ForgetError::Index { .. })), "{failed:?}");
        assert!(world.stores().jobs.shop_removal(SHOP).await.unwrap().unwrap().is_open());
        assert!(!world.stores().jobs.list(Some(SHOP), 9).await.unwrap().is_empty());
        *world.index.state() = std::mem::take(&mut *failing.index.state());
        world.forget().await.run(ShopCounts::default()).await.unwrap();
        world.check().await;
    }
}

struct Failing {
    effective: bool,
}

impl Failing {
    fn fail(&self, call: IndexCall<'_>, is_after: bool) -> Result<(), IndexError> {
        if !matches!(call, IndexCall::Delete(_)) || self.effective != is_after {
            return Ok(());
        }
        Err(IndexError { action: "removing".to_owned(), transient: true, source: "as the test says".into() })
    }
}

#[async_trait]
impl Interceptor for Failing {
    async fn before(&self, call: IndexCall<'_>) -> Result<(), IndexError> {
        self.fail(call, false)
    }

    async fn after(&self, call: IndexCall<'_>, _: &[Outcome]) -> Result<(), IndexError> {
        self.fail(call, true)
    }
}

#[tokio::test(start_paused = true)]
async fn settings_go_where_no_other_shop_needs_them() {
    let world = World::new().await;
    world.stores().jobs.remove_shop(OTHER, false).await.unwrap();
    // Another target of the shop has an index of the same name.
    let job = Job { target: "another".into(), ..build::job(&*world.clock, SHOP) };
    world.stores().jobs.create(&job).await.unwrap();
    world.stores().jobs.cancel(&job.id, "so").await.unwrap();
    let counts = world.forget().await.find().await.unwrap().counts;
    assert_eq!(counts.settings, 1);
    world.forget().await.run(counts).await.unwrap();
    assert!(world.stores().settings.get("products").await.unwrap().is_none());
}

#[tokio::test(start_paused = true)]
async fn nothing_goes_while_a_job_is_open() {
    let world = World::new().await;
    let job = build::job(&*world.clock, SHOP);
    build::publish(&world.stores(), &job, &[(0, Operation::AddDocuments, "{\"_id\":\"4\",\"v\":1}\n")]).await;
    let refused = world.forget().await.run(ShopCounts::default()).await;
    assert!(matches!(refused, Err(ForgetError::Unfinished(id)) if id == job.id));
    assert_eq!(world.forget().await.find().await.unwrap().open_job, Some(job.id));
    assert_eq!((world.ids().len(), world.stores().jobs.shop_removal(SHOP).await.unwrap()), (6, None));
}

/// The shop is marked as being removed.
async fn begin(world: &World) {
    let began_at = world.clock.now();
    let (counts, indexes) = (ShopCounts::default(), Vec::new());
    let begun = ShopRemoval { began_at, ended_at: None, counts, indexes, left: Vec::new() };
    world.stores().jobs.put_shop_removal(SHOP, &begun).await.unwrap();
}

const REMOVALS: RemovalSettings =
    RemovalSettings { bounds: ChunkBounds { documents: 9, bytes: 999 }, lanes: 1 };

#[tokio::test(start_paused = true)]
async fn nothing_is_repaired_or_archived_while_a_shop_is_being_removed() {
    let world = World::new().await;
    let stores = world.stores();
    let full = Job { full: true, ..build::job(&*world.clock, SHOP) };
    build::publish(&stores, &full, &[(0, Operation::AddDocuments, "{\"_id\":\"1\",\"v\":3}\n")]).await;
    let until = RunUntil::JobEnds(full.id.clone());
    world.worker.run(SHOP, until, &CancellationToken::new()).await.unwrap();
    begin(&world).await;
    let jobs = stores.jobs.list(Some(SHOP), usize::MAX).await.unwrap();
    let (storage, index, clock, cancel) =
        (&world.storage, &*world.index, world.clock.clone(), CancellationToken::new());
    let target = WriteTarget::of(&full);
    let reconcile = Reconcile { storage, index, target, mode: ReconcileMode::All, adopt: false, clock };
    let refused = reconcile.repair(REMOVALS, |_| {}).await;
    assert!(matches!(refused, Err(ReconcileError::ShopIsRemoved(_))));
    reconcile.compare(|_| {}).await.unwrap();
    let (limit, clock) = (ArchiveLimit { max_percent: 30, force: true }, world.clock.clone());
    let archive = Archive { storage, index, worker: None, limit, removals: REMOVALS, clock, cancel: &cancel };
    let mut full = stores.jobs.get(&full.id).await.unwrap().unwrap();
    full.seal.as_mut().unwrap().source.products = 1;
    let refused = archive.run(&full, |_| {}).await;
    assert!(matches!(refused, Err(ArchiveError::ShopIsRemoved(_))));
    assert_eq!(stores.jobs.list(Some(SHOP), usize::MAX).await.unwrap(), jobs);
}

/// A removal that began after a run had looked for it.
#[tokio::test(start_paused = true)]
async fn a_job_that_is_created_while_a_removal_begins_ends_at_once() {
    let world = World::new().await;
    begin(&world).await;
    let job = build::job(&*world.clock, SHOP);
    let refused = create_job(&world.stores(), &job).await.unwrap();
    assert!(refused.is_err());
    let created = world.stores().jobs.get(&job.id).await.unwrap().unwrap();
    assert_eq!(created.status, JobStatus::Failed);
    world.clock.sleep(Duration::from_secs(1)).await;
    world.forget().await.run(ShopCounts::default()).await.unwrap();
    // One that waited while the shop was removed does not bring it back, and a new one begins anew.
    let waited = create_job(&world.stores(), &job).await.unwrap();
    assert!(waited.is_err());
    world.clock.sleep(Duration::from_secs(1)).await;
    create_job(&world.stores(), &build::job(&*world.clock, SHOP)).await.unwrap().unwrap();
}

#[tokio::test(start_paused = true)]
async fn no_run_begins_while_a_shop_is_being_removed() {
    let world = World::new().await;
    let stores = world.stores();
    begin(&world).await;
    let (progress, cancel) = (IngestProgress::default(), CancellationToken::new());
    let run = RunJob {
        storage: &world.storage,
        index: world.index.clone(),
        transform: Arc::new(FakePlugin::default()),
        worker: None,
        settings: IngestSettings {
            bounds: ChunkBounds { documents: 9, bytes: 999 },
            batches: 1,
            quarantine_bytes: 999,
        },
        keep_chunks: false,
        progress: &progress,
        clock: world.clock.clone(),
        cancel: &cancel,
    };
    let job = build::job(&*world.clock, SHOP);
    let refused = run.run(&job, |_| panic!("the export is not read"), |_| {}).await;
    assert!(matches!(refused, Err(RunError::ShopIsRemoved(ShopIsRemoved(shop))) if shop == SHOP));
    assert_eq!(stores.jobs.get(&job.id).await.unwrap(), None);
}

/// An index that lists three documents has six of the shop and one of another program.
#[tokio::test(start_paused = true)]
async fn an_index_with_more_documents_than_it_lists_lists_what_is_left_after_those_of_the_ledger() {
    let world = World::new().await;
    world.stores().jobs.remove_shop(OTHER, false).await.unwrap();
    world.index.state().documents.retain(|document, _| !["7", "8"].contains(&document.as_str()));
    let more: String = ["4", "5", "6"].iter().map(|id| format!("{{\"_id\":\"{id}\",\"v\":1}}\n")).collect();
    world.work(SHOP, Operation::AddDocuments, &more).await;
    world.index.state().list_limit = Some(3);
    assert_eq!(world.ids(), ["1", "2", "4", "5", "6", "lost", "program"]);
    let forgotten = world.forget().await.run(ShopCounts::default()).await.unwrap();
    assert_eq!((world.ids(), forgotten.left), (vec!["program".to_owned()], Vec::new()));
}

#[tokio::test(start_paused = true)]
async fn documents_that_cannot_be_told_from_the_shops_are_counted() {
    let index = Digest::of(b"products");
    let left = |documents, reason| DocumentsLeft { index, documents, reason };
    // Of the other shop there are more than the index lists.
    let world = World::new().await;
    world.index.state().list_limit = Some(2);
    let forgotten = world.forget().await.run(ShopCounts::default()).await.unwrap();
    assert_eq!(world.ids(), ["7", "8", "lost", "program"]);
    assert_eq!(forgotten.left, [left(4, LeftReason::Unlisted)]);

    // The jobs that wrote them have expired, and the ledger does not name them.
    for is_shared in [true, false] {
        let world = World::new().await;
        let jobs = world.stores().jobs.list(Some(SHOP), 9).await.unwrap();
        for job in &jobs {
            world.storage.remove_job(&job.job).await.unwrap();
        }
        if !is_shared {
            world.stores().jobs.remove_shop(OTHER, false).await.unwrap();
            world.index.state().documents.retain(|document, _| !["7", "8"].contains(&document.as_str()));
        }
        let forgotten = world.forget().await.run(ShopCounts::default()).await.unwrap();
        assert!(world.ids().contains(&"lost".to_owned()) && !world.ids().contains(&"1".to_owned()));
        let expected = (!is_shared).then(|| left(1, LeftReason::Unattributed));
        assert_eq!(forgotten.left, Vec::from_iter(expected));
        assert_eq!(forgotten.may_have_left_documents(), !is_shared);
        // The call is repeated, since its answer was lost.
        world.clock.sleep(Duration::from_secs(1)).await;
        assert_eq!(world.forget().await.run(ShopCounts::default()).await.unwrap(), forgotten);
    }
}

/// What may be left is found out before the ledger goes, and a kill may come right after.
#[tokio::test(start_paused = true)]
async fn an_interrupted_removal_remembers_what_may_be_left() {
    let world = World::new().await;
    world.index.state().list_limit = Some(2);
    let (gate, _) = refuse_first("ledger.remove_shop", 1, StoreErrorKind::Transient);
    let storage = InterceptedStorage { storage: Arc::new(world.storage.clone()), interceptor: gate };
    let interrupted = Forget { storage: &storage, ..world.forget().await };
    interrupted.run(ShopCounts::default()).await.unwrap_err();
    world.stores().ledger.remove_shop(SHOP, false).await.unwrap();
    world.stores().jobs.remove_shop(SHOP, false).await.unwrap();
    let receipt = world.forget().await.run(ShopCounts::default()).await.unwrap();
    assert_eq!(receipt.left.len(), 1, "{receipt:?}");
}

/// The server of an index is gone for good.
#[tokio::test(start_paused = true)]
async fn a_shop_goes_without_an_index_that_is_gone() {
    let world = World::new().await;
    world.stores().jobs.remove_shop(OTHER, false).await.unwrap();
    let mut forget = world.forget().await;
    let index = forget.indexes.pop().unwrap().0;
    forget.gone.push(ShopIndex { target: world.index.id(), ..index });
    let found = forget.find().await.unwrap();
    // Those that the ledger names: it does not know of `lost`.
    assert_eq!((found.counts.documents, found.counts.settings), (2, 1));
    assert!(matches!(found.indexes[0].not_asked, Some(NotAsked::Gone)), "{found:?}");
    let documents = world.ids();
    let receipt = forget.run(found.counts).await.unwrap();
    assert_eq!(world.ids(), documents);
    let index = Digest::of(b"products");
    assert_eq!(receipt.left, [DocumentsLeft { index, documents: 2, reason: LeftReason::WithoutIndex }]);
    assert!(!receipt.is_open() && !receipt.may_have_left_documents());
    let stores = world.stores();
    assert_eq!(stores.jobs.shop_removal(SHOP).await.unwrap(), Some(receipt));
    assert_eq!(stores.settings.get("products").await.unwrap(), None);
    assert_eq!(stores.ledger.remove_shop(SHOP, true).await.unwrap(), 0);
}
