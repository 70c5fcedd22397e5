//! A test case for each rule about requests as a whole: their form, limits, and calls about indexes.

use super::{NEW, OLD};
use crate::rules::Case;
use crate::support::{Harness, send};
use marqo_stand_in::{Fault, FaultRule, Operation};
use serde_json::{Value, json};

pub(crate) const CASES: &[Case] = &[
    ("content-type-absent", NEW, |harness| {
        let body = r#"{"tensorFields":[],"documents":[{"_id":"a"}]}"#;
        harness.send_bare("POST", "/indexes/u/documents", &[], body).accepted();
    }),
    ("content-type-text", NEW, |harness| {
        let headers = [("content-type", "text/plain")];
        let body = r#"{"tensorFields":[],"documents":[{"_id":"a"}]}"#;
        harness.send_bare("POST", "/indexes/u/documents", &headers, body).malformed();
    }),
    ("query-ignored", NEW, |harness| {
        harness.post("/indexes/u/documents?refresh=true", batch(1)).accepted();
    }),
    ("device-bad", NEW, |harness| {
        harness.post("/indexes/u/documents?device=gpu", batch(1)).refused(400, "invalid_argument");
    }),
    ("device-absent", NEW, |harness| {
        harness
            .post("/indexes/u/documents?device=cuda1", batch(1))
            .refused(400, "hardware_compatability_error");
        harness.post("/indexes/u/documents?device=cpu", batch(1)).accepted();
    }),
    ("telemetry", NEW, |harness| {
        let answer = harness.post("/indexes/u/documents?telemetry=true", batch(1));
        assert!(answer.json()["telemetry"]["timesMs"].is_object());
    }),
    ("count-headers", NEW, |harness| {
        let answer = harness.add(json!([{"_id": "a"}, {"_id": "b", "f": null}]));
        assert_eq!(answer.header("x-count-success"), Some("1"));
        assert_eq!(answer.header("x-count-failure"), Some("1"));
        assert_eq!(answer.header("x-count-error"), Some("0"));
        for silent in [
            harness.post("/indexes/u/documents/delete-batch", json!(["a"])),
            harness.get("/indexes/u/documents/a"),
        ] {
            assert_eq!(silent.header("x-count-success"), None);
        }
    }),
    ("index-not-found", NEW, |harness| {
        harness.post("/indexes/none/documents", batch(1)).refused(404, "index_not_found");
        harness.get("/indexes/none/stats").refused(404, "index_not_found");
        harness.post("/indexes/none/documents/delete-batch", json!(["a"])).refused(404, "index_not_found");
    }),
    ("body-not-json", NEW, |harness| {
        let headers = [("content-type", "application/json")];
        harness.send_bare("POST", "/indexes/u/documents", &headers, "{").malformed();
    }),
    ("body-wrong-type", NEW, |harness| {
        for body in [
            json!([]),
            json!({ "tensorFields": [] }),
            json!({ "documents": "all" }),
            json!({ "documents": [], "tensorFields": "title" }),
            json!({ "documents": [], "useExistingTensors": "yes please" }),
            json!({ "documents": [], "mappings": [] }),
        ] {
            harness.post("/indexes/u/documents", body).malformed();
        }
    }),
    ("body-unknown-key", NEW, |harness| {
        harness.post("/indexes/u/documents", json!({ "documents": [{}], "refresh": true })).malformed();
        harness
            .call("PATCH", "/indexes/s/documents", json!({ "documents": [{}], "tensorFields": [] }))
            .malformed();
        harness.post("/indexes/u/search", json!({ "q": "*", "size": 3 })).malformed();
    }),
    ("path-unknown", NEW, |harness| {
        let answer = harness.get("/indexes/u/nothing");
        assert_eq!((answer.status, answer.json()), (404, json!({ "detail": "Not Found" })));
    }),
    ("method-wrong", NEW, |harness| {
        let answer = harness.call("PUT", "/indexes/u/documents", Value::Null);
        assert_eq!((answer.status, answer.json()), (405, json!({ "detail": "Method Not Allowed" })));
    }),
    ("throttled", OLD, throttled),
    ("add-empty", NEW, |harness| {
        harness.add(json!([])).refused(400, "bad_request");
    }),
    ("add-too-many", NEW, |harness| {
        harness.post("/indexes/u/documents", batch(128)).accepted();
        harness.post("/indexes/u/documents", batch(129)).refused(400, "bad_request");
    }),
    ("string-fields-too-many", NEW, |harness| {
        let fields = |first: usize, last: usize| fields(first, last, "text");
        harness.add(json!([fields(0, 100)])).accepted();
        let body = harness.add(json!([fields(100, 101), { "_id": "good" }])).refused(400, "bad_request");
        assert!(body["message"].as_str().unwrap().contains("exceeds the limit of 100"));
        assert!(!harness.stand_in.documents("u").contains_key("good"), "nothing of the request is written");
        harness.add(json!([fields(0, 100)])).accepted();
    }),
    ("tensor-fields-too-many", NEW, |harness| {
        // Custom vectors count as text fields too, so their limit may be the one that is exceeded; combinations of one
        // text field exceed that of tensor fields alone.
        let names: Vec<String> = (0..101).map(|number| format!("f{number}")).collect();
        let vector = json!({ "vector": vec![1.0; 32] });
        let mappings: Value = names
            .iter()
            .map(|name| (name.clone(), json!({ "type": "custom_vector" })))
            .collect::<serde_json::Map<_, _>>()
            .into();
        let document: Value =
            names.iter().map(|name| (name.clone(), vector.clone())).collect::<serde_json::Map<_, _>>().into();
        let body = json!({ "tensorFields": names, "mappings": mappings, "documents": [document] });
        harness.post("/indexes/u/documents", body).refused(400, "bad_request");
        let combinations = combinations(101);
        harness.post("/indexes/u/documents", combinations).refused(400, "bad_request");
    }),
    ("string-arrays-too-many", NEW, |harness| {
        let arrays = |first: usize, last: usize| fields(first, last, ["text"]);
        harness.add(json!([arrays(0, 100)])).accepted();
        harness.add(json!([arrays(100, 101)])).refused(400, "bad_request");
    }),
    ("get-too-many", NEW, |harness| {
        harness.call("GET", "/indexes/u/documents", ids(10_001)).refused(400, "illegal_requested_doc_count");
        assert_eq!(harness.call("GET", "/indexes/u/documents", ids(10_000)).status, 200);
    }),
    ("delete-too-many", NEW, |harness| {
        harness.post("/indexes/u/documents/delete-batch", ids(10_001)).refused(400, "invalid_argument");
    }),
    ("search-limit", NEW, |harness| {
        let search = |limit: u64, offset: u64| json!({ "q": "*", "limit": limit, "offset": offset });
        harness.post("/indexes/u/search", search(1_001, 0)).refused(400, "illegal_requested_doc_count");
        assert_eq!(harness.post("/indexes/u/search", search(1_000, 9_000)).status, 200);
    }),
    ("search-window", NEW, |harness| {
        let body = harness.post("/indexes/u/search", json!({ "q": "*", "limit": 1_001, "offset": 9_000 }));
        let body = body.refused(400, "illegal_requested_doc_count");
        assert!(
            body["message"].as_str().unwrap().contains("MARQO_MAX_RETRIEVABLE_DOCS"),
            "limit + offset is checked before limit"
        );
    }),
    ("tensor-fields-missing", NEW, |harness| {
        harness
            .post("/indexes/u/documents", json!({ "documents": [{ "_id": "a" }] }))
            .refused(400, "bad_request");
        harness
            .post("/indexes/u/documents", json!({ "documents": [{ "_id": "a" }], "tensorFields": null }))
            .refused(400, "bad_request");
        harness
            .post("/indexes/u/documents", json!({ "documents": [{ "_id": "a" }], "tensorFields": [] }))
            .accepted();
    }),
    ("tensor-fields-forbidden", NEW, |harness| {
        let body = json!({ "documents": [{ "_id": "a" }], "tensorFields": [] });
        harness.post("/indexes/s/documents", body).refused(400, "invalid_argument");
    }),
    ("tensor-field-id", NEW, |harness| {
        let body = json!({ "documents": [{ "_id": "a" }], "tensorFields": ["_id"] });
        harness.post("/indexes/u/documents", body).refused(400, "bad_request");
    }),
    ("model-auth-bad", NEW, |harness| {
        let body =
            |auth: Value| json!({ "documents": [{ "_id": "a" }], "tensorFields": [], "modelAuth": auth });
        for bad in [json!({}), json!({ "hf": {} }), json!({ "hf": { "token": "t" }, "s3": {} })] {
            harness.post("/indexes/u/documents", body(bad)).refused(400, "invalid_argument");
        }
        harness.post("/indexes/u/documents", body(json!({ "hf": { "token": "t" } }))).accepted();
    }),
    ("media-headers-twice", NEW, |harness| {
        let headers = json!({ "a": "b" });
        let body =
            json!({ "documents": [{}], "imageDownloadHeaders": headers, "mediaDownloadHeaders": headers });
        harness.post("/indexes/u/documents", body).malformed();
    }),
    ("thread-counts-twice", OLD, |harness| {
        let body = json!({ "documents": [{}], "imageDownloadThreadCount": 5, "mediaDownloadThreadCount": 5 });
        harness.post("/indexes/u/documents", body).malformed();
    }),
    ("vectorisation-mode-gone", NEW, |harness| {
        let body = json!({ "documents": [{ "_id": "a" }], "tensorFields": [], "batchVectorisationMode": "per_field" });
        harness.post("/indexes/u/documents", body.clone()).malformed();
        Harness::new(OLD).post("/indexes/u/documents", body).accepted();
    }),
    ("mappings-bad", NEW, |harness| {
        for bad in [
            json!({ "f": { "type": "map" } }),
            json!({ "f": "custom_vector" }),
            json!({ "f": { "type": "custom_vector", "weights": {} } }),
            json!({ "f": { "type": "multimodal_combination" } }),
            json!({ "f": { "type": "multimodal_combination", "weights": { "a": "much" } } }),
            json!({ "f": { "type": "text_field" } }),
        ] {
            let body = json!({ "documents": [{ "_id": "a" }], "tensorFields": [], "mappings": bad });
            harness.post("/indexes/u/documents", body).refused(400, "invalid_argument");
        }
    }),
    ("index-exists", NEW, |harness| {
        let body = harness.post("/indexes/u", json!({})).refused(409, "index_already_exists");
        assert_eq!(body["type"], "invalid_request");
    }),
    ("index-name", NEW, |harness| {
        harness.post("/indexes/marqo__x", json!({})).refused(400, "invalid_argument");
        harness.post("/indexes/a.b", json!({})).refused(400, "invalid_argument");
        assert_eq!(
            harness.post("/indexes/-a_b", Value::Null).json(),
            json!({ "acknowledged": true, "index": "-a_b" })
        );
        assert_eq!(
            harness.call("DELETE", "/indexes/-a_b", Value::Null).json(),
            json!({ "acknowledged": true })
        );
        harness.call("DELETE", "/indexes/-a_b", Value::Null).refused(404, "index_not_found");
    }),
    ("index-key", NEW, |harness| {
        harness.post("/indexes/x", json!({ "normalize_embeddings": true })).malformed();
    }),
    ("index-setting", NEW, |harness| {
        harness.post("/indexes/x", json!({ "type": "loose" })).refused(400, "invalid_argument");
        harness.post("/indexes/x", json!({ "type": "structured" })).refused(400, "invalid_argument");
        let bad_field = json!({ "type": "structured", "allFields": [{ "name": "a", "type": "date" }], "tensorFields": [] });
        harness.post("/indexes/x", bad_field).refused(400, "invalid_argument");
    }),
    ("key-wrong", NEW, |harness| {
        for headers in [&[] as &[(&str, &str)], &[("x-api-key", "wrong")]] {
            let answer = send(harness.stand_in.url(), "GET", "/indexes", headers, "").unwrap();
            assert_eq!((answer.status, answer.json()), (401, json!({ "message": "Unauthorized" })));
        }
        assert_eq!(harness.get("/indexes").status, 200);
    }),
    ("cloud-indexes", NEW, |harness| {
        let url = harness.stand_in.url();
        let list = harness.get("/api/v2/indexes").json();
        assert_eq!(
            list["results"][1],
            json!({ "indexName": "u", "indexStatus": "READY", "marqoEndpoint": url })
        );
        assert_eq!(harness.get("/api/v2/indexes/u/status").json(), json!({ "indexStatus": "READY" }));
        assert_eq!(harness.post("/api/v2/indexes/v", json!({ "numberOfShards": 1 })).status, 200);
    }),
];

