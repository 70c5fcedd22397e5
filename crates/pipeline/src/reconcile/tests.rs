//! An index and a ledger that came apart, on storage in memory.

mod pages;

use super::{Comparison, DifferenceKind, Reconcile, ReconcileError, ReconcileMode, RemovalSettings, Repair};
use crate::{
    ingest::chunk::ChunkBounds,
    worker::{RunUntil, Worker, WorkerSettings},
};
use async_trait::async_trait;
use host_core::{
    clock::SharedClock,
    index::{Index, IndexError, Outcome, Precondition, Write, WriteTarget},
    model::{Document, DocumentId, Job, JobId, JobStatus, LedgerRecord, Operation, ProductId, ProductState},
    storage::{JobSnapshot, LedgerScope, Storage, Stores},
};
use host_testing::{
    VirtualClock, build,
    fakes::{FakeIndex, FakePlugin, IndexCall, IndexedDocument, Intercepted, Interceptor},
    storage::Memory,
};
use serde_json::Map;
use std::{collections::BTreeSet, sync::Arc, time::Duration};
use tokio_util::sync::CancellationToken;

const SHOP: &str = "tests.myshopify.com";
const ADD: Operation = Operation::AddDocuments;
const DELETE: Operation = Operation::DeleteDocuments;

struct Shop {
    storage: Memory,
    index: Arc<FakeIndex>,
    worker: Arc<Worker>,
    clock: SharedClock,
}

impl Shop {
    fn new() -> Self {
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
        Self { storage, index, worker: Arc::new(worker), clock }
    }

    /// A shop whose products 1 (of two documents), 2 and 3 were written, and 3 removed again.
    async fn with_products() -> Self {
        let shop = Self::new();
        let lines = [("1a", "gid/1"), ("1b", "gid/1"), ("2", "gid/2"), ("3", "gid/3")];
        let lines: String = lines.iter().map(|(id, product)| line(id, product, 1)).collect();
        shop.work("first", ADD, &lines).await;
        shop.work("second", DELETE, &line("3", "gid/3", 2)).await;
        shop
    }

    fn stores(&self) -> Stores {
        self.storage.stores()
    }

    async fn publish_for(&self, shop_id: &str, name: &str, operation: Operation, text: &str) -> JobId {
        let job = Job { id: JobId::new(name).unwrap(), ..build::job(&*self.clock, shop_id) };
        build::publish(&self.stores(), &job, &[(0, operation, text)]).await;
        job.id
    }

    async fn run(&self, id: &JobId) -> JobSnapshot {
        let until = RunUntil::JobEnds(id.clone());
        self.worker.run(SHOP, until, &CancellationToken::new()).await.unwrap();
        self.stores().jobs.get(id).await.unwrap().unwrap()
    }

    async fn work(&self, name: &str, operation: Operation, text: &str) -> JobSnapshot {
        let id = self.publish_for(SHOP, name, operation, text).await;
        self.run(&id).await
    }

    /// Has a job or program write a document.
    fn hold(&self, id: &str, v: i64, job_id: &str) {
        let write = Write {
            document: Document { id: document(id), fields: Map::new() },
            version: Map::from_iter([("v".to_owned(), v.into())]),
            content_hash: String::new(),
            precondition: Precondition::None,
        };
        let held = IndexedDocument { write, job_id: job_id.to_owned() };
        self.index.state().documents.insert(document(id), held);
    }

    fn vanish(&self, id: &str) {
        assert!(self.index.state().documents.remove(&document(id)).is_some());
    }

    fn ids(&self) -> Vec<String> {
        self.index.state().documents.keys().map(ToString::to_string).collect()
    }

    fn scope(&self) -> LedgerScope {
        let index_name = "products".to_owned();
        LedgerScope { shop_id: SHOP.to_owned(), target: self.index.id(), index_name }
    }

    async fn record(&self, product: &str) -> Option<LedgerRecord> {
        let product = ProductId::new(product).unwrap();
        self.stores().ledger.get(&self.scope(), &[product]).await.unwrap().remove(0)
    }

