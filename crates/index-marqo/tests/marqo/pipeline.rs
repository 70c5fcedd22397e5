//! From chunks to the index with everything in between, while nearly a third of all requests fail: two workers, their
//! stores, write protection, and 20,000 items, of which many are versions of one document.

use crate::{storm, support::random, waiting::Waiting};
use host_core::storage::Storage;
use host_core::{
    clock::{Clock, SharedClock},
    index::{Index, IndexError, Outcome, Removal, StoredVersion, TargetId, Write, WriteTarget},
    model::{
        ChunkRef, Counts, Digest, DocumentId, Grouping, Job, JobId, JobStatus, Manifest, Operation,
        PluginRef, Quarantined, SameVersion, Seal, SourceStats,
    },
    plugin::{BatchFailure, Refusal, TransformedDocument, Validate, Verdict, Version, VersionOrdering},
    storage::{JobSnapshot, Stores},
};
use host_index_marqo::{IndexSettings, Marqo, MarqoConfig};
use host_net::RetryProfile;
use host_pipeline::worker::{Stop, Until, Worker, WorkerSettings};
use host_storage_sqlite::Embedded;
use marqo_stand_in::{Fault, FaultRule, Operation as Call, Options, StandIn};
use serde_json::{Map, Value, json};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex},
    time::Duration,
};
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;

const SHOP: &str = "tests.myshopify.com";
const INDEX: &str = "shop";
const LANES: u64 = 6;
const ITEMS: usize = 20_000;
const LEASE: Duration = Duration::from_secs(600);

/// Refuses documents with the field `bad`; compares `v`.
struct Rules(Manifest);

#[async_trait::async_trait]
impl Validate for Rules {
    fn manifest(&self) -> &Manifest {
        &self.0
    }

    async fn validate(&self, documents: Vec<TransformedDocument>) -> Result<Vec<Verdict>, BatchFailure> {
        let refused = |document: &TransformedDocument| {
            document.fields.contains(r#""bad""#).then(|| Refusal {
                code: "bad".to_owned(),
                message: "so".to_owned(),
                path: None,
                details: Map::new(),
            })
        };
        Ok(documents
            .iter()
            .map(|document| Verdict { issues: Vec::new(), refused: refused(document) })
            .collect())
    }
}

#[async_trait::async_trait]
impl Version for Rules {
    fn manifest(&self) -> &Manifest {
        &self.0
    }

    async fn compare(
        &self,
        pairs: Vec<(Map<String, Value>, Map<String, Value>)>,
    ) -> Result<Vec<Result<VersionOrdering, Refusal>>, BatchFailure> {
        let compare = |(incoming, stored): (Map<_, _>, Map<_, _>)| {
            Ok(match version(&incoming).cmp(&version(&stored)) {
                std::cmp::Ordering::Greater => VersionOrdering::Newer,
                std::cmp::Ordering::Equal => VersionOrdering::Same,
                std::cmp::Ordering::Less => VersionOrdering::Older,
            })
        };
        Ok(pairs.into_iter().map(compare).collect())
    }
}

fn version(fields: &Map<String, Value>) -> u64 {
    fields["v"].as_u64().unwrap()
}

/// The index, and what the worker asked it and was told.
struct Watched {
    marqo: Marqo,
    seen: Arc<Seen>,
}

#[derive(Default)]
struct Seen {
    /// How often each chunk was begun, by its documents.
    begun: Mutex<BTreeMap<Vec<DocumentId>, u32>>,
    /// Ids and versions that were written, as the worker was told.
    acknowledged: Mutex<Vec<(String, u64)>>,
}

#[async_trait::async_trait]
impl Index for Watched {
    fn id(&self) -> TargetId {
        self.marqo.id()
    }

    async fn stored(
        &self,
        target: &WriteTarget,
        ids: &[DocumentId],
    ) -> Result<Vec<Option<StoredVersion>>, IndexError> {
        *self.seen.begun.lock().unwrap().entry(ids.to_vec()).or_default() += 1;
        self.marqo.stored(target, ids).await
    }

    async fn write(&self, target: &WriteTarget, batch: &[Write]) -> Result<Vec<Outcome>, IndexError> {
        let outcomes = self.marqo.write(target, batch).await?;
        let done = batch.iter().zip(&outcomes).filter(|(_, outcome)| **outcome == Outcome::Done);
        let told = done.map(|(write, _)| (write.document.id.to_string(), version(&write.version)));
        self.seen.acknowledged.lock().unwrap().extend(told);
        Ok(outcomes)
    }

