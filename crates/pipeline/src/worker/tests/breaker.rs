//! Tests of circuit breakers: a failure that stops work on an index is stored, and all workers honour it.

use super::*;
use crate::worker::Deadlines;
use host_core::storage::{Breaker, ClearedBy};

/// Number of scripted answers of the index: more than any test asks for.
const SCRIPT: usize = 10_000;

/// Two workers, as of two processes, write one index for this time; each works the queues of all shops.
async fn two_workers(harness: &Harness, time: Duration) {
    let cancel = CancellationToken::new();
    let Worker { stores, index, validate, version, clock, settings, .. } = harness.worker.as_ref();
    let other = Arc::new(Worker::new(
        stores.clone(),
        index.clone(),
        validate.clone(),
        version.clone(),
        clock.clone(),
        *settings,
    ));
    let stop = async {
        tokio::time::sleep(time).await;
        cancel.cancel();
    };
    let (one, two, ()) =
        tokio::join!(harness.worker.run_all(None, &cancel), other.run_all(None, &cancel), stop);
    one.and(two).unwrap();
}

/// A job of six chunks with one document each, all in one lane or, if `side_by_side`, each in a lane of its own.
async fn publish(harness: &Harness, side_by_side: bool) -> JobId {
    let chunks: Vec<String> = (0..6).map(|id| format!("{{\"_id\":\"{id}\",\"v\":1}}\n")).collect();
    let chunks: Vec<_> = chunks.iter().map(|text| (ADD, text.as_str())).collect();
    harness.publish("job", &chunks, side_by_side).await
}

async fn breaker(harness: &Harness) -> Option<Breaker> {
    harness.stores.breakers.list(Some(SHOP)).await.unwrap().pop()
}

async fn snapshot(harness: &Harness, id: &JobId) -> JobSnapshot {
    harness.stores.jobs.get(id).await.unwrap().unwrap()
}

#[tokio::test(start_paused = true)]
async fn while_work_is_stopped_all_workers_together_try_one_chunk_a_minute() {
    let harness = Harness::new();
    let id = publish(&harness, true).await;
    harness.script(vec![Next::Permanent; SCRIPT]);
    two_workers(&harness, Duration::from_secs(14)).await;
    let at_first = harness.writes();
    assert!(at_first <= 6, "each lane at most once: {at_first}");
    let opened = breaker(&harness).await.unwrap();
    assert_eq!(
        (opened.code.as_str(), opened.probes, opened.job_id.clone()),
        ("index-refused", 0, id.clone())
    );
    two_workers(&harness, Duration::from_secs(3_600)).await;
    let probed = harness.writes() - at_first;
    assert!((60..=70).contains(&probed), "{probed} in an hour");
    let probes = breaker(&harness).await.unwrap();
    assert_eq!((probes.probes as usize, probes.since), (probed, opened.since));

    harness.index.state().script.clear();
    two_workers(&harness, Duration::from_secs(130)).await;
    assert_eq!(snapshot(&harness, &id).await.status, JobStatus::Completed);
    assert_eq!(breaker(&harness).await, None);
}

#[tokio::test(start_paused = true)]
async fn a_probe_that_takes_long_is_the_only_one() {
    let harness = Harness::new();
    publish(&harness, true).await;
    harness.script(vec![Next::Permanent; 6]);
    two_workers(&harness, Duration::from_secs(14)).await;
    let at_first = harness.writes();
    harness.index.state().script.clear();
    harness.script(vec![Next::Slow(Duration::from_secs(50)); SCRIPT]);
    two_workers(&harness, Duration::from_secs(45)).await;
    assert_eq!(harness.writes() - at_first, 1);
}

#[tokio::test(start_paused = true)]
async fn a_probe_that_fails_temporarily_keeps_the_breaker_open() {
    let harness = Harness::new();
    publish(&harness, false).await;
    harness.script([Next::Permanent]);
    harness.script(vec![Next::Transient; SCRIPT]);
    two_workers(&harness, Duration::from_secs(3_600)).await;
    assert!((60..=70).contains(&harness.writes()), "{}", harness.writes());
    assert_eq!(breaker(&harness).await.unwrap().code, "index-unavailable", "that of the last failure");
}

