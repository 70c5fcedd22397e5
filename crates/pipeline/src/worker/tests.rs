//! The worker against real embedded stores, an index that fails on purpose, and virtual time.

use super::{Until, Worker, WorkerSettings};
use async_trait::async_trait;
use host_core::{
    clock::{Clock, SharedClock},
    index::{Index, IndexError, Outcome, Precondition, Removal, StoredVersion, TargetId, Write, WriteTarget},
    model::{
        ChunkRef, Class, Counts, Digest, Document, DocumentId, Grouping, Issue, Job, JobId, JobStatus,
        Manifest, Operation, PluginRef, Quarantined, SameVersion, Seal, Severity, SourceStats,
    },
    plugin::{BatchFailure, Refusal, TransformedDocument, Validate, Verdict, Version, VersionOrdering},
    storage::{ChunkLease, ChunkOutcome, Claim, JobSnapshot, Release, Storage, Stores},
};
use host_storage_sqlite::Embedded;
use jiff::Timestamp;
use serde_json::{Map, Value};
use std::{
    collections::{BTreeMap, VecDeque},
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};
use tempfile::TempDir;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

mod cancelled;
mod conflicts;
mod lanes;
mod multi_shop;
mod poison;
mod updates;

const SHOP: &str = "tests.myshopify.com";

/// Time that passes only while all tasks sleep; random numbers that count.
#[derive(Debug)]
struct VirtualClock {
    started: Instant,
    random: AtomicU64,
}

#[async_trait]
impl Clock for VirtualClock {
    fn now(&self) -> Timestamp {
        Timestamp::UNIX_EPOCH + self.started.elapsed()
    }

    async fn sleep(&self, duration: Duration) {
        tokio::time::sleep(duration).await;
    }

    fn random(&self) -> u64 {
        self.random.fetch_add(1, Relaxed)
    }
}

/// What the index does with the next writes; afterwards it works.
#[derive(Clone, Debug)]
enum Next {
    Transient,
    Permanent,
    Panic,
    /// Writes, then says that it failed.
    LostAnswer,
    Refuse(&'static str),
    TooFewOutcomes,
    /// Takes so long, and then works.
    Slow(Duration),
}

type Documents = BTreeMap<DocumentId, (Write, String)>;

#[derive(Default)]
struct ScriptedIndex {
    documents: Mutex<Documents>,
    next: Mutex<Vec<Next>>,
    writes: AtomicU64,
    /// Shops in the order of their writes.
    written: Mutex<Vec<String>>,
    /// Versions that others write between the reading of document 1 and the next changes of it; the latter are overtaken then.
    overtakers: Mutex<VecDeque<i64>>,
    /// A shop whose index cannot be written until it is repaired.
    broken: Mutex<Option<String>>,
    /// The server that it says it is on.
    server: Mutex<Option<String>>,
}

impl ScriptedIndex {
    /// Whether another writer has just written this document.
    fn is_overtaken(&self, documents: &mut Documents, id: &DocumentId) -> bool {
        let is_next = || self.overtakers.lock().unwrap().pop_front();
        let Some(v) = (id.as_str() == "1").then(is_next).flatten() else { return false };
        let document = Document { id: id.clone(), fields: Map::new() };
        let version = Map::from_iter([("v".to_owned(), v.into())]);
        let write =
            Write { document, version, content_hash: format!("other {v}"), precondition: Precondition::None };
        documents.insert(id.clone(), (write, "other".to_owned()));
        true
    }
}

fn index_error(transient: bool) -> IndexError {
    IndexError {
        action: "writing to the scripted index".into(),
        transient,
        source: "as the script says".into(),
    }
}

#[async_trait]
impl Index for ScriptedIndex {
    fn id(&self) -> TargetId {
        "catalog:embedded".into()
    }

    async fn server(&self, _: &WriteTarget) -> Option<String> {
        self.server.lock().unwrap().clone()
    }

