//! Each way in which a request can fail (`Fault` of the stand-in for Marqo), and the outcome of its documents.

use crate::support::{Harness, documents, error_chain, refused, removals, write};
use host_core::index::{Index, Outcome};
use marqo_stand_in::{Fault, FaultRule, Operation, Options, Version};
use serde_json::json;
use std::time::Duration;

#[tokio::test]
async fn after_any_fault_that_happens_once_each_document_is_written_once() {
    let faults = [
        Fault::SchemaLocked,
        Fault::SchemaRaced,
        Fault::SchemaNotConverged,
        Fault::TooManyRequests { retry_after: None },
        Fault::TooManyRequests { retry_after: Some(1) },
        Fault::Internal,
        Fault::Uncaught,
        Fault::Gateway { status: 408 },
        Fault::Gateway { status: 413 },
        Fault::Gateway { status: 502 },
        Fault::Gateway { status: 503 },
        Fault::Gateway { status: 504 },
        Fault::Html,
        Fault::Hang,
        Fault::ResetBefore,
        Fault::ResetAfterApply,
        Fault::ErrorAfter { status: 500 },
        Fault::ErrorAfter { status: 502 },
        Fault::ErrorAfter { status: 504 },
        Fault::Truncated,
        Fault::Item { status: 429, applied: false },
        Fault::Item { status: 409, applied: false },
        Fault::Item { status: 500, applied: false },
        Fault::Item { status: 500, applied: true },
        Fault::Media { url: None, reason: None },
    ];
    for fault in faults {
        let harness = Harness::new().await;
        let writes = documents(10);
        harness.faults(&[FaultRule::new(fault.clone()).on(Operation::Add).next(1)]);
        assert_eq!(harness.write(&writes).await, vec![Outcome::Done; 10], "{fault:?}");
        let times = harness.times_written();
        assert!(times.len() == 10 && times.values().all(|times| *times == 1), "{fault:?}: {times:?}");
    }
}

#[tokio::test]
async fn a_removal_is_done_after_any_fault_that_happens_once() {
    for fault in [
        Fault::Internal,
        Fault::Gateway { status: 503 },
        Fault::ResetAfterApply,
        Fault::Truncated,
        Fault::Item { status: 503, applied: false },
    ] {
        let harness = Harness::new().await;
        let writes = documents(10);
        harness.write(&writes).await;
        harness.faults(&[FaultRule::new(fault.clone()).on(Operation::Delete).next(1)]);
        let outcomes = harness.index.delete(&harness.target, &removals(&writes)).await.unwrap();
        assert_eq!(outcomes, vec![Outcome::Done; 10], "{fault:?}");
        assert!(harness.server.documents("shop").is_empty(), "{fault:?}");
    }
}

#[tokio::test]
async fn an_update_is_done_after_any_fault_that_happens_once() {
    for fault in
        [Fault::Internal, Fault::ResetBefore, Fault::ResetAfterApply, Fault::ErrorAfter { status: 504 }]
    {
        let harness = Harness::new().await;
        harness.write(&documents(10)).await;
        let changes: Vec<_> = (0..10).map(|n| write(&format!("d{n}"), json!({"stock": 100 + n}))).collect();
        harness.faults(&[FaultRule::new(fault.clone()).on(Operation::Patch).next(1)]);
        let outcomes = harness.index.update(&harness.target, &changes).await.unwrap();
        assert_eq!(outcomes, vec![Outcome::Done; 10], "{fault:?}");
        // Once by the write, once by the update.
        assert!(harness.times_written().values().all(|times| *times == 2), "{fault:?}");
        assert_eq!(harness.server.documents("shop")["d7"].read_back["stock"], 107);
    }
}

#[tokio::test]
async fn a_server_of_2_13_cannot_update_and_says_so() {
    let harness = Harness::with(Options { version: Version::V2_13, ..Options::default() }, |_| ()).await;
    harness.write(&documents(3)).await;
    let changes = [write("d0", json!({"stock": 7}))];
    let error = harness.index.update(&harness.target, &changes).await.unwrap_err();
    assert!(!error.transient && error_chain(&error).contains("send them whole"), "{}", error_chain(&error));
}

#[tokio::test]
async fn after_nine_answers_that_the_schema_is_locked_the_write_fails() {
    let harness = Harness::new().await;
    harness.faults(&[FaultRule::new(Fault::SchemaLocked).on(Operation::Add)]);
    let error = harness.write_error(&documents(5)).await;
    // Not transient: the worker attempts a chunk nine times, so that 81 requests would be sent.
    assert!(!error.transient && error_chain(&error).contains("being updated"), "{}", error_chain(&error));
    assert_eq!(harness.requests(Operation::Add).len(), 9);
    let slept = harness.clock.take_sleeps();
    // Between nine attempts are eight waits, of random length; the first random number of this clock is 0, so one is
    // left out.
    assert!(slept.len() == 7 && slept.iter().all(|time| *time <= Duration::from_secs(40)), "{slept:?}");
    assert!(slept.iter().any(|time| *time > Duration::from_secs(8)), "the waits grow: {slept:?}");
}