    /// State, documents and version of a product.
    async fn said(&self, product: &str) -> (ProductState, Vec<String>, Option<i64>) {
        let record = self.record(product).await.unwrap();
        let documents = record.documents.iter().map(ToString::to_string).collect();
        (record.state, documents, record.version["v"].as_i64())
    }

    fn reconcile(&self, mode: ReconcileMode, adopt: bool) -> Reconcile<'_> {
        let target = WriteTarget { shop_id: SHOP.to_owned(), ..build::target(&*self.clock) };
        let (storage, index, clock) = (&self.storage, &*self.index, self.clock.clone());
        Reconcile { storage, index, target, mode, adopt, clock }
    }

    /// The differences, as words, in order.
    async fn differences(&self) -> (Vec<String>, Comparison) {
        let mut differences = BTreeSet::new();
        let report = |found: &super::Difference| {
            assert!(differences.insert(format!("{} {}", found.kind.as_str(), found.document)));
        };
        let compared = self.reconcile(ReconcileMode::All, false).compare(report).await.unwrap();
        assert_eq!(compared.differences(), differences.len() as u64);
        (differences.into_iter().collect(), compared)
    }

    async fn repair(&self, mode: ReconcileMode, adopt: bool) -> Repair {
        let settings = RemovalSettings { bounds: ChunkBounds { documents: 10, bytes: 9_999 }, lanes: 4 };
        let repaired = self.reconcile(mode, adopt).repair(settings, |_| {}).await.unwrap();
        repaired.repair.unwrap()
    }
}

fn document(id: &str) -> DocumentId {
    DocumentId::new(id).unwrap()
}

fn line(id: &str, product: &str, v: i64) -> String {
    format!("{{\"_id\":\"{id}\",\"_mq_product\":\"{product}\",\"v\":{v}}}\n")
}

#[tokio::test(start_paused = true)]
async fn what_workers_wrote_agrees() {
    let shop = Shop::with_products().await;
    let expected = Comparison { in_index: 3, in_ledger: 3, ..Comparison::default() };
    assert_eq!(shop.differences().await, (vec![], expected));
    // A document that moved to another product is not what its old one lost.
    let moved = line("1c", "gid/1", 2).replace('}', ",\"_mq_siblings\":[]}") + &line("1a", "gid/9", 2);
    shop.work("third", ADD, &moved).await;
    assert_eq!(shop.differences().await.0, [""; 0]);
    let before = shop.record("gid/1").await;
    assert_eq!(shop.repair(ReconcileMode::All, false).await, Repair::default());
    assert_eq!(shop.record("gid/1").await, before);
}

#[tokio::test(start_paused = true)]
async fn what_the_index_lost_is_written_by_the_next_sync() {
    let shop = Shop::with_products().await;
    shop.vanish("1a");
    shop.vanish("2");
    let (differences, compared) = shop.differences().await;
    assert_eq!((differences, compared.missing), (vec!["missing 1a".to_owned(), "missing 2".to_owned()], 2));
    assert_eq!(shop.said("gid/2").await.0, ProductState::Live, "comparing changes nothing");
    assert_eq!(
        shop.repair(ReconcileMode::All, false).await,
        Repair { marked_missing: 2, ..Repair::default() }
    );
    assert_eq!(shop.said("gid/1").await, (ProductState::Live, vec!["1b".to_owned()], Some(1)));
    assert_eq!(shop.said("gid/2").await.0, ProductState::Absent);
    assert_eq!(shop.differences().await.0, [""; 0]);
    let again = shop.work("again", ADD, &(line("1a", "gid/1", 1) + &line("2", "gid/2", 1))).await;
    assert_eq!(
        (again.status, shop.ids()),
        (JobStatus::Completed, ["1a", "1b", "2"].map(str::to_owned).into())
    );
}

#[tokio::test(start_paused = true)]
async fn a_record_says_since_when_a_comparison_has_changed_it() {
    let shop = Shop::with_products().await;
    shop.clock.sleep(build::MINUTE).await;
    shop.vanish("2");
    let before = shop.record("gid/2").await.unwrap();
    shop.hold("9", 1, "first");
    shop.repair(ReconcileMode::All, false).await;
    let now = Some(shop.clock.now());
    let lost = shop.record("gid/2").await.unwrap();
    assert_eq!((lost.repaired_at, lost.job_id, lost.at), (now, before.job_id, before.at));
    assert_eq!(shop.record("9").await.unwrap().repaired_at, now);
    assert_eq!(shop.record("gid/1").await.unwrap().repaired_at, None);
    // From the next job on, that one says so.
    shop.work("again", ADD, &line("2", "gid/2", 1)).await;
    let again = shop.record("gid/2").await.unwrap();
    assert_eq!((again.repaired_at, again.job_id.as_str()), (None, "again"));
}

