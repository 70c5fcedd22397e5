//! Random schedules on virtual time: an ingest and several workers crash and restart, on services that fail in every
//! way that AWS documents. In every second schedule an operator redrives dead letters (has quarantined chunks tried
//! again), too early, too often and concurrently. Once the faults stop, every job ends, with the right counts and the
//! right documents.
//!
//! Each schedule follows from its seed, which a failure prints: `HOST_TEST_SEED=17 cargo test … simulation`.

use super::{
    MONTH,
    chaos::{Chaos, ChaosChunks},
    intercepted::{InterceptedQueues, InterceptedTable},
    sqs, table,
};
use host_core::{
    clock::SharedClock,
    model::{ChunkRef, Counts, Digest, DocumentId, Job, JobStatus, Operation, QuarantinedProducts, Seal},
    storage::{Claim, StoreError, Stores},
};
use host_pipeline::worker::{self, DeadLetterFilter, Worker, WorkerSettings};
use host_storage_aws::{Names, breakers_on, jobs_on, ledger_on, queue_with_jobs_on, settings_on};
use host_testing::{
    VirtualClock,
    build::{self, job},
    fakes::{FakeIndex, FakePlugin, Intercepted},
};
use serde_json::{Value, json};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};
use tokio_util::sync::CancellationToken;

/// How long faults are injected.
const FAULT_PHASE: Duration = Duration::from_secs(600);
/// When every job must have ended.
const TIMEOUT: Duration = Duration::from_secs(4 * 3600);
const LEASE: Duration = Duration::from_secs(30);
const SHOP: &str = "example.myshopify.com";

/// An index that all processes of a schedule write to.
pub(super) type ChaosIndex = Intercepted<FakeIndex, Arc<Chaos>>;

pub(super) fn index(chaos: &Arc<Chaos>) -> Arc<ChaosIndex> {
    Arc::new(Intercepted { index: FakeIndex::default(), interceptor: chaos.clone() })
}

/// A worker for all shops.
pub(super) fn worker(stores: Stores, index: Arc<ChaosIndex>, clock: &SharedClock) -> Worker {
    let rules = Arc::new(FakePlugin::default());
    let settings = WorkerSettings {
        concurrency: 2,
        lease: LEASE,
        poll_interval: Duration::from_millis(500),
        shutdown_timeout: Duration::from_secs(20),
        stopped_after: Duration::from_secs(24 * 3_600),
        keep_chunks: false,
    };
    Worker::new(stores, index, rules.clone(), rules, clock.clone(), settings)
}

/// The job of a schedule, and what must come of it.
struct Plan {
    job: Job,
    /// The chunks and their documents, one a line.
    chunks: Vec<(ChunkRef, String)>,
    /// A chunk whose object is not what its message says, if there is one: it is quarantined.
    poison: Option<u32>,
    /// Whether an operator fixes the cause and redrives the dead letters.
    redrives: bool,
    /// The last version of each document.
    latest: BTreeMap<DocumentId, i64>,
}

fn plan(chaos: &Chaos, job: Job) -> Plan {
    let lanes = 1 + chaos.roll(3);
    let products = 3 + chaos.roll(6);
    let number = 2 + chaos.roll(7) as u32;
    let redrives = chaos.roll(2) == 0;
    let poison = (chaos.roll(if redrives { 2 } else { 4 }) == 0).then(|| chaos.roll(number.into()) as u32);
    let mut latest = BTreeMap::new();
    let mut chunks = Vec::new();
    for seq in 0..number {
        let lane = chaos.roll(lanes);
        let of_lane: Vec<u64> = (0..products).filter(|product| product % lanes == lane).collect();
        let ids: BTreeSet<u64> = (0..2).map(|_| of_lane[chaos.roll(of_lane.len() as u64) as usize]).collect();
        let mut text = String::new();
        for id in &ids {
            text.push_str(&json!({"_id": format!("p{id}"), "v": seq, "title": "Mug"}).to_string());
            text.push('\n');
            if redrives || poison != Some(seq) {
                latest.insert(DocumentId::new(format!("p{id}")).unwrap(), i64::from(seq));
            }
        }
        let chunk = ChunkRef {
            job_id: job.id.clone(),
            seq,
            lane: lane as u16,
            operation: Operation::AddDocuments,
            key: ChunkRef::key("shopify", SHOP, &job.id, seq),
            sha256: Digest::of(text.as_bytes()),
            documents: ids.len() as u32,
            bytes: text.len() as u64,
        };
        chunks.push((chunk, text));
    }
    Plan { job, chunks, poison, redrives, latest }
}

