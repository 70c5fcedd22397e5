//! A function that a service invokes for as long as there are messages, as Lambda's event sources do.

use super::*;
use crate::worker::Deadlines;

const HOUR: Duration = Duration::from_secs(3_600);

/// How long a function may run, and a message stays invisible.
const TIMEOUT: Duration = Duration::from_secs(900);

impl Harness {
    /// Polls and invokes for a time; the number of invocations.
    async fn invoke_for(&self, time: Duration) -> usize {
        self.invoke_with(time, TIMEOUT / 2).await
    }

    /// The same with a function that begins chunks for so long.
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
            assert!(invocations < 10_000, "it is invoked all the time");
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

/// What a server answers for as long as an operator has not acted: 401, 403 or 404; 429 or 503; nothing.
const OUTAGES: [Next; 3] = [Next::Permanent, Next::Transient, Next::Timeout(Duration::from_secs(30))];

#[tokio::test(start_paused = true)]
async fn an_index_that_refuses_all_is_asked_seldom_and_work_goes_on_within_a_minute() {
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
    let letters = harness.stores.queue.dead_letters(SHOP).await.unwrap();
    assert_eq!(letters.len(), 12);
    assert!(letters.iter().all(|letter| letter.code == "index-refused"), "{letters:?}");
    assert!(letters[0].message.contains("as the script says"), "{:?}", letters[0]);
    let job = harness.stores.jobs.get(&id).await.unwrap().unwrap();
    assert_eq!((job.status, job.counts.failed, job.completed_chunks), (JobStatus::Failed, 12, 12));
    for message in [&job.samples[0].message, job.failure_message().unwrap()] {
        assert!(
            message.contains("stopped since 2026-01-01") && message.contains("as the script says"),
            "{message}"
        );
    }

    // The cause is fixed: the next chunk that may be tried closes the breaker.
    harness.index.state().script.clear();
    let filter = crate::worker::DeadLetterFilter::default();
    crate::worker::redrive(&harness.stores, &harness.clock, SHOP, &filter).await.unwrap();
    host_resume(&harness).await;
    harness.invoke_for(Duration::from_secs(60)).await;
    let job = harness.stores.jobs.get(&id).await.unwrap().unwrap();
    assert_eq!((job.status, job.counts, job.failure_message()), (JobStatus::Completed, counts(12), None));
}

/// Nothing tried the index for two days, and its cause is gone since: the chunks that wait for the result of the one
/// that is tried are not given up.
#[tokio::test(start_paused = true)]
async fn a_breaker_that_was_not_probed_for_long_gives_no_chunk_up() {
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
async fn a_chunk_that_never_ends_in_time_is_given_up_and_says_why() {
    let harness = Harness::new();
    let id = publish(&harness).await;
    harness.script(vec![const { Next::Slow(Duration::from_secs(1_000)) }; 100_000]);
    harness.invoke_for(HOUR).await;
    assert!(harness.stores.jobs.get(&id).await.unwrap().unwrap().last_error.is_some());
    harness.invoke_for(HOUR * 24 * 7).await;
    let letters = harness.stores.queue.dead_letters(SHOP).await.unwrap();
    assert_eq!(letters.first().map(|letter| letter.code.as_str()), Some("out-of-time"));
}

#[tokio::test(start_paused = true)]
async fn a_function_with_no_time_to_begin_is_not_invoked_at_once_again() {
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