#[tokio::test]
async fn a_refusal_that_no_document_causes_fails_the_call_after_one_request() {
    let refused =
        |rule: &str, message: &str| Fault::Refused { rule: rule.to_owned(), message: message.to_owned() };
    for fault in [
        refused("model-failed", "Problem vectorising query. Reason: the model could not be loaded"),
        refused("body-unknown-key", "mediaDownloadHeaders"),
        refused("index-not-found", "Index shop not found"),
    ] {
        let harness = Harness::with(Options::default(), |settings| settings.batch_documents = 4).await;
        harness.faults(&[FaultRule::new(fault.clone()).on(Operation::Add)]);
        let error = harness.write_error(&documents(40)).await;
        assert!(!error.transient, "{fault:?}: {}", error_chain(&error));
        assert_eq!(harness.requests(Operation::Add).len(), 1, "{fault:?}");
    }
}

#[tokio::test]
async fn no_document_is_refused_while_every_request_fails() {
    let faults =
        [Fault::Internal, Fault::Item { status: 500, applied: false }, Fault::ResetBefore, Fault::Html];
    for (fault, count) in faults.into_iter().flat_map(|fault| [(fault.clone(), 1), (fault, 128)]) {
        let harness = Harness::new().await;
        harness.faults(&[FaultRule::new(fault.clone()).on(Operation::Add)]);
        let error = harness.write_error(&documents(count)).await;
        assert!(error.transient, "{fault:?}: {}", error_chain(&error));
        assert!(harness.requests(Operation::Add).len() <= 9, "{fault:?}");
    }
}

#[tokio::test]
async fn of_128_documents_only_the_one_that_breaks_the_server_is_refused() {
    for fault in [Fault::Internal, Fault::Uncaught, Fault::ResetBefore, Fault::Gateway { status: 422 }] {
        let harness = Harness::new().await;
        harness.faults(&[FaultRule::new(fault.clone()).on(Operation::Add).document("d37")]);
        let outcomes = harness.write(&documents(128)).await;
        let refused = refused(&outcomes);
        assert!(matches!(refused.as_slice(), [(37, _, _)]), "{fault:?}: {refused:?}");
        let times = harness.times_written();
        assert!(times.len() == 127 && times.values().all(|times| *times == 1), "{fault:?}: {times:?}");
    }
}

#[tokio::test]
async fn a_document_whose_image_cannot_be_downloaded_is_tried_three_times() {
    let harness = Harness::new().await;
    let reason = Some("Operation timed out after 3000 milliseconds".to_owned());
    let fault = Fault::Media { url: Some("https://x.example/y.jpg".to_owned()), reason };
    harness.faults(&[FaultRule::new(fault).document("d3")]);
    let outcomes = harness.write(&documents(10)).await;
    let refused = refused(&outcomes);
    assert!(
        matches!(refused.as_slice(), [(3, "invalid-argument", message)] if message.contains("https://x.example/y.jpg")),
        "{refused:?}"
    );
    assert_eq!(harness.requests(Operation::Add).len(), 3);
}

#[tokio::test]
async fn an_update_of_a_missing_document_is_tried_three_times() {
    let harness = Harness::new().await;
    harness.write(&documents(2)).await;
    let changes = [write("d0", json!({"stock": 7})), write("none", json!({"stock": 7}))];
    let outcomes = harness.index.update(&harness.target, &changes).await.unwrap();
    let refused = refused(&outcomes);
    assert!(matches!(refused.as_slice(), [(1, "document-not-found", _)]), "{refused:?}");
    assert_eq!(harness.requests(Operation::Patch).len(), 3);
    assert!(!harness.server.documents("shop").contains_key("none"));
}

#[tokio::test]
async fn a_full_server_fails_the_call_and_refuses_no_document() {
    let harness = Harness::new().await;
    harness.faults(&[FaultRule::new(Fault::Item { status: 507, applied: false }).next(1)]);
    let error = harness.write_error(&documents(3)).await;
    assert!(!error.transient && error_chain(&error).contains("memory or disk"), "{}", error_chain(&error));
}

#[tokio::test]
async fn an_error_quotes_the_beginning_of_a_proxys_answer() {
    let harness = Harness::new().await;
    harness.faults(&[FaultRule::new(Fault::Gateway { status: 502 }).on(Operation::Add)]);
    let error = error_chain(&harness.write_error(&documents(1)).await);
    assert!(error.contains("502 <html>"), "{error}");
    assert!(error.chars().count() < 500, "{error}");
}
