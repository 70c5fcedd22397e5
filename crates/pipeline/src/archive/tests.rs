//! Tests of which documents archiving removes: for single cases, and for random histories of jobs, whose result is
//! compared with a simple model.
//!
//! Documents are numbers below 30, and each is a product of its own.

use super::{
    ArchiveError,
    missing::{LedgerCounts, MissingDocument, MissingProducts},
};
use crate::{
    ingest::{
        chunk::{ChunkBounds, Chunker, PendingLine},
        publish::Publisher,
    },
    removals::PlannedRemoval,
};
use host_core::{
    clock::SharedClock,
    index::{ArchiveLimit, ArchiveRefusal, Index, Precondition, Write},
    model::{
        ChunkRef, Digest, Document, DocumentId, EntryClass, Job, JobId, JobRecency, LedgerRecord, Operation,
        ProductId, ProductState, QuarantinedProducts, ReportEntry, Seal,
    },
    storage::{JobSnapshot, LedgerScope, Storage, Stores},
};
use host_testing::{
    VirtualClock, build,
    fakes::{FakeIndex, IndexedDocument},
    storage::Memory,
};
use jiff::Timestamp;
use proptest::prelude::*;
use serde_json::{Map, Value};
use std::{collections::BTreeSet, sync::Arc};

/// One step of a shop's history.
#[derive(Clone, Debug)]
enum Step {
    /// A job has these documents, from an export that was taken `age` steps ago. It does not write those that are
    /// `unchanged` and that the index has.
    Sync { full: bool, age: i64, documents: BTreeSet<u8>, unchanged: BTreeSet<u8> },
    /// Other programs than the host remove these documents from the index.
    Vanish(BTreeSet<u8>),
    /// A program other than the host writes these documents.
    Others(BTreeSet<u8>),
    /// What the last full sync did not have is looked for, compared with the model, and removed if `remove`.
    Archive { remove: bool },
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let documents = || prop::collection::btree_set(0u8..30, 0..20);
    let step = prop_oneof![
        4 => (any::<bool>(), prop_oneof![Just(0), 0i64..6], documents(), documents())
            .prop_map(|(full, age, documents, unchanged)| Step::Sync { full, age, documents, unchanged }),
        1 => documents().prop_map(Step::Vanish),
        1 => prop::collection::btree_set(0u8..30, 0..4).prop_map(Step::Others),
        3 => any::<bool>().prop_map(|remove| Step::Archive { remove }),
    ];
    prop::collection::vec(step, 1..14)
}

/// A document's id, made so that ids are not in the order of their numbers.
fn name(number: u8) -> DocumentId {
    DocumentId::new(format!("{}-variant.{number}", number % 7)).unwrap()
}

/// Puts a document into the index, in version 1, as written by this job or program.
fn put(index: &FakeIndex, number: u8, job_id: &str) {
    let write = Write {
        document: Document { id: name(number), fields: Map::new() },
        version: Map::from_iter([("v".to_owned(), 1.into())]),
        content_hash: String::new(),
        precondition: Precondition::None,
    };
    index.state().documents.insert(name(number), IndexedDocument { write, job_id: job_id.to_owned() });
}

/// Has a job write a document and record it in the ledger.
async fn write(stores: &Stores, index: &FakeIndex, number: u8, job: &Job) {
    put(index, number, job.id.as_str());
    let mut record = LedgerRecord::new(ProductId::from(&name(number)), job.id.clone(), job.created_at);
    record.state = ProductState::Live;
    record.add_document(name(number));
    let stored = stores.jobs.get(&job.id).await.unwrap();
    record.order = Some(JobRecency::of(&stored.map_or_else(|| job.clone(), |stored| stored.job)));
    build::store_records(&*stores.ledger, &scope(index, job), &[record]).await;
}

fn scope(index: &FakeIndex, job: &Job) -> LedgerScope {
    LedgerScope::of(job, index.id())
}

/// The removals of what a full sync did not have, and the counts of the comparison.
async fn missing(
    stores: &Stores,
    index: &FakeIndex,
    full: &JobSnapshot,
) -> (Vec<PlannedRemoval>, LedgerCounts) {
    let mut removals = Vec::new();
    let missing = MissingProducts::after(stores, index, full, now()).await.unwrap();
    let take = async |document: MissingDocument| {
        removals.push(document.removal());
        Ok(())
    };
    let counts = missing.each(take).await.unwrap();
    (removals, counts)
}

