//! Checks of [`host_core::index::Index`]. The job of a target is `job-1` unless a check changes it.

use super::IndexBackend;
use crate::build::{id, removals, write};
use host_core::{
    index::{Index, Outcome, Removal, StoredVersion, Write, WriteTarget},
    model::Document,
};
use serde_json::{Map, Value, json};

/// Writes documents, all of which must be accepted.
async fn put(backend: &IndexBackend, target: &WriteTarget, writes: &[Write]) {
    let outcomes = backend.index.write(target, writes).await.unwrap();
    assert!(
        outcomes.len() == writes.len() && outcomes.iter().all(|outcome| *outcome == Outcome::Done),
        "{outcomes:?}"
    );
}

/// What `get` must return after a write: its fields, and those that the host adds.
pub fn as_stored(write: &Write, job_id: &str) -> Map<String, Value> {
    let mut stored = write.document.fields.clone();
    stored.extend(write.version.clone());
    stored.insert("_id".to_owned(), write.document.id.as_str().into());
    stored.insert("_mq_job_id".to_owned(), job_id.into());
    stored.insert("_mq_content_hash".to_owned(), write.content_hash.clone().into());
    stored
}

/// Asserts that the index has the document as it was written.
async fn holds(index: &dyn Index, target: &WriteTarget, write: &Write) {
    let got = index.get(target, &write.document.id).await.unwrap();
    assert_eq!(got, Some(as_stored(write, &target.job_id)));
}

pub async fn a_document_comes_back_as_it_was_written(backend: &IndexBackend) {
    let target = backend.target();
    let writes = [
        write(
            "plain",
            json!({"title": "Mug", "n": 1, "price": 19.95, "float": 20.0, "tags": ["a", "b"], "new": true}),
        ),
        write("empty", json!({})),
        write("unicode", json!({"title": "Größe \u{1F600} \"quoted\" \\ end", "empty": ""})),
        write("versioned", json!({"updated_at": "2026-01-01T00:00:00Z"})),
    ];
    put(backend, &target, &writes).await;
    for write in &writes {
        holds(&*backend.index, &target, write).await;
    }
}

pub async fn whatever_json_can_say_comes_back(backend: &IndexBackend) {
    let target = backend.target();
    let writes = [
        write("null", json!({"nothing": null, "nested": {"a": [1, {"b": "c"}]}})),
        write("control", json!({"title": "\u{0} end", "": ""})),
    ];
    put(backend, &target, &writes).await;
    for write in &writes {
        holds(&*backend.index, &target, write).await;
    }
}

pub async fn a_document_is_replaced_as_a_whole(backend: &IndexBackend) {
    let target = backend.target();
    put(backend, &target, &[write("1", json!({"title": "old", "only_old": true}))]).await;
    let new = write("1", json!({"title": "new"}));
    put(backend, &target, std::slice::from_ref(&new)).await;
    holds(&*backend.index, &target, &new).await;
    assert_eq!(backend.index.count(&target).await.unwrap(), 1);
}

pub async fn an_update_changes_what_it_gives_and_nothing_else(backend: &IndexBackend) {
    let mut target = backend.target();
    let full = write(
        "1",
        json!({"title": "Mug", "price": 20.0, "updated_at": "2026-01-01T00:00:00Z",
            "variants": [{"id": "a", "sku": "A", "price": "1", "attributes": {"Size": "M"}}, {"id": 2}]}),
    );
    put(backend, &target, &[full.clone(), write("other", json!({"title": "Cup"}))]).await;
    target.job_id = "job-2".to_owned();
    for (fields, expected) in [
        (json!({"price": 21.5, "stock": 3}), json!({"title": "Mug", "price": 21.5, "stock": 3})),
        (
            json!({"stock": 2, "updated_at": "2026-01-02T00:00:00Z"}),
            json!({"title": "Mug", "price": 21.5, "stock": 2, "updated_at": "2026-01-02T00:00:00Z"}),
        ),
        (
            json!({"variants": [{"id": "a", "sku": "B"}]}),
            json!({"title": "Mug", "price": 21.5, "stock": 2, "updated_at": "2026-01-02T00:00:00Z",
                "variants": [{"id": "a", "sku": "B"}]}),
        ),
    ] {
        let update = write("1", fields);
        // Updates are idempotent.
        for _ in 0..2 {
            let outcomes = backend.index.update(&target, std::slice::from_ref(&update)).await.unwrap();
            assert_eq!(outcomes, [Outcome::Done]);
            let mut stored = full.document.fields.clone();
            stored.extend(expected.as_object().unwrap().clone());
            let expected =
                Write { document: Document { fields: stored, ..full.document.clone() }, ..update.clone() };
            holds(&*backend.index, &target, &expected).await;
            let stored = backend.index.stored(&target, &[id("1")]).await.unwrap().remove(0).unwrap();
            assert_eq!(stored.content_hash.as_ref(), Some(&update.content_hash));
            assert_eq!(stored.job_id.as_deref(), Some("job-2"));
            assert!(stored.version.contains_key("updated_at"), "a version that is not given stays");
        }
    }
    assert_eq!(backend.index.get(&target, &id("other")).await.unwrap().unwrap()["title"], "Cup");
}

