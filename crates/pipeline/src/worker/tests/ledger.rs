//! Tests of the ledger, which records the outcome of each product: what workers record, and which late documents and
//! removals they refuse because of it.

use super::{ADD, Harness, Next, SHOP};
use crate::worker::{self, DeadLetterFilter};
use host_core::{
    index::Index,
    model::{
        Counts, DocumentId, EntryClass, Job, JobId, JobRecency, JobStatus, LedgerRecord, Operation,
        ProductId, ProductState, SameVersion,
    },
    storage::{Ledger, LedgerScope, StoreError, StoreErrorKind},
};
use host_testing::{
    build,
    fakes::{FakeIndex, StoreCall, StoreInterceptor, Subject, intercepted},
};
use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex},
    time::Duration,
};

const DELETE: Operation = Operation::DeleteDocuments;

fn scope() -> LedgerScope {
    LedgerScope {
        shop_id: SHOP.to_owned(),
        target: FakeIndex::default().id(),
        index_name: "products".to_owned(),
    }
}

impl Harness {
    /// The ledger's record of a product.
    async fn record(&self, product: &str) -> Option<LedgerRecord> {
        let product = ProductId::new(product).unwrap();
        self.stores.ledger.get(&scope(), &[product]).await.unwrap().remove(0)
    }

    /// State, documents and version of a product, as the ledger has them.
    async fn recorded(&self, product: &str) -> (ProductState, Vec<String>, Option<i64>) {
        let record = self.record(product).await.unwrap();
        let documents = record.documents.iter().map(ToString::to_string).collect();
        (record.state, documents, record.version.get("v").and_then(serde_json::Value::as_i64))
    }

    /// Works a job of one chunk; returns its status, its counts and the codes of its report entries.
    async fn work(&self, name: &str, operation: Operation, text: &str) -> (JobStatus, Counts, Vec<String>) {
        let id = self.publish(name, &[(operation, text)], false).await;
        let job = self.run(&id).await.unwrap();
        (job.status, job.counts, job.samples.into_iter().map(|entry| entry.code).collect())
    }

    /// The ids of the documents in the index.
    fn ids(&self) -> BTreeSet<String> {
        self.index.state().documents.keys().map(DocumentId::to_string).collect()
    }
}

/// A line of a chunk: a document or removal of a product, in a version.
fn line(id: &str, product: &str, version: i64) -> String {
    format!("{{\"_id\":\"{id}\",\"_mq_product\":\"{product}\",\"v\":{version}}}\n")
}

