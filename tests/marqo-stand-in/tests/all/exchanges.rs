//! The seven example exchanges (request and answer) of the reference of Marqo's API. Times, and texts that the
//! reference cuts off, are compared by their form.

use crate::support::Harness;
use marqo_stand_in::{Fault, FaultRule, Operation, Version};
use serde_json::{Value, json};

/// Adds one good document and three that are refused.
fn mugs(harness: &Harness) -> crate::support::Answer {
    let documents = json!([
        { "_id": "mug-01", "title": "Stoneware mug", "price": 14.5, "stock": 12, "tags": ["kitchen"], "dims": { "h": 9.5 } },
        { "_id": "mug-02", "title": null },
        { "_id": "mug-03", "bad-name": "x" },
        { "_id": "", "title": "no id" },
    ]);
    harness.add(documents)
}

/// Removes a member and checks that it was a number.
#[track_caller]
fn without_number(answer: &mut Value, name: &str) {
    let member = answer.as_object_mut().unwrap().remove(name);
    assert!(member.is_some_and(|member| member.is_f64()), "{answer}");
}

#[test]
fn partial_failure() {
    for version in [Version::V2_13, Version::V2_25] {
        let harness = Harness::new(version);
        let answer = mugs(&harness);
        assert_eq!(answer.header("x-count-success"), Some("1"));
        assert_eq!(answer.header("x-count-failure"), Some("3"));
        let mut body = answer.json();
        without_number(&mut body, "processingTimeMs");
        let (kind, name) = (body["items"][1]["message"].clone(), body["items"][2]["message"].clone());
        assert!(kind.as_str().unwrap().starts_with("Field content `None` "));
        assert!(name.as_str().unwrap().starts_with("\"bad-name\": Field name must match "));
        let empty = "Document ID can't be empty";
        let items = json!([
            { "status": 200, "_id": "mug-01" },
            { "status": 400, "_id": "mug-02", "message": kind, "error": kind, "code": "invalid_argument" },
            { "status": 400, "_id": "mug-03", "message": name, "error": name, "code": "invalid_field_name" },
            { "status": 400, "_id": "", "message": empty, "error": empty, "code": "invalid_document_id" },
        ]);
        assert_eq!(body, json!({ "errors": true, "index_name": "u", "items": items }));
    }
}

#[test]
fn read_back() {
    let harness = Harness::new(Version::V2_13);
    mugs(&harness);
    let answer = harness.call("GET", "/indexes/u/documents", json!(["mug-01", "mug-99"]));
    let found = json!({
        "_found": true, "tags": ["kitchen"], "stock": 12, "price": 14.5, "dims.h": 9.5, "_id": "mug-01", "title": "Stoneware mug",
    });
    let missing = json!({ "_id": "mug-99", "status": 404, "message": "Document does not exist in the index", "_found": false });
    assert_eq!(answer.json(), json!({ "errors": true, "results": [found, missing] }));
}

#[test]
fn item_throttled() {
    for (version, verb) in [(Version::V2_13, "receives"), (Version::V2_25, "received")] {
        let harness = Harness::new(version);
        harness
            .stand_in
            .set_faults(&[FaultRule::new(Fault::Item { status: 429, applied: false }).document("b")]);
        let answer = harness.add(json!([{ "_id": "a" }, { "_id": "b" }]));
        assert_eq!(answer.header("x-count-failure"), Some("1"));
        let text = format!("Marqo vector store {verb} too many requests. Please try again later");
        let items = json!([
            { "status": 200, "_id": "a" },
            { "status": 429, "_id": "b", "message": text, "error": text, "code": "vespa_error" },
        ]);
        assert_eq!((answer.status, &answer.json()["items"]), (200, &items));
        assert_eq!(answer.json()["errors"], true);
    }
}

#[test]
fn whole_request_throttled() {
    let harness = Harness::new(Version::V2_13);
    harness.stand_in.set_faults(&[FaultRule::new(Fault::Throttle { above: 0 }).on(Operation::Add)]);
    let answer = harness.add(json!([{ "_id": "a" }]));
    let message = "Throttled because maximum thread count (0) for request type 'INDEX' has been exceeded. Try your request again later.";
    let expected =
        json!({ "message": message, "code": "too_many_requests", "type": "invalid_request", "link": null });
    assert_eq!((answer.status, answer.json()), (429, expected));
    assert_eq!(answer.header("retry-after"), None);
}

#[test]
fn schema_change() {
    let harness = Harness::new(Version::V2_13);
    harness.stand_in.set_faults(&[FaultRule::new(Fault::SchemaLocked).on(Operation::Add).next(1)]);
    let answer = harness.add(json!([{ "_id": "a", "new_field": "x" }]));
    let expected = json!({
        "message": "Your indexes are being updated. Please try again shortly.",
        "code": "operation_conflict_error",
        "type": "invalid_request",
        "link": null,
    });
    assert_eq!((answer.status, answer.json()), (409, expected));
    harness.add(json!([{ "_id": "a", "new_field": "x" }])).accepted();
}

#[test]
fn partial_update() {
    let harness = Harness::new(Version::V2_13);
    harness.add_structured(json!([{ "_id": "mug-01", "title": "Stoneware mug", "price": 14.5 }])).accepted();
    let answer =
        harness.patch("s", json!([{ "_id": "mug-01", "price": 12.0 }, { "_id": "zz", "price": 1.0 }]));
    let mut body = answer.json();
    without_number(&mut body, "processingTimeMs");
    let text = "Document does not exist in the index";
    let items = json!([
        { "_id": "mug-01", "status": 200 },
        { "_id": "zz", "status": 404, "message": text, "error": text },
    ]);
    assert_eq!(body, json!({ "errors": true, "index_name": "s", "items": items }));
    assert_eq!(
        harness.document("s", "mug-01"),
        json!({ "_id": "mug-01", "title": "Stoneware mug", "price": 12.0 })
    );
}

#[test]
fn delete() {
    let harness = Harness::new(Version::V2_13);
    mugs(&harness);
    let mut body = harness.post("/indexes/u/documents/delete-batch", json!(["mug-01", "never-there"])).json();
    for (name, length, start) in [("startedAt", 27, "20"), ("finishedAt", 27, "20"), ("duration", 3, "PT")] {
        let text = body.as_object_mut().unwrap().remove(name).unwrap();
        let text = text.as_str().unwrap();
        assert!(text.starts_with(start) && text.len() >= length, "{name}: {text}");
    }
    let expected = json!({
        "index_name": "u",
        "status": "succeeded",
        "type": "documentDeletion",
        "items": [
            { "_id": "mug-01", "status": 200, "result": "deleted" },
            { "_id": "never-there", "status": 200, "result": "deleted" },
        ],
        "details": { "receivedDocumentIds": 2, "deletedDocuments": 2 },
    });
    assert_eq!(body, expected);
    assert!(harness.stand_in.documents("u").is_empty());
}