pub async fn an_update_that_cannot_be_is_refused_alone(backend: &IndexBackend) {
    let target = backend.target();
    put(backend, &target, &[write("1", json!({"title": "Mug"})), write("2", json!({"title": "Cup"}))]).await;
    let updates = [
        write("none", json!({"title": "Jug"})),
        write("1", json!({"title": "New mug"})),
        write("2", json!({"title": "New cup", "variants": [{"sku": "without id"}]})),
    ];
    let outcomes = backend.index.update(&target, &updates).await.unwrap();
    let codes: Vec<_> = outcomes
        .iter()
        .map(|outcome| match outcome {
            Outcome::Done => "done",
            Outcome::Refused { code, .. } => code,
            Outcome::Conflict => "conflict",
        })
        .collect();
    assert_eq!(codes, ["document-not-found", "done", "invalid-variant"]);
    assert_eq!(backend.index.list(&target, None, 10).await.unwrap(), [id("1"), id("2")]);
    for (name, title) in [("1", "New mug"), ("2", "Cup")] {
        assert_eq!(backend.index.get(&target, &id(name)).await.unwrap().unwrap()["title"], title);
    }
    assert_eq!(backend.index.update(&target, &[]).await.unwrap(), []);
}

pub async fn versions_are_read_in_the_order_asked(backend: &IndexBackend) {
    let target = backend.target();
    let (a, b) = (write("a", json!({"updated_at": "2026-01-01T00:00:00Z"})), write("b", json!({})));
    put(backend, &target, &[a.clone(), b.clone()]).await;
    let stored = |write: &Write| {
        Some(StoredVersion {
            version: write.version.clone(),
            content_hash: Some(write.content_hash.clone()),
            job_id: Some(target.job_id.clone()),
            is_archived: false,
        })
    };
    let found = backend.index.stored(&target, &[id("b"), id("none"), id("a"), id("b")]).await.unwrap();
    assert_eq!(found, [stored(&b), None, stored(&a), stored(&b)]);
    assert_eq!(backend.index.stored(&target, &[]).await.unwrap(), []);
}

pub async fn the_latest_writer_is_remembered(backend: &IndexBackend) {
    let mut target = backend.target();
    let same = write("1", json!({"title": "Mug"}));
    put(backend, &target, std::slice::from_ref(&same)).await;
    target.job_id = "job-2".to_owned();
    put(backend, &target, std::slice::from_ref(&same)).await;
    holds(&*backend.index, &target, &same).await;
    let stored = backend.index.stored(&target, &[id("1")]).await.unwrap().remove(0).unwrap();
    assert_eq!(stored.job_id.as_deref(), Some("job-2"));
}

pub async fn removal_is_done_also_for_what_is_not_there(backend: &IndexBackend) {
    let target = backend.target();
    put(backend, &target, &[write("1", json!({"variants": [{"id": 1}]})), write("2", json!({}))]).await;
    for _ in 0..2 {
        let outcomes = backend.index.delete(&target, &removals(&[id("1"), id("none")])).await.unwrap();
        assert_eq!(outcomes, [Outcome::Done, Outcome::Done]);
        assert_eq!(backend.index.get(&target, &id("1")).await.unwrap(), None);
        assert_eq!(backend.index.count(&target).await.unwrap(), 1);
    }
}