    async fn update(&self, target: &WriteTarget, batch: &[Write]) -> Result<Vec<Outcome>, IndexError> {
        self.marqo.update(target, batch).await
    }

    async fn delete(&self, target: &WriteTarget, batch: &[Removal]) -> Result<Vec<Outcome>, IndexError> {
        self.marqo.delete(target, batch).await
    }

    async fn get(
        &self,
        target: &WriteTarget,
        id: &DocumentId,
    ) -> Result<Option<Map<String, Value>>, IndexError> {
        self.marqo.get(target, id).await
    }

    async fn list(
        &self,
        target: &WriteTarget,
        after: Option<&DocumentId>,
        limit: usize,
    ) -> Result<Vec<DocumentId>, IndexError> {
        self.marqo.list(target, after, limit).await
    }

    async fn count(&self, target: &WriteTarget) -> Result<u64, IndexError> {
        self.marqo.count(target).await
    }

    async fn check(&self, target: &WriteTarget) -> Result<(), IndexError> {
        self.marqo.check(target).await
    }
}

/// A server, stores, and two workers as in two processes: they share the stores alone.
struct Harness {
    server: Arc<StandIn>,
    clock: Arc<Waiting>,
    stores: Stores,
    workers: [Arc<Worker>; 2],
    seen: Arc<Seen>,
    _dir: TempDir,
}

impl Harness {
    async fn new(seed: u64, faults: Vec<FaultRule>) -> Self {
        let indexes = vec![INDEX.to_owned()];
        let options = Options { indexes, seed, faults, version_field: "v".to_owned(), ..Options::default() };
        let server = Arc::new(StandIn::start(options).unwrap());
        let clock = Waiting::new(seed);
        tokio::spawn(clock.clone().pass(server.clone()));
        let dir = tempfile::tempdir().unwrap();
        let shared: SharedClock = clock.clone();
        let stores = Embedded::open(dir.path(), shared.clone()).unwrap().stores();
        let settings = IndexSettings {
            endpoint: server.url().to_owned(),
            tensor_fields: vec!["title".to_owned()],
            batch_documents: 40,
            batch_complexity: 1000,
            ..IndexSettings::default()
        };
        settings.store(stores.settings.as_ref(), INDEX).await.unwrap();
        let rules = Arc::new(Rules(Manifest {
            name: "rules".to_owned(),
            version: "1.0.0".to_owned(),
            platform: String::new(),
            grouping: Grouping::WholeLines,
            config_schema: "{}".to_owned(),
            version_fields: vec!["v".to_owned()],
        }));
        let seen = Arc::new(Seen::default());
        let workers = [(); 2].map(|()| {
            // The one timeout that takes real time.
            let config =
                MarqoConfig { request_timeout: Duration::from_millis(700), ..MarqoConfig::default() };
            let marqo =
                Marqo::new(stores.settings.clone(), shared.clone(), &config, RetryProfile::Background)
                    .unwrap();
            let index = Arc::new(Watched { marqo, seen: seen.clone() });
            let settings = WorkerSettings {
                concurrency: 3,
                lease: LEASE,
                poll_interval: Duration::from_secs(5),
                shutdown_timeout: Duration::from_secs(20),
            };
            Arc::new(Worker::new(
                stores.clone(),
                index,
                rules.clone(),
                rules.clone(),
                shared.clone(),
                settings,
            ))
        });
        Self { server, clock, stores, workers, seen, _dir: dir }
    }

