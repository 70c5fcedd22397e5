//! A test case for each rule about reading, deleting and searching documents.

use super::{NEW, OLD};
use crate::rules::Case;
use marqo_stand_in::{Fault, FaultRule, Operation};
use serde_json::{Value, json};

pub(crate) const CASES: &[Case] = &[
    ("get-one-missing", NEW, |harness| {
        harness.get("/indexes/u/documents/none").refused(404, "document_not_found");
    }),
    ("get-slash", NEW, |harness| {
        harness.add(json!([{ "_id": "a/b", "n": 1 }])).accepted();
        for path in ["/indexes/u/documents/a/b", "/indexes/u/documents/a%2Fb"] {
            let answer = harness.get(path);
            assert_eq!((answer.status, answer.json()), (404, json!({ "detail": "Not Found" })));
        }
        let answer = harness.call("GET", "/indexes/u/documents", json!(["a/b"])).json();
        assert_eq!(answer["results"][0]["n"], 1, "a list of ids may contain it");
    }),
    ("get-empty", NEW, |harness| {
        harness.call("GET", "/indexes/u/documents", json!([])).refused(400, "invalid_argument");
    }),
    ("get-without-body", NEW, |harness| harness.get("/indexes/u/documents").malformed()),
    ("get-batch-absent", OLD, |harness| {
        let answer = harness.post("/indexes/u/documents/get-batch", json!({ "documentIds": ["a"] }));
        assert_eq!((answer.status, answer.json()), (405, json!({ "detail": "Method Not Allowed" })));
    }),
    ("get-batch-empty", NEW, |harness| {
        harness.post("/indexes/u/documents/get-batch", json!({ "documentIds": [] })).malformed();
        harness.post("/indexes/u/documents/get-batch", json!({ "ids": ["a"] })).malformed();
    }),
    ("get-missing", NEW, |harness| {
        harness.add(json!([{ "_id": "a", "n": 1 }])).accepted();
        let ids = json!(["a", "none", "a"]);
        let found = json!({ "_found": true, "_id": "a", "n": 1 });
        let missing = json!({ "_id": "none", "status": 404, "message": "Document does not exist in the index", "_found": false });
        let expected = json!({ "errors": true, "results": [found, missing, found] });
        let listed = harness.call("GET", "/indexes/u/documents", ids.clone());
        assert_eq!(listed.json(), expected);
        assert_eq!(
            (listed.header("x-count-success"), listed.header("x-count-failure")),
            (Some("2"), Some("1"))
        );
        assert_eq!(
            harness.post("/indexes/u/documents/get-batch", json!({ "documentIds": ids })).json(),
            expected
        );
        assert_eq!(harness.call("GET", "/indexes/u/documents", json!(["a"])).json()["errors"], false);
    }),
    ("get-id-bad", NEW, |harness| {
        let results = harness.call("GET", "/indexes/u/documents", json!([7, ""])).json()["results"].clone();
        assert_eq!((&results[0]["_id"], &results[0]["status"]), (&json!(7), &json!(400)));
        assert_eq!((&results[1]["_id"], &results[1]["status"]), (&json!(""), &json!(400)));
        assert!(results[0].get("_found").is_none());
    }),
    ("get-vespa-error", NEW, |harness| {
        let fault = Fault::Item { status: 503, applied: false };
        harness.stand_in.set_faults(&[FaultRule::new(fault).on(Operation::GetMany).document("b")]);
        harness.add(json!([{ "_id": "a" }, { "_id": "b" }])).accepted();
        let answer = harness.call("GET", "/indexes/u/documents", json!(["a", "b"]));
        assert_eq!((answer.status, &answer.json()["code"]), (500, &Value::Null));
        assert_eq!(harness.call("GET", "/indexes/u/documents", json!(["a"])).status, 200);
    }),
    ("facets", NEW, |harness| {
        harness.add(json!([{ "_id": "a", "title": "One. Two. Three." }, { "_id": "b", "n": 1 }])).accepted();
        let facets = harness.document("u", "a?expose_facets=true")["_tensor_facets"].clone();
        assert_eq!((&facets[0]["title"], &facets[1]["title"]), (&json!("One. Two."), &json!("Three.")));
        assert_eq!(facets[0]["_embedding"].as_array().unwrap().len(), 32);
        assert_eq!(harness.document("u", "b?expose_facets=true")["_tensor_facets"], json!([]));
        assert!(harness.document("u", "a").get("_tensor_facets").is_none());
        assert_eq!(harness.get("/indexes/u/stats").json()["numberOfVectors"], 2);
    }),
    ("facets-missing", NEW, |harness| {
        let fault = Fault::Partial { field: Some("title".to_owned()), reads: Some(2) };
        harness.stand_in.set_faults(&[FaultRule::new(fault).document("a")]);
        harness.add(json!([{ "_id": "a", "title": "mug" }])).accepted();
        assert_eq!(harness.stand_in.documents("u")["a"].missing_tensor_fields, ["title"]);
        let facets =
            || harness.document("u", "a?expose_facets=true")["_tensor_facets"].as_array().unwrap().len();
        assert_eq!([facets(), facets(), facets()], [0, 0, 1]);
        assert_eq!(harness.stand_in.documents("u")["a"].tensor_fields, ["title"]);
    }),
    ("delete-empty", NEW, |harness| {
        harness.post("/indexes/u/documents/delete-batch", json!([])).refused(400, "invalid_document_id");
    }),
    ("delete-id-empty", NEW, |harness| {
        harness.add(json!([{ "_id": "a" }])).accepted();
        harness
            .post("/indexes/u/documents/delete-batch", json!(["a", ""]))
            .refused(400, "invalid_document_id");
        assert!(harness.stand_in.documents("u").contains_key("a"), "nothing is deleted");
    }),
    ("delete-number", NEW, |harness| {
        harness.add(json!([{ "_id": "7" }])).accepted();
        let answer = harness.post("/indexes/u/documents/delete-batch", json!([7]));
        assert_eq!(answer.json()["items"][0], json!({ "_id": "7", "status": 200, "result": "deleted" }));
        assert!(harness.stand_in.documents("u").is_empty());
    }),
    ("delete-missing", NEW, |harness| {
        let answer = harness.post("/indexes/u/documents/delete-batch", json!(["none"])).json();
        assert_eq!(answer["items"][0], json!({ "_id": "none", "status": 200, "result": "deleted" }));
        assert_eq!(answer["details"], json!({ "receivedDocumentIds": 1, "deletedDocuments": 1 }));
    }),
    ("delete-error", NEW, |harness| {
        harness.stand_in.set_faults(&[FaultRule::new(Fault::Item { status: 503, applied: false })
            .on(Operation::Delete)
            .document("b")]);
        harness.add(json!([{ "_id": "a" }, { "_id": "b" }])).accepted();
        let answer = harness.post("/indexes/u/documents/delete-batch", json!(["a", "b"])).json();
        assert_eq!(answer["items"][1], json!({ "_id": "b", "status": 503, "result": "error" }));
        assert_eq!(
            (&answer["status"], &answer["details"]["deletedDocuments"]),
            (&json!("succeeded"), &json!(1))
        );
        assert!(answer.get("errors").is_none());
        assert!(harness.stand_in.documents("u").contains_key("b"));
    }),
    ("search-all", NEW, |harness| {
        let documents: Vec<Value> =
            (0..5).map(|number| json!({ "_id": format!("d{number}"), "brand": "Acme" })).collect();
        harness.add(documents.into()).accepted();
        let page = |offset: u64| {
            let body = json!({ "q": "*", "searchMethod": "LEXICAL", "limit": 2, "offset": offset, "showHighlights": false });
            let hits = harness.post("/indexes/u/search", body).json()["hits"].clone();
            hits.as_array()
                .unwrap()
                .iter()
                .map(|hit| hit["_id"].as_str().unwrap().to_owned())
                .collect::<Vec<_>>()
        };
        assert_eq!([page(0), page(2), page(4)].concat(), ["d0", "d1", "d2", "d3", "d4"]);
        let filtered = json!({ "q": "*", "filter": "brand:(Acme) AND _id:d3" });
        assert_eq!(harness.post("/indexes/u/search", filtered).json()["hits"].as_array().unwrap().len(), 1);
    }),
    ("search-attributes", NEW, |harness| {
        harness.add(json!([{ "_id": "a", "n": 1, "dims": { "w": 2 }, "other": 3 }])).accepted();
        let body = json!({ "q": "*", "attributesToRetrieve": ["n", "dims"], "showHighlights": false });
        let hit = harness.post("/indexes/u/search", body).json()["hits"][0].clone();
        assert_eq!(hit, json!({ "_id": "a", "n": 1, "dims.w": 2, "_score": 0.0 }));
    }),
];