/// Its record says which documents it has in this version, and one of them is missing.
#[tokio::test(start_paused = true)]
async fn one_document_that_the_index_lost_comes_back_in_the_version_of_its_product() {
    let shop = Shop::with_products().await;
    let whole = line("1a", "gid/1", 2) + &line("1b", "gid/1", 2).replace('}', ",\"_mq_siblings\":[\"1a\"]}");
    shop.work("third", ADD, &whole).await;
    shop.vanish("1a");
    assert_eq!(
        shop.repair(ReconcileMode::All, false).await,
        Repair { marked_missing: 1, ..Repair::default() }
    );
    let again = shop.work("again", ADD, &whole).await;
    assert_eq!((again.status, again.counts.unchanged), (JobStatus::Completed, 1));
    assert_eq!(shop.ids(), ["1a", "1b", "2"]);
}

#[tokio::test(start_paused = true)]
async fn what_was_removed_leaves_the_index_unless_it_is_newer() {
    let shop = Shop::with_products().await;
    shop.work("fourth", ADD, &line("4", "gid/4", 1)).await;
    shop.work("fifth", DELETE, &line("4", "gid/4", 2)).await;
    shop.hold("3", 1, "first");
    shop.hold("4", 7, "fourth");
    let (differences, _) = shop.differences().await;
    assert_eq!(differences, ["removed 3", "removed 4"]);
    let repair = shop.repair(ReconcileMode::All, false).await;
    assert_eq!(repair.to_remove, 2);
    let job = shop.run(&repair.removal_job.unwrap()).await;
    assert_eq!((job.counts.deleted, job.counts.conflict), (1, 1));
    assert_eq!(shop.ids(), ["1a", "1b", "2", "4"]);
    assert_eq!(shop.said("gid/3").await, (ProductState::Removed, vec!["3".to_owned()], Some(2)));
    assert_eq!(shop.said("gid/4").await, (ProductState::Live, vec!["4".to_owned()], Some(7)));
    assert_eq!(shop.differences().await.0, [""; 0]);
    assert!(shop.index.state().archived.is_empty(), "what was removed is not kept");
}

#[tokio::test(start_paused = true)]
async fn what_no_export_has_any_more_is_archived_where_an_index_can() {
    let shop = Shop::with_products().await;
    let absent = line("2", "gid/2", 1).replace('}', ",\"_mq_job_id\":\"first\"}");
    shop.work("third", DELETE, &absent).await;
    assert_eq!(shop.said("gid/2").await.0, ProductState::Absent);
    shop.index.state().archived.clear();
    shop.hold("2", 1, "first");
    assert_eq!(shop.differences().await.0, ["removed 2"]);
    let repair = shop.repair(ReconcileMode::All, false).await;
    shop.run(&repair.removal_job.unwrap()).await;
    assert_eq!(shop.ids(), ["1a", "1b"]);
    let archived: Vec<String> = shop.index.state().archived.keys().map(ToString::to_string).collect();
    assert_eq!(archived, ["2"]);
}

/// A worker writes a product while the index is asked about it.
struct Meanwhile {
    stores: Stores,
    scope: LedgerScope,
    records: Vec<LedgerRecord>,
}

#[async_trait]
impl Interceptor for Meanwhile {
    async fn after(&self, call: IndexCall<'_>, _: &[Outcome]) -> Result<(), IndexError> {
        if matches!(call, IndexCall::Stored(_)) {
            build::store_records(&*self.stores.ledger, &self.scope, &self.records).await;
        }
        Ok(())
    }
}

