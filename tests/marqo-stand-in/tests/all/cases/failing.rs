//! A test case for each rule about failures: of Marqo itself, of a service that it uses, or of a proxy in front of it.

use super::{NEW, OLD};
use crate::rules::Case;
use crate::support::{Answer, Harness};
use marqo_stand_in::{Answer as RuleAnswer, Fault, FaultRule, Operation, RULES};
use serde_json::{Value, json};

pub(crate) const CASES: &[Case] = &[
    ("schema-locked", NEW, |harness| {
        let body = unwritten(harness, Fault::SchemaLocked).refused(409, "operation_conflict_error");
        assert_eq!(body["message"], "Your indexes are being updated. Please try again shortly.");
    }),
    ("schema-raced", NEW, |harness| {
        let body = unwritten(harness, Fault::SchemaRaced).refused(409, "operation_conflict_error");
        assert!(
            body["message"]
                .as_str()
                .unwrap()
                .starts_with("Conflict in version detected while saving index u")
        );
    }),
    ("schema-not-converged", NEW, |harness| unmapped(&unwritten(harness, Fault::SchemaNotConverged))),
    ("internal", OLD, |harness| unmapped(&unwritten(harness, Fault::Internal))),
    ("uncaught", NEW, |harness| {
        let answer = unwritten(harness, Fault::Uncaught);
        assert_eq!((answer.status, answer.text.as_str()), (500, "Internal Server Error"));
        assert_eq!(answer.header("content-type"), Some("text/plain; charset=utf-8"));
    }),
    ("gateway-error", NEW, |harness| {
        for status in [413, 502, 503, 504] {
            let answer = unwritten(harness, Fault::Gateway { status });
            assert_eq!((answer.status, answer.header("content-type")), (status, Some("text/html")));
            assert!(answer.text.starts_with("<html>"));
        }
    }),
    ("gateway-throttled", NEW, |harness| {
        let answer = unwritten(harness, Fault::TooManyRequests { retry_after: Some(7) });
        answer.refused(429, "too_many_requests");
        assert_eq!(answer.header("retry-after"), Some("7"));
        assert_eq!(
            unwritten(harness, Fault::TooManyRequests { retry_after: None }).header("retry-after"),
            None
        );
    }),
    ("gateway-html", NEW, |harness| {
        let answer = unwritten(harness, Fault::Html);
        assert_eq!((answer.status, answer.text.starts_with("<html>")), (200, true));
    }),
    ("answer-cut", NEW, |harness| {
        harness.stand_in.set_faults(&[FaultRule::new(Fault::Truncated).on(Operation::Add)]);
        let answer = harness.add(json!([{ "_id": "a" }]));
        assert!(answer.status == 200 && answer.text.starts_with('{'));
        assert!(serde_json::from_str::<Value>(&answer.text).is_err());
        assert!(harness.stand_in.documents("u").contains_key("a"), "it is written");
        assert!(harness.stand_in.requests().last().unwrap().items.is_empty(), "nothing was acknowledged");
    }),
    ("service-unavailable", NEW, |harness| {
        refused_as(harness, "service-unavailable").refused(503, "service_unavailable");
    }),
    ("internal-coded", NEW, |harness| {
        refused_as(harness, "internal-coded").refused(500, "internal");
    }),
    ("backend-unreachable-old", OLD, |harness| {
        refused_as(harness, "backend-unreachable-old").refused(500, "backend_communication_error");
    }),
    ("backend-unreachable-new", NEW, |harness| {
        refused_as(harness, "backend-unreachable-new").refused(400, "backend_communication_error");
    }),
    ("search-timeout", NEW, |harness| {
        refused_as(harness, "search-timeout").refused(504, "vector_store_timeout");
    }),
    ("model-not-in-cache", NEW, |harness| {
        refused_as(harness, "model-not-in-cache").refused(404, "model_not_in_cache");
    }),
    ("model-failed", NEW, |harness| {
        let body = refused_as(harness, "model-failed").refused(400, "bad_request");
        assert_eq!(body["message"], "as the test says");
        refused_as(harness, "body-unknown-key").malformed();
        assert_eq!(refused_as(harness, "method-wrong").status, 405);
        // A rule about items refuses documents; their items have the id only if the rule says so.
        for (rule, id) in [("value-kind", "a"), ("id-empty", "")] {
            assert_eq!(refused_as(harness, rule).items()[0], (id.to_owned(), 400, code_of(rule).to_owned()));
        }
    }),
    ("item-throttled", OLD, |harness| {
        let [hit, other] = item(harness, 429, false);
        let text = "Marqo vector store receives too many requests. Please try again later";
        assert_eq!(
            hit,
            json!({ "_id": "hit", "status": 429, "message": text, "error": text, "code": "vespa_error" })
        );
        assert_eq!(other["status"], 200);
        assert_eq!(harness.stand_in.documents("u").len(), 1);
    }),
    ("item-out-of-space", NEW, |harness| {
        let [hit, _] = item(harness, 507, false);
        assert_eq!((&hit["status"], &hit["code"]), (&json!(400), &json!("vespa_error")));
        assert!(hit["message"].as_str().unwrap().ends_with("out of memory or disk space"));
    }),
    ("item-error", NEW, |harness| {
        let [hit, _] = item(harness, 500, true);
        assert_eq!((&hit["status"], &hit["code"]), (&json!(500), &json!("vespa_error")));
        assert!(harness.stand_in.documents("u").contains_key("hit"), "the write has landed");
    }),
    ("item-other", NEW, |harness| {
        let [hit, _] = item(harness, 409, false);
        assert_eq!((&hit["status"], &hit["_id"]), (&json!(409), &json!("hit")));
    }),
    ("item-media", NEW, |harness| {
        let url = Some("https://cdn/p.jpg".to_owned());
        let fault = Fault::Media { url, reason: Some("Operation timed out".to_owned()) };
        harness.stand_in.set_faults(&[FaultRule::new(fault).document("hit")]);
        let answer = harness.add(json!([{ "_id": "hit" }]));
        answer.item_refused("hit", 400, "invalid_argument");
        let expected =
            "Could not process the media file found at `https://cdn/p.jpg`. Reason: Operation timed out";
        assert_eq!(answer.json()["items"][0]["message"], expected);
    }),
];

