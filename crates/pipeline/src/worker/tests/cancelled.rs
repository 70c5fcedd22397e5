//! Tests of a worker that is cancelled, as at shutdown, and of a job that is cancelled.

use super::*;
use crate::worker;
use host_core::storage::BreakerScope;

/// Works the queue of one shop or, if `all_shops`, of all, and cancels the worker after 5 s; returns the seconds
/// until it has ended.
async fn work_5_seconds(harness: &Harness, all_shops: bool) -> i64 {
    let cancel = CancellationToken::new();
    let stop = async {
        tokio::time::sleep(Duration::from_secs(5)).await;
        cancel.cancel();
    };
    let work = async {
        if all_shops {
            harness.worker.run_all(None, &cancel).await
        } else {
            harness.worker.run(SHOP, RunUntil::Cancelled, &cancel).await
        }
    };
    let started = harness.clock.now();
    let (worked, ()) = tokio::join!(work, stop);
    worked.unwrap();
    harness.clock.now().duration_since(started).as_secs()
}

#[tokio::test(start_paused = true)]
async fn a_chunk_that_lasts_beyond_the_shutdown_timeout_is_requeued_without_counting_the_attempt() {
    for all_shops in [false, true] {
        let harness = Harness::new();
        let id = harness.publish("job", &[(ADD, TWO)], false).await;
        // As if the server were down, and the index retried its requests.
        harness.script([Next::Slow(Duration::from_secs(78))]);
        assert_eq!(work_5_seconds(&harness, all_shops).await, 25, "all shops: {all_shops}");
        assert_eq!(harness.stores.queue.depth(SHOP).await.unwrap(), 1);
        assert_eq!(harness.claim(&id, Duration::ZERO).await.attempts, 1, "all shops: {all_shops}");
        // The next worker receives it immediately.
        let started = harness.clock.now();
        let job = harness.run(&id).await.unwrap();
        assert_eq!((job.status, job.counts), (JobStatus::Completed, counts(2)));
        assert!(harness.clock.now().duration_since(started).as_secs() < 2);
    }
}

#[tokio::test(start_paused = true)]
async fn a_chunk_that_is_done_within_the_shutdown_timeout_is_counted() {
    for all_shops in [false, true] {
        let harness = Harness::new();
        let id = harness.publish("job", &[(ADD, TWO)], false).await;
        harness.script([Next::Slow(Duration::from_secs(15))]);
        assert_eq!(work_5_seconds(&harness, all_shops).await, 15, "all shops: {all_shops}");
        let job = harness.stores.jobs.get(&id).await.unwrap().unwrap();
        assert_eq!((job.status, job.counts), (JobStatus::Completed, counts(2)));
    }
}

/// An operator does not redrive a job that was cancelled, so it leaves no dead letters to discard.
#[tokio::test(start_paused = true)]
async fn the_chunks_of_a_cancelled_job_are_no_dead_letters() {
    let harness = Harness::new();
    let publish = async |name, first: u32| {
        let chunks: Vec<String> =
            (first..first + 5).map(|number| format!("{{\"_id\":\"{number}\",\"v\":1}}\n")).collect();
        let chunks: Vec<_> = chunks.iter().map(|chunk| (ADD, chunk.as_str())).collect();
        harness.publish(name, &chunks, true).await
    };
    let cancelled = publish("cancelled", 0).await;
    // This job is in the same lanes, behind the cancelled one.
    let next = publish("next", 10).await;
    worker::cancel(&harness.stores, &cancelled).await.unwrap();
    let job = harness.stores.jobs.get(&cancelled).await.unwrap().unwrap();
    assert_eq!((job.status, job.counts.failed), (JobStatus::Failed, 5));
    assert_eq!(harness.run(&next).await.unwrap().status, JobStatus::Completed);
    let queue = &harness.stores.queue;
    assert!(queue.dead_letters(SHOP).await.unwrap().is_empty());
    assert_eq!((queue.depth(SHOP).await.unwrap(), harness.index.state().documents.len()), (0, 5));
}

/// They need no server: a probe that one of them used up would find nothing out, and the others would wait for the next one.
#[tokio::test(start_paused = true)]
async fn the_messages_of_a_cancelled_job_are_dropped_while_its_index_is_stopped() {
    let harness = Harness::new();
    let chunks: Vec<String> = (0..6).map(|number| format!("{{\"_id\":\"{number}\",\"v\":1}}\n")).collect();
    let chunks: Vec<_> = chunks.iter().map(|chunk| (ADD, chunk.as_str())).collect();
    let id = harness.publish("job", &chunks, false).await;
    harness.script([Next::Permanent]);
    harness.run(&id).await.unwrap_err();
    let scope = BreakerScope { shop_id: SHOP.to_owned(), index_name: "products".to_owned() };
    let stopped = harness.stores.breakers.get(&scope).await.unwrap();
    assert!(stopped.is_some());
    worker::cancel(&harness.stores, &id).await.unwrap();
    // Less than a probe takes to become due.
    let cancel = CancellationToken::new();
    let stop = async {
        tokio::time::sleep(Duration::from_secs(10)).await;
        cancel.cancel();
    };
    let (worked, ()) = tokio::join!(harness.worker.run_all(None, &cancel), stop);
    worked.unwrap();
    assert_eq!(harness.stores.queue.depth(SHOP).await.unwrap(), 0);
    assert_eq!(harness.stores.breakers.get(&scope).await.unwrap(), stopped, "no probe is used up");
    assert_eq!(harness.writes(), 1);
}

/// As with the setting `worker.lease_seconds = 3600`.
#[tokio::test(start_paused = true)]
async fn cancelling_a_job_leaves_a_worker_the_chunk_that_it_has_claimed() {
    let harness = Harness::new();
    let id = harness.publish("job", &[(ADD, TWO)], false).await;
    let hour = Duration::from_secs(3_600);
    let lease = harness.claim(&id, hour).await;
    let cancelled = worker::cancel(&harness.stores, &id).await.unwrap();
    assert_eq!(cancelled, worker::Cancelled::Done { in_progress: 1 });
    assert!(harness.stores.jobs.renew(&lease, hour).await.unwrap());
}
