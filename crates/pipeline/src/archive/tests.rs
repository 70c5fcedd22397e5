//! Histories of jobs against a model that knows everything.

use super::{Sorting, plan};
use crate::ingest::{
    chunk::{ChunkBounds, Chunker},
    publish::Publisher,
};
use async_trait::async_trait;
use host_core::storage::Storage;
use host_core::{
    clock::{SharedClock, SystemClock},
    index::{
        ArchiveLimit, ArchiveRefusal, Index, IndexError, Outcome, Removal, StoredVersion, TargetId, Write,
        WriteTarget,
    },
    model::{
        Counts, Digest, DocumentId, Job, JobId, Operation, PluginRef, Quarantined, SameVersion, Seal,
        SourceStats,
    },
    storage::{JobSnapshot, Stores},
};
use host_storage_sqlite::Embedded;
use jiff::Timestamp;
use proptest::prelude::*;
use serde_json::{Map, Value};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex},
};

/// Which job wrote each document.
#[derive(Default)]
struct FakeIndex(Mutex<BTreeMap<String, String>>);

#[async_trait]
impl Index for FakeIndex {
    fn id(&self) -> TargetId {
        "marqo".into()
    }

    async fn check(&self, _: &WriteTarget) -> Result<(), IndexError> {
        Ok(())
    }

    async fn stored(
        &self,
        _: &WriteTarget,
        ids: &[DocumentId],
    ) -> Result<Vec<Option<StoredVersion>>, IndexError> {
        let shelf = self.0.lock().unwrap();
        let stored = |id: &DocumentId| {
            let job_id = shelf.get(id.as_str())?.clone();
            let version = Map::from_iter([("v".to_owned(), 1.into())]);
            Some(StoredVersion { version, content_hash: None, job_id: Some(job_id) })
        };
        Ok(ids.iter().map(stored).collect())
    }

    async fn write(&self, _: &WriteTarget, _: &[Write]) -> Result<Vec<Outcome>, IndexError> {
        unreachable!("nothing is written here")
    }

    async fn update(&self, _: &WriteTarget, _: &[Write]) -> Result<Vec<Outcome>, IndexError> {
        unreachable!("nothing is updated here")
    }

    async fn delete(&self, _: &WriteTarget, _: &[Removal]) -> Result<Vec<Outcome>, IndexError> {
        unreachable!("removals are published, not carried out")
    }

    async fn get(&self, _: &WriteTarget, _: &DocumentId) -> Result<Option<Map<String, Value>>, IndexError> {
        unreachable!("nothing is read here")
    }

    async fn list(
        &self,
        _: &WriteTarget,
        _: Option<&DocumentId>,
        _: usize,
    ) -> Result<Vec<DocumentId>, IndexError> {
        unreachable!("nothing is listed here")
    }

    async fn count(&self, _: &WriteTarget) -> Result<u64, IndexError> {
        unreachable!("nothing is counted here")
    }
}

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
fn name(number: u8) -> String {
    format!("{}-variant.{number}", number % 7)
}

fn job(number: i64, operation: Operation, full: bool) -> Job {
    Job {
        id: JobId::new(format!("job-{number:03}")).unwrap(),
        platform: "shopify".to_owned(),
        shop_id: "shop".to_owned(),
        index_name: "products".to_owned(),
        target: "marqo".into(),
        operation,
        created_at: Timestamp::from_second(number).unwrap(),
        plugin: PluginRef { name: "p".to_owned(), version: "1".to_owned(), digest: Digest::of(b"p") },
        fingerprint: Digest::of(&number.to_le_bytes()),
        sources: Vec::new(),
        same_version: SameVersion::Conflict,
        full,
    }
}

const BOUNDS: ChunkBounds = ChunkBounds { documents: 4, bytes: 1_000 };

async fn publish(stores: &Stores, job: &Job, documents: &BTreeSet<u8>) -> JobSnapshot {
    stores.jobs.create(job).await.unwrap();
    let (mut chunker, mut publisher) = (Chunker::new(BOUNDS, 2), Publisher::new(stores, job));
    for number in documents {
        let id = DocumentId::new(name(*number)).unwrap();
        for full in chunker.push(Operation::AddDocuments, id, "{}") {
            publisher.publish(full).await.unwrap();
        }
    }
    for full in chunker.finish() {
        publisher.publish(full).await.unwrap();
    }
    let seal = Seal {
        chunks: publisher.chunks(),
        total_items: documents.len() as u64,
        refused: Counts::default(),
        source: SourceStats::default(),
        samples: Vec::new(),
        reports: Vec::new(),
        quarantine: Quarantined::default(),
        ids_in_products: false,
    };
    stores.jobs.seal(&job.id, &seal).await.unwrap();
    stores.jobs.get(&job.id).await.unwrap().unwrap()
}