#[tokio::test(start_paused = true)]
async fn a_chunk_that_waits_holds_back_the_later_chunks_of_its_lane() {
    let harness = Harness::new();
    let versions =
        [1, 2, 3].map(|version| format!("{{\"_id\":\"1\",\"v\":{version},\"title\":\"{version}\"}}\n"));
    let chunks: Vec<_> = versions.iter().map(|text| (ADD, text.as_str())).collect();
    let id = harness.publish("job", &chunks, false).await;
    harness.script(vec![Next::Permanent; 7]);
    two_workers(&harness, Duration::from_secs(900)).await;
    let job = snapshot(&harness, &id).await;
    assert_eq!((job.status, job.counts), (JobStatus::Completed, counts(3)), "no conflict");
    let written = harness.index.state().written_versions();
    assert_eq!(written.into_values().collect::<Vec<_>>(), [[1, 2, 3]]);
}

#[tokio::test(start_paused = true)]
async fn a_run_tries_at_once_and_closes_the_breaker_when_a_chunk_is_written() {
    let harness = Harness::new();
    let id = publish(&harness, false).await;
    harness.script([Next::Permanent, Next::Permanent]);
    for _ in 0..2 {
        let began = harness.clock.now();
        let stop = harness.run(&id).await.unwrap_err();
        assert_eq!(stop.error.code(), "index-refused");
        let took = harness.clock.now().duration_since(began).as_secs();
        assert!(took < 5, "a person waits for the run, which took {took} s");
        assert_eq!(breaker(&harness).await.unwrap().code, "index-refused");
    }
    assert_eq!(harness.run(&id).await.unwrap().status, JobStatus::Completed);
    assert_eq!(breaker(&harness).await, None);
}

#[tokio::test(start_paused = true)]
async fn a_resumed_index_is_written_within_a_minute_when_its_messages_are_visible_again() {
    let harness = Harness::new();
    let id = publish(&harness, false).await;
    harness.script(vec![Next::Permanent; SCRIPT]);
    two_workers(&harness, Duration::from_secs(3_600)).await;
    harness.index.state().script.clear();
    let opened = breaker(&harness).await.unwrap();
    assert_eq!(
        crate::worker::resume(&harness.stores, &harness.clock, &opened.scope, ClearedBy::Resume)
            .await
            .unwrap(),
        Some(opened.clone())
    );
    assert_eq!(
        crate::worker::resume(&harness.stores, &harness.clock, &opened.scope, ClearedBy::Resume)
            .await
            .unwrap(),
        None
    );
    two_workers(&harness, Duration::from_secs(61)).await;
    assert_eq!(snapshot(&harness, &id).await.status, JobStatus::Completed);
}

#[tokio::test(start_paused = true)]
async fn after_a_breaker_was_open_for_too_long_chunks_become_dead_letters() {
    let clock: SharedClock = Arc::new(VirtualClock::paused(1));
    let stores = Memory::new(clock.clone()).stores();
    let mut harness = Harness::with_stores(stores, clock);
    let id = publish(&harness, false).await;
    let settings = WorkerSettings { stopped_after: Duration::from_secs(3_600), ..harness.worker.settings };
    let Harness { stores, index, clock, worker } = &harness;
    let (validate, version) = (worker.validate.clone(), worker.version.clone());
    harness.worker =
        Arc::new(Worker::new(stores.clone(), index.clone(), validate, version, clock.clone(), settings));
    harness.script(vec![Next::Permanent; SCRIPT]);
    two_workers(&harness, Duration::from_secs(3_500)).await;
    assert_eq!(snapshot(&harness, &id).await.completed_chunks, 0);
    two_workers(&harness, Duration::from_secs(600)).await;
    let job = snapshot(&harness, &id).await;
    assert_eq!((job.status, job.counts.failed), (JobStatus::Failed, 6));
    assert!(job.samples[0].message.contains("has been stopped since"), "{:?}", job.samples[0]);
    assert_eq!(harness.stores.queue.dead_letters(SHOP).await.unwrap().len(), 6);
}

