//! The check after writing (setting `readback`) for partial documents: those that the server stored without some of
//! their vectors.

use crate::support::{Harness, documents, refused, write};
use host_core::index::Outcome;
use marqo_stand_in::{Fault, FaultRule, Options};
use serde_json::json;
use std::time::Duration;

/// Wait before each of the two checks after the first one.
const PAUSE: Duration = Duration::from_secs(15);

async fn harness() -> Harness {
    Harness::with(Options::default(), |settings| {
        settings.readback = true;
        settings.tensor_fields.push("brand".to_owned());
    })
    .await
}

#[tokio::test]
async fn documents_with_all_vectors_are_checked_once() {
    let harness = harness().await;
    let mut writes = documents(200);
    writes.push(write("empty", json!({"title": "", "stock": 3})));
    assert_eq!(harness.write(&writes).await, vec![Outcome::Done; 201]);
    assert!(harness.clock.take_sleeps().is_empty());
}

#[tokio::test]
async fn a_document_that_gets_its_vectors_later_is_done() {
    for (reads, pauses) in [(1, 1), (2, 2)] {
        let harness = harness().await;
        let fault = Fault::Partial { field: None, reads: Some(reads) };
        harness.faults(&[FaultRule::new(fault).document("d4")]);
        assert_eq!(harness.write(&documents(10)).await, vec![Outcome::Done; 10]);
        assert_eq!(harness.clock.take_sleeps(), vec![PAUSE; pauses]);
        assert_eq!(harness.server.documents("shop").len(), 10);
    }
}

#[tokio::test]
async fn a_document_that_stays_partial_is_removed_and_refused() {
    let harness = harness().await;
    let fault = Fault::Partial { field: Some("brand".to_owned()), reads: None };
    harness.faults(&[FaultRule::new(fault).document("d4")]);
    let with_brand = |number: usize| write(&format!("d{number}"), json!({"title": "Mug", "brand": "Acme"}));
    let writes: Vec<_> = (0..10).map(with_brand).collect();
    let outcomes = harness.write(&writes).await;
    let refused = refused(&outcomes);
    assert!(matches!(refused.as_slice(), [(4, "partial-document", _)]), "{refused:?}");
    assert_eq!(harness.clock.take_sleeps(), [PAUSE, PAUSE]);
    assert!(!harness.server.documents("shop").contains_key("d4"));
    assert_eq!(harness.server.documents("shop").len(), 9);
}
