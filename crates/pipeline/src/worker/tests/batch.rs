//! Tests of the worker in an AWS Lambda function: an event source invokes it with a batch of messages, again and
//! again for as long as there are any.

use super::*;
use crate::worker::Deadlines;

const HOUR: Duration = Duration::from_secs(3_600);

/// How long the function may run, and for how long a message that it has been given stays invisible.
const TIMEOUT: Duration = Duration::from_secs(900);

impl Harness {
    /// Receives messages and invokes the function for this time; returns the number of invocations.
    async fn invoke_for(&self, time: Duration) -> usize {
        self.invoke_with(time, TIMEOUT / 2).await
    }

    /// Like `invoke_for`, with a function that begins chunks during the first `begins_for` of an invocation.
    async fn invoke_with(&self, time: Duration, begins_for: Duration) -> usize {
        let end = self.clock.now() + time;
        let mut invocations = 0;
        while self.clock.now() < end {
            let deliveries = self.stores.queue.receive(SHOP, 10, TIMEOUT).await.unwrap();
            if deliveries.is_empty() {
                self.clock.sleep(Duration::from_secs(1)).await;
                continue;
            }
            invocations += 1;
            assert!(invocations < 10_000, "the function is invoked without a pause");
            let now = self.clock.now();
            let deadlines = Deadlines { begin_until: now + begins_for, work_until: now + TIMEOUT };
            self.worker.run_batch(deliveries, deadlines).await;
        }
        invocations
    }
}

/// A job of three chunks in each of four lanes.
async fn publish(harness: &Harness) -> JobId {
    let text = |number: usize| format!("{{\"_id\":\"{number}\",\"v\":1}}\n");
    let chunks: Vec<String> = (0..12).map(text).collect();
    let chunks: Vec<_> = chunks.iter().map(|chunk| (ADD, chunk.as_str())).collect();
    let lanes: Vec<u16> = (0..12).map(|number| number % 4).collect();
    harness.publish_in(SHOP, "job", &chunks, &lanes).await
}

/// What the index does until an operator has acted: it refuses (as with HTTP 401, 403 or 404), is overloaded (429,
/// 503), or does not answer.
const OUTAGES: [Next; 3] = [Next::Permanent, Next::Transient, Next::Timeout(Duration::from_secs(30))];

#[tokio::test(start_paused = true)]
async fn an_index_that_is_out_of_order_is_tried_seldom_and_work_goes_on_within_a_minute() {
    for outage in OUTAGES {
        let harness = Harness::new();
        let id = publish(&harness).await;
        harness.script(vec![outage.clone(); 100_000]);
        for hour in 0..10 {
            let invocations = harness.invoke_for(HOUR).await;
            assert!((1..=100).contains(&invocations), "{outage:?}: {invocations} in hour {hour}");
        }
        let job = harness.stores.jobs.get(&id).await.unwrap().unwrap();
        assert_eq!((job.status, job.completed_chunks), (JobStatus::InProgress, 0));
        assert!(
            job.last_error.is_some() && harness.stores.queue.dead_letters(SHOP).await.unwrap().is_empty()
        );
        harness.index.state().script.clear();
        harness.invoke_for(Duration::from_secs(60)).await;
        let job = harness.stores.jobs.get(&id).await.unwrap().unwrap();
        assert!(job.completed_chunks > 0, "{outage:?}: nothing is written a minute later");
        harness.invoke_for(Duration::from_secs(60)).await;
        let job = harness.stores.jobs.get(&id).await.unwrap().unwrap();
        assert_eq!((job.status, job.counts), (JobStatus::Completed, counts(12)), "{outage:?}");
        assert!(harness.stores.breakers.list(None).await.unwrap().is_empty());
    }
}

