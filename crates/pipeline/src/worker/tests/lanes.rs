//! Tests of lanes, which are handled side by side while each keeps its order: more lanes are faster, and each product
//! is written in order, also when dead letters are redriven.

use super::{FakePlugin, Harness, RunUntil, SHOP, Worker, WorkerSettings};
use crate::{
    ingest::chunk::{ChunkBounds, Chunker, FinishedChunk, PendingLine},
    worker::{DeadLetterFilter, Redriven, plan_redrive, redrive},
};
use async_trait::async_trait;
use host_core::{
    index::IndexError,
    model::{DocumentId, Job, JobId, JobStatus, Operation, ProductId},
    storage::DeadLetter,
};
use host_testing::{
    build,
    fakes::{FakeIndex, IndexCall, Intercepted, Interceptor, Next},
};
use std::{collections::BTreeMap, sync::Arc, time::Duration};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

/// Number of products in the export.
const PRODUCTS: u32 = 5_000;
/// How often the export has one more product, `busy`, each time in a newer version.
const UPDATES: u32 = 50;
/// How long the index takes for a request.
const REQUEST: Duration = Duration::from_millis(200);
/// How many requests the index handles concurrently.
const ALLOWED: usize = 8;

/// Lets each request take [`REQUEST`], and those beyond [`ALLOWED`] wait.
struct Throttle(Semaphore);

#[async_trait]
impl Interceptor for Throttle {
    async fn before(&self, _: IndexCall<'_>) -> Result<(), IndexError> {
        let _permit = self.0.acquire().await.unwrap();
        tokio::time::sleep(REQUEST).await;
        Ok(())
    }
}

/// The chunks of the export, as ingest cuts them; `updates` is the number of versions of the product `busy`.
fn chunks(lanes: u16, updates: u32) -> Vec<FinishedChunk> {
    let mut chunker = Chunker::new(ChunkBounds { documents: 10, bytes: 1 << 20 }, lanes);
    let mut chunks = Vec::new();
    let mut push = |id: String, version: u32| {
        let id = DocumentId::new(id).unwrap();
        let (product, object) = (ProductId::from(&id), format!("{{\"v\":{version}}}"));
        let operation = Operation::AddDocuments;
        let new = PendingLine {
            operation,
            product: &product,
            product_stays: false,
            siblings: None,
            source_digest: None,
            object: &object,
        };
        chunks.extend(chunker.push(id, new));
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

/// Works an export with this many lanes; returns the virtual time it took and what was written.
async fn work(lanes: u16, updates: u32) -> (Duration, BTreeMap<DocumentId, Vec<i64>>) {
    let harness = Harness::new();
    let interceptor = Throttle(Semaphore::new(ALLOWED));
    let index = Arc::new(Intercepted { index: FakeIndex::default(), interceptor });
    let rules = Arc::new(FakePlugin::default());
    let settings = WorkerSettings { concurrency: lanes.into(), ..harness.worker.settings };
    let worker = Worker::new(
        harness.stores.clone(),
        index.clone(),
        rules.clone(),
        rules,
        harness.clock.clone(),
        settings,
    );
    let chunks = chunks(lanes, updates);
    let texts = chunks.iter().map(|chunk| (chunk.operation, std::str::from_utf8(&chunk.bytes).unwrap()));
    let texts: Vec<_> = texts.collect();
    let in_lanes: Vec<u16> = chunks.iter().map(|chunk| chunk.lane).collect();
    let id = harness.publish_in(SHOP, "job", &texts, &in_lanes).await;
    let started = harness.clock.now();
    Arc::new(worker).run(SHOP, RunUntil::JobEnds(id.clone()), &CancellationToken::new()).await.unwrap();
    let took = harness.clock.now().duration_since(started).unsigned_abs();
    let job = harness.stores.jobs.get(&id).await.unwrap().unwrap();
    let expected = super::counts(u64::from(PRODUCTS + updates));
    assert_eq!((job.status, job.counts), (JobStatus::Completed, expected));
    let written = index.index.state().written_versions();
    (took, written)
}

#[tokio::test(start_paused = true)]
async fn throughput_grows_with_lanes_up_to_what_the_target_allows() {
    let (in_one_lane, _) = work(1, 0).await;
    for (lanes, expected) in [(2, 2.0), (4, 4.0), (8, 8.0), (16, ALLOWED as f64)] {
        let (took, _) = work(lanes, 0).await;
        let speedup = in_one_lane.as_secs_f64() / took.as_secs_f64();
        eprintln!("{lanes} lanes: {speedup:.2} times as fast");
        assert!(speedup >= 0.9 * expected, "{lanes} lanes are {speedup:.2} times as fast as one");
    }
}

#[tokio::test(start_paused = true)]
async fn a_product_that_changes_all_the_time_is_written_in_its_order() {
    for lanes in [1, 4, 8] {
        let (_, written) = work(lanes, UPDATES).await;
        assert_eq!(written.len(), PRODUCTS as usize + 1);
        let busy = &written[&DocumentId::new("busy").unwrap()];
        assert_eq!(*busy, (1..=i64::from(UPDATES)).collect::<Vec<_>>(), "{lanes} lanes");
    }
}

/// Fault of before: they were worked side by side, and an index without preconditions kept the older version of a
/// product.
#[tokio::test(start_paused = true)]
async fn dead_letters_of_jobs_in_other_numbers_of_lanes_are_redriven_one_job_after_the_other() {
    let harness = Harness::new();
    let mut jobs = Vec::new();
    for (name, lanes) in [("first", 1), ("second", 4), ("third", 4)] {
        let job = Job { id: JobId::new(name).unwrap(), lanes, ..build::job(&*harness.clock, SHOP) };
        build::publish(&harness.stores, &job, &[(0, Operation::AddDocuments, "{\"_id\":\"1\",\"v\":1}\n")])
            .await;
        harness.script([Next::Panic, Next::Panic]);
        assert_eq!(harness.run(&job.id).await.unwrap().status, JobStatus::Failed);
        jobs.push(job.id);
    }
    let redrive = async || {
        let (stores, all) = (&harness.stores, DeadLetterFilter::default());
        let of = |redriven: Redriven| {
            let jobs_of = |letters: Vec<DeadLetter>| {
                letters.into_iter().map(|letter| letter.chunk.job_id).collect::<Vec<_>>()
            };
            (jobs_of(redriven.sent), jobs_of(redriven.held_back))
        };
        let planned = of(plan_redrive(stores, SHOP, &all).await.unwrap());
        let redriven = of(redrive(stores, &harness.clock, SHOP, &all).await.unwrap());
        assert_eq!(planned, redriven);
        redriven
    };
    assert_eq!(redrive().await, (jobs[..1].to_vec(), jobs[1..].to_vec()));
    assert_eq!(redrive().await, (vec![], jobs[1..].to_vec()), "a chunk of the first job still waits");
    harness.run(&jobs[0]).await.unwrap();
    assert_eq!(redrive().await, (jobs[1..].to_vec(), vec![]));
}
