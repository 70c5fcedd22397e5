//! Tests of when the chunks of a job that has ended are removed.

use super::{ADD, Harness, SHOP};
use crate::{
    ingest::{
        chunk::{ChunkBounds, Chunker, PendingLine},
        publish::Publisher,
    },
    retention::{Retention, prune},
    worker::{DeadLetterFilter, RunUntil, Worker, WorkerSettings, discard, redrive},
};
use host_core::{
    model::{Job, JobId, JobStatus, ProductId, Seal},
    storage::Storage,
};
use host_testing::{VirtualClock, build, fakes::Next, storage::Memory};
use std::{sync::Arc, time::Duration};
use tokio_util::sync::CancellationToken;

const MONTH: Duration = Duration::from_secs(30 * 86_400);

/// Publishes a job of two chunks, as ingest does.
async fn publish(harness: &Harness, name: &str, version: u32) -> JobId {
    let stores = &harness.stores;
    let job = Job { id: JobId::new(name).unwrap(), ..build::job(&*harness.clock, SHOP) };
    let job = stores.jobs.create(&job).await.unwrap();
    let mut chunker = Chunker::new(ChunkBounds { documents: 1, bytes: 999 }, 1);
    let mut publisher = Publisher::new(stores, &harness.clock, &job);
    for id in ["1", "2"] {
        let (id, object) = (build::id(id), format!("{{\"v\":{version},\"title\":\"a\"}}"));
        let product = ProductId::from(&id);
        let new = PendingLine {
            operation: ADD,
            product: &product,
            product_stays: false,
            siblings: None,
            source_digest: None,
            object: &object,
        };
        for full in chunker.push(id, new) {
            publisher.publish(full).await.unwrap();
        }
    }
    let ids = chunker.into_ids().store(stores.chunks.as_ref(), &job).await.unwrap();
    stores.jobs.seal(&job.id, &Seal { ids: Some(ids), ..build::seal(2) }).await.unwrap();
    job.id
}

/// For each of the job's two chunks, whether its object is there.
async fn chunks_of(harness: &Harness, id: &JobId) -> [bool; 2] {
    let mut found = [false; 2];
    for (seq, found) in (0..).zip(&mut found) {
        let chunk = harness.stores.jobs.chunk(id, seq).await.unwrap().unwrap();
        *found = harness.stores.chunks.get(&chunk.key, None).await.unwrap().is_some();
    }
    found
}

#[tokio::test(start_paused = true)]
async fn the_chunks_of_a_job_without_failures_are_removed_at_its_end() {
    let harness = Harness::new();
    let id = publish(&harness, "one", 2).await;
    assert_eq!(chunks_of(&harness, &id).await, [true, true]);
    assert_eq!(harness.run(&id).await.unwrap().status, JobStatus::Completed);
    assert_eq!(chunks_of(&harness, &id).await, [false, false]);
    let older = publish(&harness, "two", 1).await;
    assert_eq!(harness.run(&older).await.unwrap().status, JobStatus::Conflict);
    assert_eq!(chunks_of(&harness, &older).await, [false, false]);
    let reports = harness.stores.jobs.reports(&older).await.unwrap();
    assert_eq!(reports.len(), 2);
    for report in reports {
        assert!(harness.stores.chunks.get(&report, None).await.unwrap().is_some(), "{report}");
    }
}

#[tokio::test(start_paused = true)]
async fn chunks_of_dead_letters_stay_until_they_are_redriven_and_done() {
    let harness = Harness::new();
    let id = publish(&harness, "one", 1).await;
    harness.script([Next::Panic, Next::Panic]);
    let failed = harness.run(&id).await.unwrap();
    assert_eq!((failed.status, chunks_of(&harness, &id).await), (JobStatus::Failed, [true, true]));
    redrive(&harness.stores, &harness.clock, SHOP, &DeadLetterFilter::default()).await.unwrap();
    assert_eq!(harness.run(&id).await.unwrap().status, JobStatus::Completed);
    assert_eq!(chunks_of(&harness, &id).await, [false, false]);
}

