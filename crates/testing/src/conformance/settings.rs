//! Checks of [`host_core::storage::Settings`], the store of each index's settings: JSON objects that it does not
//! interpret.

use super::Backend;
use futures::future::join_all;
use host_core::storage::{IndexDocument, StoreErrorKind};
use serde_json::{Value, json};

fn document(json: Value) -> IndexDocument {
    serde_json::from_value(json).unwrap()
}

/// Values of every kind.
fn full() -> IndexDocument {
    document(json!({
        "endpoint": "https://marqo.example.com",
        "fallback_endpoint": null,
        "cloud": true,
        "api_key": "key \"with\" \u{e4}",
        "tensor_fields": ["title", "look"],
        "mappings": {"look": {"type": "multimodal_combination", "weights": {"title": 0.3, "image": 0.7}}},
        "batch_documents": 128,
    }))
}

pub async fn settings_come_back_as_they_were_put(backend: &Backend) {
    let (settings, default) = (&backend.stores.settings, IndexDocument::default());
    for (name, put) in [(backend.name("full"), full()), (backend.name("default"), default)] {
        for _ in 0..2 {
            settings.put(&name, &put).await.unwrap();
            assert_eq!(settings.get(&name).await.unwrap().as_ref(), Some(&put));
        }
    }
}

pub async fn settings_are_replaced_as_a_whole(backend: &Backend) {
    let (settings, name, other) = (&backend.stores.settings, backend.name("index"), backend.name("index"));
    for name in [&name, &other] {
        settings.put(name, &full()).await.unwrap();
    }
    settings.put(&name, &IndexDocument::default()).await.unwrap();
    assert_eq!(settings.get(&name).await.unwrap(), Some(IndexDocument::default()));
    assert_eq!(settings.get(&other).await.unwrap(), Some(full()));
}

pub async fn indexes_are_listed_in_their_order(backend: &Backend) {
    let settings = &backend.stores.settings;
    let prefix = backend.name("index");
    let mut names = ["10", "9", "B", "a", "_", "-"].map(|name| format!("{prefix}{name}"));
    for name in &names {
        settings.put(name, &IndexDocument::default()).await.unwrap();
    }
    names.sort_unstable();
    let mut listed = settings.list().await.unwrap();
    assert!(listed.is_sorted(), "{listed:?}");
    listed.retain(|name| name.starts_with(&prefix));
    assert_eq!(listed, names);
}

pub async fn an_index_without_settings_has_none(backend: &Backend) {
    let name = backend.name("index");
    assert_eq!(backend.stores.settings.get(&name).await.unwrap(), None);
    backend.stores.settings.put(&name.to_uppercase(), &full()).await.unwrap();
    assert_eq!(backend.stores.settings.get(&name).await.unwrap(), None, "case matters");
}

pub async fn records_of_other_versions_are_returned_as_they_are(backend: &Backend) {
    let (settings, name) = (&backend.stores.settings, backend.name("index"));
    (backend.insert_raw_settings)(backend, &name, r#"{"endpoint": "http://localhost", "flavour": "sour"}"#);
    let expected = document(json!({"endpoint": "http://localhost", "flavour": "sour"}));
    assert_eq!(settings.get(&name).await.unwrap(), Some(expected));
    assert!(settings.list().await.unwrap().contains(&name));
    let damaged = backend.name("index");
    (backend.insert_raw_settings)(backend, &damaged, "[]");
    assert_eq!(settings.get(&damaged).await.unwrap_err().kind, StoreErrorKind::Corrupt);
}

pub async fn of_many_puts_at_once_one_stays_whole(backend: &Backend) {
    let (settings, name) = (&backend.stores.settings, backend.name("index"));
    let variants: Vec<IndexDocument> = (1..=16)
        .map(|number| document(json!({"endpoint": format!("http://{number}"), "batch_documents": number})))
        .collect();
    let puts = join_all(variants.iter().map(|variant| settings.put(&name, variant))).await;
    assert!(puts.iter().all(Result::is_ok));
    let stored = settings.get(&name).await.unwrap().unwrap();
    assert!(variants.contains(&stored), "{stored:?}");
    assert_eq!(settings.list().await.unwrap().iter().filter(|listed| **listed == name).count(), 1);
}

pub async fn removed_settings_are_gone(backend: &Backend) {
    let (settings, name, other) = (&backend.stores.settings, backend.name("index"), backend.name("index"));
    for name in [&name, &other] {
        settings.put(name, &full()).await.unwrap();
    }
    assert!(settings.delete(&name).await.unwrap());
    assert!(!settings.delete(&name).await.unwrap());
    assert_eq!(settings.get(&name).await.unwrap(), None);
    assert_eq!(settings.get(&other).await.unwrap(), Some(full()));
}
