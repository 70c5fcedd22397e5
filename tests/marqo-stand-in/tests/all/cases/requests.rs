//! Requests as a whole: forms, limits, calls about indexes.

use super::{NEW, OLD};
use crate::rules::Case;
use crate::support::{Bench, send};
use marqo_stand_in::{Fault, FaultRule, Operation};
use serde_json::{Value, json};

pub(crate) const CASES: &[Case] = &[
    ("content-type-absent", NEW, |bench| {
        let body = r#"{"tensorFields":[],"documents":[{"_id":"a"}]}"#;
        bench.send_bare("POST", "/indexes/u/documents", &[], body).accepted();
    }),
    ("content-type-text", NEW, |bench| {
        let headers = [("content-type", "text/plain")];
        let body = r#"{"tensorFields":[],"documents":[{"_id":"a"}]}"#;
        bench.send_bare("POST", "/indexes/u/documents", &headers, body).misshaped();
    }),
    ("query-ignored", NEW, |bench| {
        bench.post("/indexes/u/documents?refresh=true", batch(1)).accepted();
    }),
    ("device-bad", NEW, |bench| {
        bench.post("/indexes/u/documents?device=gpu", batch(1)).refused(400, "invalid_argument");
    }),
    ("device-absent", NEW, |bench| {
        bench
            .post("/indexes/u/documents?device=cuda1", batch(1))
            .refused(400, "hardware_compatability_error");
        bench.post("/indexes/u/documents?device=cpu", batch(1)).accepted();
    }),
    ("telemetry", NEW, |bench| {
        let answer = bench.post("/indexes/u/documents?telemetry=true", batch(1));
        assert!(answer.json()["telemetry"]["timesMs"].is_object());
    }),
    ("count-headers", NEW, |bench| {
        let answer = bench.add(json!([{"_id": "a"}, {"_id": "b", "f": null}]));
        assert_eq!(answer.header("x-count-success"), Some("1"));
        assert_eq!(answer.header("x-count-failure"), Some("1"));
        assert_eq!(answer.header("x-count-error"), Some("0"));
        for silent in [
            bench.post("/indexes/u/documents/delete-batch", json!(["a"])),
            bench.get("/indexes/u/documents/a"),
        ] {
            assert_eq!(silent.header("x-count-success"), None);
        }
    }),
    ("index-not-found", NEW, |bench| {
        bench.post("/indexes/none/documents", batch(1)).refused(404, "index_not_found");
        bench.get("/indexes/none/stats").refused(404, "index_not_found");
        bench.post("/indexes/none/documents/delete-batch", json!(["a"])).refused(404, "index_not_found");
    }),
    ("body-not-json", NEW, |bench| {
        let headers = [("content-type", "application/json")];
        bench.send_bare("POST", "/indexes/u/documents", &headers, "{").misshaped();
    }),
    ("body-wrong-type", NEW, |bench| {
        for body in [
            json!([]),
            json!({ "tensorFields": [] }),
            json!({ "documents": "all" }),
            json!({ "documents": [], "tensorFields": "title" }),
            json!({ "documents": [], "useExistingTensors": "yes please" }),
            json!({ "documents": [], "mappings": [] }),
        ] {
            bench.post("/indexes/u/documents", body).misshaped();
        }
    }),
    ("body-unknown-key", NEW, |bench| {
        bench.post("/indexes/u/documents", json!({ "documents": [{}], "refresh": true })).misshaped();
        bench
            .call("PATCH", "/indexes/s/documents", json!({ "documents": [{}], "tensorFields": [] }))
            .misshaped();
        bench.post("/indexes/u/search", json!({ "q": "*", "size": 3 })).misshaped();
    }),
    ("path-unknown", NEW, |bench| {
        let answer = bench.get("/indexes/u/nothing");
        assert_eq!((answer.status, answer.json()), (404, json!({ "detail": "Not Found" })));
    }),
    ("method-wrong", NEW, |bench| {
        let answer = bench.call("PUT", "/indexes/u/documents", Value::Null);
        assert_eq!((answer.status, answer.json()), (405, json!({ "detail": "Method Not Allowed" })));
    }),
    ("throttled", OLD, throttled),
    ("add-empty", NEW, |bench| {
        bench.add(json!([])).refused(400, "bad_request");
    }),
    ("add-too-many", NEW, |bench| {
        bench.post("/indexes/u/documents", batch(128)).accepted();
        bench.post("/indexes/u/documents", batch(129)).refused(400, "bad_request");
    }),
    ("string-fields-too-many", NEW, |bench| {
        let fields = |first: usize, last: usize| fields(first, last, "text");
        bench.add(json!([fields(0, 100)])).accepted();
        let body = bench.add(json!([fields(100, 101), { "_id": "good" }])).refused(400, "bad_request");
        assert!(body["message"].as_str().unwrap().contains("exceeds the limit of 100"));
        assert!(!bench.stand_in.documents("u").contains_key("good"), "the whole batch is unwritten");
        bench.add(json!([fields(0, 100)])).accepted();
    }),
    ("tensor-fields-too-many", NEW, |bench| {
        // Each document by itself has few; a second index keeps the string fields apart from the limit.
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
        bench.post("/indexes/u/documents", body).refused(400, "bad_request");
        let combinations = combinations(101);
        bench.post("/indexes/u/documents", combinations).refused(400, "bad_request");
    }),
    ("string-arrays-too-many", NEW, |bench| {
        let arrays = |first: usize, last: usize| fields(first, last, ["text"]);
        bench.add(json!([arrays(0, 100)])).accepted();
        bench.add(json!([arrays(100, 101)])).refused(400, "bad_request");
    }),
    ("get-too-many", NEW, |bench| {
        bench.call("GET", "/indexes/u/documents", ids(10_001)).refused(400, "illegal_requested_doc_count");
        assert_eq!(bench.call("GET", "/indexes/u/documents", ids(10_000)).status, 200);
    }),
    ("delete-too-many", NEW, |bench| {
        bench.post("/indexes/u/documents/delete-batch", ids(10_001)).refused(400, "invalid_argument");
    }),
    ("search-limit", NEW, |bench| {
        let search = |limit: u64, offset: u64| json!({ "q": "*", "limit": limit, "offset": offset });
        bench.post("/indexes/u/search", search(1_001, 0)).refused(400, "illegal_requested_doc_count");
        assert_eq!(bench.post("/indexes/u/search", search(1_000, 9_000)).status, 200);
    }),
    ("search-window", NEW, |bench| {
        let body = bench.post("/indexes/u/search", json!({ "q": "*", "limit": 1_001, "offset": 9_000 }));
        let body = body.refused(400, "illegal_requested_doc_count");
        assert!(
            body["message"].as_str().unwrap().contains("MARQO_MAX_RETRIEVABLE_DOCS"),
            "it is checked first"
        );
    }),
    ("tensor-fields-missing", NEW, |bench| {
        bench
            .post("/indexes/u/documents", json!({ "documents": [{ "_id": "a" }] }))
            .refused(400, "bad_request");
        bench
            .post("/indexes/u/documents", json!({ "documents": [{ "_id": "a" }], "tensorFields": null }))
            .refused(400, "bad_request");
        bench
            .post("/indexes/u/documents", json!({ "documents": [{ "_id": "a" }], "tensorFields": [] }))
            .accepted();
    }),
    ("tensor-fields-forbidden", NEW, |bench| {
        let body = json!({ "documents": [{ "_id": "a" }], "tensorFields": [] });
        bench.post("/indexes/s/documents", body).refused(400, "invalid_argument");
    }),
    ("tensor-field-id", NEW, |bench| {
        let body = json!({ "documents": [{ "_id": "a" }], "tensorFields": ["_id"] });
        bench.post("/indexes/u/documents", body).refused(400, "bad_request");
    }),
    ("model-auth-bad", NEW, |bench| {
        let body =
            |auth: Value| json!({ "documents": [{ "_id": "a" }], "tensorFields": [], "modelAuth": auth });
        for bad in [json!({}), json!({ "hf": {} }), json!({ "hf": { "token": "t" }, "s3": {} })] {
            bench.post("/indexes/u/documents", body(bad)).refused(400, "invalid_argument");
        }
        bench.post("/indexes/u/documents", body(json!({ "hf": { "token": "t" } }))).accepted();
    }),
    ("media-headers-twice", NEW, |bench| {
        let headers = json!({ "a": "b" });
        let body =
            json!({ "documents": [{}], "imageDownloadHeaders": headers, "mediaDownloadHeaders": headers });
        bench.post("/indexes/u/documents", body).misshaped();
    }),
    ("thread-counts-twice", OLD, |bench| {
        let body = json!({ "documents": [{}], "imageDownloadThreadCount": 5, "mediaDownloadThreadCount": 5 });
        bench.post("/indexes/u/documents", body).misshaped();
    }),
    ("vectorisation-mode-gone", NEW, |bench| {
        let body = json!({ "documents": [{ "_id": "a" }], "tensorFields": [], "batchVectorisationMode": "per_field" });
        bench.post("/indexes/u/documents", body.clone()).misshaped();
        Bench::new(OLD).post("/indexes/u/documents", body).accepted();
    }),
    ("mappings-bad", NEW, |bench| {
        for bad in [
            json!({ "f": { "type": "map" } }),
            json!({ "f": "custom_vector" }),
            json!({ "f": { "type": "custom_vector", "weights": {} } }),
            json!({ "f": { "type": "multimodal_combination" } }),
            json!({ "f": { "type": "multimodal_combination", "weights": { "a": "much" } } }),
            json!({ "f": { "type": "text_field" } }),
        ] {
            let body = json!({ "documents": [{ "_id": "a" }], "tensorFields": [], "mappings": bad });
            bench.post("/indexes/u/documents", body).refused(400, "invalid_argument");
        }
    }),
    ("index-exists", NEW, |bench| {
        let body = bench.post("/indexes/u", json!({})).refused(409, "index_already_exists");
        assert_eq!(body["type"], "invalid_request");
    }),
    ("index-name", NEW, |bench| {
        bench.post("/indexes/marqo__x", json!({})).refused(400, "invalid_argument");
        bench.post("/indexes/a.b", json!({})).refused(400, "invalid_argument");
        assert_eq!(
            bench.post("/indexes/-a_b", Value::Null).json(),
            json!({ "acknowledged": true, "index": "-a_b" })
        );
        assert_eq!(
            bench.call("DELETE", "/indexes/-a_b", Value::Null).json(),
            json!({ "acknowledged": true })
        );
        bench.call("DELETE", "/indexes/-a_b", Value::Null).refused(404, "index_not_found");
    }),
    ("index-key", NEW, |bench| bench.post("/indexes/x", json!({ "normalize_embeddings": true })).misshaped()),
    ("index-setting", NEW, |bench| {
        bench.post("/indexes/x", json!({ "type": "loose" })).refused(400, "invalid_argument");
        bench.post("/indexes/x", json!({ "type": "structured" })).refused(400, "invalid_argument");
        let bad_field = json!({ "type": "structured", "allFields": [{ "name": "a", "type": "date" }], "tensorFields": [] });
        bench.post("/indexes/x", bad_field).refused(400, "invalid_argument");
    }),
    ("key-wrong", NEW, |bench| {
        for headers in [&[] as &[(&str, &str)], &[("x-api-key", "wrong")]] {
            let answer = send(bench.stand_in.url(), "GET", "/indexes", headers, "").unwrap();
            assert_eq!((answer.status, answer.json()), (401, json!({ "message": "Unauthorized" })));
        }
        assert_eq!(bench.get("/indexes").status, 200);
    }),
    ("cloud-indexes", NEW, |bench| {
        let url = bench.stand_in.url();
        let list = bench.get("/api/v2/indexes").json();
        assert_eq!(
            list["results"][1],
            json!({ "indexName": "u", "indexStatus": "READY", "marqoEndpoint": url })
        );
        assert_eq!(bench.get("/api/v2/indexes/u/status").json(), json!({ "indexStatus": "READY" }));
        assert_eq!(bench.post("/api/v2/indexes/v", json!({ "numberOfShards": 1 })).status, 200);
    }),
];

