//! Rows of the error tables of Marqo's API that are about partial updates, removals and reads.

use super::{INDEX, Item, Scenario, good, item, post, refused};
use crate::support::{SHOP, TestDir};
use marqo_stand_in::{Fault, FaultRule, Operation, Options, StandIn};
use serde_json::{Value, json};

pub(crate) fn scenarios() -> Vec<Scenario> {
    vec![
        Scenario::of("updates of an index without a schema", of_no_schema()).updating(),
        Scenario::of("updates of an index with a schema", of_a_schema())
            .updating()
            .old()
            .on(schema())
            .settings(&[]),
        Scenario::stopping(
            "patch-unsupported",
            refused("patch-unsupported", UNSUPPORTED).on(Operation::Patch),
        )
        .with_items(vec![stored()])
        .updating(),
        Scenario::passing(
            "more updates than are allowed",
            Some("patch-too-many"),
            refused("patch-too-many", TOO_MANY_UPDATES).on(Operation::Patch).next(1),
        )
        .with_items(vec![stored(), stored(), stored()])
        .updating(),
        Scenario::of(
            "removals",
            vec![
                removal().with(
                    FaultRule::new(Fault::Item { status: 503, applied: false }).on(Operation::Delete).next(2),
                ),
                removal(),
                Item { rule: None, ..removal() },
            ],
        ),
        Scenario {
            items: vec![removal_refused(), removal_refused()],
            faults: vec![refused("delete-too-many", TOO_MANY_REMOVALS).on(Operation::Delete)],
            ..Scenario::of("more removals than are allowed", Vec::new())
        },
        Scenario::passing(
            "500 while deleting",
            Some("internal"),
            FaultRule::new(Fault::Internal).on(Operation::Delete).next(1),
        )
        .with_items(vec![Item { rule: None, ..removal() }]),
        Scenario::of(
            "documents that are not there yet",
            vec![item("get-missing", json!({ "title": "New" }))],
        ),
    ]
}

const UNSUPPORTED: &str = "Partial document update is not supported for unstructured indexes. Please use add_documents \
                           with use_existing_tensor=True instead";
const TOO_MANY_UPDATES: &str =
    "Number of docs in update_documents request (3) exceeds limit of 2. If using the Python client, …";
const TOO_MANY_REMOVALS: &str = "The number of documentIds to delete `2` is greater than the limit `1` set by the env var \
                                 `MARQO_MAX_DELETE_DOCS_COUNT`. ";

impl Scenario {
    fn with_items(self, items: Vec<Item>) -> Self {
        Self { items, ..self }
    }
}

/// Updates of documents in an index without a schema.
fn of_no_schema() -> Vec<Item> {
    let was = json!({ "title": "A mug", "note": "blue", "price": 20, "tags": ["x"], "dims": { "w": 1 } });
    let refused = |rule, fields| item(rule, fields).was(was.clone()).fails("update-refused");
    vec![
        Item {
            rule: None,
            ..item("", json!({ "price": 21, "note": "red", "is_new": true })).was(was.clone())
        },
        item("patch-refused", json!({ "price": 1 })).fails("document-not-found"),
        refused("patch-refused", json!({ "price": 19.99 })),
        refused("patch-tensor-field", json!({ "title": "A cup" }))
            .fails("tensor-field-update")
            .kept_from_the_server(),
        refused("patch-string-unknown", json!({ "colour": "red" })),
        refused("patch-string-unknown", json!({ "sizes": ["s"] })),
        refused("patch-value", json!({ "dims": { "w": "wide" } })),
        item("patch-value", json!({ "price": null })).was(was.clone()).kept_from_the_server(),
        refused("patch-without-id", json!({ "price": 21 }))
            .told("'_id' is a required field in a partial update"),
        refused("patch-id-bad", json!({ "price": 21 })).told("Document ID can't be empty"),
        Item { rule: None, ..item("", json!({ "price": 22 })).was(was.clone()) },
    ]
}

/// The body that creates an index with a schema.
fn schema() -> Value {
    let text = |name: &str| json!({ "name": name, "type": "text" });
    json!({
        "type": "structured",
        "model": "random/small",
        "allFields": [
            text("title"), text("note"), text("_mq_content_hash"), text("_mq_job_id"), text("_mq_version_fields"),
            { "name": "stock", "type": "int" },
            { "name": "picture", "type": "image_pointer" },
            {
                "name": "both", "type": "multimodal_combination",
                "dependentFields": { "note": 0.5, "picture": 0.5 },
            },
        ],
        "tensorFields": ["title", "both"],
    })
}

/// Updates of documents in an index with a schema.
fn of_a_schema() -> Vec<Item> {
    let was = json!({ "title": "A mug", "stock": 1 });
    let refused = |rule, fields| item(rule, fields).was(was.clone()).fails("update-refused");
    vec![
        Item { rule: None, ..item("", json!({ "stock": 2 })).was(was.clone()) },
        item("patch-missing", json!({ "stock": 1 })).fails("document-not-found"),
        refused("patch-field-unknown", json!({ "colour": "red" })),
        refused("patch-tensor-field", json!({ "title": "A cup" }))
            .fails("tensor-field-update")
            .kept_from_the_server(),
        refused("patch-tensor-field", json!({ "stock": 2 }))
            .told("title is a tensor field and cannot be updated"),
        refused("patch-sub-field", json!({ "note": "x" })),
        refused("patch-value", json!({ "stock": "3" })),
    ]
}

/// A good update of a document that is in the index.
fn stored() -> Item {
    Item { fields: json!({ "price": 2 }), before: Some(json!({ "title": "A mug", "price": 1 })), ..good() }
}

/// The removal of a document that is in the index.
fn removal() -> Item {
    item("delete-error", json!({ "removed": true })).was(json!({ "title": "A mug" }))
}

/// A removal that fails because its request has too many.
fn removal_refused() -> Item {
    Item { rule: Some("delete-too-many"), ..removal() }.fails("invalid-argument")
}

/// Rules that only a listing of documents can meet, which searches.
pub(crate) const LISTING: &[&str] = &["search-limit", "search-window", "search-timeout"];

#[test]
fn listing_says_what_the_server_says() {
    let server = StandIn::start(Options { indexes: vec![INDEX.to_owned()], ..Options::default() }).unwrap();
    post(
        server.url(),
        &format!("/indexes/{INDEX}/documents"),
        &json!({ "tensorFields": [], "documents": [{}, { "n": 1 }] }),
    );
    let test_dir = TestDir::new();
    let put = test_dir.host(&["settings", "put", INDEX, "--data-dir", "data", "--endpoint", server.url()]);
    assert_eq!(put.code, Some(0), "{put:?}");
    for (rule, code, words) in [
        ("search-limit", 2, "The search result limit must be less than 1000"),
        ("search-window", 2, "The search result limit + offset must be less than 10000"),
        // A timeout may be chance, so host sends the request again.
        ("search-timeout", 0, ""),
    ] {
        server.set_faults(&[refused(rule, words).on(Operation::Search).next(1)]);
        let to = ["--target", "marqo", "--index", INDEX, "--shop", SHOP, "--data-dir", "data"];
        let listed = test_dir.host(&[&["documents", "list"][..], &to].concat());
        assert_eq!(listed.code, Some(code), "{rule}: {listed:?}");
        assert!(listed.stderr.contains(words), "{rule}: {listed:?}");
        assert!(server.rules_met().contains_key(rule), "{rule}");
    }
}