#[tokio::test(start_paused = true)]
async fn after_a_day_the_chunks_are_dead_letters_and_a_redrive_brings_them_back() {
    let harness = Harness::new();
    let id = publish(&harness).await;
    harness.script(vec![Next::Permanent; 100_000]);
    harness.invoke_for(HOUR * 23).await;
    assert!(harness.stores.queue.dead_letters(SHOP).await.unwrap().is_empty());
    harness.invoke_for(HOUR * 2).await;
    let dead_letters = harness.stores.queue.dead_letters(SHOP).await.unwrap();
    assert_eq!(dead_letters.len(), 12);
    assert!(dead_letters.iter().all(|letter| letter.code == "index-refused"), "{dead_letters:?}");
    assert!(dead_letters[0].message.contains("as the script says"), "{:?}", dead_letters[0]);
    let job = harness.stores.jobs.get(&id).await.unwrap().unwrap();
    assert_eq!((job.status, job.counts.failed, job.completed_chunks), (JobStatus::Failed, 12, 12));
    for message in [&job.samples[0].message, job.failure_message().unwrap()] {
        assert!(
            message.contains("stopped since 2026-01-01") && message.contains("as the script says"),
            "{message}"
        );
    }

    // The cause is fixed, and an operator redrives the dead letters and closes the breaker.
    harness.index.state().script.clear();
    let filter = crate::worker::DeadLetterFilter::default();
    crate::worker::redrive(&harness.stores, &harness.clock, SHOP, &filter).await.unwrap();
    host_resume(&harness).await;
    harness.invoke_for(Duration::from_secs(60)).await;
    let job = harness.stores.jobs.get(&id).await.unwrap().unwrap();
    assert_eq!((job.status, job.counts, job.failure_message()), (JobStatus::Completed, counts(12), None));
}

/// No function was invoked for two days, and the cause is gone since: while one chunk is tried, the others wait for
/// its result and are not given up.
#[tokio::test(start_paused = true)]
async fn chunks_wait_for_a_probe_that_comes_late_instead_of_becoming_dead_letters() {
    let harness = Harness::new();
    let id = publish(&harness).await;
    harness.script(vec![Next::Permanent; 100_000]);
    harness.invoke_for(HOUR * 12).await;
    harness.clock.sleep(HOUR * 48).await;
    harness.index.state().script.clear();
    harness.script(vec![Next::Slow(Duration::from_secs(5))]);
    harness.invoke_for(HOUR).await;
    let job = harness.stores.jobs.get(&id).await.unwrap().unwrap();
    assert_eq!((job.status, job.counts), (JobStatus::Completed, counts(12)));
}

/// Closes the breakers of the shop, as `host resume` does.
async fn host_resume(harness: &Harness) {
    for breaker in harness.stores.breakers.list(Some(SHOP)).await.unwrap() {
        assert_eq!(
            crate::worker::resume(
                &harness.stores,
                &harness.clock,
                &breaker.scope,
                host_core::storage::ClearedBy::Resume
            )
            .await
            .unwrap(),
            Some(breaker)
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_chunk_that_is_never_done_in_time_becomes_a_dead_letter_within_a_week() {
    let harness = Harness::new();
    let id = publish(&harness).await;
    harness.script(vec![const { Next::Slow(Duration::from_secs(1_000)) }; 100_000]);
    harness.invoke_for(HOUR).await;
    assert!(harness.stores.jobs.get(&id).await.unwrap().unwrap().last_error.is_some());
    harness.invoke_for(HOUR * 24 * 7).await;
    let dead_letters = harness.stores.queue.dead_letters(SHOP).await.unwrap();
    assert_eq!(dead_letters.first().map(|letter| letter.code.as_str()), Some("out-of-time"));
}

#[tokio::test(start_paused = true)]
async fn a_function_with_no_time_to_begin_is_not_invoked_again_at_once() {
    let harness = Harness::new();
    let id = publish(&harness).await;
    for hour in 0..10 {
        let invocations = harness.invoke_with(HOUR, Duration::ZERO).await;
        assert!((1..=100).contains(&invocations), "{invocations} in hour {hour}");
    }
    let job = harness.stores.jobs.get(&id).await.unwrap().unwrap();
    assert_eq!((job.completed_chunks, job.last_error), (0, None));
    assert!(harness.stores.queue.dead_letters(SHOP).await.unwrap().is_empty());
    harness.invoke_for(Duration::from_secs(60)).await;
    let job = harness.stores.jobs.get(&id).await.unwrap().unwrap();
    assert_eq!((job.status, job.counts), (JobStatus::Completed, counts(12)));
}