#[tokio::test(start_paused = true)]
async fn a_repair_leaves_alone_what_a_worker_records_meanwhile() {
    let shop = Shop::with_products().await;
    let written = |id: &str, product: &str| {
        let mut record = LedgerRecord::new(
            ProductId::new(product).unwrap(),
            JobId::new("later").unwrap(),
            shop.clock.now(),
        );
        record.state = ProductState::Live;
        record.add_document(document(id));
        record
    };
    let records = vec![written("2", "gid/2"), written("lost", "lost")];
    // The ledger names what the index lacks, and the index has what the ledger does not name.
    shop.vanish("2");
    shop.hold("lost", 1, "first");
    let (stores, scope) = (shop.stores(), shop.scope());
    let index = Intercepted {
        index: FakeIndex::default(),
        interceptor: Meanwhile { stores, scope, records: records.clone() },
    };
    *index.index.state() = std::mem::take(&mut *shop.index.state());
    let reconcile = Reconcile { index: &index, ..shop.reconcile(ReconcileMode::All, false) };
    let settings = RemovalSettings { bounds: ChunkBounds { documents: 10, bytes: 9_999 }, lanes: 4 };
    let repair = reconcile.repair(settings, |_| {}).await.unwrap().repair.unwrap();
    // The other one was known by then.
    assert_eq!((repair.marked_missing, repair.recorded), (0, 1));
    for record in records {
        assert_eq!(shop.record(record.product.as_str()).await, Some(record));
    }
}

/// Variants that left a product are known with it.
#[tokio::test(start_paused = true)]
async fn a_variant_that_left_its_product_leaves_the_index() {
    let shop = Shop::with_products().await;
    let without = line("1a", "gid/1", 2).replace('}', ",\"_mq_siblings\":[]}");
    shop.work("third", ADD, &without).await;
    assert_eq!(shop.ids(), ["1a", "2"]);
    shop.hold("1b", 1, "first");
    assert_eq!(shop.differences().await.0, ["removed 1b"]);
    let repair = shop.repair(ReconcileMode::All, false).await;
    shop.run(&repair.removal_job.unwrap()).await;
    assert_eq!(shop.ids(), ["1a", "2"]);
    assert_eq!(shop.said("gid/1").await, (ProductState::Live, vec!["1a".to_owned()], Some(2)));
    // It may be another product's now.
    shop.work("fourth", ADD, &line("1b", "gid/9", 3)).await;
    assert_eq!(shop.ids(), ["1a", "1b", "2"]);
    assert_eq!(shop.differences().await.0, [""; 0]);
}

#[tokio::test(start_paused = true)]
async fn what_another_shop_wrote_under_the_id_of_a_removed_document_stays() {
    let shop = Shop::with_products().await;
    let theirs = shop.publish_for("other", "theirs", ADD, &line("3", "gid/3", 1)).await;
    shop.hold("3", 1, theirs.as_str());
    assert_eq!(shop.differences().await.0, [""; 0]);
    assert_eq!(shop.repair(ReconcileMode::All, false).await, Repair::default());
}