    async fn check(&self, _: &WriteTarget) -> Result<(), IndexError> {
        Ok(())
    }

    async fn stored(
        &self,
        _: &WriteTarget,
        ids: &[DocumentId],
    ) -> Result<Vec<Option<StoredVersion>>, IndexError> {
        let documents = self.documents.lock().unwrap();
        let stored = |(write, job): &(Write, String)| StoredVersion {
            version: write.version.clone(),
            content_hash: Some(write.content_hash.clone()),
            job_id: Some(job.clone()),
        };
        Ok(ids.iter().map(|id| documents.get(id).map(stored)).collect())
    }

    async fn write(&self, target: &WriteTarget, batch: &[Write]) -> Result<Vec<Outcome>, IndexError> {
        self.writes.fetch_add(1, Relaxed);
        self.written.lock().unwrap().push(target.shop_id.clone());
        if self.broken.lock().unwrap().as_ref() == Some(&target.shop_id) {
            return Err(index_error(false));
        }
        let next = {
            let mut next = self.next.lock().unwrap();
            (!next.is_empty()).then(|| next.remove(0))
        };
        let refused = match &next {
            Some(Next::Transient) => return Err(index_error(true)),
            Some(Next::Permanent) => return Err(index_error(false)),
            Some(Next::Panic) => panic!("the script says so"),
            Some(Next::TooFewOutcomes) => return Ok(Vec::new()),
            Some(Next::Slow(time)) => {
                tokio::time::sleep(*time).await;
                None
            }
            Some(Next::Refuse(id)) => Some(*id),
            Some(Next::LostAnswer) | None => None,
        };
        let mut documents = self.documents.lock().unwrap();
        let outcomes = batch.iter().map(|write| {
            if Some(write.document.id.as_str()) == refused {
                return Outcome::Refused { code: "invalid-argument".into(), message: "no".into() };
            }
            if self.is_overtaken(&mut documents, &write.document.id) {
                return Outcome::Conflict;
            }
            documents.insert(write.document.id.clone(), (write.clone(), target.job_id.clone()));
            Outcome::Done
        });
        let outcomes = outcomes.collect();
        if matches!(next, Some(Next::LostAnswer)) { Err(index_error(true)) } else { Ok(outcomes) }
    }

    async fn update(&self, target: &WriteTarget, batch: &[Write]) -> Result<Vec<Outcome>, IndexError> {
        self.writes.fetch_add(1, Relaxed);
        let mut documents = self.documents.lock().unwrap();
        let update = |update: &Write| {
            let Some((stored, job)) = documents.get_mut(&update.document.id) else {
                return Outcome::Refused { code: "document-not-found".into(), message: "no".into() };
            };
            stored.document.fields.extend(update.document.fields.clone());
            stored.version.extend(update.version.clone());
            stored.content_hash = update.content_hash.clone();
            *job = target.job_id.clone();
            Outcome::Done
        };
        Ok(batch.iter().map(update).collect())
    }

    async fn delete(&self, _: &WriteTarget, batch: &[Removal]) -> Result<Vec<Outcome>, IndexError> {
        let mut documents = self.documents.lock().unwrap();
        Ok(batch
            .iter()
            .map(|removal| {
                if removal.precondition != Precondition::None
                    && self.is_overtaken(&mut documents, &removal.id)
                {
                    return Outcome::Conflict;
                }
                documents.remove(&removal.id);
                Outcome::Done
            })
            .collect())
    }

    async fn get(&self, _: &WriteTarget, id: &DocumentId) -> Result<Option<Map<String, Value>>, IndexError> {
        Ok(self.documents.lock().unwrap().get(id).map(|(write, _)| write.document.fields.clone()))
    }

    async fn list(
        &self,
        _: &WriteTarget,
        _: Option<&DocumentId>,
        _: usize,
    ) -> Result<Vec<DocumentId>, IndexError> {
        Ok(self.documents.lock().unwrap().keys().cloned().collect())
    }