/// Publishes and seals, as ingest does; restarted after any failure.
async fn publish(stores: &Stores, plan: &Plan) -> Result<(), StoreError> {
    stores.jobs.create(&plan.job).await?;
    for (chunk, text) in &plan.chunks {
        let stored = if plan.poison == Some(chunk.seq) { "something else" } else { text };
        stores.chunks.put_if_absent(&chunk.key, stored.as_bytes()).await?;
        stores.jobs.add_chunk(chunk).await?;
        stores.queue.send(&plan.job, chunk, 0).await?;
    }
    let seal = Seal {
        total_items: plan.chunks.iter().map(|(chunk, _)| u64::from(chunk.documents)).sum(),
        quarantine: QuarantinedProducts::default(),
        // With this digest, the worker removes the chunks at the end of the job.
        ids: Some(Digest::of(b"ids")),
        ..build::seal(plan.chunks.len() as u32)
    };
    stores.jobs.seal(&plan.job.id, &seal).await
}

/// Runs a task, which is true when it is done, and kills and restarts it at random until then or until the faults stop;
/// then it runs to its end. A life is shorter than `max_lifetime` milliseconds.
async fn with_crashes(chaos: &Chaos, max_lifetime: u64, work: impl AsyncFn() -> bool) {
    while chaos.is_on.load(Relaxed) {
        let life = Duration::from_millis(chaos.roll(max_lifetime));
        if let Ok(true) = tokio::time::timeout(life, work()).await {
            return;
        }
        chaos.clock.sleep(Duration::from_millis(chaos.roll(5_000))).await;
    }
    while !work().await {
        chaos.clock.sleep(Duration::from_secs(1)).await;
    }
}

/// Redrives dead letters, also before their cause is fixed. Returns the number of messages sent, and whether the job
/// has ended without failed items.
async fn redrive_once(stores: &Stores, chaos: &Chaos, plan: &Plan) -> Result<(u64, bool), StoreError> {
    if let Some(seq) = plan.poison
        && (!chaos.is_on.load(Relaxed) || chaos.roll(4) == 0)
        && !stores.queue.dead_letters(SHOP).await?.is_empty()
    {
        let (chunk, text) = &plan.chunks[seq as usize];
        stores.chunks.put(&chunk.key, text.as_bytes()).await?;
    }
    let redriven = worker::redrive(stores, &chaos.clock, SHOP, &DeadLetterFilter::default()).await?;
    assert!(redriven.orphaned.is_empty());
    let job = stores.jobs.get(&plan.job.id).await?;
    let is_done = job.is_some_and(|job| job.status.has_ended() && job.counts.failed == 0);
    Ok((redriven.sent.len() as u64, is_done))
}

/// What schedules have covered, added up.
#[derive(Default)]
struct Coverage {
    redeliveries: AtomicU64,
    repetitions: AtomicU64,
    refused_handles: AtomicU64,
    /// Chunks whose workers crashed too often.
    quarantined: AtomicU64,
    redriven: AtomicU64,
}