/// To archive is to keep a document out of lists, counts and reads. An index that cannot archive removes it.
pub async fn an_archived_document_is_out_of_sight_until_it_is_written_again(backend: &IndexBackend) {
    let target = backend.target();
    let (gone, stays) = (write("1", json!({"title": "Mug"})), write("2", json!({})));
    put(backend, &target, &[gone.clone(), stays]).await;
    let archive = Removal { archives: true, ..Removal::of(id("1")) };
    for _ in 0..2 {
        let outcomes = backend.index.delete(&target, std::slice::from_ref(&archive)).await.unwrap();
        assert_eq!(outcomes, [Outcome::Done]);
        assert_eq!(backend.index.get(&target, &id("1")).await.unwrap(), None);
        assert_eq!(backend.index.list(&target, None, 10).await.unwrap(), [id("2")]);
        assert_eq!(backend.index.count(&target).await.unwrap(), 1);
        if let Some(kept) = backend.index.stored(&target, &[id("1")]).await.unwrap().remove(0) {
            assert_eq!((kept.is_archived, kept.version), (true, gone.version.clone()));
        }
    }
    put(backend, &target, std::slice::from_ref(&gone)).await;
    holds(&*backend.index, &target, &gone).await;
    assert_eq!(backend.index.count(&target).await.unwrap(), 2);
}

pub async fn ids_are_listed_in_order_and_in_pages(backend: &IndexBackend) {
    let target = backend.target();
    assert_eq!(backend.index.count(&target).await.unwrap(), 0);
    let mut names = ["10", "9", "B", "a", "~", "-", "A.b_c~d-e"];
    put(backend, &target, &names.map(|name| write(name, json!({})))).await;
    names.sort_unstable();
    let mut listed = Vec::new();
    loop {
        let page = backend.index.list(&target, listed.last(), 3).await.unwrap();
        assert!(page.len() <= 3);
        if page.is_empty() {
            break;
        }
        listed.extend(page);
    }
    assert_eq!(listed, names.map(id));
    assert_eq!(backend.index.count(&target).await.unwrap(), names.len() as u64);
}

pub async fn indexes_are_kept_apart(backend: &IndexBackend) {
    let products = backend.target();
    let other = WriteTarget { index_name: "other".to_owned(), ..products.clone() };
    put(backend, &products, &[write("1", json!({"title": "one"}))]).await;
    put(backend, &other, &[write("1", json!({"title": "two"}))]).await;
    backend.index.delete(&other, &removals(&[id("1")])).await.unwrap();
    assert_eq!(backend.index.list(&products, None, 10).await.unwrap(), [id("1")]);
    assert_eq!(backend.index.count(&other).await.unwrap(), 0);
    let kept = backend.index.get(&products, &id("1")).await.unwrap().unwrap();
    assert_eq!(kept["title"], "one");
}

pub async fn shops_are_kept_apart(backend: &IndexBackend) {
    let own = backend.target();
    let other_index = WriteTarget { index_name: "other".to_owned(), ..own.clone() };
    let other_shop = backend.target();
    put(backend, &own, &[write("1", json!({"title": "one", "variants": [{"id": 1, "sku": "one"}]}))]).await;
    put(backend, &other_index, &[write("1", json!({"title": "two", "variants": [{"id": 1, "sku": "two"}]}))])
        .await;
    assert_eq!(backend.index.get(&other_shop, &id("1")).await.unwrap(), None);
    let kept = backend.index.get(&own, &id("1")).await.unwrap().unwrap();
    assert_eq!(kept["variants"], json!([{"id": 1, "sku": "one"}]));
}

