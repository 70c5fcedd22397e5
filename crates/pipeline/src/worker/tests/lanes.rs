//! Lanes side by side: as much faster as the target allows, and every product in its order.

use super::{Harness, Rules, SHOP, ScriptedIndex, Until, Worker, WorkerSettings};
use crate::ingest::chunk::{ChunkBounds, Chunker, SealedChunk};
use async_trait::async_trait;
use host_core::{
    index::{Index, IndexError, Outcome, Removal, StoredVersion, TargetId, Write, WriteTarget},
    model::{DocumentId, JobStatus, Operation},
};
use serde_json::{Map, Value};
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
    time::Duration,
};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

const PRODUCTS: u32 = 5_000;
/// Of the one product that changes all the time.
const UPDATES: u32 = 50;
/// How long the target takes for a request, and how many it takes at once.
const REQUEST: Duration = Duration::from_millis(200);
const ALLOWED: usize = 8;

/// Takes a while for each request; more than are allowed at once wait.
struct Slow {
    index: ScriptedIndex,
    places: Semaphore,
    /// Versions of each document in the order in which they were written.
    written: Mutex<BTreeMap<DocumentId, Vec<u64>>>,
}

impl Slow {
    async fn request(&self) {
        let _place = self.places.acquire().await.unwrap();
        tokio::time::sleep(REQUEST).await;
    }
}

#[async_trait]
impl Index for Slow {
    fn id(&self) -> TargetId {
        self.index.id()
    }

    async fn check(&self, target: &WriteTarget) -> Result<(), IndexError> {
        self.index.check(target).await
    }

    async fn stored(
        &self,
        target: &WriteTarget,
        ids: &[DocumentId],
    ) -> Result<Vec<Option<StoredVersion>>, IndexError> {
        self.request().await;
        self.index.stored(target, ids).await
    }

    async fn write(&self, target: &WriteTarget, batch: &[Write]) -> Result<Vec<Outcome>, IndexError> {
        self.request().await;
        {
            let mut written = self.written.lock().unwrap();
            for write in batch {
                let version = write.version["v"].as_u64().unwrap();
                written.entry(write.document.id.clone()).or_default().push(version);
            }
        }
        self.index.write(target, batch).await
    }

    async fn update(&self, target: &WriteTarget, batch: &[Write]) -> Result<Vec<Outcome>, IndexError> {
        self.index.update(target, batch).await
    }

    async fn delete(&self, target: &WriteTarget, batch: &[Removal]) -> Result<Vec<Outcome>, IndexError> {
        self.index.delete(target, batch).await
    }

    async fn get(
        &self,
        target: &WriteTarget,
        id: &DocumentId,
    ) -> Result<Option<Map<String, Value>>, IndexError> {
        self.index.get(target, id).await
    }

    async fn list(
        &self,
        target: &WriteTarget,
        after: Option<&DocumentId>,
        limit: usize,
    ) -> Result<Vec<DocumentId>, IndexError> {
        self.index.list(target, after, limit).await
    }

    async fn count(&self, target: &WriteTarget) -> Result<u64, IndexError> {
        self.index.count(target).await
    }
}

/// The chunks of an export, as ingest cuts them.
fn chunks(lanes: u16, updates: u32) -> Vec<SealedChunk> {
    let mut chunker = Chunker::new(ChunkBounds { documents: 10, bytes: 1 << 20 }, lanes);
    let mut chunks = Vec::new();
    let mut push = |id: String, version: u32| {
        let id = DocumentId::new(id).unwrap();
        chunks.extend(chunker.push(Operation::AddDocuments, id, &format!("{{\"v\":{version}}}")));
    };
    for product in 0..PRODUCTS {
        push(format!("product-{product}"), 1);
        if updates > 0 && product % (PRODUCTS / updates) == 0 {
            push("busy".to_owned(), product * updates / PRODUCTS + 1);
        }
    }
    chunks.extend(chunker.finish());
    chunks
}

/// Works an export with this many lanes; gives the virtual time it took and what was written.
async fn work(lanes: u16, updates: u32) -> (Duration, BTreeMap<DocumentId, Vec<u64>>) {
    let bench = Harness::new();
    let index = Arc::new(Slow {
        index: ScriptedIndex::default(),
        places: Semaphore::new(ALLOWED),
        written: Mutex::default(),
    });
    let rules = Arc::new(Rules(bench.worker.version.manifest().clone()));
    let settings = WorkerSettings { concurrency: lanes.into(), ..bench.worker.settings };
    let worker =
        Worker::new(bench.stores.clone(), index.clone(), rules.clone(), rules, bench.clock.clone(), settings);
    let chunks = chunks(lanes, updates);
    let texts = chunks.iter().map(|chunk| (chunk.operation, std::str::from_utf8(&chunk.bytes).unwrap()));
    let texts: Vec<_> = texts.collect();
    let in_lanes: Vec<u16> = chunks.iter().map(|chunk| chunk.lane).collect();
    let id = bench.publish_in(SHOP, "job", &texts, &in_lanes).await;
    let started = bench.clock.now();
    Arc::new(worker).run(SHOP, Until::JobEnds(id.clone()), &CancellationToken::new()).await.unwrap();
    let took = bench.clock.now().duration_since(started).unsigned_abs();
    let job = bench.stores.jobs.get(&id).await.unwrap().unwrap();
    let expected = super::counts(u64::from(PRODUCTS + updates));
    assert_eq!((job.status, job.counts), (JobStatus::Completed, expected));
    let written = index.written.lock().unwrap().clone();
    (took, written)
}

#[tokio::test(start_paused = true)]
async fn throughput_grows_with_lanes_up_to_what_the_target_allows() {
    let (alone, _) = work(1, 0).await;
    for (lanes, least) in [(2, 2.0), (4, 4.0), (8, 8.0), (16, ALLOWED as f64)] {
        let (took, _) = work(lanes, 0).await;
        let speedup = alone.as_secs_f64() / took.as_secs_f64();
        eprintln!("{lanes} lanes: {speedup:.2} times as fast");
        assert!(speedup >= 0.9 * least, "{lanes} lanes are {speedup:.2} times as fast as one");
    }
}

#[tokio::test(start_paused = true)]
async fn a_product_that_changes_all_the_time_is_written_in_its_order() {
    for lanes in [1, 4, 8] {
        let (_, written) = work(lanes, UPDATES).await;
        assert_eq!(written.len(), PRODUCTS as usize + 1);
        let busy = &written[&DocumentId::new("busy").unwrap()];
        assert_eq!(*busy, (1..=u64::from(UPDATES)).collect::<Vec<_>>(), "{lanes} lanes");
    }
}
