//! Histories of jobs against a model that knows everything.

use super::{Sorting, plan};
use crate::ingest::{
    chunk::{ChunkBounds, Chunker, NewLine},
    publish::Publisher,
};
use host_core::{
    index::{ArchiveLimit, ArchiveRefusal, Precondition, Write},
    model::{Digest, Document, DocumentId, Job, JobId, Operation, ProductId, Quarantined, Seal},
    storage::{JobSnapshot, Storage, Stores},
};
use host_testing::{
    VirtualClock, build,
    fakes::{FakeIndex, Held},
    storage::Memory,
};
use jiff::Timestamp;
use proptest::prelude::*;
use serde_json::{Map, Value};
use std::{collections::BTreeSet, sync::Arc};

/// One step of a shop's history.
#[derive(Clone, Debug)]
enum Step {
    /// A job has these documents; the index holds some as it was before.
    Sync { full: bool, documents: BTreeSet<u8>, unchanged: BTreeSet<u8> },
    /// Documents that others remove.
    Vanish(BTreeSet<u8>),
    /// Another program than the host writes.
    Others(BTreeSet<u8>),
    /// The last full sync is compared, and what it did not have is removed or not.
    Archive { remove: bool },
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let some = || prop::collection::btree_set(0u8..30, 0..20);
    let step = prop_oneof![
        4 => (any::<bool>(), some(), some())
            .prop_map(|(full, documents, unchanged)| Step::Sync { full, documents, unchanged }),
        1 => some().prop_map(Step::Vanish),
        1 => prop::collection::btree_set(0u8..30, 0..4).prop_map(Step::Others),
        3 => any::<bool>().prop_map(|remove| Step::Archive { remove }),
    ];
    prop::collection::vec(step, 1..14)
}

/// An id as a document of a variant might have it, so that ids do not stand in the order of products.
fn name(number: u8) -> DocumentId {
    DocumentId::new(format!("{}-variant.{number}", number % 7)).unwrap()
}

/// Has a job write a document, in version 1.
fn hold(index: &FakeIndex, number: u8, job_id: &str) {
    let write = Write {
        document: Document { id: name(number), fields: Map::new() },
        version: Map::from_iter([("v".to_owned(), 1.into())]),
        content_hash: String::new(),
        precondition: Precondition::None,
    };
    index.state().documents.insert(name(number), Held { write, job_id: job_id.to_owned() });
}

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

const BOUNDS: ChunkBounds = ChunkBounds { documents: 4, bytes: 1_000 };

async fn publish(stores: &Stores, job: &Job, documents: &BTreeSet<u8>) -> JobSnapshot {
    stores.jobs.create(job).await.unwrap();
    let (mut chunker, mut publisher) = (Chunker::new(BOUNDS, 2), Publisher::new(stores, job));
    for number in documents {
        let id = name(*number);
        let (operation, product) = (Operation::AddDocuments, ProductId::from(&id));
        let new =
            NewLine { operation, product: &product, product_stays: false, siblings: None, object: "{}" };
        for full in chunker.push(id, new) {
            publisher.publish(full).await.unwrap();
        }
    }
    for full in chunker.finish() {
        publisher.publish(full).await.unwrap();
    }
    let seal = Seal {
        total_items: documents.len() as u64,
        quarantine: Quarantined::default(),
        ids_in_products: false,
        ..build::seal(publisher.chunks())
    };
    stores.jobs.seal(&job.id, &seal).await.unwrap();
    stores.jobs.get(&job.id).await.unwrap().unwrap()
}