/// The host stops a plug-in that keeps failing. The plug-in is at fault then, and no chunk.
#[tokio::test(start_paused = true)]
async fn a_plug_in_that_is_stopped_stops_the_index_and_uses_up_no_attempt() {
    let harness = Harness::new();
    let Worker { stores, index, clock, settings, .. } = harness.worker.as_ref();
    let (plugin, index) = (Arc::new(FakePlugin::default()), index.clone());
    let worker = Worker::new(stores.clone(), index, plugin.clone(), plugin.clone(), clock.clone(), *settings);
    let harness = Harness { worker: Arc::new(worker), ..harness };
    plugin.set_stopped(true);
    let id = publish(&harness, true).await;
    two_workers(&harness, Duration::from_secs(3_600)).await;
    let opened = breaker(&harness).await.expect("it is stored");
    assert_eq!((opened.code.as_str(), &opened.job_id), ("plugin-failure", &id));
    assert_eq!(opened.message, "plug-in rules@1.0.0 was stopped: cannot (broken)");
    assert!((60..=70).contains(&opened.probes), "{} in an hour", opened.probes);
    let job = snapshot(&harness, &id).await;
    assert_eq!((job.completed_chunks, job.last_error.unwrap().code.as_str()), (0, "plugin-failure"));
    assert!(harness.stores.queue.dead_letters(SHOP).await.unwrap().is_empty());
    // The loop of `host run` ends with that error.
    let stop = harness.run(&id).await.unwrap_err();
    assert_eq!((stop.error.code(), stop.attempts), ("plugin-failure", 1));

    plugin.set_stopped(false);
    two_workers(&harness, Duration::from_secs(130)).await;
    let job = snapshot(&harness, &id).await;
    assert_eq!((job.status, job.counts), (JobStatus::Completed, counts(6)));
    assert_eq!(breaker(&harness).await, None);
}

/// A worker on the same queues that writes another kind of index.
fn of_another_target(harness: &Harness) -> Arc<Worker> {
    let index = Arc::new(FakeIndex::default());
    index.state().id = Some("marqo".into());
    let Worker { stores, validate, version, clock, settings, .. } = harness.worker.as_ref();
    let (validate, version) = (validate.clone(), version.clone());
    // Polls seldom, and not in step with the times at which messages become visible.
    let settings = WorkerSettings { poll_interval: Duration::from_millis(4_990), ..*settings };
    Arc::new(Worker::new(stores.clone(), index, validate, version, clock.clone(), settings))
}

#[tokio::test(start_paused = true)]
async fn a_worker_of_another_target_opens_no_breaker_and_leaves_chunks_to_the_right_worker() {
    let harness = Harness::new();
    let wrong = of_another_target(&harness);
    let id = publish(&harness, false).await;
    // The right worker writes beside it. Its breaker opens and closes; the wrong worker does not probe.
    harness.script(vec![Next::Permanent; 3]);
    let cancel = CancellationToken::new();
    let stop = async {
        tokio::time::sleep(Duration::from_secs(1_800)).await;
        cancel.cancel();
    };
    let both = async { tokio::join!(wrong.run_all(None, &cancel), harness.worker.run_all(None, &cancel)) };
    let ((of_wrong, of_right), ()) = tokio::join!(both, stop);
    of_wrong.and(of_right).unwrap();
    let job = snapshot(&harness, &id).await;
    assert_eq!((job.status, job.counts, harness.writes()), (JobStatus::Completed, counts(6), 3 + 6));

    // Alone, in a loop and in a function, the wrong worker changes nothing and looks seldom.
    let id = harness.publish("other", &[(ADD, TWO)], false).await;
    let cancel = CancellationToken::new();
    let stop = async {
        tokio::time::sleep(Duration::from_secs(26 * 3_600)).await;
        cancel.cancel();
    };
    let (done, ()) = tokio::join!(wrong.run_all(None, &cancel), stop);
    done.unwrap();
    let job = snapshot(&harness, &id).await;
    assert_eq!((job.completed_chunks, breaker(&harness).await), (0, None));
    assert_eq!(job.last_error.unwrap().code, "other-target");
    harness.clock.sleep(Duration::from_secs(600)).await;
    let delivered = harness.stores.queue.receive(SHOP, 10, Duration::from_secs(900)).await.unwrap();
    assert!((10..1_000).contains(&delivered[0].receive_count), "{}", delivered[0].receive_count);
    let now = harness.clock.now();
    let deadlines =
        Deadlines { begin_until: now + Duration::from_secs(60), work_until: now + Duration::from_secs(90) };
    assert!(wrong.run_batch(delivered, deadlines).await.is_empty());
    assert_eq!(breaker(&harness).await, None);
    assert!(harness.stores.queue.dead_letters(SHOP).await.unwrap().is_empty());
    // The loop of `host run` ends with that error.
    harness.clock.sleep(Duration::from_secs(600)).await;
    let stop = wrong.run(SHOP, RunUntil::JobEnds(id.clone()), &CancellationToken::new()).await.unwrap_err();
    assert_eq!((stop.error.code(), breaker(&harness).await), ("other-target", None));
    assert_eq!(harness.run(&id).await.unwrap().completed_chunks, 1);
}
