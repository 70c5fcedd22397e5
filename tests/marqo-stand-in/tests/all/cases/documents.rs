//! Documents that are added, and what is read back.

use super::{NEW, OLD};
use crate::rules::Case;
use crate::support::{Answer, Bench};
use serde_json::{Value, json};

pub(crate) const CASES: &[Case] = &[
    ("document-too-large", NEW, |bench| {
        bench.add(json!([{ "_id": "a", "f": "é".repeat(16_000) }])).accepted();
        bench.add(json!([{ "_id": "a", "f": "é".repeat(17_000) }])).item_refused("", 400, "doc_too_large");
        bench.add(json!([{ "_id": "a", "f": "😀".repeat(8_400) }])).item_refused("", 400, "doc_too_large");
        // {"_id": "a", "f": "…"} has 22 characters without the text.
        let text = |length: usize| json!([{ "_id": "a", "f": "x".repeat(length) }]);
        bench.add(text(100_000 - 22 + 1)).accepted();
        bench.add(text(100_000 - 22 + 3)).item_refused("", 400, "doc_too_large");
    }),
    ("document-not-object-item", OLD, |bench| {
        let items = bench.add(json!(["text", { "_id": "a" }])).items();
        assert_eq!(items[0], (String::new(), 400, "invalid_argument".to_owned()));
        assert_eq!(items[1].1, 200);
    }),
    ("document-not-object-batch", NEW, |bench| bench.add(json!(["text", { "_id": "a" }])).misshaped()),
    ("document-empty", NEW, |bench| bench.add(json!([{}])).item_refused("", 400, "invalid_argument")),
    ("id-not-text", NEW, |bench| {
        bench.add(json!([{ "_id": 7 }])).item_refused("", 400, "invalid_document_id");
        bench.add(json!([{ "_id": null, "f": 1 }])).item_refused("", 400, "invalid_document_id");
    }),
    ("id-empty", NEW, |bench| bench.add(json!([{ "_id": "" }])).item_refused("", 400, "invalid_document_id")),
    ("id-made", NEW, |bench| {
        let id = bench.add(json!([{ "f": 1 }])).items()[0].0.clone();
        assert_eq!(id.len(), 36);
        assert_eq!(bench.document("u", &id), json!({ "_id": id, "f": 1 }));
        assert_ne!(
            bench.add(json!([{ "f": 1 }])).items()[0].0,
            id,
            "a second request makes a second document"
        );
    }),
    ("id-cut", NEW, |bench| {
        let items = bench.add(json!([{ "_id": "h#1", "n": 1 }, { "_id": "h#2", "n": 2 }])).items();
        assert_eq!(
            items.iter().map(|(id, status, _)| (id.as_str(), *status)).collect::<Vec<_>>(),
            [("h", 200), ("h", 200)]
        );
        assert_eq!(bench.document("u", "h%231"), json!({ "_id": "h#2", "n": 2 }));
        assert_eq!(bench.stand_in.documents("u").len(), 1);
    }),
    ("id-decoded", NEW, |bench| {
        assert_eq!(bench.add(json!([{ "_id": "a%20b" }])).items()[0].0, "a b");
    }),
    ("id-after-colons", NEW, |bench| {
        let items = bench.add(json!([{ "_id": "a::b" }, { "_id": "x" }, { "_id": "y" }])).items();
        assert_eq!(items.iter().map(|item| item.0.as_str()).collect::<Vec<_>>(), ["x", "b", "y"]);
    }),
    ("duplicate-superseded", NEW, |bench| {
        let answer = bench.add(json!([{ "_id": "a", "n": 1 }, { "_id": "b" }, { "_id": "a", "n": 2 }]));
        assert_eq!(answer.items().iter().map(|item| item.0.as_str()).collect::<Vec<_>>(), ["b", "a"]);
        assert_eq!(bench.document("u", "a")["n"], 2);
        // Even if the last one is refused, the earlier one is not written.
        assert_eq!(bench.add(json!([{ "_id": "c", "n": 1 }, { "_id": "c", "n": null }])).items().len(), 1);
        assert!(!bench.stand_in.documents("u").contains_key("c"));
    }),
    ("replaced-whole", NEW, |bench| {
        bench.add(json!([{ "_id": "a", "n": 1, "m": 2 }])).accepted();
        bench.add(json!([{ "_id": "a", "n": 3 }])).accepted();
        assert_eq!(bench.document("u", "a"), json!({ "_id": "a", "n": 3 }));
    }),
    ("field-name-form", NEW, |bench| {
        for bad in ["a-b", "a.b", "a b", "1a", "", "a::b"] {
            bench.add(json!([{ "_id": "a", bad: 1 }])).item_refused("a", 400, "invalid_field_name");
        }
        bench.add(json!([{ "_id": "a", "_x": 1 }])).accepted();
    }),
    ("field-name-prefix", NEW, |bench| {
        bench.add(json!([{ "_id": "a", "marqo__f": 1 }])).item_refused("a", 400, "invalid_field_name");
    }),
    ("field-name-protected", NEW, |bench| {
        for bad in ["_tensor_facets", "_highlights", "_score", "_found"] {
            bench.add(json!([{ "_id": "a", bad: 1 }])).item_refused("a", 400, "invalid_field_name");
        }
    }),
    ("field-name-structured", NEW, |bench| {
        for bad in ["__vector_x", "__chunks", "__field_name", "_embedding"] {
            bench.add_structured(json!([{ "_id": "a", bad: 1 }])).item_refused(
                "a",
                400,
                "invalid_field_name",
            );
            bench.add(json!([{ "_id": "a", bad: 1 }])).accepted();
        }
    }),
    ("value-kind", NEW, |bench| {
        let answer = bench.add(json!([{ "_id": "a", "f": null }]));
        answer.item_refused("a", 400, "invalid_argument");
        assert!(answer.json()["items"][0]["message"].as_str().unwrap().starts_with("Field content `None`"));
    }),
    ("array-kind", NEW, |bench| {
        for bad in [json!(["a", 1]), json!([true]), json!([1, 2.5]), json!([null]), json!([[]])] {
            bench.add(json!([{ "_id": "a", "f": bad }])).item_refused("a", 400, "invalid_argument");
        }
    }),
    ("number-array-batch", OLD, |bench| {
        let body = bench
            .add(json!([{ "_id": "good" }, { "_id": "a", "f": [1, 2] }]))
            .refused(500, "backend_data_parsing_error");
        assert_eq!(body["type"], "internal");
        assert!(bench.stand_in.documents("u").is_empty());
    }),
    ("number-array-item", NEW, |bench| {
        let items = bench.add(json!([{ "_id": "good" }, { "_id": "a", "f": [1.5, 2.5] }])).items();
        assert_eq!(
            items,
            [("good".to_owned(), 200, String::new()), ("a".to_owned(), 400, "invalid_argument".to_owned())]
        );
    }),
    ("map-value", NEW, |bench| {
        for bad in [json!({ "a": "text" }), json!({ "a": { "b": 1 } }), json!({ "a": null })] {
            bench.add(json!([{ "_id": "a", "f": bad }])).item_refused("a", 400, "invalid_argument");
        }
    }),
    ("control-character", NEW, |bench| {
        let answer = bench.add(json!([{ "_id": "a", "f": "a\u{b}b" }, { "_id": "b", "tags": ["\u{ffff}"] }, { "_id": "c", "f": "tab\tline\n" }]));
        let items = answer.items();
        assert_eq!(items.iter().map(|item| item.1).collect::<Vec<_>>(), [400, 400, 200]);
        assert_eq!((items[0].0.as_str(), items[0].2.as_str()), ("a", "vespa_error"));
        let message = answer.json()["items"][0]["message"].clone();
        assert!(message.as_str().unwrap().starts_with("The document contains invalid characters"));
        assert!(!bench.stand_in.documents("u").contains_key("a"));
    }),
    ("structured-field-unknown", NEW, |bench| {
        bench.add_structured(json!([{ "_id": "a", "colour": "red" }])).item_refused(
            "a",
            400,
            "invalid_argument",
        );
    }),
    ("structured-kind", NEW, |bench| {
        for bad in [
            json!({ "_id": "a", "stock": "3" }),
            json!({ "_id": "a", "tags": [1] }),
            json!({ "_id": "a", "note": null }),
        ] {
            bench.add_structured(json!([bad])).item_refused("a", 400, "invalid_argument");
        }
    }),
    ("structured-range", NEW, |bench| {
        bench.add_structured(json!([{ "_id": "a", "stock": 2_147_483_648_i64 }])).item_refused(
            "a",
            400,
            "invalid_argument",
        );
        bench.add_structured(json!([{ "_id": "a", "price": 1e39 }])).item_refused(
            "a",
            400,
            "invalid_argument",
        );
    }),
    ("structured-multimodal-given", NEW, |bench| {
        bench.add_structured(json!([{ "_id": "a", "both": "x" }])).item_refused("a", 400, "invalid_argument");
    }),
    ("tensor-value", NEW, |bench| {
        let answer = bench.add(json!([{ "_id": "a", "title": 1 }]));
        answer.item_refused("a", 400, "invalid_argument");
        assert!(answer.json()["items"][0]["message"].as_str().unwrap().starts_with("Invalid type"));
    }),
    ("multimodal-given", NEW, |bench| {
        multimodal(bench, json!([{ "_id": "a", "both": "x" }])).item_refused("", 400, "invalid_argument");
    }),
    ("multimodal-sub-field", NEW, |bench| {
        multimodal(bench, json!([{ "_id": "a", "title": 1 }])).item_refused("", 400, "invalid_argument");
    }),
    ("vector-dimension", NEW, |bench| {
        for bad in [
            json!({ "vector": [1.0, 2.0] }),
            json!({ "vector": vec![1.0; 33] }),
            json!({ "vector": vec![1.0; 32], "colour": "red" }),
            json!({ "content": "red" }),
        ] {
            let body = vectors(bench, json!([{ "_id": "good" }, { "_id": "the_bad_one", "v": bad }]))
                .refused(400, "invalid_argument");
            let message = body["message"].as_str().unwrap();
            assert!(!message.contains("the_bad_one"), "the document is not named");
            let inner: Value = serde_json::from_str(message).unwrap();
            assert_eq!(inner[0]["loc"], json!(["__root__"]));
        }
        assert!(bench.stand_in.documents("u").is_empty());
    }),
    ("vector-zero", NEW, |bench| {
        vectors(bench, json!([{ "_id": "a", "v": { "vector": vec![0.0; 32] } }])).item_refused(
            "a",
            400,
            "invalid_argument",
        );
    }),
    ("vector-unlisted", NEW, |bench| {
        let documents = json!([{ "_id": "a", "v": { "vector": vec![1.0; 32], "content": "red" } }]);
        let body = json!({ "tensorFields": [], "mappings": { "v": { "type": "custom_vector" } }, "documents": documents });
        bench.post("/indexes/u/documents", body).accepted();
        assert_eq!(
            bench.document("u", "a?expose_facets=true"),
            json!({ "_id": "a", "v": "red", "_tensor_facets": [] })
        );
    }),
    ("text-field-changed", NEW, |bench| {
        let add = |stemming: &str| {
            let mapping = json!({ "f": { "type": "text_field", "stemming": stemming } });
            bench.post(
                "/indexes/u/documents",
                json!({ "tensorFields": [], "mappings": mapping, "documents": [{ "_id": "a", "f": "x" }] }),
            )
        };
        add("best").accepted();
        add("best").accepted();
        add("none").item_refused("a", 400, "invalid_argument");
    }),
    ("collapse-field", NEW, |bench| {
        bench.post("/indexes/c", json!({ "collapseFields": [{ "name": "group" }] }));
        let add = |document: Value| {
            bench.post("/indexes/c/documents", json!({ "tensorFields": [], "documents": [document] }))
        };
        add(json!({ "_id": "a", "group": "g" })).accepted();
        for bad in
            [json!({ "_id": "a" }), json!({ "_id": "a", "group": 1 }), json!({ "_id": "a", "group": " " })]
        {
            add(bad).item_refused("", 400, "invalid_argument");
        }
    }),
    ("tensors-reused", NEW, |bench| {
        let add = || {
            let body = json!({ "tensorFields": ["title"], "useExistingTensors": true, "documents": [{ "_id": "a", "title": "mug" }] });
            bench.post("/indexes/u/documents", body).accepted();
            bench.stand_in.rules_met().get("tensors-reused").copied()
        };
        assert_eq!([add(), add()], [None, Some(1)]);
    }),
    ("map-flattened", NEW, |bench| {
        bench.add(json!([{ "_id": "a", "dims": { "w": 10, "h": 9.5 } }])).accepted();
        assert_eq!(bench.document("u", "a"), json!({ "_id": "a", "dims.w": 10, "dims.h": 9.5 }));
    }),
    ("map-bool", NEW, |bench| {
        bench.add(json!([{ "_id": "a", "has": { "lid": true, "ear": false }, "is": true }])).accepted();
        assert_eq!(bench.document("u", "a"), json!({ "_id": "a", "has.lid": 1, "has.ear": 0, "is": true }));
    }),
    ("empty-map-absent", NEW, |bench| {
        bench.add(json!([{ "_id": "a", "dims": {}, "text": "" }])).accepted();
        assert_eq!(bench.document("u", "a"), json!({ "_id": "a", "text": "" }));
    }),
    ("empty-array-absent", OLD, |bench| {
        bench.add(json!([{ "_id": "a", "tags": [] }])).accepted();
        assert_eq!(bench.document("u", "a"), json!({ "_id": "a" }));
    }),
    ("empty-array-kept", NEW, |bench| {
        bench.add(json!([{ "_id": "a", "tags": [] }])).accepted();
        assert_eq!(bench.document("u", "a"), json!({ "_id": "a", "tags": [] }));
    }),
    ("vector-content", NEW, |bench| {
        let documents = json!([{ "_id": "a", "v": { "vector": vec![1.0; 32], "content": "red" } }, { "_id": "b", "v": { "vector": vec![1.0; 32] } }]);
        vectors(bench, documents).accepted();
        assert_eq!(
            (&bench.document("u", "a")["v"], &bench.document("u", "b")["v"]),
            (&json!("red"), &json!(""))
        );
    }),
    ("vector-normalised", NEW, |bench| {
        vectors(bench, json!([{ "_id": "a", "v": { "vector": vec![3.0; 32], "content": "red" } }]))
            .accepted();
        let facet = bench.document("u", "a?expose_facets=true")["_tensor_facets"][0].clone();
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
    ("multimodal-absent", NEW, |bench| {
        multimodal(bench, json!([{ "_id": "a", "title": "mug", "picture": "http://x/p.jpg" }])).accepted();
        assert_eq!(
            bench.document("u", "a"),
            json!({ "_id": "a", "title": "mug", "picture": "http://x/p.jpg" })
        );
        let exposed = bench.document("u", "a?expose_facets=true");
        assert_eq!(exposed["multimodal_params"]["both"]["type"], "multimodal_combination");
        assert_eq!(exposed["_tensor_facets"][0]["both"], r#"{"picture": "http://x/p.jpg", "title": "mug"}"#);
    }),
    ("structured-float", NEW, |bench| {
        bench.add_structured(json!([{ "_id": "a", "price": 19.99 }, { "_id": "b", "price": 5 }, { "_id": "c", "price": 16_777_217 }])).accepted();
        let prices = ["a", "b", "c"].map(|id| bench.document("s", id)["price"].to_string());
        assert_eq!(prices, ["19.99", "5.0", "16777216.0"]);
    }),
    ("structured-kept", NEW, |bench| {
        bench.add_structured(json!([{ "_id": "a", "tags": [] }])).accepted();
        assert_eq!(bench.document("s", "a"), json!({ "_id": "a", "tags": [] }));
    }),
];

/// With the tensor field `both`, made of `title` and `picture`.
fn multimodal(bench: &Bench, documents: Value) -> Answer {
    let mapping = json!({ "type": "multimodal_combination", "weights": { "title": 0.3, "picture": 0.7 } });
    let body = json!({ "tensorFields": ["both"], "mappings": { "both": mapping }, "documents": documents });
    bench.post("/indexes/u/documents", body)
}

/// With the custom vector `v`.
fn vectors(bench: &Bench, documents: Value) -> Answer {
    let body = json!({ "tensorFields": ["v"], "mappings": { "v": { "type": "custom_vector" } }, "documents": documents });
    bench.post("/indexes/u/documents", body)
}
