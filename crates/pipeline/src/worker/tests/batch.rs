//! A function that a service invokes for as long as there are messages, as Lambda's event sources do.

use super::*;
use crate::worker::Deadlines;

const HOUR: Duration = Duration::from_secs(3_600);

/// How long a function may run, and a message stays invisible.
const TIMEOUT: Duration = Duration::from_secs(900);

impl Harness {
    /// Polls and invokes for a time; the number of invocations.
    async fn invoke_for(&self, time: Duration) -> usize {
        let end = self.clock.now() + time;
        let mut invocations = 0;
        while self.clock.now() < end {
            let deliveries = self.stores.queue.receive(SHOP, 10, TIMEOUT).await.unwrap();
            if deliveries.is_empty() {
                self.clock.sleep(Duration::from_secs(1)).await;
                continue;
            }
            invocations += 1;
            let now = self.clock.now();
            let deadlines = Deadlines { begin_until: now + TIMEOUT / 2, work_until: now + TIMEOUT };
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

#[tokio::test(start_paused = true)]
async fn an_index_that_refuses_all_is_asked_seldom_and_goes_on_when_it_is_mended() {
    let harness = Harness::new();
    let id = publish(&harness).await;
    harness.script(vec![Next::Permanent; 100_000]);
    for hour in 0..10 {
        let invocations = harness.invoke_for(HOUR).await;
        assert!((1..=100).contains(&invocations), "{invocations} in hour {hour}");
    }
    let job = harness.stores.jobs.get(&id).await.unwrap().unwrap();
    assert_eq!((job.status, job.completed_chunks), (JobStatus::InProgress, 0));
    assert!(job.last_error.is_some() && harness.stores.queue.dead_letters(SHOP).await.unwrap().is_empty());
    harness.index.state().script.clear();
    harness.invoke_for(Duration::from_secs(700)).await;
    let job = harness.stores.jobs.get(&id).await.unwrap().unwrap();
    assert_eq!((job.status, job.counts), (JobStatus::Completed, counts(12)));
}

#[tokio::test(start_paused = true)]
async fn after_a_day_the_chunks_are_dead_letters_and_counted() {
    let harness = Harness::new();
    let id = publish(&harness).await;
    harness.script(vec![Next::Permanent; 100_000]);
    harness.invoke_for(HOUR * 23).await;
    assert!(harness.stores.queue.dead_letters(SHOP).await.unwrap().is_empty());
    harness.invoke_for(HOUR * 4).await;
    let letters = harness.stores.queue.dead_letters(SHOP).await.unwrap();
    assert_eq!(letters.len(), 4, "of each lane the first");
    let job = harness.stores.jobs.get(&id).await.unwrap().unwrap();
    assert_eq!((job.counts.failed, job.completed_chunks), (4, 4));
    assert!(letters.iter().all(|letter| letter.code == job.samples[0].code), "{letters:?}");
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