/// The answer to an add with this fault, which writes nothing.
fn unwritten(harness: &Harness, fault: Fault) -> Answer {
    harness.stand_in.set_faults(&[FaultRule::new(fault.clone()).on(Operation::Add)]);
    let answer = harness.add(json!([{ "_id": "a" }]));
    assert!(harness.stand_in.documents("u").is_empty());
    let logged = harness.stand_in.requests().last().unwrap().fault.clone();
    assert_eq!(logged, (!is_of_items(&fault)).then_some(fault));
    answer
}

/// The answer to an add that a fault has refused by a rule.
fn refused_as(harness: &Harness, rule: &str) -> Answer {
    unwritten(harness, Fault::Refused { rule: rule.to_owned(), message: "as the test says".to_owned() })
}

/// Whether a fault refuses documents instead of the whole request.
fn is_of_items(fault: &Fault) -> bool {
    matches!(fault, Fault::Refused { rule, .. } if ["value-kind", "id-empty"].contains(&rule.as_str()))
}

/// The code of a rule that refuses an item.
fn code_of(rule: &str) -> &'static str {
    match RULES.iter().find(|known| known.name() == rule).map(|rule| rule.answer) {
        Some(RuleAnswer::Item { code: Some(code), .. }) => code,
        other => panic!("{rule} refuses no item: {other:?}"),
    }
}

/// Asserts that the answer is an internal error that Marqo maps to no code.
fn unmapped(answer: &Answer) {
    let body = answer.json();
    assert_eq!((answer.status, &body["code"], &body["type"]), (500, &Value::Null, &Value::Null));
    assert!(body.as_object().unwrap().contains_key("code"));
}

/// The items of two documents, to the first of which Vespa (the search engine that Marqo uses) answers with this
/// status.
fn item(harness: &Harness, status: u16, applied: bool) -> [Value; 2] {
    harness
        .stand_in
        .set_faults(&[FaultRule::new(Fault::Item { status, applied }).on(Operation::Add).document("hit")]);
    let items = harness.add(json!([{ "_id": "hit" }, { "_id": "other" }])).json()["items"].clone();
    [items[0].clone(), items[1].clone()]
}