/// A job that was created in second `number`.
fn job(number: i64, operation: Operation, full: bool) -> Job {
    Job {
        id: JobId::new(format!("job-{number:03}")).unwrap(),
        operation,
        created_at: Timestamp::from_second(number).unwrap(),
        fingerprint: Digest::of(&number.to_le_bytes()),
        full,
        ..build::job(&VirtualClock::new(1), "shop")
    }
}

/// A time after all jobs.
fn now() -> Timestamp {
    Timestamp::from_second(1_000_000).unwrap()
}

/// The job, with an export that was taken in this second.
fn exported(job: Job, second: i64) -> Job {
    Job { exported_at: Some(Timestamp::from_second(second).unwrap()), ..job }
}

const BOUNDS: ChunkBounds = ChunkBounds { documents: 4, bytes: 1_000 };

/// Publishes these documents as a sealed job.
async fn publish(stores: &Stores, job: &Job, documents: &BTreeSet<u8>) -> JobSnapshot {
    let stored = stores.jobs.create(job).await.unwrap();
    let clock: SharedClock = Arc::new(VirtualClock::new(1));
    let (mut chunker, mut publisher) = (Chunker::new(BOUNDS, 2), Publisher::new(stores, &clock, job));
    for number in documents {
        let id = name(*number);
        let (operation, product) = (Operation::AddDocuments, ProductId::from(&id));
        let new = PendingLine {
            operation,
            product: &product,
            product_stays: false,
            siblings: None,
            source_digest: None,
            object: "{}",
        };
        for full in chunker.push(id, new) {
            publisher.publish(full).await.unwrap();
        }
    }
    for full in chunker.finish() {
        publisher.publish(full).await.unwrap();
    }
    // Every second job has a list of its ids and no chunks, as after its end; the others have only chunks.
    let ids = match stored.sequence % 2 {
        0 => None,
        _ => Some(chunker.into_ids().store(stores.chunks.as_ref(), job).await.unwrap()),
    };
    for seq in (0..publisher.chunks()).filter(|_| ids.is_some()) {
        let key = ChunkRef::key(&job.platform, &job.shop_id, &job.id, seq);
        stores.chunks.delete(&key).await.unwrap();
    }
    let seal = Seal {
        total_items: documents.len() as u64,
        quarantine: QuarantinedProducts::default(),
        ids,
        ..build::seal(publisher.chunks())
    };
    stores.jobs.seal(&job.id, &seal).await.unwrap();
    stores.jobs.get(&job.id).await.unwrap().unwrap()
}

/// Plays a history, and compares each archiving with the model.
async fn check(steps: Vec<Step>) {
    let stores = Memory::new(Arc::new(VirtualClock::new(1))).stores();
    let index = FakeIndex::default();
    let (mut full, mut syncs) = (None, Vec::new());
    for (number, step) in (1..).zip(steps) {
        match step {
            Step::Sync { full: is_full, age, documents, unchanged } => {
                let job = exported(job(number, Operation::AddDocuments, is_full), number - age);
                let snapshot = publish(&stores, &job, &documents).await;
                for number in &documents {
                    let is_indexed = index.state().documents.contains_key(&name(*number));
                    if !unchanged.contains(number) || !is_indexed {
                        write(&stores, &index, *number, &job).await;
                    }
                }
                if is_full {
                    full = Some((snapshot, number, number - age));
                }
                syncs.push((number, number - age, documents));
            }
            Step::Vanish(documents) => {
                index.state().documents.retain(|id, _| !documents.iter().any(|number| *id == name(*number)));
            }
            Step::Others(documents) => {
                documents.iter().for_each(|number| put(&index, *number, "another program"));
            }
            Step::Archive { remove } => {
                let Some((snapshot, number, exported)) = &full else { continue };
                // The model: the full sync, later jobs and jobs with a later export say which documents stay.
                let is_recent = |(other, at, _): &&(i64, i64, BTreeSet<u8>)| other >= number || at > exported;
                let kept = syncs.iter().filter(is_recent).flat_map(|(.., documents)| documents);
                let kept: BTreeSet<DocumentId> = kept.map(|number| name(*number)).collect();
                let expected: Vec<DocumentId> = {
                    let documents = &index.state().documents;
                    let ours = documents
                        .iter()
                        .filter(|(id, indexed)| indexed.job_id != "another program" && !kept.contains(*id));
                    ours.map(|(id, _)| id.clone()).collect()
                };
                let (removals, counts) = missing(&stores, &index, snapshot).await;
                let found: BTreeSet<&DocumentId> = removals.iter().map(|removal| &removal.document).collect();
                assert_eq!(found, expected.iter().collect());
                assert_eq!(counts.missing_documents, expected.len() as u64);
                for PlannedRemoval { document, product, removal } in removals {
                    let removal: Value = serde_json::from_str(&removal).unwrap();
                    let writer = index.state().documents[&document].job_id.clone();
                    assert_eq!(
                        (removal["v"].as_u64(), removal["_mq_job_id"].as_str()),
                        (Some(1), Some(writer.as_str()))
                    );
                    if remove {
                        index.state().documents.remove(&document);
                        let scope = scope(&index, &snapshot.job);
                        let [record] = &mut *stores.ledger.get(&scope, &[product]).await.unwrap() else {
                            panic!()
                        };
                        let mut record = record.take().unwrap();
                        record.state = ProductState::Absent;
                        build::store_records(&*stores.ledger, &scope, &[record]).await;
                    }
                }
            }
        }
    }
}