/// Nine requests at once, of which version 2.13 refuses one.
fn throttled(harness: &Harness) {
    harness.stand_in.set_faults(&[FaultRule::new(Fault::Slow { ms: 1_000 }).on(Operation::Add)]);
    let statuses: Vec<u16> = std::thread::scope(|scope| {
        let calls: Vec<_> =
            (0..9).map(|_| scope.spawn(|| harness.post("/indexes/u/documents", batch(1)))).collect();
        calls.into_iter().map(|call| call.join().unwrap().status).collect()
    });
    assert_eq!(statuses.iter().filter(|status| **status == 429).count(), 1, "{statuses:?}");
    harness.stand_in.set_faults(&[]);
    harness.post("/indexes/u/documents", batch(1)).accepted();
}

/// The body of an add with so many documents.
fn batch(count: usize) -> Value {
    let documents: Vec<Value> = (0..count).map(|number| json!({ "_id": format!("d{number}") })).collect();
    json!({ "tensorFields": [], "documents": documents })
}

/// A list of so many ids.
fn ids(count: usize) -> Value {
    (0..count).map(|number| Value::from(format!("d{number}"))).collect()
}

/// A document with the fields `f{first}` to `f{end - 1}`.
fn fields(first: usize, end: usize, value: impl Into<Value> + Clone) -> Value {
    let fields = (first..end).map(|number| (format!("f{number}"), value.clone().into()));
    Value::Object(fields.collect())
}

/// The body of an add with so many multimodal fields, which get vectors, all of one text field.
fn combinations(count: usize) -> Value {
    let names: Vec<String> = (0..count).map(|number| format!("m{number}")).collect();
    let mapping = json!({ "type": "multimodal_combination", "weights": { "title": 1.0 } });
    let mappings: serde_json::Map<String, Value> =
        names.iter().map(|name| (name.clone(), mapping.clone())).collect();
    json!({ "tensorFields": names, "mappings": mappings, "documents": [{ "_id": "a", "title": "mug" }] })
}