    async fn publish(&self, chunks: &[Chunk]) -> JobId {
        let id = JobId::new("job").unwrap();
        let job = Job {
            id: id.clone(),
            platform: "shopify".to_owned(),
            shop_id: SHOP.to_owned(),
            index_name: INDEX.to_owned(),
            target: "marqo".into(),
            operation: Operation::AddDocuments,
            created_at: self.clock.now(),
            plugin: PluginRef { name: "p".to_owned(), version: "1".to_owned(), digest: Digest::of(b"p") },
            fingerprint: Digest::of(b"job"),
            sources: Vec::new(),
            same_version: SameVersion::Conflict,
            full: false,
        };
        self.stores.jobs.create(&job).await.unwrap();
        for (seq, chunk) in (0..).zip(chunks) {
            let text: String = chunk.lines.iter().flat_map(|line| [line.as_str(), "\n"]).collect();
            let key = ChunkRef::key("shopify", SHOP, &id, seq);
            let reference = ChunkRef {
                job_id: id.clone(),
                seq,
                lane: chunk.lane,
                operation: chunk.operation,
                key: key.clone(),
                sha256: Digest::of(text.as_bytes()),
                documents: chunk.lines.len() as u32,
                bytes: text.len() as u64,
            };
            self.stores.chunks.put_if_absent(&key, text.as_bytes()).await.unwrap();
            self.stores.jobs.add_chunk(&reference).await.unwrap();
            self.stores.queue.send(&job, &reference, 0).await.unwrap();
        }
        let seal = Seal {
            chunks: chunks.len() as u32,
            total_items: chunks.iter().map(|chunk| chunk.lines.len() as u64).sum(),
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

    /// Some of the workers until the job has ended.
    async fn run(&self, workers: &[Arc<Worker>], id: &JobId) -> Result<JobSnapshot, Stop> {
        let cancel = CancellationToken::new();
        let run = |worker: &Arc<Worker>| {
            let (worker, until, cancel) = (worker.clone(), Until::JobEnds(id.clone()), cancel.clone());
            async move { worker.run(SHOP, until, &cancel).await }
        };
        futures::future::try_join_all(workers.iter().map(run)).await?;
        Ok(self.stores.jobs.get(id).await.unwrap().unwrap())
    }

    /// All that the job says of its items.
    async fn report(&self, id: &JobId) -> Vec<Value> {
        let mut entries = Vec::new();
        for key in self.stores.jobs.reports(id).await.unwrap() {
            let bytes = self.stores.chunks.get(&key, None).await.unwrap().unwrap();
            entries.extend(
                String::from_utf8(bytes).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()),
            );
        }
        entries
    }

    fn adds(&self) -> usize {
        self.server.requests().iter().filter(|request| request.operation == Call::Add).count()
    }

    /// The longest wait that was no heartbeat.
    fn longest_wait(&self) -> Duration {
        // A beat of a chunk's lease, and what is left of it then.
        let is_beat = |time: &Duration| *time > LEASE / 4;
        self.clock.slept().into_iter().filter(|time| !is_beat(time)).max().unwrap_or_default()
    }
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

/// A chunk to be published.
struct Chunk {
    lane: u16,
    operation: Operation,
    lines: Vec<String>,
}

/// Items at random, and what must become of them.
struct Plan {
    random: u64,
    chunks: Vec<Chunk>,
    counts: Counts,
    /// Version and title of each document in the end.
    held: BTreeMap<u64, (u64, String)>,
    /// The highest version of each, whatever became of it.
    newest: BTreeMap<u64, u64>,
}

impl Plan {
    fn new(seed: u64) -> Self {
        let mut plan = Self {
            random: seed,
            chunks: Vec::new(),
            counts: Counts::default(),
            held: BTreeMap::new(),
            newest: BTreeMap::new(),
        };
        let mut left = ITEMS;
        while left > 0 {
            let is_removal = !plan.held.is_empty() && plan.below(8) == 0;
            let items = left.min(if is_removal { 30 } else { 150 });
            plan.chunk(is_removal, items);
            left -= items;
        }
        plan
    }

    fn below(&mut self, limit: u64) -> u64 {
        random(&mut self.random) % limit
    }

    /// A chunk of distinct documents of one lane.
    fn chunk(&mut self, is_removal: bool, items: usize) {
        let lane = self.below(LANES);
        let mut products = BTreeSet::new();
        while products.len() < items {
            products.insert(lane + LANES * self.below(1200));
        }
        let operation = if is_removal { Operation::DeleteDocuments } else { Operation::AddDocuments };
        let line = |product| if is_removal { self.removal(product) } else { self.document(product) };
        let lines = products.into_iter().map(line).collect();
        self.chunks.push(Chunk { lane: lane as u16, operation, lines });
    }

    /// A line, having counted what becomes of it.
    fn document(&mut self, product: u64) -> String {
        let stored = self.held.get(&product).cloned();
        let newest = self.newest.entry(product).or_default();
        *newest += 1;
        let newer = *newest;
        let (mut version, mut title) = (newer, format!("Mug {product} of {newer}"));
        let mut more = json!({});
        match (self.below(100), stored) {
            (0, _) => {
                self.counts.skipped += 1;
                return format!("{{\"_id\":\"p{product}\",");
            }
            (1..4, _) => {
                self.counts.failed += 1;
                more = json!({ "bad": true });
            }
            (4..7, _) => {
                // No server takes it.
                self.counts.failed += 1;
                more = json!({ "sizes": [1, 2] });
            }
            (7..15, Some((stored, _))) if stored > 1 => {
                self.counts.conflict += 1;
                version = stored - 1;
            }
            (15..22, Some((stored, _))) => {
                self.counts.conflict += 1;
                version = stored;
            }
            (22..28, Some((stored, same))) => {
                // Sent twice in one job: it is as this job wants it.
                self.counts.processed += 1;
                (version, title) = (stored, same);
            }
            _ => {
                self.counts.processed += 1;
                self.held.insert(product, (version, title.clone()));
            }
        }
        let mut fields = json!({ "_id": format!("p{product}"), "v": version, "title": title });
        fields.as_object_mut().unwrap().extend(more.as_object().cloned().unwrap());
        fields.to_string()
    }

    fn removal(&mut self, product: u64) -> String {
        let newest = self.newest.entry(product).or_default();
        *newest += 1;
        let mut version = *newest;
        match self.held.get(&product) {
            Some((stored, _)) if *stored > 1 && *stored % 3 == 0 => {
                self.counts.conflict += 1;
                version = stored - 1;
            }
            _ => {
                self.counts.processed += 1;
                self.counts.deleted += 1;
                self.held.remove(&product);
            }
        }
        json!({ "_id": format!("p{product}"), "v": version }).to_string()
    }
}

/// Of 100 requests, 30 fail.
fn faults() -> Vec<FaultRule> {
    let share = |faults: usize| 1.0 - 0.7_f64.powf(1.0 / faults as f64);
    let in_operation = |faults: Vec<Fault>, operation| {
        let share = share(faults.len());
        storm::rules(faults, share, operation)
    };
    let more = [
        Fault::SchemaRaced,
        Fault::SchemaNotConverged,
        Fault::Gateway { status: 408 },
        Fault::Gateway { status: 504 },
    ];
    let items = [Fault::Item { status: 409, applied: false }, Fault::Media { url: None, reason: None }];
    in_operation(storm::of_writes().into_iter().chain(more).collect(), Call::Add)
        .chain(in_operation(storm::of_requests(), Call::GetMany))
        .chain(in_operation(storm::of_requests(), Call::Delete))
        .chain(storm::rules(storm::of_items().into_iter().chain(items).collect(), 0.003, Call::Add))
        .chain([FaultRule::new(Fault::Hang).probability(0.003)])
        .collect()
}

#[tokio::test]
async fn a_storm_over_20_000_items_costs_none_of_them() {
    let seed = std::env::var("HOST_TEST_SEED").map_or(1, |seed| seed.parse().unwrap());
    println!("HOST_TEST_SEED={seed}");
    let plan = Plan::new(seed);
    let bench = Harness::new(seed, faults()).await;
    let id = bench.publish(&plan.chunks).await;
    let job = bench
        .run(&bench.workers, &id)
        .await
        .unwrap_or_else(|stop| panic!("{}", host_core::error::chain(&stop)));

    // Only those fail that must: by the validator, or because no server takes numbers in an array.
    let must_fail =
        |entry: &Value| entry["code"] == "bad" || text(&entry["message"]).contains("Unsupported type");
    let failed = bench.report(&id).await.into_iter().filter(|entry| entry["class"] == "failed");
    let wronged: Vec<Value> = failed.filter(|entry| !must_fail(entry)).collect();
    assert!(wronged.is_empty(), "{wronged:#?}");

    // Exactly once, each in its class.
    assert_eq!((job.status, job.counts), (JobStatus::Failed, plan.counts));
    assert_eq!((job.counts.total(), job.completed_chunks as usize), (ITEMS as u64, plan.chunks.len()));
    assert_eq!(bench.stores.queue.depth(SHOP).await.unwrap(), 0);
    assert!(bench.stores.queue.dead_letters(SHOP).await.unwrap().is_empty());

    // The server holds what must be there in the end, and nothing else.
    let held: BTreeMap<String, (u64, String)> = bench
        .server
        .documents(INDEX)
        .into_iter()
        .map(|(id, document)| {
            let text = document.sent["title"].as_str().unwrap().to_owned();
            (id, (document.sent["v"].as_u64().unwrap(), text))
        })
        .collect();
    let expected: BTreeMap<String, (u64, String)> =
        plan.held.iter().map(|(product, held)| (format!("p{product}"), held.clone())).collect();
    assert!(held == expected, "{:?}", held.iter().zip(&expected).find(|(held, expected)| held != expected));

    // Never older than it was before, and no version twice.
    let history = bench.server.history(INDEX);
    for (id, writes) in &history {
        let versions: Vec<Option<u64>> = writes.iter().map(|write| write.version.as_u64()).collect();
        for two in versions.windows(2) {
            assert!(two[0].is_none() || two[1].is_none() || two[0] < two[1], "{id}: {versions:?}");
        }
    }
    // What was acknowledged was written.
    let acknowledged = bench.seen.acknowledged.lock().unwrap();
    for (id, version) in acknowledged.iter() {
        let is_written =
            history.get(id).is_some_and(|writes| writes.iter().any(|write| write.version == *version));
        assert!(is_written, "version {version} of {id} was acknowledged and is not there");
    }

    // Bounds.
    let most_begun = bench.seen.begun.lock().unwrap().values().copied().max().unwrap_or_default();
    assert!(most_begun <= 9, "a chunk was begun {most_begun} times");
    let mut sent: BTreeMap<Vec<String>, u32> = BTreeMap::new();
    let requests = bench.server.requests();
    for request in requests.iter().filter(|request| request.operation == Call::Add) {
        *sent.entry(request.ids.clone()).or_default() += u32::from(request.status == Some(409));
    }
    let most_busy = sent.values().copied().max().unwrap_or_default();
    assert!(most_busy < 9, "a request was sent again {most_busy} times because of 409");
    assert!(bench.longest_wait() <= Duration::from_secs(40), "{:?}", bench.longest_wait());

    // Questions about server and index are repeated as time passes; no fault befalls them but `Hang`.
    let of_documents = [Call::Add, Call::GetMany, Call::Delete];
    let of_documents = requests.iter().filter(|request| of_documents.contains(&request.operation));
    let all = of_documents.clone().count();
    let failed = of_documents.filter(|request| request.fault.is_some()).count();
    println!(
        "{failed} of {all} requests failed; a chunk was begun {most_begun} times at most; {:?}",
        job.counts
    );
    assert!(failed * 100 > all * 25, "this was no storm: {failed} of {all}");
}

fn ten() -> Vec<Chunk> {
    let line = |n: u32| json!({ "_id": format!("p{n}"), "v": 1, "title": "A mug" }).to_string();
    vec![Chunk { lane: 0, operation: Operation::AddDocuments, lines: (0..10).map(line).collect() }]
}

#[tokio::test]
async fn each_bound_of_attempts_is_kept_and_then_nothing_is_lost() {
    for (fault, chunk_attempts, sends) in [(Fault::SchemaLocked, 1, 9), (Fault::Internal, 9, 81)] {
        let bench = Harness::new(7, vec![FaultRule::new(fault.clone()).on(Call::Add)]).await;
        let id = bench.publish(&ten()).await;
        let stop = bench.run(&bench.workers[..1], &id).await.unwrap_err();
        assert_eq!(stop.attempts, chunk_attempts, "{fault:?}: {stop:?}");
        assert_eq!(bench.adds(), sends, "{fault:?}");
        assert!(bench.longest_wait() <= Duration::from_secs(40), "{fault:?}: {:?}", bench.longest_wait());
        let job = bench.stores.jobs.get(&id).await.unwrap().unwrap();
        assert_eq!(job.counts, Counts::default(), "{fault:?}");
        bench.server.set_faults(&[]);
        let job = bench
            .run(&bench.workers[..1], &id)
            .await
            .unwrap_or_else(|stop| panic!("{}", host_core::error::chain(&stop)));
        assert_eq!(job.counts, Counts { processed: 10, ..Counts::default() }, "{fault:?}");
    }
}