/// A shop with the documents 1 to 4 in its index, of which the last full sync, the snapshot, had 1 to 3.
async fn shop() -> (Stores, FakeIndex, JobSnapshot) {
    let stores = Memory::new(Arc::new(VirtualClock::new(1))).stores();
    let index = FakeIndex::default();
    let earlier = job(1, Operation::AddDocuments, true);
    publish(&stores, &earlier, &BTreeSet::from([1, 2, 3, 4])).await;
    for number in 1..=4 {
        write(&stores, &index, number, &earlier).await;
    }
    let full = publish(&stores, &job(2, Operation::AddDocuments, true), &BTreeSet::from([1, 2, 3])).await;
    (stores, index, full)
}

const FORCE: ArchiveLimit = ArchiveLimit { max_percent: 30, force: true };

#[tokio::test]
async fn nothing_is_removed_while_a_later_job_is_read() {
    let (stores, index, full) = shop().await;
    let later = job(3, Operation::AddDocuments, false);
    stores.jobs.create(&later).await.unwrap();
    let refusal = async || {
        let missing = MissingProducts::after(&stores, &index, &full, now()).await.unwrap();
        missing.refusal(LedgerCounts { missing_documents: 1, live_documents: 4, newer_products: 0 }, FORCE)
    };
    assert_eq!(refusal().await, Some(ArchiveRefusal::Ingesting(later.id.clone())));
    publish(&stores, &later, &BTreeSet::new()).await;
    assert_eq!(refusal().await, None);
}

/// Retention removes the record of the job that wrote document 4; the ledger still has the product.
#[tokio::test]
async fn what_a_job_without_a_record_wrote_is_missing_too() {
    let (stores, index, _) = shop().await;
    let empty = Memory::new(Arc::new(VirtualClock::new(1))).stores();
    let stores = Stores { ledger: stores.ledger, ..empty };
    let full = publish(&stores, &job(2, Operation::AddDocuments, true), &BTreeSet::from([1, 2, 3])).await;
    let (removals, counts) = missing(&stores, &index, &full).await;
    assert_eq!(
        (removals.len(), counts),
        (1, LedgerCounts { missing_documents: 1, live_documents: 4, newer_products: 0 })
    );
}

/// The ledger has document 1 under another product id than the full sync, as of a reader that spells ids in another
/// way.
#[tokio::test]
async fn a_document_that_the_full_sync_had_stays_whatever_its_product_is_called() {
    let (stores, index, full) = shop().await;
    let scope = scope(&index, &full.job);
    let product = ProductId::new("gid://shopify/Product/1").unwrap();
    let mut record = LedgerRecord::new(product, full.job.id.clone(), full.job.created_at);
    record.state = ProductState::Live;
    record.add_document(name(1));
    build::store_records(&*stores.ledger, &scope, &[record]).await;
    let (removals, _) = missing(&stores, &index, &full).await;
    assert_eq!(removals.into_iter().map(|removal| removal.document).collect::<Vec<_>>(), [name(4)]);
}

