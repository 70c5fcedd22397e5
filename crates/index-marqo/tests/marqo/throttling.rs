//! Servers that throttle (429): they ask for fewer requests at once, or for a pause.

use crate::support::{Harness, documents, error_chain};
use host_core::index::Outcome;
use marqo_stand_in::{Fault, FaultRule, Operation, Options};
use std::time::Duration;

#[tokio::test]
async fn the_pause_that_a_server_asks_for_is_kept() {
    let harness = Harness::new().await;
    let fault = Fault::TooManyRequests { retry_after: Some(7) };
    harness.faults(&[FaultRule::new(fault).on(Operation::Add).next(1)]);
    assert_eq!(harness.write(&documents(3)).await, vec![Outcome::Done; 3]);
    assert_eq!(harness.clock.take_sleeps(), [Duration::from_secs(7)]);
}

#[tokio::test]
async fn of_100_requests_to_a_server_that_takes_3_at_once_fewer_than_60_are_throttled() {
    let latency = Duration::from_millis(5);
    let harness =
        Harness::with(Options { latency, ..Options::default() }, |settings| settings.batch_documents = 5)
            .await;
    harness.faults(&[FaultRule::new(Fault::Throttle { above: 3 }).on(Operation::Add)]);
    assert_eq!(harness.write(&documents(500)).await, vec![Outcome::Done; 500]);
    let adds = harness.requests(Operation::Add);
    let throttled = adds.iter().filter(|add| add.status == Some(429)).count();
    assert!(throttled > 0 && throttled < 60, "{throttled} of {} were throttled", adds.len());
    assert!(harness.times_written().values().all(|times| *times == 1));
}

#[tokio::test]
async fn the_concurrency_that_is_allowed_is_never_exceeded() {
    let latency = Duration::from_millis(5);
    let harness =
        Harness::with(Options { latency, ..Options::default() }, |settings| settings.batch_documents = 2)
            .await;
    let all = documents(400);
    // Two calls share one limiter. The stand-in throttles above 8 requests at once, as Marqo does.
    let (first, second) = all.split_at(200);
    futures::join!(harness.write(first), harness.write(second));
    let adds = harness.requests(Operation::Add);
    assert!(adds.iter().all(|add| add.status == Some(200)), "none may be throttled");
}

#[tokio::test]
async fn of_two_calls_the_older_is_served_first() {
    let harness = Harness::with(Options::default(), |settings| {
        settings.batch_documents = 5;
        settings.concurrency = 1;
    })
    .await;
    let all = documents(81);
    // A first request makes the fields known: one with new fields would be sent alone.
    harness.write(&all[80..]).await;
    let (older, newer) = all[..80].split_at(40);
    futures::join!(harness.write(older), harness.write(newer));
    let adds: Vec<String> = harness.requests(Operation::Add).into_iter().flat_map(|add| add.ids).collect();
    let expected: Vec<String> = [80].into_iter().chain(0..80).map(|n| format!("d{n}")).collect();
    assert_eq!(adds, expected);
}

#[tokio::test]
async fn requests_that_wait_are_not_sent_after_the_call_has_failed() {
    let harness = Harness::with(Options::default(), |settings| settings.batch_documents = 1).await;
    harness.write(&documents(1)).await;
    harness.faults(&[FaultRule::new(Fault::Gateway { status: 403 }).on(Operation::Add)]);
    let error = harness.write_error(&documents(50)).await;
    assert!(error_chain(&error).contains("403"), "{}", error_chain(&error));
    // After one success, the limiter allows two requests at once.
    let failed = harness.requests(Operation::Add).len() - 1;
    assert!((1..=2).contains(&failed), "{failed} requests");
}

#[tokio::test]
async fn a_server_that_throttles_without_end_fails_after_the_timeout() {
    let harness = Harness::new().await;
    harness.faults(&[FaultRule::new(Fault::TooManyRequests { retry_after: None }).on(Operation::Add)]);
    let error = harness.write_error(&documents(3)).await;
    assert!(
        error.transient && error_chain(&error).contains("throttled every add"),
        "{}",
        error_chain(&error)
    );
    let waited: Duration = harness.clock.take_sleeps().iter().sum();
    // `throttle_timeout_seconds` is 600 by default.
    assert!((600..700).contains(&waited.as_secs()), "{waited:?}");
}

#[tokio::test]
async fn documents_that_are_throttled_without_end_fail_after_the_timeout() {
    let harness = Harness::new().await;
    harness.faults(&[FaultRule::new(Fault::Item { status: 429, applied: false }).document("d1")]);
    let error = harness.write_error(&documents(3)).await;
    assert!(error.transient, "{}", error_chain(&error));
    assert!(harness.requests(Operation::Add).len() < 50, "the waits grow");
}

#[tokio::test]
async fn an_answer_with_many_throttled_documents_halves_the_concurrency_once() {
    let latency = Duration::from_millis(5);
    let harness =
        Harness::with(Options { latency, ..Options::default() }, |settings| settings.batch_documents = 10)
            .await;
    harness.write(&documents(200)).await;
    harness.faults(&[FaultRule::new(Fault::Item { status: 429, applied: false }).next(10)]);
    let before = harness.requests(Operation::Add).len();
    assert_eq!(harness.write(&documents(200)).await, vec![Outcome::Done; 200]);
    let adds = &harness.requests(Operation::Add)[before..];
    // Each request takes 5 ms. Were each document counted, the limit would fall to 1, and none would run beside
    // another.
    let at_once = adds.windows(2).filter(|pair| pair[1].arrived_ms < pair[0].arrived_ms + 4.0).count();
    assert!(at_once > adds.len() / 3, "{at_once} of {} came beside another", adds.len());
}
