//! Rows of the error tables of Marqo's API that are about documents which are added.

use super::{Item, Scenario, good, item};
use marqo_stand_in::{Fault, FaultRule};
use serde_json::{Value, json};

pub(crate) fn scenarios() -> Vec<Scenario> {
    vec![
        Scenario::of("what a server refuses of single documents", of_any_server()).also_validated(),
        Scenario::of("what a server of 2.13 refuses", of_an_old_server()).old().also_validated(),
        Scenario::of("mappings", of_mappings()).settings(MAPPED).also_validated(),
        structured(),
        Scenario::of(
            "a mapping that was another one before",
            vec![good(), item("text-field-changed", json!({ "note": "x" })).fails("invalid-argument")],
        )
        .settings(&["--mappings", r#"{"note":{"type":"text_field","stemming":"none"}}"#])
        .after(json!({
            "tensorFields": [],
            "mappings": { "note": { "type": "text_field", "stemming": "best" } },
            "documents": [{ "_id": "foreign", "note": "x" }],
        })),
        Scenario::of(
            "a collapse field",
            vec![
                item("collapse-field", json!({ "title": "none" })).fails("invalid-argument"),
                item("collapse-field", json!({ "parent": "" })).fails("invalid-argument"),
                Item { fields: json!({ "parent": "p" }), ..good() },
            ],
        )
        .on(json!({ "collapseFields": [{ "name": "parent" }] })),
        Scenario::of(
            "a vector of wrong length among 128, told by the index's own settings",
            among_127(item("vector-dimension", vector(3)).fails("invalid-vector").kept_from_the_server()),
        )
        .settings(VECTORS)
        .on(json!({ "model": "no_model", "modelProperties": { "type": "no_model", "dimensions": 32 } })),
        Scenario::of(
            "a vector of wrong length among 128, told by the server",
            among_127(item("vector-dimension", vector(3)).fails("invalid-argument")),
        )
        .settings(VECTORS)
        .on(json!({ "model": "random/small" })),
        Scenario::of(
            "a vector with other keys",
            vec![
                good(),
                item("vector-dimension", json!({ "v": { "vector": vec![1.0; 32], "colour": "red" } }))
                    .fails("invalid-argument"),
                good(),
            ],
        )
        .settings(VECTORS)
        .on(json!({ "model": "random/small" })),
        too_many("too many string fields", "string-fields-too-many", |_| json!("x")),
        too_many("too many string-array fields", "string-arrays-too-many", |_| json!(["x"])),
        too_many_tensor_fields(),
    ]
}

/// Errors of single documents in all versions of the server.
fn of_any_server() -> Vec<Item> {
    let item_500 = |applied| FaultRule::new(Fault::Item { status: 500, applied });
    let picture = |reason: &str| {
        let (url, reason) = (Some("https://cdn.example/p.jpg".to_owned()), Some(reason.to_owned()));
        FaultRule::new(Fault::Media { url, reason })
    };
    let name = |name: &str| json!({ name: 1 });
    vec![
        good(),
        item("field-name-form", name("a-b")).fails("invalid-field-name"),
        item("field-name-form", name("a.b")).fails("invalid-field-name"),
        item("field-name-form", name("1a")).fails("invalid-field-name"),
        item("field-name-prefix", name("marqo__f")).fails("invalid-field-name"),
        item("field-name-protected", name("_score")).fails("invalid-field-name"),
        item("value-kind", json!({ "f": null })).kept_from_the_server(),
        item("value-kind", json!({ "f": 1 }))
            .told("Field content `None` is not valid")
            .fails("invalid-argument"),
        item("array-kind", json!({ "f": ["a", 1] })).fails("invalid-argument"),
        item("array-kind", json!({ "f": [true] })).fails("invalid-argument"),
        item("array-kind", json!({ "f": [1, 2.5] })).fails("invalid-argument"),
        item("number-array-item", json!({ "f": [1.5, 2.5] })).fails("invalid-argument"),
        item("map-value", json!({ "f": { "a": "text" } })).fails("invalid-argument"),
        item("map-value", json!({ "f": { "a": { "b": 1 } } })).fails("invalid-argument"),
        item("tensor-value", json!({ "title": 1 })).fails("invalid-argument"),
        item("control-character", json!({ "f": "a\u{b}b\u{ffff}" })).kept_from_the_server(),
        item("control-character", json!({ "f": "x" }))
            .told("The document contains invalid characters in the fields.")
            .fails("vespa-error"),
        item("document-too-large", json!({ "f": "😀".repeat(8_400) }))
            .fails("document-too-large")
            .kept_from_the_server(),
        item("document-too-large", json!({ "f": "x" }))
            .told("Document with length `100822` exceeds the allowed document size limit of [100000].")
            .fails("doc-too-large"),
        item("document-empty", json!({ "f": 1 }))
            .told("Can't index an empty dict.")
            .fails("invalid-argument"),
        item("id-empty", json!({ "f": 1 })).id("").fails("invalid-document-id").kept_from_the_server(),
        item("id-empty", json!({ "f": 1 })).told("Document ID can't be empty").fails("invalid-document-id"),
        item("id-not-text", json!({ "f": 1 }))
            .told("Document _id must be a string type! Received _id 7 of type `int`")
            .fails("invalid-document-id"),
        item("item-throttled", json!({}))
            .with(FaultRule::new(Fault::Item { status: 429, applied: false }).next(2)),
        item("item-error", json!({})).with(item_500(false).next(1)),
        item("item-error", json!({})).with(item_500(true).next(1)),
        item("item-other", json!({}))
            .with(FaultRule::new(Fault::Item { status: 409, applied: false }).next(1)),
        item("item-media", json!({})).with(picture("Operation timed out after 3000 milliseconds").next(2)),
        item("item-media", json!({})).with(picture("404 Not Found")).fails("invalid-argument"),
        good(),
    ]
}

/// Errors of single documents that a server of version 2.13 answers otherwise than later ones.
fn of_an_old_server() -> Vec<Item> {
    vec![
        good(),
        item("number-array-batch", json!({ "f": [1, 2] })).fails("backend-data-parsing-error"),
        item("array-kind", json!({ "f": ["a", 1] })).fails("invalid-argument"),
        item("field-name-form", json!({ "a b": 1 })).fails("invalid-field-name"),
        item("document-not-object-item", json!({ "f": 1 }))
            .told("Docs must be dicts")
            .fails("invalid-argument"),
        item("number-array-batch", json!({ "g": [1.5] })).fails("backend-data-parsing-error"),
        good(),
    ]
}

/// Flags of `host settings put` with a field made of two others, and one with custom vectors.
const MAPPED: &[&str] = &[
    "--tensor-field",
    "both",
    "--tensor-field",
    "v",
    "--mappings",
    r#"{"both":{"type":"multimodal_combination","weights":{"title":0.3,"picture":0.7}},"v":{"type":"custom_vector"}}"#,
];

fn of_mappings() -> Vec<Item> {
    vec![
        good(),
        item("multimodal-given", json!({ "both": "x" })).fails("invalid-argument"),
        item("multimodal-sub-field", json!({ "picture": 1 })).fails("invalid-argument"),
        item("vector-zero", json!({ "v": { "vector": vec![0.0; 768] } })).fails("invalid-argument"),
        good(),
    ]
}

/// Errors of a structured index, which has a schema with the fields and their types.
fn structured() -> Scenario {
    let text = |name: &str| json!({ "name": name, "type": "text" });
    let index = json!({
        "type": "structured",
        "model": "random/small",
        "allFields": [
            text("title"), text("note"), text("_mq_content_hash"), text("_mq_job_id"), text("_mq_version_fields"),
            { "name": "price", "type": "float" },
            { "name": "stock", "type": "int" },
            { "name": "tags", "type": "array<text>" },
            { "name": "picture", "type": "image_pointer" },
            {
                "name": "both", "type": "multimodal_combination",
                "dependentFields": { "note": 0.5, "picture": 0.5 },
            },
        ],
        "tensorFields": ["title", "both"],
    });
    let items = vec![
        good(),
        item("field-name-structured", json!({ "__vector_x": 1 })).fails("invalid-field-name"),
        item("structured-field-unknown", json!({ "colour": "red" })).fails("invalid-argument"),
        item("structured-kind", json!({ "stock": "3" })).fails("invalid-argument"),
        item("structured-kind", json!({ "tags": [1] })).fails("invalid-argument"),
        item("structured-range", json!({ "stock": 2_147_483_648_i64 })).fails("invalid-argument"),
        item("structured-range", json!({ "price": 1e39 })).fails("invalid-argument"),
        item("structured-multimodal-given", json!({ "both": "x" })).fails("invalid-argument"),
        good(),
    ];
    Scenario::of("an index with a schema of its own", items).on(index).settings(&[]).also_validated()
}

/// Flags of `host settings put` with a field of custom vectors, and room for 128 documents in a request.
const VECTORS: &[&str] =
    &["--batch-complexity", "1000", "--tensor-field", "v", "--mappings", r#"{"v":{"type":"custom_vector"}}"#];

/// Fields with a custom vector of `length` numbers.
fn vector(length: usize) -> Value {
    json!({ "v": { "vector": vec![1.0; length], "content": "red" } })
}

/// An item among 127 good ones, so that a request is full.
fn among_127(bad: Item) -> Vec<Item> {
    let fine = |_| Item { fields: vector(32), ..good() };
    (0..77).map(fine).chain([bad]).chain((0..50).map(fine)).collect()
}

/// A document with 101 fields, one more than an index without a schema may have of some kinds.
fn too_many_fields(value: fn(usize) -> Value) -> Value {
    (0..101).map(|number| (format!("f{number}"), value(number))).collect()
}

fn too_many(name: &'static str, rule: &'static str, value: fn(usize) -> Value) -> Scenario {
    Scenario::of(name, vec![good(), item(rule, too_many_fields(value)).fails("bad-request"), good()])
}

fn too_many_tensor_fields() -> Scenario {
    let names: Vec<String> = (0..101).map(|number| format!("f{number}")).collect();
    let mapping = json!({ "type": "multimodal_combination", "weights": { "title": 1.0 } });
    let mappings: Value = names.iter().map(|name| (name.clone(), mapping.clone())).collect();
    let mappings = mappings.to_string();
    let flags = names.iter().flat_map(|name| ["--tensor-field", name]).chain(["--mappings", &mappings]);
    let untitled = || Item { fields: json!({ "stock": 1 }), ..good() };
    let titled = item("tensor-fields-too-many", json!({ "title": "A mug" })).fails("bad-request");
    Scenario::of("too many tensor fields", vec![untitled(), titled, untitled()])
        .settings(&flags.collect::<Vec<_>>())
}