pub async fn a_shop_is_removed_where_shops_are_kept_apart(backend: &IndexBackend) {
    let (index, removed, kept) = (&backend.index, backend.target(), backend.target());
    let other_index = WriteTarget { index_name: "other".to_owned(), ..removed.clone() };
    let writes = [write("1", json!({"variants": [{"id": 1, "sku": "one"}]})), write("2", json!({}))];
    put(backend, &removed, &writes).await;
    let archived = Removal { archives: true, ..Removal::of(id("2")) };
    index.delete(&removed, &[archived]).await.unwrap();
    put(backend, &other_index, &writes[..1]).await;
    put(backend, &kept, &writes).await;
    assert!(index.is_per_shop());
    // Two products in one index, of which one is archived, and one in the other.
    for expected in [3, 0] {
        assert_eq!(index.remove_shop(&removed).await.unwrap(), Some(expected));
        for target in [&removed, &other_index] {
            let stored = index.stored(target, &[id("1"), id("2")]).await.unwrap();
            assert_eq!((index.count(target).await.unwrap(), stored), (0, vec![None, None]));
        }
    }
    assert_eq!(index.count(&kept).await.unwrap(), 2);
    put(backend, &removed, &writes).await;
    assert_eq!(index.count(&removed).await.unwrap(), 2);
}

pub async fn an_update_changes_the_given_fields_alone(backend: &IndexBackend) {
    let target = backend.target();
    let old = json!({"title": "Mug", "price": 20.0, "stock": 7, "updated_at": "2026-01-01T00:00:00Z"});
    put(backend, &target, &[write("1", old.clone()), write("2", old.clone())]).await;
    let change = write("1", json!({"price": 19.95, "stock": 0, "updated_at": "2026-02-01T00:00:00Z"}));
    let later = WriteTarget { job_id: "job-2".to_owned(), ..target.clone() };
    for _ in 0..2 {
        let outcomes = backend.index.update(&later, std::slice::from_ref(&change)).await.unwrap();
        assert_eq!(outcomes, [Outcome::Done]);
        let mut whole = change.clone();
        whole.document.fields.insert("title".to_owned(), "Mug".into());
        holds(&*backend.index, &later, &whole).await;
        let stored = backend.index.stored(&target, &[id("1")]).await.unwrap().remove(0).unwrap();
        let (content_hash, job_id) = (Some(change.content_hash.clone()), Some("job-2".to_owned()));
        let version = change.version.clone();
        assert_eq!(stored, StoredVersion { version, content_hash, job_id, is_archived: false });
    }
    holds(&*backend.index, &target, &write("2", old)).await;
}

pub async fn an_update_creates_nothing(backend: &IndexBackend) {
    let target = backend.target();
    put(backend, &target, &[write("1", json!({"stock": 1}))]).await;
    let changes = [write("none", json!({"stock": 2})), write("1", json!({"stock": 2}))];
    let outcomes = backend.index.update(&target, &changes).await.unwrap();
    assert!(
        matches!(outcomes.as_slice(), [Outcome::Refused { code, .. }, Outcome::Done] if code == "document-not-found"),
        "{outcomes:?}"
    );
    assert_eq!(backend.index.list(&target, None, 10).await.unwrap(), [id("1")]);
    assert_eq!(backend.index.get(&target, &id("1")).await.unwrap().unwrap()["stock"], 2);
}

pub async fn an_update_of_a_product_keeps_its_variants(backend: &IndexBackend) {
    let target = backend.target();
    let variants = json!([{"id": "1", "sku": "a", "attributes": {"Color": "red"}}, {"id": "2"}]);
    put(backend, &target, &[write("1", json!({"title": "old", "variants": variants}))]).await;
    let change = write("1", json!({"title": "new"}));
    backend.index.update(&target, std::slice::from_ref(&change)).await.unwrap();
    let mut whole = change;
    whole.document.fields.insert("variants".to_owned(), variants);
    holds(&*backend.index, &target, &whole).await;
}

