//! A test case for each rule about documents that are added: which are refused, and how the others are read.

use super::{NEW, OLD};
use crate::rules::Case;
use crate::support::{Answer, Harness};
use serde_json::{Value, json};

pub(crate) const CASES: &[Case] = &[
    ("document-too-large", NEW, |harness| {
        harness.add(json!([{ "_id": "a", "f": "é".repeat(16_000) }])).accepted();
        harness.add(json!([{ "_id": "a", "f": "é".repeat(17_000) }])).item_refused("", 400, "doc_too_large");
        harness.add(json!([{ "_id": "a", "f": "😀".repeat(8_400) }])).item_refused("", 400, "doc_too_large");
        // {"_id": "a", "f": "…"} has 22 characters without the text.
        let text = |length: usize| json!([{ "_id": "a", "f": "x".repeat(length) }]);
        harness.add(text(100_000 - 22 + 1)).accepted();
        harness.add(text(100_000 - 22 + 3)).item_refused("", 400, "doc_too_large");
    }),
    ("document-not-object-item", OLD, |harness| {
        let items = harness.add(json!(["text", { "_id": "a" }])).items();
        assert_eq!(items[0], (String::new(), 400, "invalid_argument".to_owned()));
        assert_eq!(items[1].1, 200);
    }),
    ("document-not-object-batch", NEW, |harness| harness.add(json!(["text", { "_id": "a" }])).malformed()),
    ("document-empty", NEW, |harness| harness.add(json!([{}])).item_refused("", 400, "invalid_argument")),
    ("id-not-text", NEW, |harness| {
        harness.add(json!([{ "_id": 7 }])).item_refused("", 400, "invalid_document_id");
        harness.add(json!([{ "_id": null, "f": 1 }])).item_refused("", 400, "invalid_document_id");
    }),
    ("id-empty", NEW, |harness| {
        harness.add(json!([{ "_id": "" }])).item_refused("", 400, "invalid_document_id");
    }),
    ("id-made", NEW, |harness| {
        let id = harness.add(json!([{ "f": 1 }])).items()[0].0.clone();
        assert_eq!(id.len(), 36);
        assert_eq!(harness.document("u", &id), json!({ "_id": id, "f": 1 }));
        assert_ne!(
            harness.add(json!([{ "f": 1 }])).items()[0].0,
            id,
            "a second request makes a second document"
        );
    }),
    ("id-cut", NEW, |harness| {
        let items = harness.add(json!([{ "_id": "h#1", "n": 1 }, { "_id": "h#2", "n": 2 }])).items();
        assert_eq!(
            items.iter().map(|(id, status, _)| (id.as_str(), *status)).collect::<Vec<_>>(),
            [("h", 200), ("h", 200)]
        );
        assert_eq!(harness.document("u", "h%231"), json!({ "_id": "h#2", "n": 2 }));
        assert_eq!(harness.stand_in.documents("u").len(), 1);
    }),
    ("id-decoded", NEW, |harness| {
        assert_eq!(harness.add(json!([{ "_id": "a%20b" }])).items()[0].0, "a b");
    }),
    ("id-after-colons", NEW, |harness| {
        let items = harness.add(json!([{ "_id": "a::b" }, { "_id": "x" }, { "_id": "y" }])).items();
        assert_eq!(items.iter().map(|item| item.0.as_str()).collect::<Vec<_>>(), ["x", "b", "y"]);
    }),
    ("duplicate-superseded", NEW, |harness| {
        let answer = harness.add(json!([{ "_id": "a", "n": 1 }, { "_id": "b" }, { "_id": "a", "n": 2 }]));
        assert_eq!(answer.items().iter().map(|item| item.0.as_str()).collect::<Vec<_>>(), ["b", "a"]);
        assert_eq!(harness.document("u", "a")["n"], 2);
        // Even if the last one is refused, the earlier one is not written.
        assert_eq!(harness.add(json!([{ "_id": "c", "n": 1 }, { "_id": "c", "n": null }])).items().len(), 1);
        assert!(!harness.stand_in.documents("u").contains_key("c"));
    }),
    ("replaced-whole", NEW, |harness| {
        harness.add(json!([{ "_id": "a", "n": 1, "m": 2 }])).accepted();
        harness.add(json!([{ "_id": "a", "n": 3 }])).accepted();
        assert_eq!(harness.document("u", "a"), json!({ "_id": "a", "n": 3 }));
    }),
    ("field-name-form", NEW, |harness| {
        for bad in ["a-b", "a.b", "a b", "1a", "", "a::b"] {
            harness.add(json!([{ "_id": "a", bad: 1 }])).item_refused("a", 400, "invalid_field_name");
        }
        harness.add(json!([{ "_id": "a", "_x": 1 }])).accepted();
    }),
    ("field-name-prefix", NEW, |harness| {
        harness.add(json!([{ "_id": "a", "marqo__f": 1 }])).item_refused("a", 400, "invalid_field_name");
    }),
    ("field-name-protected", NEW, |harness| {
        for bad in ["_tensor_facets", "_highlights", "_score", "_found"] {
            harness.add(json!([{ "_id": "a", bad: 1 }])).item_refused("a", 400, "invalid_field_name");
        }
    }),
    ("field-name-structured", NEW, |harness| {
        for bad in ["__vector_x", "__chunks", "__field_name", "_embedding"] {
            harness.add_structured(json!([{ "_id": "a", bad: 1 }])).item_refused(
                "a",
                400,
                "invalid_field_name",
            );
            harness.add(json!([{ "_id": "a", bad: 1 }])).accepted();
        }
    }),
    ("value-kind", NEW, |harness| {
        let answer = harness.add(json!([{ "_id": "a", "f": null }]));
        answer.item_refused("a", 400, "invalid_argument");
        assert!(answer.json()["items"][0]["message"].as_str().unwrap().starts_with("Field content `None`"));
    }),
    ("array-kind", NEW, |harness| {
        for bad in [json!(["a", 1]), json!([true]), json!([1, 2.5]), json!([null]), json!([[]])] {
            harness.add(json!([{ "_id": "a", "f": bad }])).item_refused("a", 400, "invalid_argument");
        }
    }),
    ("number-array-batch", OLD, |harness| {
        let body = harness
            .add(json!([{ "_id": "good" }, { "_id": "a", "f": [1, 2] }]))
            .refused(500, "backend_data_parsing_error");
        assert_eq!(body["type"], "internal");
        assert!(harness.stand_in.documents("u").is_empty());
    }),
    ("number-array-item", NEW, |harness| {
        let items = harness.add(json!([{ "_id": "good" }, { "_id": "a", "f": [1.5, 2.5] }])).items();
        assert_eq!(
            items,
            [("good".to_owned(), 200, String::new()), ("a".to_owned(), 400, "invalid_argument".to_owned())]
        );
    }),
    ("map-value", NEW, |harness| {
        for bad in [json!({ "a": "text" }), json!({ "a": { "b": 1 } }), json!({ "a": null })] {
            harness.add(json!([{ "_id": "a", "f": bad }])).item_refused("a", 400, "invalid_argument");
        }
    }),
    ("control-character", NEW, |harness| {
        let answer = harness.add(json!([{ "_id": "a", "f": "a\u{b}b" }, { "_id": "b", "tags": ["\u{ffff}"] }, { "_id": "c", "f": "tab\tline\n" }]));
        let items = answer.items();
        assert_eq!(items.iter().map(|item| item.1).collect::<Vec<_>>(), [400, 400, 200]);
        assert_eq!((items[0].0.as_str(), items[0].2.as_str()), ("a", "vespa_error"));
        let message = answer.json()["items"][0]["message"].clone();
        assert!(message.as_str().unwrap().starts_with("The document contains invalid characters"));
        assert!(!harness.stand_in.documents("u").contains_key("a"));
    }),
    ("structured-field-unknown", NEW, |harness| {
        harness.add_structured(json!([{ "_id": "a", "colour": "red" }])).item_refused(
            "a",
            400,
            "invalid_argument",
        );
    }),
    ("structured-kind", NEW, |harness| {
        for bad in [
            json!({ "_id": "a", "stock": "3" }),
            json!({ "_id": "a", "tags": [1] }),
            json!({ "_id": "a", "note": null }),
        ] {
            harness.add_structured(json!([bad])).item_refused("a", 400, "invalid_argument");
        }
    }),
    ("structured-range", NEW, |harness| {
        harness.add_structured(json!([{ "_id": "a", "stock": 2_147_483_648_i64 }])).item_refused(
            "a",
            400,
            "invalid_argument",
        );
        harness.add_structured(json!([{ "_id": "a", "price": 1e39 }])).item_refused(
            "a",
            400,
            "invalid_argument",
        );
    }),
    ("structured-multimodal-given", NEW, |harness| {
        harness.add_structured(json!([{ "_id": "a", "both": "x" }])).item_refused(
            "a",
            400,
            "invalid_argument",
        );
    }),
    ("tensor-value", NEW, |harness| {
        let answer = harness.add(json!([{ "_id": "a", "title": 1 }]));
        answer.item_refused("a", 400, "invalid_argument");
        assert!(answer.json()["items"][0]["message"].as_str().unwrap().starts_with("Invalid type"));
    }),
    ("multimodal-given", NEW, |harness| {
        multimodal(harness, json!([{ "_id": "a", "both": "x" }])).item_refused("", 400, "invalid_argument");
    }),
    ("multimodal-sub-field", NEW, |harness| {
        multimodal(harness, json!([{ "_id": "a", "title": 1 }])).item_refused("", 400, "invalid_argument");
    }),
    ("vector-dimension", NEW, |harness| {
        for bad in [
            json!({ "vector": [1.0, 2.0] }),
            json!({ "vector": vec![1.0; 33] }),
            json!({ "vector": vec![1.0; 32], "colour": "red" }),
            json!({ "content": "red" }),
        ] {
            let body = vectors(harness, json!([{ "_id": "good" }, { "_id": "the_bad_one", "v": bad }]))
                .refused(400, "invalid_argument");
            let message = body["message"].as_str().unwrap();
            assert!(!message.contains("the_bad_one"), "the document is not named");
            let inner: Value = serde_json::from_str(message).unwrap();
            assert_eq!(inner[0]["loc"], json!(["__root__"]));
        }
        assert!(harness.stand_in.documents("u").is_empty());
    }),
    ("vector-zero", NEW, |harness| {
        vectors(harness, json!([{ "_id": "a", "v": { "vector": vec![0.0; 32] } }])).item_refused(
            "a",
            400,
            "invalid_argument",
        );
    }),
    ("vector-unlisted", NEW, |harness| {
        let documents = json!([{ "_id": "a", "v": { "vector": vec![1.0; 32], "content": "red" } }]);
        let body = json!({ "tensorFields": [], "mappings": { "v": { "type": "custom_vector" } }, "documents": documents });
        harness.post("/indexes/u/documents", body).accepted();
        assert_eq!(
            harness.document("u", "a?expose_facets=true"),
            json!({ "_id": "a", "v": "red", "_tensor_facets": [] })
        );
    }),
    ("text-field-changed", NEW, |harness| {
        let add = |stemming: &str| {
            let mapping = json!({ "f": { "type": "text_field", "stemming": stemming } });
            harness.post(
                "/indexes/u/documents",
                json!({ "tensorFields": [], "mappings": mapping, "documents": [{ "_id": "a", "f": "x" }] }),
            )
        };
        add("best").accepted();
        add("best").accepted();
        add("none").item_refused("a", 400, "invalid_argument");
    }),
    ("collapse-field", NEW, |harness| {
        harness.post("/indexes/c", json!({ "collapseFields": [{ "name": "group" }] }));
        let add = |document: Value| {
            harness.post("/indexes/c/documents", json!({ "tensorFields": [], "documents": [document] }))
        };
        add(json!({ "_id": "a", "group": "g" })).accepted();
        for bad in
            [json!({ "_id": "a" }), json!({ "_id": "a", "group": 1 }), json!({ "_id": "a", "group": " " })]
        {
            add(bad).item_refused("", 400, "invalid_argument");
        }
    }),
    ("tensors-reused", NEW, |harness| {
        let add = || {
            let body = json!({ "tensorFields": ["title"], "useExistingTensors": true, "documents": [{ "_id": "a", "title": "mug" }] });
            harness.post("/indexes/u/documents", body).accepted();
            harness.stand_in.rules_met().get("tensors-reused").copied()
        };
        assert_eq!([add(), add()], [None, Some(1)]);
    }),
    ("map-flattened", NEW, |harness| {
        harness.add(json!([{ "_id": "a", "dims": { "w": 10, "h": 9.5 } }])).accepted();
        assert_eq!(harness.document("u", "a"), json!({ "_id": "a", "dims.w": 10, "dims.h": 9.5 }));
    }),
    ("map-bool", NEW, |harness| {
        harness.add(json!([{ "_id": "a", "has": { "lid": true, "ear": false }, "is": true }])).accepted();
        assert_eq!(harness.document("u", "a"), json!({ "_id": "a", "has.lid": 1, "has.ear": 0, "is": true }));
    }),
    ("empty-map-absent", NEW, |harness| {
        harness.add(json!([{ "_id": "a", "dims": {}, "text": "" }])).accepted();
        assert_eq!(harness.document("u", "a"), json!({ "_id": "a", "text": "" }));
    }),
    ("empty-array-absent", OLD, |harness| {
        harness.add(json!([{ "_id": "a", "tags": [] }])).accepted();
        assert_eq!(harness.document("u", "a"), json!({ "_id": "a" }));
    }),
    ("empty-array-kept", NEW, |harness| {
        harness.add(json!([{ "_id": "a", "tags": [] }])).accepted();
        assert_eq!(harness.document("u", "a"), json!({ "_id": "a", "tags": [] }));
    }),
    ("vector-content", NEW, |harness| {
        let documents = json!([{ "_id": "a", "v": { "vector": vec![1.0; 32], "content": "red" } }, { "_id": "b", "v": { "vector": vec![1.0; 32] } }]);
        vectors(harness, documents).accepted();
        assert_eq!(
            (&harness.document("u", "a")["v"], &harness.document("u", "b")["v"]),
            (&json!("red"), &json!(""))
        );
    }),
    ("vector-normalised", NEW, |harness| {
        vectors(harness, json!([{ "_id": "a", "v": { "vector": vec![3.0; 32], "content": "red" } }]))
            .accepted();
        let facet = harness.document("u", "a?expose_facets=true")["_tensor_facets"][0].clone();
        assert_eq!(facet["v"], "red");
        let length: f64 = facet["_embedding"]
            .as_array()
            .unwrap()
            .iter()
            .map(|number| number.as_f64().unwrap().powi(2))
            .sum();
        assert!((length - 1.0).abs() < 1e-6);
        assert_eq!(
            facet["_embedding"][0],
            f64::from(1.0_f32 / 32.0_f32.sqrt()),
            "32 bits, printed as a double"
        );
    }),
    ("multimodal-absent", NEW, |harness| {
        multimodal(harness, json!([{ "_id": "a", "title": "mug", "picture": "http://x/p.jpg" }])).accepted();
        assert_eq!(
            harness.document("u", "a"),
            json!({ "_id": "a", "title": "mug", "picture": "http://x/p.jpg" })
        );
        let exposed = harness.document("u", "a?expose_facets=true");
        assert_eq!(exposed["multimodal_params"]["both"]["type"], "multimodal_combination");
        assert_eq!(exposed["_tensor_facets"][0]["both"], r#"{"picture": "http://x/p.jpg", "title": "mug"}"#);
    }),
    ("structured-float", NEW, |harness| {
        harness.add_structured(json!([{ "_id": "a", "price": 19.99 }, { "_id": "b", "price": 5 }, { "_id": "c", "price": 16_777_217 }])).accepted();
        let prices = ["a", "b", "c"].map(|id| harness.document("s", id)["price"].to_string());
        assert_eq!(prices, ["19.99", "5.0", "16777216.0"]);
    }),
    ("structured-kept", NEW, |harness| {
        harness.add_structured(json!([{ "_id": "a", "tags": [] }])).accepted();
        assert_eq!(harness.document("s", "a"), json!({ "_id": "a", "tags": [] }));
    }),
];

/// Adds documents with the multimodal field `both`, one vector for the fields `title` and `picture`.
fn multimodal(harness: &Harness, documents: Value) -> Answer {
    let mapping = json!({ "type": "multimodal_combination", "weights": { "title": 0.3, "picture": 0.7 } });
    let body = json!({ "tensorFields": ["both"], "mappings": { "both": mapping }, "documents": documents });
    harness.post("/indexes/u/documents", body)
}

/// Adds documents with the field `v`, whose vector the client sends.
fn vectors(harness: &Harness, documents: Value) -> Answer {
    let body = json!({ "tensorFields": ["v"], "mappings": { "v": { "type": "custom_vector" } }, "documents": documents });
    harness.post("/indexes/u/documents", body)
}