    async fn count(&self, _: &WriteTarget) -> Result<u64, IndexError> {
        Ok(self.documents.lock().unwrap().len() as u64)
    }
}

/// Refuses documents titled `bad`, fails on a batch with one titled `fatal`, compares `v` as numbers.
struct Rules(Manifest);

#[async_trait]
impl Validate for Rules {
    fn manifest(&self) -> &Manifest {
        &self.0
    }

    async fn validate(&self, documents: Vec<TransformedDocument>) -> Result<Vec<Verdict>, BatchFailure> {
        if documents.iter().any(|document| document.fields.contains("fatal")) {
            return Err(BatchFailure {
                plugin: "rules@1.0.0".into(),
                code: "broken".into(),
                message: "cannot".into(),
                stopped: false,
                before: Vec::new(),
            });
        }
        let verdict = |document: TransformedDocument| {
            let issue = |severity, code: &str| Issue {
                severity,
                code: code.into(),
                message: "so".into(),
                path: None,
            };
            if document.fields.contains("bad") {
                let refused = Refusal {
                    code: "bad-title".into(),
                    message: "so".into(),
                    path: Some("/title".into()),
                    details: Map::new(),
                };
                Verdict { issues: vec![issue(Severity::Error, "bad-title")], refused: Some(refused) }
            } else if document.fields.contains("odd") {
                Verdict { issues: vec![issue(Severity::Warning, "odd-title")], refused: None }
            } else {
                Verdict::default()
            }
        };
        Ok(documents.into_iter().map(verdict).collect())
    }
}

#[async_trait]
impl Version for Rules {
    fn manifest(&self) -> &Manifest {
        &self.0
    }

    async fn compare(
        &self,
        pairs: Vec<(Map<String, Value>, Map<String, Value>)>,
    ) -> Result<Vec<Result<VersionOrdering, Refusal>>, BatchFailure> {
        let number = |version: &Map<String, Value>| version.get("v").and_then(Value::as_i64);
        let compare = |(incoming, stored): (Map<_, _>, Map<_, _>)| {
            Ok(match number(&incoming).cmp(&number(&stored)) {
                std::cmp::Ordering::Greater => VersionOrdering::Newer,
                std::cmp::Ordering::Equal => VersionOrdering::Same,
                std::cmp::Ordering::Less => VersionOrdering::Older,
            })
        };
        Ok(pairs.into_iter().map(compare).collect())
    }
}

/// A shop with a worker.
struct Harness {
    stores: Stores,
    index: Arc<ScriptedIndex>,
    worker: Arc<Worker>,
    clock: SharedClock,
    dir: TempDir,
}

impl Harness {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let clock: SharedClock =
            Arc::new(VirtualClock { started: Instant::now(), random: AtomicU64::new(1) });
        let stores = Embedded::open(dir.path(), clock.clone()).unwrap().stores();
        let index = Arc::new(ScriptedIndex::default());
        let manifest = Manifest {
            name: "rules".into(),
            version: "1.0.0".into(),
            platform: String::new(),
            grouping: Grouping::WholeLines,
            config_schema: "{}".into(),
            version_fields: vec!["v".into()],
        };
        let rules = Arc::new(Rules(manifest));
        let settings = WorkerSettings {
            concurrency: 3,
            lease: Duration::from_secs(60),
            poll_interval: Duration::from_millis(50),
            shutdown_timeout: Duration::from_secs(20),
        };
        let worker =
            Worker::new(stores.clone(), index.clone(), rules.clone(), rules, clock.clone(), settings);
        Self { stores, index, worker: Arc::new(worker), clock, dir }
    }

    fn script(&self, next: impl IntoIterator<Item = Next>) {
        self.index.next.lock().unwrap().extend(next);
    }