pub async fn variants_come_back_exactly_and_in_order(backend: &IndexBackend) {
    let target = backend.target();
    let variants = json!([
        {"id": "30", "sku": "M-R", "price": "19.90", "attributes": {"Color": "red", "Size": "M"}, "stock": 3},
        {"id": 10, "sku": null, "price": 19.9, "attributes": {"Weight": 1.5, "Color": "blue", "Old": null}},
        {"id": 9007199254740993u64, "price": {"amount": "1", "currency": "EUR"}, "attributes": {}},
        {"id": "x", "attributes": [{"name": "Color", "value": "a"}, {"name": "Color", "value": "b"}, 7]},
        {"id": "y", "sku": "nul \u{0} in it", "attributes": {"a\u{0}": "b"}},
        {"id": "z", "sku": "", "price": "", "attributes": "none", "title": "Zed"},
    ]);
    let full = write("1", json!({"title": "Shirt", "variants": variants}));
    put(backend, &target, std::slice::from_ref(&full)).await;
    holds(&*backend.index, &target, &full).await;

    // Of the variants, some vanish, one moves, one changes and one is new.
    let variants = json!([
        {"id": "z", "attributes": {"Color": "green"}},
        {"id": "30", "sku": "M-R", "price": "21.90", "attributes": {"Color": "red", "Fit": "slim"}},
        {"id": "new"},
    ]);
    let fewer = write("1", json!({"title": "Shirt", "variants": variants}));
    put(backend, &target, std::slice::from_ref(&fewer)).await;
    holds(&*backend.index, &target, &fewer).await;

    let none = write("1", json!({"variants": []}));
    put(backend, &target, std::slice::from_ref(&none)).await;
    holds(&*backend.index, &target, &none).await;
}

pub async fn a_new_variant_takes_nothing_over_from_one_that_vanished(backend: &IndexBackend) {
    let target = backend.target();
    for variants in [
        json!([{"id": 1, "attributes": {"Color": "red"}}]),
        json!([{"id": 2, "attributes": {"Color": "red"}}]),
        json!([{"id": 3}]),
        json!([{"id": 4, "attributes": {"Color": "red"}}]),
    ] {
        let product = write("1", json!({"variants": variants}));
        put(backend, &target, std::slice::from_ref(&product)).await;
        holds(&*backend.index, &target, &product).await;
    }
}

pub async fn a_bad_variant_refuses_its_document_alone(backend: &IndexBackend) {
    let target = backend.target();
    let bad = [
        json!({"variants": ["text"]}),
        json!({"variants": [{"id": "1"}, {"sku": "no id"}]}),
        json!({"variants": [{"id": null}]}),
        json!({"variants": [{"id": 1.5}]}),
        json!({"variants": [{"id": ""}]}),
        json!({"variants": [{"id": "1"}, {"id": 1}]}),
        json!({"variants": {"id": "1"}}),
        json!({"variants": null}),
    ];
    let old = write("0", json!({"title": "old"}));
    put(backend, &target, std::slice::from_ref(&old)).await;
    let mut writes: Vec<Write> =
        bad.into_iter().enumerate().map(|(at, fields)| write(&at.to_string(), fields)).collect();
    let good = write("good", json!({"variants": [{"id": "1"}]}));
    writes.insert(3, good.clone());
    let outcomes = backend.index.write(&target, &writes).await.unwrap();
    for (at, outcome) in outcomes.iter().enumerate() {
        match outcome {
            Outcome::Done => assert_eq!(at, 3),
            Outcome::Refused { code, message } => {
                assert_eq!(code, "invalid-variant");
                assert!(at != 3 && message.contains("variant"), "{message}");
            }
            Outcome::Conflict => panic!("there is no other writer"),
        }
    }
    assert_eq!(backend.index.list(&target, None, 10).await.unwrap(), [id("0"), id("good")]);
    holds(&*backend.index, &target, &old).await;
    holds(&*backend.index, &target, &good).await;
}

pub async fn a_reader_never_sees_half_a_product(backend: &IndexBackend) {
    let target = backend.target();
    // The number is in the title and in each variant.
    let version = |number: usize| {
        let text = number.to_string();
        let variants: Vec<Value> =
            (0..40).map(|id| json!({"id": id, "sku": text, "attributes": {"n": text}})).collect();
        write("1", json!({"title": text, "variants": variants}))
    };
    let versions: Vec<_> = (0..30).map(version).collect();
    put(backend, &target, &versions[..1]).await;
    let writer = async {
        for version in &versions {
            put(backend, &target, std::slice::from_ref(version)).await;
        }
    };
    let reader = async {
        for _ in 0..100 {
            let got = backend.index.get(&target, &id("1")).await.unwrap().unwrap();
            let number: usize = got["title"].as_str().unwrap().parse().unwrap();
            assert_eq!(got, as_stored(&versions[number], &target.job_id));
        }
    };
    futures::join!(writer, reader);
}