fn throttled(bench: &Bench) {
    bench.stand_in.set_faults(&[FaultRule::new(Fault::Slow { ms: 1_000 }).on(Operation::Add)]);
    let statuses: Vec<u16> = std::thread::scope(|scope| {
        let calls: Vec<_> =
            (0..9).map(|_| scope.spawn(|| bench.post("/indexes/u/documents", batch(1)))).collect();
        calls.into_iter().map(|call| call.join().unwrap().status).collect()
    });
    assert_eq!(statuses.iter().filter(|status| **status == 429).count(), 1, "{statuses:?}");
    bench.stand_in.set_faults(&[]);
    bench.post("/indexes/u/documents", batch(1)).accepted();
}

fn batch(count: usize) -> Value {
    let documents: Vec<Value> = (0..count).map(|number| json!({ "_id": format!("d{number}") })).collect();
    json!({ "tensorFields": [], "documents": documents })
}

fn ids(count: usize) -> Value {
    (0..count).map(|number| Value::from(format!("d{number}"))).collect()
}

/// A document with the fields `f{first}` to below `f{last}`.
fn fields(first: usize, last: usize, value: impl Into<Value> + Clone) -> Value {
    let fields = (first..last).map(|number| (format!("f{number}"), value.clone().into()));
    Value::Object(fields.collect())
}

/// Many tensor fields of one string field.
fn combinations(count: usize) -> Value {
    let names: Vec<String> = (0..count).map(|number| format!("m{number}")).collect();
    let mapping = json!({ "type": "multimodal_combination", "weights": { "title": 1.0 } });
    let mappings: serde_json::Map<String, Value> =
        names.iter().map(|name| (name.clone(), mapping.clone())).collect();
    json!({ "tensorFields": names, "mappings": mappings, "documents": [{ "_id": "a", "title": "mug" }] })
}