async fn check(steps: Vec<Step>) {
    let dir = tempfile::tempdir().unwrap();
    let stores = Memory::new(Arc::new(VirtualClock::new(1))).stores();
    let index = FakeIndex::default();
    // So little that everything goes to files.
    let sorting = Sorting { scratch_dir: dir.path().join("scratch"), memory: 64 };
    let (mut full, mut since): (Option<(JobSnapshot, BTreeSet<u8>)>, BTreeSet<u8>) = Default::default();
    for (number, step) in (1..).zip(steps) {
        match step {
            Step::Sync { full: is_full, documents, unchanged } => {
                let job = job(number, Operation::AddDocuments, is_full);
                let snapshot = publish(&stores, &job, &documents).await;
                for number in &documents {
                    let is_held = index.state().documents.contains_key(&name(*number));
                    if !unchanged.contains(number) || !is_held {
                        hold(&index, *number, job.id.as_str());
                    }
                }
                if is_full {
                    (full, since) = (Some((snapshot, documents)), BTreeSet::new());
                } else {
                    since.extend(documents);
                }
            }
            Step::Vanish(documents) => {
                index.state().documents.retain(|id, _| !documents.iter().any(|number| *id == name(*number)));
            }
            Step::Others(documents) => {
                documents.iter().for_each(|number| hold(&index, *number, "another program"));
            }
            Step::Archive { remove } => {
                let Some((snapshot, documents)) = &full else { continue };
                let had: BTreeSet<DocumentId> =
                    documents.iter().chain(&since).map(|number| name(*number)).collect();
                let expected: Vec<DocumentId> = {
                    let documents = &index.state().documents;
                    let ours = documents
                        .iter()
                        .filter(|(id, held)| held.job_id != "another program" && !had.contains(*id));
                    ours.map(|(id, _)| id.clone()).collect()
                };
                // Looking changes nothing, and the second look finds the same.
                for keep in [false, true, true] {
                    let plan = plan(&stores, &index, snapshot, &sorting, keep).await.unwrap();
                    assert_eq!(plan.missing, expected.len() as u64);
                    assert_eq!(plan.documents, documents.len() as u64);
                    assert_eq!(plan.ids().unwrap(), expected);
                }
                if !remove {
                    continue;
                }
                let plan = plan(&stores, &index, snapshot, &sorting, true).await.unwrap();
                let removal = job(number, Operation::DeleteDocuments, false);
                plan.publish(&stores, &removal, BOUNDS, 2).await.unwrap();
                let sealed = stores.jobs.get(&removal.id).await.unwrap().unwrap();
                assert_eq!(sealed.seal.unwrap().total_items, expected.len() as u64);
                for seq in 0..sealed.chunks {
                    let chunk = stores.jobs.chunk(&removal.id, seq).await.unwrap().unwrap();
                    assert_eq!(chunk.operation, Operation::DeleteDocuments);
                    let bytes = stores.chunks.get(&chunk.key, Some(chunk.sha256)).await.unwrap().unwrap();
                    for line in String::from_utf8(bytes).unwrap().lines() {
                        let line: Value = serde_json::from_str(line).unwrap();
                        let id = DocumentId::new(line["_id"].as_str().unwrap()).unwrap();
                        let writer = index.state().documents.remove(&id).unwrap().job_id;
                        assert_eq!(
                            (line["v"].as_u64(), line["_mq_job_id"].as_str()),
                            (Some(1), Some(writer.as_str()))
                        );
                    }
                }
                assert!(expected.iter().all(|id| !index.state().documents.contains_key(id)));
            }
        }
    }
}

#[tokio::test]
async fn nothing_is_removed_while_a_later_job_is_read() {
    let dir = tempfile::tempdir().unwrap();
    let stores = Memory::new(Arc::new(VirtualClock::new(1))).stores();
    let index = FakeIndex::default();
    [3, 4].into_iter().for_each(|number| hold(&index, number, "job-001"));
    publish(&stores, &job(1, Operation::AddDocuments, true), &BTreeSet::from([1, 2, 3, 4])).await;
    let full = publish(&stores, &job(2, Operation::AddDocuments, true), &BTreeSet::from([1, 2, 3])).await;
    let later = job(3, Operation::AddDocuments, false);
    stores.jobs.create(&later).await.unwrap();
    let sorting = Sorting { scratch_dir: dir.path().join("scratch"), memory: 1_000 };
    let archiving = ArchiveLimit { max_percent: 30, force: true };
    let refusal = async || plan(&stores, &index, &full, &sorting, true).await.unwrap().refusal(archiving);
    assert_eq!(refusal().await, Some(ArchiveRefusal::Ingesting(later.id.clone())));
    publish(&stores, &later, &BTreeSet::new()).await;
    assert_eq!(refusal().await, None);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn what_a_full_sync_did_not_have_is_found_whatever_happened_before(steps in steps()) {
        tokio::runtime::Runtime::new().unwrap().block_on(check(steps));
    }
}