    /// Publishes a sealed job of these chunks, each in a lane of its own if `lanes`.
    async fn publish(&self, name: &str, chunks: &[(Operation, &str)], lanes: bool) -> JobId {
        self.publish_for(SHOP, name, chunks, lanes).await
    }

    async fn publish_for(
        &self,
        shop_id: &str,
        name: &str,
        chunks: &[(Operation, &str)],
        lanes: bool,
    ) -> JobId {
        let lane = |seq: usize| if lanes { seq as u16 } else { 0 };
        let lanes: Vec<u16> = (0..chunks.len()).map(lane).collect();
        self.publish_in(shop_id, name, chunks, &lanes).await
    }

    /// Publishes a sealed job of these chunks, each in its lane.
    async fn publish_in(
        &self,
        shop_id: &str,
        name: &str,
        chunks: &[(Operation, &str)],
        lanes: &[u16],
    ) -> JobId {
        let id = JobId::new(name).unwrap();
        let job = Job {
            id: id.clone(),
            platform: "shopify".into(),
            shop_id: shop_id.into(),
            index_name: "products".into(),
            operation: Operation::AddDocuments,
            created_at: self.clock.now(),
            plugin: PluginRef { name: "p".into(), version: "1".into(), digest: Digest::of(b"p") },
            fingerprint: Digest::of(name.as_bytes()),
            sources: vec!["export".into()],
            target: "catalog".into(),
            same_version: SameVersion::Conflict,
            full: false,
        };
        self.stores.jobs.create(&job).await.unwrap();
        let mut items = 0;
        for (seq, (operation, text)) in chunks.iter().enumerate() {
            let seq = seq as u32;
            let key = ChunkRef::key("shopify", shop_id, &id, seq);
            let documents = text.lines().count() as u32;
            items += u64::from(documents);
            let chunk = ChunkRef {
                job_id: id.clone(),
                seq,
                lane: lanes[seq as usize],
                operation: *operation,
                key: key.clone(),
                sha256: Digest::of(text.as_bytes()),
                documents,
                bytes: text.len() as u64,
            };
            self.stores.chunks.put_if_absent(&key, text.as_bytes()).await.unwrap();
            self.stores.jobs.add_chunk(&chunk).await.unwrap();
            self.stores.queue.send(&job, &chunk, 0).await.unwrap();
        }
        let seal = Seal {
            chunks: chunks.len() as u32,
            total_items: items,
            refused: Counts::default(),
            source: SourceStats::default(),
            samples: Vec::new(),
            reports: Vec::new(),
            quarantine: Quarantined::default(),
            ids_in_products: false,
        };
        self.stores.jobs.seal(&id, &seal).await.unwrap();
        id
    }

    async fn run(&self, id: &JobId) -> Result<JobSnapshot, super::Stop> {
        self.worker.run(SHOP, Until::JobEnds(id.clone()), &CancellationToken::new()).await?;
        Ok(self.stores.jobs.get(id).await.unwrap().unwrap())
    }

    /// Claims the first chunk of a job, which must be free.
    async fn claim(&self, id: &JobId, duration: Duration) -> ChunkLease {
        match self.stores.jobs.claim(id, 0, duration).await.unwrap() {
            Claim::Acquired(lease) => lease,
            other => panic!("the chunk is not free: {other:?}"),
        }
    }

    async fn chunk(&self, id: &JobId) -> ChunkRef {
        let mut taken = self.stores.queue.receive(SHOP, 1, Duration::ZERO).await.unwrap();
        let chunk = taken.remove(0).chunk;
        assert_eq!(chunk.job_id, *id);
        chunk
    }
}

const ADD: Operation = Operation::AddDocuments;

fn counts(processed: u64) -> Counts {
    Counts { processed, ..Counts::default() }
}

const TWO: &str = "{\"_id\":\"1\",\"v\":1,\"title\":\"a\"}\n{\"_id\":\"2\",\"v\":1,\"title\":\"b\"}\n";

