//! A test case for each rule about partial updates (PATCH).

use super::{NEW, OLD};
use crate::rules::Case;
use crate::support::Harness;
use serde_json::{Value, json};

pub(crate) const CASES: &[Case] = &[
    ("patch-unsupported", OLD, |harness| {
        harness.patch("u", json!([{ "_id": "a", "n": 1 }])).refused(400, "bad_request");
    }),
    ("patch-empty", NEW, |harness| {
        harness.patch("u", json!([])).refused(400, "bad_request");
    }),
    ("patch-too-many", NEW, |harness| {
        let updates: Vec<Value> = (0..129).map(|number| json!({ "_id": number.to_string() })).collect();
        harness.patch("u", updates.into()).refused(400, "bad_request");
    }),
    ("patch-missing", OLD, |harness| {
        let answer = harness.patch("s", json!([{ "_id": "none", "stock": 1 }]));
        let text = "Document does not exist in the index";
        assert_eq!(
            answer.json()["items"][0],
            json!({ "_id": "none", "status": 404, "message": text, "error": text })
        );
        assert!(harness.stand_in.documents("s").is_empty(), "an update never creates a document");
    }),
    ("patch-refused", NEW, |harness| {
        harness.add(json!([{ "_id": "a", "price": 20, "title": "mug" }])).accepted();
        let refusals = [
            json!({ "_id": "none", "price": 1 }),
            json!({ "_id": "a", "price": 19.99 }),
            json!({ "_id": "a", "title": "cup" }),
        ];
        let texts = refusals.map(|update| {
            let item = harness.patch("u", json!([update])).json()["items"][0].clone();
            assert_eq!(
                (&item["status"], &item["message"], &item.get("code")),
                (&json!(400), &item["error"], &None)
            );
            item["message"].clone()
        });
        assert!(texts[0].as_str().unwrap().starts_with("Marqo vector store couldn't update the document"));
        assert!(texts.iter().all(|text| *text == texts[0]), "all refusals have the same text");
        harness.patch("u", json!([{ "_id": "a", "price": 19, "is_new": true }])).accepted();
        assert_eq!(
            harness.document("u", "a"),
            json!({ "_id": "a", "price": 19, "title": "mug", "is_new": true })
        );
    }),
    ("patch-without-id", NEW, |harness| {
        let item = harness.patch("u", json!([{ "n": 1 }])).json()["items"][0].clone();
        assert_eq!((&item["_id"], &item["status"]), (&json!(""), &json!(400)));
        assert!(
            item.get("message").is_none() && item["error"].is_string(),
            "refusals without a request to Vespa have `error` only"
        );
    }),
    ("patch-id-bad", NEW, |harness| {
        let items =
            harness.patch("u", json!([{ "_id": 7, "n": 1 }, { "_id": "", "n": 1 }])).json()["items"].clone();
        assert_eq!((&items[0]["_id"], &items[0]["status"]), (&json!("7"), &json!(400)));
        assert_eq!((&items[1]["_id"], &items[1]["status"]), (&json!(""), &json!(400)));
    }),
    ("patch-field-unknown", NEW, |harness| {
        structured_refusal(harness, json!({ "_id": "a", "colour": "red" }));
    }),
    ("patch-tensor-field", NEW, |harness| structured_refusal(harness, json!({ "_id": "a", "title": "cup" }))),
    ("patch-sub-field", NEW, |harness| structured_refusal(harness, json!({ "_id": "a", "note": "x" }))),
    ("patch-value", NEW, |harness| {
        structured_refusal(harness, json!({ "_id": "a", "stock": "3" }));
        structured_refusal(harness, json!({ "_id": "a", "stock": null }));
        harness.add(json!([{ "_id": "a" }])).accepted();
        assert_eq!(harness.patch("u", json!([{ "_id": "a", "n": null }])).items()[0].1, 400);
    }),
    ("patch-string-unknown", NEW, |harness| {
        harness.add(json!([{ "_id": "a", "brand": "Acme", "tags": ["x"] }])).accepted();
        let answer = harness.patch("u", json!([{ "_id": "a", "colour": "red" }]));
        assert_eq!(answer.items()[0].1, 400);
        assert_eq!(harness.patch("u", json!([{ "_id": "a", "sizes": ["s"] }])).items()[0].1, 400);
        harness.patch("u", json!([{ "_id": "a", "brand": "Emca", "tags": [] }])).accepted();
        assert_eq!(harness.document("u", "a"), json!({ "_id": "a", "brand": "Emca", "tags": [] }));
    }),
    ("patch-map-replaced", NEW, |harness| {
        harness.add(json!([{ "_id": "a", "dims": { "w": 1, "h": 2 }, "dim": 3 }])).accepted();
        harness.patch("u", json!([{ "_id": "a", "dims": { "d": 4 } }])).accepted();
        assert_eq!(harness.document("u", "a"), json!({ "_id": "a", "dims.d": 4, "dim": 3 }));
    }),
    ("patch-duplicate", NEW, |harness| {
        harness.add(json!([{ "_id": "a", "n": 0 }])).accepted();
        let answer = harness.patch("u", json!([{ "_id": "a", "n": 1 }, { "_id": "a", "n": 2 }]));
        assert_eq!(answer.items().len(), 1);
        assert_eq!(answer.header("x-count-success"), Some("1"));
        assert_eq!(harness.document("u", "a")["n"], 2);
    }),
];

/// Asserts that an update of a document in the structured index is refused and changes nothing.
fn structured_refusal(harness: &Harness, update: Value) {
    harness.add_structured(json!([{ "_id": "a", "title": "mug", "stock": 1 }])).accepted();
    let item = harness.patch("s", json!([update])).json()["items"][0].clone();
    assert_eq!((&item["_id"], &item["status"]), (&json!("a"), &json!(400)));
    assert!(item.get("message").is_none() && item["error"].is_string());
    assert_eq!(harness.document("s", "a")["stock"], 1);
}