/// A product that the plug-in refused is in the shop. If it has no id, it is not known which documents are its own,
/// so archiving is refused.
#[tokio::test]
async fn what_the_plugin_refused_stays_and_without_an_id_everything_does() {
    let refused =
        ReportEntry { plugin: Some("p@1".to_owned()), ..ReportEntry::new(EntryClass::Failed, "bad", "so") };
    let skipped = ReportEntry { class: EntryClass::Skipped, ..refused.clone() };
    let of_document_4 = |entry: &ReportEntry| entry.clone().with("product", name(4).as_str());
    let line = ReportEntry::new(EntryClass::Failed, "invalid-json", "so");
    for (entry, expected, unidentified) in [
        (of_document_4(&refused), 0, None),
        // A product that became no document is removed, and an unreadable line is no refused product.
        (of_document_4(&skipped), 1, None),
        (line, 1, None),
        (refused, 1, Some(ArchiveRefusal::Unidentified(1))),
    ] {
        let (stores, index, mut full) = shop().await;
        let mut report = Vec::new();
        entry.write_line(&mut report);
        stores.chunks.put("report", &report).await.unwrap();
        full.seal.as_mut().unwrap().reports = vec!["report".to_owned()];
        let missing = MissingProducts::after(&stores, &index, &full, now()).await.unwrap();
        let counts = missing.each(async |_| Ok(())).await.unwrap();
        assert_eq!(
            (counts.missing_documents, missing.refusal(counts, FORCE)),
            (expected, unidentified),
            "{entry:?}"
        );
    }
}

/// If the rows of the full sync's chunks have expired, it is not known what it had, and archiving fails.
#[tokio::test]
async fn archiving_fails_if_the_rows_of_chunks_are_gone() {
    let (stores, index, full) = shop().await;
    let empty = Memory::new(Arc::new(VirtualClock::new(1))).stores();
    let stores = Stores { ledger: stores.ledger, ..empty };
    let missing = MissingProducts::after(&stores, &index, &full, now()).await;
    assert!(matches!(missing, Err(ArchiveError::ObjectMissing { .. })));
}

/// Two shops may share an index. Of a job without a record, the time in its id decides.
#[tokio::test]
async fn what_another_shop_wrote_last_stays() {
    let (stores, index, full) = shop().await;
    let other_shops = Job { shop_id: "other".to_owned(), ..job(9, Operation::AddDocuments, false) };
    publish(&stores, &other_shops, &BTreeSet::from([4])).await;
    // The ledger's record of document 4 was written at second 1 after 1970.
    let id_of = |second: u64| {
        uuid::Builder::from_unix_timestamp_millis(second * 1_000, &[7; 10]).into_uuid().to_string()
    };
    let two_days = 2 * 86_400;
    for (writer, expected) in [
        (other_shops.id.to_string(), 0),
        ("unknown".to_owned(), 0),
        (id_of(two_days + 2), 0),
        // Still this shop's: the ingest's clock may have been a day ahead, and the worker's a day behind.
        (id_of(two_days + 1), 1),
        (id_of(1), 1),
        (id_of(0), 1),
    ] {
        put(&index, 4, &writer);
        assert_eq!(missing(&stores, &index, &full).await.0.len(), expected, "{writer}");
    }
}

/// What a later export had stays, also when the record of its job is gone.
#[tokio::test]
async fn an_older_full_export_removes_nothing_that_is_newer() {
    let (stores, index, _) = shop().await;
    let newer = exported(job(10, Operation::AddDocuments, true), 10);
    publish(&stores, &newer, &BTreeSet::from([1, 2, 3, 5])).await;
    write(&stores, &index, 5, &newer).await;
    let older = exported(job(11, Operation::AddDocuments, true), 9);
    let older = publish(&stores, &older, &BTreeSet::from([1, 2])).await;
    let documents = |removals: Vec<PlannedRemoval>| -> Vec<DocumentId> {
        removals.into_iter().map(|removal| removal.document).collect()
    };
    let (removals, counts) = missing(&stores, &index, &older).await;
    assert_eq!((documents(removals), counts.newer_products), (vec![name(4)], 2));
    let empty = Memory::new(Arc::new(VirtualClock::new(1))).stores();
    let stores = Stores { ledger: stores.ledger, ..empty };
    for number in 4..9 {
        publish(&stores, &job(number, Operation::AddDocuments, false), &BTreeSet::new()).await;
    }
    let older = publish(&stores, &older.job, &BTreeSet::from([1, 2])).await;
    let (removals, counts) = missing(&stores, &index, &older).await;
    // Document 3 was unchanged in the newer export, so only that job's list of ids, now gone, said that it had it.
    assert_eq!((documents(removals), counts.newer_products), (vec![name(3), name(4)], 1));
}