#[tokio::test(start_paused = true)]
async fn every_item_ends_in_one_class() {
    let bench = Harness::new();
    bench
        .publish(
            "old",
            &[(ADD, "{\"_id\":\"4\",\"v\":9,\"title\":\"x\"}\n{\"_id\":\"5\",\"v\":1,\"title\":\"same\"}\n")],
            false,
        )
        .await;
    let chunk = "{\"_id\":\"1\",\"v\":1,\"title\":\"fine\"}\n{\"_id\":\"2\",\"v\":1,\"title\":\"bad\"}\nno document\n\
                 {\"_id\":\"3\",\"v\":1,\"title\":\"odd\"}\n{\"_id\":\"4\",\"v\":2,\"title\":\"old\"}\n{\"_id\":\"5\",\"v\":1,\"title\":\"same\"}\n\
                 {\"_id\":\"6\",\"v\":1,\"title\":\"refused by the index\"}\n";
    let id = bench.publish("new", &[(ADD, chunk)], false).await;
    // The older job stands before it in the lane.
    bench.script([Next::Slow(Duration::ZERO), Next::Refuse("6")]);
    let job = bench.run(&id).await.unwrap();
    let expected = Counts { processed: 3, unchanged: 1, failed: 2, skipped: 1, conflict: 1, deleted: 0 };
    assert_eq!((job.counts, job.status), (expected, JobStatus::Failed));
    assert_eq!(job.counts.total(), 7);
    let codes: Vec<_> = job.samples.iter().map(|entry| (entry.class, entry.code.as_str())).collect();
    for entry in [
        (Class::Failed, "bad-title"),
        (Class::Skipped, "invalid-json"),
        (Class::Warning, "odd-title"),
        (Class::Conflict, "older-version"),
        (Class::Failed, "invalid-argument"),
    ] {
        assert!(codes.contains(&entry), "{entry:?} is not in {codes:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_may_go_away_is_tried_again_and_counted_once() {
    let bench = Harness::new();
    let id = bench.publish("job", &[(ADD, TWO)], false).await;
    bench.script([Next::Transient, Next::LostAnswer, Next::Transient, Next::Panic]);
    let job = bench.run(&id).await.unwrap();
    assert_eq!((job.status, job.counts), (JobStatus::Completed, counts(2)));
    // After the lost answer the documents are there: written by this very job, they are neither written again nor `unchanged`.
    assert_eq!(bench.index.writes.load(Relaxed), 2);
    assert_eq!(bench.stores.queue.depth(SHOP).await.unwrap(), 0);
}

#[tokio::test(start_paused = true)]
async fn what_a_person_must_fix_stops_the_worker_and_uses_up_no_attempt() {
    for (next, attempts) in
        [(vec![Next::Permanent], 1), (vec![Next::TooFewOutcomes], 1), (vec![Next::Transient; 9], 9)]
    {
        let bench = Harness::new();
        let id = bench.publish("job", &[(ADD, TWO)], false).await;
        bench.script(next);
        let stop = bench.run(&id).await.unwrap_err();
        assert_eq!(stop.attempts, attempts);
        assert_eq!(bench.stores.queue.depth(SHOP).await.unwrap(), 1);
        // The cause is fixed; the same worker resumes at once.
        let job = bench.run(&id).await.unwrap();
        assert_eq!((job.status, job.counts), (JobStatus::Completed, counts(2)));
    }
}

#[tokio::test(start_paused = true)]
async fn a_done_chunk_is_acknowledged_without_touching_the_index() {
    let bench = Harness::new();
    let id = bench.publish("job", &[(ADD, TWO), (ADD, "{\"_id\":\"3\",\"v\":1}\n")], false).await;
    // A worker died between completing and acknowledging.
    let lease = bench.claim(&id, Duration::from_secs(60)).await;
    let outcome = ChunkOutcome { counts: counts(2), report: None, samples: Vec::new(), quarantined: None };
    assert!(bench.stores.jobs.complete(&lease, &outcome).await.unwrap());
    let job = bench.run(&id).await.unwrap();
    assert_eq!((job.status, job.counts), (JobStatus::Completed, counts(3)));
    assert_eq!(bench.index.writes.load(Relaxed), 1, "that of the second chunk");
    assert_eq!(bench.stores.queue.depth(SHOP).await.unwrap(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_slow_chunk_keeps_its_lease() {
    let bench = Harness::new();
    let id = bench.publish("job", &[(ADD, TWO)], false).await;
    bench.script([Next::Slow(Duration::from_secs(600))]);
    // A second worker waits for the same queue all the while.
    let (job, _) = tokio::join!(bench.run(&id), bench.run(&id));
    assert_eq!(job.unwrap().counts, counts(2));
    assert_eq!(bench.index.writes.load(Relaxed), 1);
}

#[tokio::test(start_paused = true)]
async fn a_worker_without_its_lease_counts_nothing() {
    let bench = Harness::new();
    let id = bench.publish("job", &[(ADD, TWO)], false).await;
    let chunk = bench.chunk(&id).await;
    bench.script([Next::Slow(Duration::from_secs(50))]);
    let thief = async {
        tokio::time::sleep(Duration::from_secs(5)).await;
        // As after a pause of the whole machine: the chunk is released and claimed by another worker.
        let (job_id, seq) = (id.clone(), chunk.seq);
        let lease =
            ChunkLease { job_id, seq, fencing_token: 1, attempts: 1, redrive_count: 0, first_error: None };
        let jobs = &bench.stores.jobs;
        assert!(jobs.release(&lease, Release::CountAttempt(None)).await.unwrap());
        assert_eq!(bench.claim(&id, Duration::from_secs(40)).await.fencing_token, 2);
    };
    let (job, ()) = tokio::join!(bench.run(&id), thief);
    // The first worker drops the chunk; the other dies with its lease; the third attempt counts.
    let job = job.unwrap();
    assert_eq!((job.status, job.counts, job.completed_chunks), (JobStatus::Completed, counts(2), 1));
}

#[tokio::test(start_paused = true)]
async fn chunks_of_one_lane_go_one_after_another_and_lanes_side_by_side() {
    for (lanes, seconds) in [(false, 30), (true, 10)] {
        let bench = Harness::new();
        let text = |id: u32| format!("{{\"_id\":\"{id}\",\"v\":1}}\n");
        let texts: Vec<String> = (0..3).map(text).collect();
        let chunks: Vec<_> = texts.iter().map(|text| (ADD, text.as_str())).collect();
        let id = bench.publish("job", &chunks, lanes).await;
        bench.script([const { Next::Slow(Duration::from_secs(10)) }; 3]);
        let started = bench.clock.now();
        assert_eq!(bench.run(&id).await.unwrap().counts, counts(3));
        let took = bench.clock.now().duration_since(started).as_secs();
        assert!((seconds..seconds + 3).contains(&took), "lanes {lanes}: {took} s");
    }
}

#[tokio::test(start_paused = true)]
async fn a_removal_obeys_the_version() {
    let bench = Harness::new();
    let id = bench.publish("job", &[(ADD, TWO)], false).await;
    bench.run(&id).await.unwrap();
    let removals = "{\"_id\":\"1\",\"v\":0}\n{\"_id\":\"2\"}\n{\"_id\":\"404\",\"v\":1}\n";
    let id = bench.publish("removal", &[(Operation::DeleteDocuments, removals)], false).await;
    let job = bench.run(&id).await.unwrap();
    let expected = Counts { processed: 2, deleted: 2, conflict: 1, ..Counts::default() };
    assert_eq!((job.status, job.counts), (JobStatus::Conflict, expected));
    assert_eq!(
        bench.index.documents.lock().unwrap().keys().map(DocumentId::as_str).collect::<Vec<_>>(),
        ["1"]
    );
}