#[tokio::test(start_paused = true)]
async fn a_product_is_live_with_all_its_documents_and_then_removed() {
    let harness = Harness::new();
    harness.work("1", ADD, &(line("a", "gid/1", 1) + &line("b", "gid/1", 1))).await;
    harness.work("2", ADD, &line("c", "gid/1", 2)).await;
    let (live, abc) = (ProductState::Live, ["a", "b", "c"].map(str::to_owned).to_vec());
    assert_eq!(harness.recorded("gid/1").await, (live, abc.clone(), Some(2)));
    // No document in the index has the host's own field with its product.
    let mut indexed = harness.index.state().documents.clone().into_values();
    assert!(indexed.all(|indexed| indexed.write.document.fields.keys().all(|name| name == "v")));
    let (status, counts, _) = harness.work("3", DELETE, &line("gid-1", "gid/1", 3)).await;
    // The documents that the removal does not name are removed, but not counted.
    let expected = Counts { processed: 1, deleted: 1, ..Counts::default() };
    assert_eq!((status, counts, harness.ids()), (JobStatus::Completed, expected, BTreeSet::new()));
    let (state, documents, version) = harness.recorded("gid/1").await;
    assert_eq!((state, version), (ProductState::Removed, Some(3)));
    assert!(
        abc.iter().all(|id| documents.contains(id)),
        "`host why` lists the documents that it had: {documents:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn an_older_add_in_another_lane_does_not_bring_a_removed_product_back() {
    let harness = Harness::new();
    harness.work("removal", DELETE, &line("1", "gid/1", 2)).await;
    for (name, version, code) in
        [("older", 1, Some("removed-product")), ("same", 2, Some("removed-product")), ("newer", 3, None)]
    {
        let id = harness.publish_in(SHOP, name, &[(ADD, &line("1", "gid/1", version))], &[7]).await;
        let job = harness.run(&id).await.unwrap();
        assert_eq!(job.samples.first().map(|entry| entry.code.as_str()), code, "{name}");
        assert_eq!(harness.ids().is_empty(), code.is_some(), "{name}");
        if code.is_some() {
            assert_eq!((job.status, job.counts.conflict), (JobStatus::Conflict, 1));
            let record = harness.record("gid/1").await.unwrap();
            assert_eq!((record.state, record.job_id.as_str()), (ProductState::Removed, "removal"));
            assert_eq!(record.refusal.unwrap().class, EntryClass::Conflict);
        }
    }
    let record = harness.record("gid/1").await.unwrap();
    assert_eq!((record.state, record.refusal), (ProductState::Live, None));
}

#[tokio::test(start_paused = true)]
async fn a_redriven_add_does_not_bring_a_removed_product_back() {
    let harness = Harness::new();
    harness.script([Next::Panic, Next::Panic]);
    let add = harness.publish("add", &[(ADD, &line("1", "gid/1", 1))], false).await;
    assert_eq!(harness.run(&add).await.unwrap().status, JobStatus::Failed);
    harness.work("removal", DELETE, &line("1", "gid/1", 2)).await;
    let filter = DeadLetterFilter::default();
    worker::redrive(&harness.stores, &harness.clock, SHOP, &filter).await.unwrap();
    let job = harness.run(&add).await.unwrap();
    assert_eq!((job.status, job.counts.conflict, harness.ids().len()), (JobStatus::Conflict, 1, 0));
}

#[tokio::test(start_paused = true)]
async fn a_removal_that_comes_late_does_not_replace_a_newer_one() {
    let harness = Harness::new();
    harness.work("removal", DELETE, &line("1", "gid/1", 5)).await;
    for (name, text) in
        [("older", line("1", "gid/1", 2)), ("any", line("1", "gid/1", 0).replace(",\"v\":0", ""))]
    {
        harness.work(name, DELETE, &text).await;
        assert_eq!(harness.recorded("gid/1").await.2, Some(5), "{name}");
    }
    assert_eq!(harness.work("add", ADD, &line("1", "gid/1", 4)).await.2, ["removed-product"]);
}

#[tokio::test(start_paused = true)]
async fn a_product_without_its_last_document_is_absent_and_comes_back_in_the_same_version() {
    let harness = Harness::new();
    let alone =
        |id: &str, version| line(id, "gid/1", version).replace(",\"v\"", ",\"_mq_product_stays\":true,\"v\"");
    harness.work("1", ADD, &(line("a", "gid/1", 1) + &line("b", "gid/1", 1))).await;
    harness.work("2", DELETE, &alone("a", 2)).await;
    assert_eq!(harness.recorded("gid/1").await, (ProductState::Live, vec!["b".to_owned()], Some(1)));
    harness.work("3", DELETE, &alone("b", 2)).await;
    assert_eq!(harness.recorded("gid/1").await.0, ProductState::Absent);
    // No removal named the product as a whole, so it may come back in the same version, but not in an older one.
    assert_eq!(harness.work("4", ADD, &line("a", "gid/1", 1)).await.2, ["removed-product"]);
    assert_eq!(harness.work("5", ADD, &line("a", "gid/1", 2)).await.2, [""; 0]);
    assert_eq!(harness.recorded("gid/1").await, (ProductState::Live, vec!["a".to_owned()], Some(2)));
}

/// The last line of product `gid/1` in a job, which names the product's other documents.
fn last_line(id: &str, siblings: &[&str], version: i64) -> String {
    let siblings = serde_json::to_string(siblings).unwrap();
    line(id, "gid/1", version).replace(",\"v\"", &format!(",\"_mq_siblings\":{siblings},\"v\""))
}

#[tokio::test(start_paused = true)]
async fn a_document_that_its_product_does_not_have_any_more_leaves_the_index() {
    let harness = Harness::new();
    let abc = line("a", "gid/1", 2) + &line("b", "gid/1", 2) + &last_line("c", &["a", "b"], 2);
    harness.work("1", ADD, &abc).await;
    // A late job in an older version, without `b` and `c`, removes nothing.
    assert_eq!(harness.work("late", ADD, &last_line("a", &[], 1)).await.2, ["older-version"]);
    // A line that does not name the other documents removes nothing: it may be in the first chunk of a large product.
    harness.work("part", ADD, &line("a", "gid/1", 3)).await;
    assert_eq!(harness.ids().len(), 3);

    let (status, counts, codes) =
        harness.work("2", ADD, &(line("a", "gid/1", 4) + &last_line("c", &["a"], 4))).await;
    let expected = Counts { processed: 2, ..Counts::default() };
    assert_eq!((status, counts, codes), (JobStatus::Completed, expected, vec![]));
    assert_eq!(harness.ids(), ["a", "c"].map(str::to_owned).into());
    let documents = ["a", "c"].map(str::to_owned).to_vec();
    assert_eq!(harness.recorded("gid/1").await, (ProductState::Live, documents, Some(4)));
    // Other documents in the same version: as after the plug-in was set to another level, a document for each product
    // or each variant.
    harness.work("3", ADD, &last_line("gid-1", &[], 4)).await;
    assert_eq!(harness.ids(), BTreeSet::from(["gid-1".to_owned()]));
    // The new document is refused, so the former ones stay.
    harness.work("4", ADD, &(line("a", "gid/1", 5) + &last_line("b", &["a"], 5))).await;
    let refused = last_line("a", &[], 6).replace('}', ",\"title\":\"bad\"}");
    harness.work("5", ADD, &refused).await;
    let documents = ["a", "b"].map(str::to_owned).to_vec();
    assert_eq!(harness.recorded("gid/1").await, (ProductState::Live, documents, Some(5)));
}

#[tokio::test(start_paused = true)]
async fn a_document_that_goes_to_another_product_stays() {
    let harness = Harness::new();
    harness.work("1", ADD, &(line("a", "gid/1", 1) + &last_line("b", &["a"], 1))).await;
    // The other product is in the same chunk, and then in an earlier chunk of the same job.
    let of_product_2 = |id: &str, version| last_line(id, &[], version).replace("gid/1", "gid/2");
    harness.work("2", ADD, &(of_product_2("b", 2) + &last_line("a", &[], 2))).await;
    assert_eq!((harness.ids().len(), harness.recorded("gid/1").await.1), (2, vec!["a".to_owned()]));
    let chunks = [of_product_2("a", 3), last_line("c", &[], 3)];
    let id = harness.publish("3", &[(ADD, &chunks[0]), (ADD, &chunks[1])], false).await;
    harness.run(&id).await.unwrap();
    assert!(harness.ids().contains("a"), "{:?}", harness.ids());
    assert_eq!(harness.recorded("gid/1").await.1, ["c"]);
}

/// The index archives the document, as a relational catalog (PostgreSQL) does, and it comes back in the same version
/// when the shop has it again.
#[tokio::test(start_paused = true)]
async fn what_a_full_sync_did_not_have_is_archived_rather_than_removed() {
    let harness = Harness::new();
    harness.work("add", ADD, &line("p", "p", 1)).await;
    let planned = "{\"_id\":\"p\",\"_mq_product\":\"p\",\"v\":1,\"_mq_job_id\":\"add\"}\n";
    harness.work("archiving", DELETE, planned).await;
    let active_and_archived = || {
        let state = harness.index.state();
        (state.documents.len(), state.archived.len())
    };
    assert_eq!(active_and_archived(), (0, 1));
    assert_eq!(harness.recorded("p").await.0, ProductState::Absent);
    let (_, counts, codes) = harness.work("back", ADD, &line("p", "p", 1)).await;
    assert_eq!((counts.processed, codes), (1, Vec::new()));
    assert_eq!(harness.recorded("p").await.0, ProductState::Live);
    assert_eq!(active_and_archived(), (1, 0));
}

/// Version 2 named the document among all documents of its product, before a removal in version 3.
#[tokio::test(start_paused = true)]
async fn a_document_that_was_removed_alone_does_not_come_back_in_the_version_that_had_it() {
    let harness = Harness::new();
    harness.work("add", ADD, &(line("a", "gid/1", 2) + &last_line("b", &["a"], 2))).await;
    let alone = line("b", "gid/1", 3).replace(",\"v\"", ",\"_mq_product_stays\":true,\"v\"");
    harness.work("remove", DELETE, &alone).await;
    let (_, _, codes) = harness.work("late", ADD, &line("b", "gid/1", 2)).await;
    assert_eq!(
        (codes, harness.ids()),
        (vec!["removed-document".to_owned()], BTreeSet::from(["a".to_owned()]))
    );
}

/// A chunk of version 1 comes after version 2, which names all documents of the product, and not this one.
#[tokio::test(start_paused = true)]
async fn a_document_of_an_older_version_that_the_newer_one_does_not_name_is_not_written() {
    let harness = Harness::new();
    harness.work("new", ADD, &last_line("p-a", &[], 2)).await;
    let (_, counts, codes) = harness.work("late", ADD, &line("p-b", "gid/1", 1)).await;
    assert_eq!((counts.conflict, codes), (1, vec!["removed-document".to_owned()]));
    assert_eq!(harness.ids(), BTreeSet::from(["p-a".to_owned()]));
}

/// A full sync did not have the product. An export that was taken before it is then read again, and one that was
/// taken after it.
#[tokio::test(start_paused = true)]
async fn an_absent_product_comes_back_from_a_later_export_and_not_from_an_earlier_one() {
    let harness = Harness::new();
    let hour = Duration::from_secs(3_600);
    let before = harness.clock.now();
    harness.clock.sleep(hour).await;
    let full_sync = Job { sequence: 7, ..build::job(&*harness.clock, SHOP) };
    let product = ProductId::new("p").unwrap();
    let absent = LedgerRecord {
        state: ProductState::Absent,
        version: serde_json::from_str("{\"v\":1}").unwrap(),
        order: Some(JobRecency::of(&full_sync)),
        ..LedgerRecord::new(product, full_sync.id.clone(), harness.clock.now())
    };
    build::store_records(&*harness.stores.ledger, &scope(), &[absent]).await;
    for (name, exported_at, codes) in
        [("old", Some(before), vec!["removed-product".to_owned()]), ("new", None, Vec::new())]
    {
        let id = JobId::new(name).unwrap();
        let job = Job { id, exported_at, ..build::job(&*harness.clock, SHOP) };
        build::publish(&harness.stores, &job, &[(0, ADD, &line("p", "p", 1))]).await;
        let ended = harness.run(&job.id).await.unwrap();
        let found: Vec<String> = ended.samples.into_iter().map(|entry| entry.code).collect();
        assert_eq!(found, codes, "{name}");
    }
    assert_eq!(harness.recorded("p").await.0, ProductState::Live);
}

#[tokio::test(start_paused = true)]
async fn a_redriven_chunk_takes_out_nothing_of_a_later_job() {
    for version in [",\"v\":1", ""] {
        let harness = Harness::new();
        let unversioned = |text: String| text.replace(",\"v\":1", version);
        harness.script([Next::Panic, Next::Panic]);
        let old = unversioned(line("v1", "gid/1", 1) + &last_line("v2", &["v1"], 1));
        let id = harness.publish("old", &[(ADD, &old)], false).await;
        assert_eq!(harness.run(&id).await.unwrap().status, JobStatus::Failed);
        harness.clock.sleep(Duration::from_secs(60)).await;
        harness.work("new", ADD, &unversioned(last_line("p", &[], 1))).await;
        worker::redrive(&harness.stores, &harness.clock, SHOP, &DeadLetterFilter::default()).await.unwrap();
        harness.run(&id).await.unwrap();
        assert!(harness.ids().contains("p"), "{:?}", harness.ids());
    }
}

/// The index has document `b` in a newer version than the product that no longer has it. It stays, and that is no
/// refusal of the product.
#[tokio::test(start_paused = true)]
async fn a_document_that_stays_in_a_newer_version_is_no_refusal_of_its_product() {
    let harness = Harness::new();
    harness.work("1", ADD, &(line("b", "gid/1", 5) + &last_line("a", &["b"], 1))).await;
    harness.work("2", ADD, &last_line("a", &[], 2)).await;
    assert_eq!((harness.ids().len(), harness.record("gid/1").await.unwrap().refusal), (2, None));
}

/// An older export still names the document, and the index has no version of it to compare with; the ledger has.
#[tokio::test(start_paused = true)]
async fn a_document_that_left_its_product_does_not_come_back_in_an_older_version() {
    let harness = Harness::new();
    let both = |version| line("a", "gid/1", version) + &last_line("b", &["a"], version);
    harness.work("1", ADD, &both(1)).await;
    harness.work("2", ADD, &last_line("a", &[], 3)).await;
    assert_eq!(harness.work("older", ADD, &both(2)).await.2, ["removed-document", "older-version"]);
    assert_eq!(harness.ids(), BTreeSet::from(["a".to_owned()]));
    // It does come back in the same version, as after a change of the plug-in's configuration, and in a newer one.
    assert_eq!(harness.work("same", ADD, &last_line("b", &["a"], 3)).await.2, [""; 0]);
    assert_eq!(harness.ids().len(), 2);
    assert_eq!(harness.work("3", ADD, &both(4)).await.2, [""; 0]);
    assert!(harness.record("gid/1").await.unwrap().gone.is_empty());
}

/// `host why` names the job of the record, which must be the one whose content the index has.
#[tokio::test(start_paused = true)]
async fn a_record_names_the_job_that_wrote_other_content_of_the_same_version() {
    let harness = Harness::new();
    harness.work("1", ADD, &line("1", "gid/1", 1)).await;
    harness.work("2", ADD, &line("1", "gid/1", 1)).await;
    assert_eq!(harness.record("gid/1").await.unwrap().job_id.as_str(), "1");
    let job = Job { same_version: SameVersion::Write, ..build::job(&*harness.clock, SHOP) };
    let other = line("1", "gid/1", 1).replace('}', ",\"title\":\"other\"}");
    build::publish(&harness.stores, &job, &[(0, ADD, &other)]).await;
    harness.run(&job.id).await.unwrap();
    assert_eq!(harness.record("gid/1").await.unwrap().job_id, job.id);
}

#[tokio::test(start_paused = true)]
async fn an_update_does_not_say_what_its_product_consists_of() {
    let harness = Harness::new();
    harness.work("1", ADD, &(line("a", "gid/1", 1) + &last_line("b", &["a"], 1))).await;
    harness.work("2", Operation::UpdateDocuments, &last_line("a", &[], 2)).await;
    assert_eq!(harness.ids().len(), 2);
}

/// That the index does not have it any more is no reason to forget why it was left out.
#[tokio::test(start_paused = true)]
async fn a_removal_of_the_host_keeps_the_refusal_and_one_of_an_export_does_not() {
    for (operation, is_kept) in [(DELETE, true), (ADD, false)] {
        let harness = Harness::new();
        harness.work("good", ADD, &line("1", "gid/1", 1)).await;
        harness.clock.sleep(Duration::from_secs(1)).await;
        harness.work("bad", ADD, &line("1", "gid/1", 2).replace("}", ",\"title\":\"bad\"}")).await;
        let refusal = harness.record("gid/1").await.unwrap().refusal;
        assert_eq!(refusal.as_ref().unwrap().job_id.as_str(), "bad");
        harness.clock.sleep(Duration::from_secs(1)).await;
        let job = Job { operation, ..build::job(&*harness.clock, SHOP) };
        let removal = line("1", "gid/1", 1);
        build::publish(&harness.stores, &job, &[(0, DELETE, removal.as_str())]).await;
        assert_eq!(harness.run(&job.id).await.unwrap().counts.deleted, 1);
        let record = harness.record("gid/1").await.unwrap();
        assert_eq!((record.state, record.job_id), (ProductState::Removed, job.id));
        assert_eq!(record.refusal, refusal.filter(|_| is_kept), "{operation:?}");
        // It is accepted again.
        harness.work("again", ADD, &line("1", "gid/1", 3)).await;
        assert_eq!(harness.record("gid/1").await.unwrap().refusal, None);
    }
}

#[tokio::test(start_paused = true)]
async fn refusals_and_conflicts_stand_beside_the_state() {
    let harness = Harness::new();
    let bad = |version: i64| line("1", "gid/1", version).replace("}", ",\"title\":\"bad\"}");
    harness.work("bad", ADD, &bad(1)).await;
    let record = harness.record("gid/1").await.unwrap();
    assert_eq!((record.state, record.refusal.unwrap().code), (ProductState::Refused, "bad-title".to_owned()));
    harness.clock.sleep(Duration::from_secs(1)).await;
    harness.work("good", ADD, &line("1", "gid/1", 2)).await;
    assert_eq!(harness.record("gid/1").await.unwrap().refusal, None);
    harness.clock.sleep(Duration::from_secs(1)).await;
    harness.work("old", ADD, &line("1", "gid/1", 1)).await;
    let record = harness.record("gid/1").await.unwrap();
    let refusal = record.refusal.unwrap();
    assert_eq!((record.state, record.job_id.as_str()), (ProductState::Live, "good"));
    assert_eq!(
        (refusal.class, refusal.code.as_str(), refusal.job_id.as_str()),
        (EntryClass::Conflict, "older-version", "old")
    );
}

#[tokio::test(start_paused = true)]
async fn a_line_that_names_no_product_is_a_product_of_its_own() {
    let harness = Harness::new();
    harness.work("1", ADD, "{\"_id\":\"1\",\"v\":1}\n").await;
    assert_eq!(harness.recorded("1").await, (ProductState::Live, vec!["1".to_owned()], Some(1)));
    harness.work("2", DELETE, "{\"_id\":\"1\",\"v\":2}\n").await;
    assert_eq!(harness.work("3", ADD, "{\"_id\":\"1\",\"v\":1}\n").await.2, ["removed-product"]);
}

fn failed() -> StoreError {
    StoreError {
        action: "writing the ledger".into(),
        kind: StoreErrorKind::Transient,
        source: "as the script says".into(),
    }
}

/// Has the next changes of a ledger fail, after or before they took effect, and counts them.
struct FailingLedger {
    ledger: Arc<dyn Ledger>,
    /// One entry for each call that fails, the last one first: whether the change takes effect all the same.
    failures: Mutex<Vec<bool>>,
    /// Number of records in each call.
    replaced: Mutex<Vec<usize>>,
    /// The record that another worker stores just before the next change.
    meanwhile: Mutex<Option<LedgerRecord>>,
}

impl StoreInterceptor for FailingLedger {
    async fn around<T: Send>(
        &self,
        call: StoreCall<'_>,
        answer: impl Future<Output = Result<T, StoreError>> + Send,
    ) -> Result<T, StoreError> {
        let ("ledger.replace", Subject::Records(records)) = (call.name, call.subject) else {
            return answer.await;
        };
        self.replaced.lock().unwrap().push(records);
        let meanwhile = self.meanwhile.lock().unwrap().take();
        if let Some(record) = meanwhile {
            build::store_records(&*self.ledger, &scope(), &[record]).await;
        }
        let failure = self.failures.lock().unwrap().pop();
        match failure {
            None => answer.await,
            Some(false) => Err(failed()),
            Some(true) => answer.await.and(Err(failed())),
        }
    }
}

impl Harness {
    fn with_failing_ledger(failures: &[bool]) -> (Self, Arc<FailingLedger>) {
        let Self { stores, clock, .. } = Self::new();
        let ledger = Arc::new(FailingLedger {
            ledger: stores.ledger.clone(),
            failures: Mutex::new(failures.to_vec()),
            replaced: Mutex::default(),
            meanwhile: Mutex::default(),
        });
        (Self::with_stores(intercepted(stores, ledger.clone()), clock), ledger)
    }
}

#[tokio::test(start_paused = true)]
async fn a_chunk_whose_records_cannot_be_stored_is_retried_and_counted_once() {
    for takes_effect in [false, true] {
        let (harness, ledger) = Harness::with_failing_ledger(&[takes_effect; 3]);
        let text = line("1", "gid/1", 1) + &line("2", "gid/2", 1);
        let (status, counts, _) = harness.work("add", ADD, &text).await;
        assert_eq!((status, counts), (JobStatus::Completed, super::counts(2)), "{takes_effect}");
        assert_eq!(harness.recorded("gid/2").await, (ProductState::Live, vec!["2".to_owned()], Some(1)));
        // If the failed change took effect, the next attempt finds nothing to change.
        assert_eq!(ledger.replaced.lock().unwrap().len(), if takes_effect { 1 } else { 4 });
        ledger.failures.lock().unwrap().extend([takes_effect; 3]);
        let (status, counts, _) = harness.work("removal", DELETE, &line("1", "gid/1", 2)).await;
        let expected = Counts { processed: 1, deleted: 1, ..Counts::default() };
        assert_eq!((status, counts), (JobStatus::Completed, expected), "{takes_effect}");
        assert_eq!(harness.recorded("gid/1").await.0, ProductState::Removed);
    }
}

#[tokio::test(start_paused = true)]
async fn records_that_did_not_change_are_not_written() {
    let (harness, ledger) = Harness::with_failing_ledger(&[]);
    let text = line("1", "gid/1", 1) + &line("2", "gid/2", 1);
    let bad = line("3", "gid/3", 1).replace("}", ",\"title\":\"bad\"}");
    for name in ["first", "second", "third"] {
        harness.work(name, ADD, &(text.clone() + &bad)).await;
    }
    harness.work("fourth", ADD, &(line("1", "gid/1", 2) + &line("2", "gid/2", 1))).await;
    assert_eq!(
        *ledger.replaced.lock().unwrap(),
        [3, 1],
        "the first job writes all records, the fourth that of the product that changed"
    );
}

/// Another worker changes the record between reading and writing: this one was paused for longer than its lease, or a
/// program other than the host published a chunk of the product in another lane.
#[tokio::test(start_paused = true)]
async fn a_removal_that_another_worker_recorded_meanwhile_holds() {
    let (harness, ledger) = Harness::with_failing_ledger(&[]);
    let newer = Job { sequence: 9, ..build::job(&*harness.clock, SHOP) };
    let record = |id: &str, state, version: i64| LedgerRecord {
        state,
        documents: [DocumentId::new(id).unwrap()].into(),
        version: serde_json::from_str(&format!("{{\"v\":{version}}}")).unwrap(),
        order: Some(JobRecency::of(&newer)),
        ..LedgerRecord::new(
            ProductId::new(format!("gid/{id}")).unwrap(),
            newer.id.clone(),
            harness.clock.now(),
        )
    };
    let removed = record("1", ProductState::Removed, 5);
    *ledger.meanwhile.lock().unwrap() = Some(removed.clone());
    let text = line("1", "gid/1", 1) + &line("2", "gid/2", 1);
    let (status, counts, codes) = harness.work("late", ADD, &text).await;
    let expected = Counts { processed: 1, conflict: 1, ..Counts::default() };
    assert_eq!((status, counts, codes), (JobStatus::Conflict, expected, vec!["removed-product".to_owned()]));
    let stored = harness.record("gid/1").await.unwrap();
    assert_eq!((stored.state, &stored.version), (ProductState::Removed, &removed.version));
    assert_eq!(
        harness.ids(),
        ["2".to_owned()].into(),
        "it removes what it wrote before it knew of the removal"
    );
}