async fn schedule(seed: u64, job: Job, seen: &Coverage) {
    // The multiplication makes neighbouring seeds differ in most of their bits.
    let clock: SharedClock = Arc::new(VirtualClock::paused(seed.wrapping_mul(0x51_7c_c1_b7)));
    let chaos = Arc::new(Chaos { clock: clock.clone(), is_on: true.into(), calls: AtomicU64::new(0) });
    let (jobs, queues) = (Arc::new(table::Model::default()), Arc::new(sqs::Model::new(clock.clone())));
    let products = Arc::new(table::Model::default());
    let chunks = Arc::new(ChaosChunks(Mutex::default(), chaos.clone()));
    // Each process has its own stores, which share no state.
    let stores = || Stores {
        chunks: chunks.clone(),
        queue: queue_with_jobs_on(
            Arc::new(InterceptedQueues(queues.clone(), chaos.clone())),
            Arc::new(InterceptedTable(jobs.clone(), chaos.clone())),
            Names::new("test", None),
            clock.clone(),
            MONTH,
        ),
        jobs: jobs_on(Arc::new(InterceptedTable(jobs.clone(), chaos.clone())), clock.clone(), MONTH),
        settings: settings_on(jobs.clone()),
        ledger: ledger_on(Arc::new(InterceptedTable(products.clone(), chaos.clone())), clock.clone(), MONTH),
        breakers: breakers_on(Arc::new(InterceptedTable(jobs.clone(), chaos.clone()))),
    };
    let plan = plan(&chaos, Job { created_at: clock.now(), ..job });
    let id = &plan.job.id;
    let index = index(&chaos);
    let done = CancellationToken::new();
    let work = async || {
        let worked = Arc::new(worker(stores(), index.clone(), &clock)).run_all(None, &done).await;
        worked.is_ok()
    };
    let ingest = async || publish(&stores(), &plan).await.is_ok();
    let operated = AtomicBool::new(!plan.redrives);
    let redrive_once = async || {
        clock.sleep(Duration::from_millis(chaos.roll(30_000))).await;
        let Ok((redriven, is_done)) = redrive_once(&stores(), &chaos, &plan).await else { return false };
        seen.redriven.fetch_add(redriven, Relaxed);
        // While faults are injected, more workers may crash.
        let is_done = is_done && !chaos.is_on.load(Relaxed);
        operated.fetch_or(is_done, Relaxed);
        is_done
    };
    let operators = async {
        if plan.redrives {
            tokio::join!(
                with_crashes(&chaos, 40_000, redrive_once),
                with_crashes(&chaos, 40_000, redrive_once)
            );
        }
    };
    let observe = async {
        clock.sleep(FAULT_PHASE).await;
        chaos.is_on.store(false, Relaxed);
        let stores = stores();
        loop {
            let job = stores.jobs.get(id).await.unwrap();
            let depth = stores.queue.depth(SHOP).await.unwrap();
            if depth == 0
                && operated.load(Relaxed)
                && let Some(job) = job.clone().filter(|job| job.status.has_ended())
            {
                // The job stays unchanged after its end.
                clock.sleep(Duration::from_secs(300)).await;
                assert_eq!(stores.jobs.get(id).await.unwrap().unwrap(), job, "seed {seed}");
                done.cancel();
                return job;
            }
            let elapsed = clock.now().duration_since(plan.job.created_at).unsigned_abs();
            assert!(elapsed < TIMEOUT, "seed {seed}: the job does not end: {job:?}, {depth} messages");
            clock.sleep(Duration::from_secs(10)).await;
        }
    };
    let (job, ..) = tokio::join!(
        observe,
        with_crashes(&chaos, 20_000, ingest),
        with_crashes(&chaos, 60_000, work),
        with_crashes(&chaos, 20_000, work),
        with_crashes(&chaos, 6_000, work),
        operators,
    );

    let stores = stores();
    if plan.redrives {
        // A late worker may leave a stale dead letter, but nothing is to be done for it.
        let left = worker::redrive(&stores, &clock, SHOP, &DeadLetterFilter::default()).await.unwrap();
        assert!(left.sent.is_empty(), "seed {seed}: {left:?}");
    }
    let dead_letters = stores.queue.dead_letters(SHOP).await.unwrap();
    // A chunk may be quarantined by chance: enough workers crashed while they held it.
    let is_quarantined = |code: &str| code == "too-many-attempts";
    let quarantined: BTreeSet<u32> = dead_letters
        .iter()
        .filter(|dead_letter| is_quarantined(&dead_letter.code))
        .map(|dead_letter| dead_letter.chunk.seq)
        .collect();
    let poison = plan.poison.filter(|_| !plan.redrives);
    let lost: BTreeSet<u32> = quarantined.iter().copied().chain(poison).collect();
    let dead: BTreeSet<u32> = dead_letters.iter().map(|dead_letter| dead_letter.chunk.seq).collect();
    assert_eq!((&dead, dead_letters.len()), (&lost, lost.len()), "seed {seed}");

    let documents = |seqs: &BTreeSet<u32>| -> u64 {
        seqs.iter().map(|seq| u64::from(plan.chunks[*seq as usize].0.documents)).sum()
    };
    let (failed, total) = (documents(&lost), documents(&(0..plan.chunks.len() as u32).collect()));
    // A later chunk may have written newer versions before the redrive.
    let mut reported = 0;
    for report in stores.jobs.reports(id).await.unwrap() {
        let report = stores.chunks.get(&report, None).await.unwrap().unwrap();
        let lines = report.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
        let is_conflict =
            |line: &&[u8]| serde_json::from_slice::<Value>(line).unwrap()["class"] == "conflict";
        reported += lines.filter(is_conflict).count() as u64;
    }
    // Without redrives no document is overtaken.
    assert!(plan.redrives || reported == 0, "seed {seed}: {reported} conflicts");
    let counts =
        Counts { processed: total - failed - reported, failed, conflict: reported, ..Counts::default() };
    assert_eq!((job.status, job.counts), (JobStatus::from_final_counts(&counts), counts), "seed {seed}");
    assert_eq!(job.completed_chunks as usize, plan.chunks.len(), "seed {seed}");
    // The documents of a quarantined chunk may be written or not.
    let is_known = |id: &DocumentId| {
        let name = format!("\"{id}\"");
        !quarantined.iter().any(|seq| plan.chunks[*seq as usize].1.contains(&name))
    };
    let held: BTreeMap<DocumentId, i64> = {
        let documents = &index.index.state().documents;
        let documents = documents.iter().filter(|(id, _)| is_known(id));
        documents.map(|(id, held)| (id.clone(), held.write.version["v"].as_i64().unwrap())).collect()
    };
    let latest =
        plan.latest.iter().filter(|(id, _)| is_known(id)).map(|(id, version)| (id.clone(), *version));
    assert_eq!(held, latest.collect::<BTreeMap<_, _>>(), "seed {seed}");
    for (id, versions) in index.index.state().written_versions() {
        assert!(versions.is_sorted(), "seed {seed}: older over newer: {id}: {versions:?}");
    }
    for (chunk, _) in &plan.chunks {
        let claim = stores.jobs.claim(id, chunk.seq, LEASE).await.unwrap();
        let quarantined = lost.contains(&chunk.seq);
        assert!(
            matches!(&claim, Claim::Done { quarantined: reason } if reason.is_some() == quarantined),
            "seed {seed}: {claim:?}"
        );
    }
    seen.quarantined.fetch_add(quarantined.len() as u64, Relaxed);
    seen.redeliveries.fetch_add(queues.redeliveries(), Relaxed);
    seen.refused_handles.fetch_add(queues.refused_handles(), Relaxed);
    let chunks = plan.chunks.len() as u64 - lost.len() as u64;
    seen.repetitions.fetch_add(index.index.state().reads.saturating_sub(chunks), Relaxed);
}

#[test]
fn whatever_goes_wrong_every_item_counts_once_and_every_job_ends() {
    let only_seed = std::env::var("HOST_TEST_SEED").ok().map(|seed| seed.parse::<u64>().unwrap());
    let schedules = std::env::var("HOST_TEST_SCHEDULES").map_or(1_000, |number| number.parse().unwrap());
    let seeds = only_seed.map_or(0..schedules, |seed| seed..seed + 1);
    let (seen, job) = (Coverage::default(), job(&VirtualClock::new(1), SHOP));
    for seed in seeds.clone() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
        runtime.unwrap().block_on(schedule(seed, job.clone(), &seen));
    }
    let Coverage { redeliveries, repetitions, refused_handles, quarantined, redriven } = seen;
    println!(
        "{} schedules: {redeliveries:?} redeliveries, {repetitions:?} chunks repeated, {refused_handles:?} refused handles, {redriven:?} chunks redriven",
        seeds.end - seeds.start
    );
    if only_seed.is_none() {
        assert!(quarantined.into_inner() * 100 < seeds.end, "too many quarantines");
        for seen in [redeliveries, repetitions, refused_handles, redriven] {
            assert!(seen.into_inner() * 50 > seeds.end, "too few faults");
        }
    }
}