/// The worker crashed between the job's end and the removal of its chunks, which a worker that keeps chunks stands
/// for. Retention then removes them, unless it is set to keep chunks.
#[tokio::test(start_paused = true)]
async fn retention_removes_chunks_that_were_left_unless_it_is_to_keep_chunks() {
    let clock = Arc::new(VirtualClock::paused(1));
    let storage = Memory::new(clock.clone());
    let harness = Harness::with_stores(storage.stores(), clock);
    let Worker { index, validate, version, settings, .. } = &*harness.worker;
    let settings = WorkerSettings { keep_chunks: true, ..*settings };
    let (stores, clock) = (harness.stores.clone(), harness.clock.clone());
    let worker = Worker::new(stores, index.clone(), validate.clone(), version.clone(), clock, settings);
    let id = publish(&harness, "one", 1).await;
    Arc::new(worker).run(SHOP, RunUntil::JobEnds(id.clone()), &CancellationToken::new()).await.unwrap();
    let prune_chunks = async |keep_chunks, dry_run| {
        let (remover, now) = (storage.job_remover().unwrap(), harness.clock.now());
        let retention = Retention { age: MONTH, keep_chunks };
        let pruned = prune(&storage, remover, Some(SHOP), now, retention, dry_run).await.unwrap();
        assert!(pruned.jobs.is_empty(), "{pruned:?}");
        pruned.chunks_of.len()
    };
    assert_eq!((prune_chunks(true, false).await, prune_chunks(false, true).await), (0, 1));
    assert_eq!(chunks_of(&harness, &id).await, [true, true]);
    assert_eq!((prune_chunks(false, false).await, prune_chunks(false, false).await), (1, 0));
    assert_eq!(chunks_of(&harness, &id).await, [false, false]);
    assert!(harness.stores.jobs.get(&id).await.unwrap().is_some());
}

/// Without a dead letter, no chunk of a failed job can be sent again. The newest job of the index keeps its chunks
/// all the same, for people to look into.
#[tokio::test(start_paused = true)]
async fn retention_removes_the_chunks_of_a_failed_job_that_has_no_dead_letter() {
    let clock = Arc::new(VirtualClock::paused(1));
    let storage = Memory::new(clock.clone());
    let harness = Harness::with_stores(storage.stores(), clock);
    let prune_old = async || {
        let (remover, now) = (storage.job_remover().unwrap(), harness.clock.now());
        let retention = Retention { age: MONTH, keep_chunks: false };
        prune(&storage, remover, Some(SHOP), now, retention, false).await.unwrap();
    };
    let (refused, dead) = (publish(&harness, "refused", 1).await, publish(&harness, "dead", 2).await);
    harness.script([Next::Refuse("1")]);
    assert_eq!(harness.run(&refused).await.unwrap().status, JobStatus::Failed);
    harness.script([Next::Panic, Next::Panic]);
    assert_eq!(harness.run(&dead).await.unwrap().status, JobStatus::Failed);
    let last = publish(&harness, "last", 3).await;
    harness.script([Next::Refuse("1")]);
    assert_eq!(harness.run(&last).await.unwrap().status, JobStatus::Failed);
    prune_old().await;
    let mut found = Vec::new();
    for id in [&refused, &dead, &last] {
        found.push(chunks_of(&harness, id).await);
    }
    assert_eq!(found, [[false; 2], [true; 2], [true; 2]]);
    discard(&harness.stores, &harness.clock, SHOP, &DeadLetterFilter::default()).await.unwrap();
    prune_old().await;
    assert_eq!(chunks_of(&harness, &dead).await, [false; 2]);
}

/// Archiving reads the chunks of a job without a list of its ids, as of jobs that a program other than the host
/// published.
#[tokio::test(start_paused = true)]
async fn chunks_of_a_job_without_a_list_of_its_ids_stay() {
    let harness = Harness::new();
    let id = harness.publish("one", &[(ADD, super::TWO), (ADD, super::TWO)], false).await;
    assert_eq!(harness.run(&id).await.unwrap().status, JobStatus::Completed);
    assert_eq!(chunks_of(&harness, &id).await, [true, true]);
}
