//! Tests that several processes can publish and process the same job in one data directory, while some of them die at
//! any step.

use host_core::{
    clock::{Clock, SystemClock},
    index::{Index, WriteTarget},
    model::{Digest, Job, JobId, JobStatus},
    storage::{Claim, Storage},
};
use host_index_catalog::{Catalog, CatalogConfig};
use host_storage_sqlite::SqliteStorage;
use host_testing::build::{self, chunk, id, processed, seal, write};
use serde_json::json;
use std::{
    env,
    process::{Command, abort},
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

const CHUNKS: u32 = 40;
const LEASE: Duration = Duration::from_millis(300);

/// The job, which is the same in all processes.
fn job() -> Job {
    let (id, fingerprint) = (JobId::new("shared").unwrap(), Digest::of(b""));
    Job { id, fingerprint, ..build::job(&SystemClock, "shop") }
}

fn target() -> WriteTarget {
    WriteTarget { shop_id: "shop".to_owned(), index_name: "products".to_owned(), job_id: "shared".to_owned() }
}

/// Counts the steps of this process, which dies at step `dies_at`; 0 is never reached.
struct Steps {
    count: AtomicU32,
    dies_at: u32,
}

impl Steps {
    fn next(&self) {
        if self.count.fetch_add(1, Ordering::SeqCst) + 1 == self.dies_at {
            abort();
        }
    }
}

/// Publishes the whole job and works on it until nothing is left, as each process of the test does.
async fn publish_and_work(dir: &str, steps: &Steps) {
    let embedded = SqliteStorage::open(dir, Arc::new(SystemClock)).unwrap();
    let (stores, catalog, job) = (
        embedded.stores(),
        Catalog::sqlite(embedded.database().clone(), &CatalogConfig::default(), Arc::new(SystemClock)),
        job(),
    );
    stores.jobs.create(&job).await.unwrap();
    for seq in 0..CHUNKS {
        let chunk = chunk(&job.id, seq, (seq % 4) as u16);
        stores.chunks.put_if_absent(&chunk.key, &seq.to_le_bytes()).await.unwrap();
        steps.next();
        stores.jobs.add_chunk(&chunk).await.unwrap();
        steps.next();
        stores.queue.send(&job, &chunk, 0).await.unwrap();
    }
    stores.jobs.seal(&job.id, &seal(CHUNKS)).await.unwrap();
    while stores.queue.depth(&job.shop_id).await.unwrap() > 0 {
        let deliveries = stores.queue.receive("shop", 2, LEASE).await.unwrap();
        if deliveries.is_empty() {
            SystemClock.sleep(Duration::from_millis(10)).await;
        }
        for delivery in deliveries {
            let seq = delivery.chunk.seq;
            steps.next();
            match stores.jobs.claim(&job.id, seq, LEASE).await.unwrap() {
                Claim::Acquired(lease) => {
                    let chunk = &delivery.chunk;
                    let bytes = stores.chunks.get(&chunk.key, Some(chunk.sha256)).await.unwrap();
                    assert_eq!(bytes.unwrap(), seq.to_le_bytes());
                    steps.next();
                    let document = write(&seq.to_string(), json!({"variants": [{"id": seq}]}));
                    catalog.write(&target(), &[document]).await.unwrap();
                    steps.next();
                    if !stores.jobs.complete(&lease, &processed(1)).await.unwrap().is_counted() {
                        continue;
                    }
                }
                Claim::Held { .. } => {
                    stores.queue.release(&delivery.receipt, LEASE / 10).await.unwrap();
                    continue;
                }
                Claim::Done { .. } => {}
                Claim::Unknown => panic!("chunk {seq} was sent without a row"),
            }
            steps.next();
            stores.queue.ack(&delivery.receipt).await.unwrap();
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "a process of the test below"]
async fn child_process() {
    let (Ok(dir), Ok(dies_at)) = (env::var("DATA_DIR"), env::var("DIES_AT")) else { return };
    let steps = Steps { count: AtomicU32::new(0), dies_at: dies_at.parse().unwrap() };
    publish_and_work(&dir, &steps).await;
}

#[tokio::test]
async fn processes_share_a_directory_and_may_die_at_any_step() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("fresh");
    let start = |dies_at: u32| {
        let mut process = Command::new(env::current_exe().unwrap());
        process.args(["--exact", "processes::child_process", "--ignored"]);
        process.env("DATA_DIR", &data).env("DIES_AT", dies_at.to_string());
        process.stdout(std::process::Stdio::null()).stderr(std::process::Stdio::null());
        process.spawn().unwrap()
    };
    // Different kinds of steps: publishing takes 80 of them (two per chunk), so the first processes die while they
    // publish, the others while they process chunks.
    let dying = [7, 41, 83, 85, 87, 89, 97, 101, 103];
    let dying: Vec<_> = dying.into_iter().map(start).collect();
    for mut process in dying {
        process.wait().unwrap();
    }
    let surviving: Vec<_> = (0..3).map(|_| start(0)).collect();
    for mut process in surviving {
        assert!(process.wait().unwrap().success());
    }
    let embedded = SqliteStorage::open(&data, Arc::new(SystemClock)).unwrap();
    let ended = embedded.stores().jobs.get(&job().id).await.unwrap().unwrap();
    assert_eq!((ended.status, ended.completed_chunks, ended.chunks), (JobStatus::Completed, CHUNKS, CHUNKS));
    assert_eq!(ended.counts.processed, u64::from(CHUNKS));
    assert_eq!(
        Catalog::sqlite(embedded.database().clone(), &CatalogConfig::default(), Arc::new(SystemClock))
            .count(&target())
            .await
            .unwrap(),
        u64::from(CHUNKS)
    );
    assert!(
        Catalog::sqlite(embedded.database().clone(), &CatalogConfig::default(), Arc::new(SystemClock))
            .get(&target(), &id("0"))
            .await
            .unwrap()
            .is_some()
    );
}