async fn check(steps: Vec<Step>) {
    let dir = tempfile::tempdir().unwrap();
    let clock: SharedClock = Arc::new(SystemClock);
    let stores = Embedded::open(dir.path(), clock).unwrap().stores();
    let shelf = FakeIndex::default();
    // So little that everything goes to files.
    let sorting = Sorting { scratch_dir: dir.path().join("scratch"), memory: 64 };
    let (mut full, mut since): (Option<(JobSnapshot, BTreeSet<u8>)>, BTreeSet<u8>) = Default::default();
    for (number, step) in (1..).zip(steps) {
        match step {
            Step::Sync { full: is_full, documents, unchanged } => {
                let job = job(number, Operation::AddDocuments, is_full);
                let snapshot = publish(&stores, &job, &documents).await;
                for number in &documents {
                    let mut shelf = shelf.0.lock().unwrap();
                    if !unchanged.contains(number) || !shelf.contains_key(&name(*number)) {
                        shelf.insert(name(*number), job.id.to_string());
                    }
                }
                if is_full {
                    (full, since) = (Some((snapshot, documents)), BTreeSet::new());
                } else {
                    since.extend(documents);
                }
            }
            Step::Vanish(documents) => {
                shelf.0.lock().unwrap().retain(|id, _| !documents.iter().any(|number| *id == name(*number)));
            }
            Step::Others(documents) => {
                let others = documents.iter().map(|number| (name(*number), "another program".to_owned()));
                shelf.0.lock().unwrap().extend(others);
            }
            Step::Archive { remove } => {
                let Some((snapshot, documents)) = &full else { continue };
                let had: BTreeSet<String> =
                    documents.iter().chain(&since).map(|number| name(*number)).collect();
                let expected: Vec<String> = {
                    let shelf = shelf.0.lock().unwrap();
                    let ours =
                        shelf.iter().filter(|(id, job)| *job != "another program" && !had.contains(*id));
                    ours.map(|(id, _)| id.clone()).collect()
                };
                // Looking changes nothing, and the second look finds the same.
                for keep in [false, true, true] {
                    let plan = plan(&stores, &shelf, snapshot, &sorting, keep).await.unwrap();
                    assert_eq!(plan.missing, expected.len() as u64);
                    assert_eq!(plan.documents, documents.len() as u64);
                    let ids: Vec<String> = plan.ids().unwrap().into_iter().map(String::from).collect();
                    assert_eq!(ids, expected);
                }
                if !remove {
                    continue;
                }
                let plan = plan(&stores, &shelf, snapshot, &sorting, true).await.unwrap();
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
                        let writer = shelf.0.lock().unwrap().remove(line["_id"].as_str().unwrap());
                        assert_eq!(
                            (line["v"].as_u64(), line["_mq_job_id"].as_str()),
                            (Some(1), writer.as_deref())
                        );
                    }
                }
                assert!(expected.iter().all(|id| !shelf.0.lock().unwrap().contains_key(id)));
            }
        }
    }
}

#[tokio::test]
async fn nothing_is_removed_while_a_later_job_is_read() {
    let dir = tempfile::tempdir().unwrap();
    let stores = Embedded::open(dir.path(), Arc::new(SystemClock)).unwrap().stores();
    let shelf = FakeIndex::default();
    shelf.0.lock().unwrap().extend([3, 4].map(|number| (name(number), "job-001".to_owned())));
    publish(&stores, &job(1, Operation::AddDocuments, true), &BTreeSet::from([1, 2, 3, 4])).await;
    let full = publish(&stores, &job(2, Operation::AddDocuments, true), &BTreeSet::from([1, 2, 3])).await;
    let later = job(3, Operation::AddDocuments, false);
    stores.jobs.create(&later).await.unwrap();
    let sorting = Sorting { scratch_dir: dir.path().join("scratch"), memory: 1_000 };
    let archiving = ArchiveLimit { max_percent: 30, force: true };
    let refusal = async || plan(&stores, &shelf, &full, &sorting, true).await.unwrap().refusal(archiving);
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