/// If the job of a clock that was a year ahead counted as the latest, nothing would be archived for a year.
#[tokio::test]
async fn a_job_of_a_clock_that_was_ahead_does_not_prevent_archiving() {
    let (stores, index, _) = shop().await;
    let ahead = job(3, Operation::AddDocuments, false);
    let ahead = Job { created_at: now() + std::time::Duration::from_secs(365 * 86_400), ..ahead };
    publish(&stores, &ahead, &BTreeSet::from([4])).await;
    write(&stores, &index, 4, &ahead).await;
    let full = publish(&stores, &job(4, Operation::AddDocuments, true), &BTreeSet::from([1, 2, 3])).await;
    assert_eq!(missing(&stores, &index, &full).await.0.len(), 1);
}

#[tokio::test]
async fn what_a_cancelled_archiving_left_is_still_missing() {
    let (stores, index, full) = shop().await;
    let removal = job(3, Operation::DeleteDocuments, false);
    stores.jobs.create(&removal).await.unwrap();
    let mut chunker = Chunker::new(BOUNDS, 1);
    let product = ProductId::from(&name(4));
    let (operation, object) = (Operation::DeleteDocuments, "{}");
    let new = PendingLine {
        operation,
        product: &product,
        product_stays: false,
        siblings: None,
        source_digest: None,
        object,
    };
    assert!(chunker.push(name(4), new).is_empty());
    let clock: SharedClock = Arc::new(VirtualClock::new(1));
    let mut publisher = Publisher::new(&stores, &clock, &removal);
    for full in chunker.finish() {
        publisher.publish(full).await.unwrap();
    }
    stores.jobs.seal(&removal.id, &build::seal(publisher.chunks())).await.unwrap();
    crate::worker::cancel(&stores, &removal.id).await.unwrap();
    // The ledger's record is the cancelled job's, as if it had removed other documents of the product before.
    let mut record = LedgerRecord::new(product, removal.id.clone(), removal.created_at);
    record.state = ProductState::Live;
    record.add_document(name(4));
    build::store_records(&*stores.ledger, &scope(&index, &removal), &[record]).await;
    assert_eq!(missing(&stores, &index, &full).await.0.len(), 1);
}

#[tokio::test]
async fn what_a_later_job_had_and_refused_stays() {
    let (stores, index, full) = shop().await;
    let later = job(3, Operation::AddDocuments, false);
    let entry =
        ReportEntry { plugin: Some("p@1".to_owned()), ..ReportEntry::new(EntryClass::Failed, "bad", "so") };
    let mut report = Vec::new();
    entry.with("product", name(4).as_str()).write_line(&mut report);
    stores.chunks.put("report", &report).await.unwrap();
    stores.jobs.create(&later).await.unwrap();
    let seal = Seal { reports: vec!["report".to_owned()], ..build::seal(0) };
    stores.jobs.seal(&later.id, &seal).await.unwrap();
    assert!(missing(&stores, &index, &full).await.0.is_empty());
}

/// Jobs of older versions of the host name only the kind of their target, not which one.
#[tokio::test]
async fn jobs_after_a_full_sync_are_later_however_its_target_is_spelled() {
    let (stores, index, _) = shop().await;
    let full = Job { target: index.id().kind().into(), ..job(2, Operation::AddDocuments, true) };
    let full = Job { id: JobId::new("full").unwrap(), ..full };
    let full = publish(&stores, &full, &BTreeSet::from([1, 2, 3, 4])).await;
    let later = Job { target: index.id(), ..job(3, Operation::AddDocuments, false) };
    publish(&stores, &later, &BTreeSet::from([5])).await;
    write(&stores, &index, 5, &later).await;
    assert_ne!(full.job.target, later.target);
    assert!(missing(&stores, &index, &full).await.0.is_empty());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn what_a_full_sync_did_not_have_is_found_whatever_happened_before(steps in steps()) {
        tokio::runtime::Runtime::new().unwrap().block_on(check(steps));
    }
}