#[tokio::test(start_paused = true)]
async fn what_the_ledger_does_not_know_is_recorded_with_its_product() {
    for (mode, limit) in
        [(ReconcileMode::All, None), (ReconcileMode::Unknown, None), (ReconcileMode::Unknown, Some(3))]
    {
        let written = Shop::with_products().await;
        // The same jobs and index, without their ledger.
        let shop = Shop::new();
        *shop.index.state() = std::mem::take(&mut *written.index.state());
        for id in ["first", "second"] {
            let old = written.stores().jobs.get(&JobId::new(id).unwrap()).await.unwrap().unwrap();
            let chunk = written.stores().jobs.chunk(&old.job.id, 0).await.unwrap().unwrap();
            let text = written.stores().chunks.get(&chunk.key, None).await.unwrap().unwrap();
            let text = String::from_utf8(text).unwrap();
            build::publish(&shop.stores(), &old.job, &[(0, chunk.operation, &text)]).await;
            build::complete(&*shop.stores().jobs, &old.job.id, 0, &build::processed(4)).await;
        }
        let theirs = shop.publish_for("other", "theirs", ADD, &line("8", "gid/8", 1)).await;
        shop.hold("8", 1, theirs.as_str());
        shop.hold("9", 1, "another program");
        shop.hold("old", 1, "forgotten");
        shop.hold("lost", 1, "first");
        shop.index.state().list_limit = limit;

        let (differences, compared) = shop.differences().await;
        let listed = ["unknown 1a", "unknown 1b", "unknown 2", "unknown lost"];
        let (expected, others) = if limit.is_some() { (&listed[..3], (0, 0)) } else { (&listed[..], (2, 1)) };
        assert_eq!(differences, expected);
        assert_eq!((compared.foreign, compared.unattributed), others);
        assert_eq!(compared.is_unlisted, limit.is_some());

        let repair = shop.repair(mode, false).await;
        let without_product = u64::from(limit.is_none());
        let recorded = expected.len() as u64;
        assert_eq!(repair, Repair { recorded, without_product, ..Repair::default() });
        let both = ["1a", "1b"].map(str::to_owned).to_vec();
        assert_eq!(shop.said("gid/1").await, (ProductState::Live, both, Some(1)));
        assert_eq!(shop.record("gid/1").await.unwrap().job_id.as_str(), "first");
        assert_eq!(shop.record("lost").await.is_some(), limit.is_none());
        for id in ["8", "gid/8", "9", "old"] {
            assert_eq!(shop.record(id).await, None, "{id}");
        }
        assert_eq!(shop.differences().await.0, [""; 0]);
    }
}

#[tokio::test(start_paused = true)]
async fn documents_of_unknown_jobs_are_adopted_only_where_no_other_shop_writes() {
    let shop = Shop::with_products().await;
    shop.hold("old", 1, "forgotten");
    assert_eq!(shop.repair(ReconcileMode::Unknown, false).await, Repair::default());
    let theirs = shop.publish_for("other", "theirs", ADD, &line("8", "gid/8", 1)).await;
    let refused = shop.reconcile(ReconcileMode::All, true).compare(|_| {}).await;
    assert!(matches!(refused, Err(ReconcileError::Shared(other)) if other == "other"));
    shop.stores().jobs.cancel(&theirs, "so").await.unwrap();
    let alone = Shop::with_products().await;
    alone.hold("old", 1, "forgotten");
    let repair = alone.repair(ReconcileMode::Unknown, true).await;
    assert_eq!((repair.recorded, repair.without_product), (1, 1));
    assert_eq!(alone.said("old").await, (ProductState::Live, vec!["old".to_owned()], Some(1)));
}

/// A version before the ledger wrote a variant that the removal of its product did not name.
#[tokio::test(start_paused = true)]
async fn an_unknown_document_of_a_removed_product_is_removed() {
    let shop = Shop::with_products().await;
    shop.work("early", ADD, &line("3b", "gid/3", 3)).await;
    let mut removed = shop.record("gid/3").await.unwrap();
    removed.state = ProductState::Removed;
    removed.documents = [document("3")].into();
    build::store_records(&*shop.stores().ledger, &shop.scope(), &[removed]).await;
    assert_eq!(shop.differences().await.0, ["unknown 3b"]);
    assert_eq!(shop.repair(ReconcileMode::Unknown, false).await, Repair::default());
    let repair = shop.repair(ReconcileMode::All, false).await;
    assert_eq!((repair.recorded, repair.to_remove), (0, 1));
    shop.run(&repair.removal_job.unwrap()).await;
    assert_eq!(shop.ids(), ["1a", "1b", "2"]);
}

#[tokio::test(start_paused = true)]
async fn nothing_is_compared_while_a_job_is_open() {
    let shop = Shop::with_products().await;
    let open = shop.publish_for(SHOP, "open", ADD, &line("5", "gid/5", 1)).await;
    let refused = shop.reconcile(ReconcileMode::All, false).compare(|_| {}).await;
    assert!(matches!(refused, Err(ReconcileError::Unfinished(id)) if id == open));
    shop.run(&open).await;
    assert_eq!(shop.differences().await.0, [""; 0]);
}

#[test]
fn kinds_have_names() {
    let kinds = [DifferenceKind::Missing, DifferenceKind::Removed, DifferenceKind::Unknown];
    assert_eq!(kinds.map(DifferenceKind::as_str), ["missing", "removed", "unknown"]);
}
