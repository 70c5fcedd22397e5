//! Checks of [`host_core::storage::Settings`].

use crate::make::Backend;
use futures::future::join_all;
use host_core::{
    error::chain,
    model::{IndexSettings, Secret},
};
use serde_json::json;

/// No field as it is by default.
fn full() -> IndexSettings {
    let object = |value: serde_json::Value| value.as_object().unwrap().clone();
    IndexSettings {
        endpoint: "https://marqo.example.com".to_owned(),
        fallback_endpoint: Some("http://10.0.0.1:8882".to_owned()),
        cloud: true,
        api_key: Some(Secret::new("key \"with\" \u{e4}")),
        tensor_fields: vec!["title".to_owned(), "look".to_owned()],
        mappings: object(json!({
            "look": {"type": "multimodal_combination", "weights": {"title": 0.3, "image": 0.7}},
            "taste": {"type": "custom_vector"},
        })),
        use_existing_tensors: false,
        media_download_headers: object(json!({"x-token": "t"})),
        batch_documents: 1,
        batch_bytes: 2,
        batch_complexity: 3,
        concurrency: 4,
        readback: true,
    }
}

pub(crate) async fn settings_come_back_as_they_were_put(backend: &Backend) {
    let (settings, default) = (&backend.stores.settings, IndexSettings::default());
    for (name, put) in [(backend.name("full"), full()), (backend.name("default"), default)] {
        for _ in 0..2 {
            settings.put(&name, &put).await.unwrap();
            assert_eq!(settings.get(&name).await.unwrap().as_ref(), Some(&put));
        }
    }
}

pub(crate) async fn settings_are_replaced_as_a_whole(backend: &Backend) {
    let (settings, name, other) = (&backend.stores.settings, backend.name("index"), backend.name("index"));
    for name in [&name, &other] {
        settings.put(name, &full()).await.unwrap();
    }
    settings.put(&name, &IndexSettings::default()).await.unwrap();
    assert_eq!(settings.get(&name).await.unwrap(), Some(IndexSettings::default()));
    assert_eq!(settings.get(&other).await.unwrap(), Some(full()));
}

pub(crate) async fn indexes_are_listed_in_their_order(backend: &Backend) {
    let settings = &backend.stores.settings;
    let prefix = backend.name("index");
    let mut names = ["10", "9", "B", "a", "_", "-"].map(|name| format!("{prefix}{name}"));
    for name in &names {
        settings.put(name, &IndexSettings::default()).await.unwrap();
    }
    names.sort_unstable();
    let mut listed = settings.list().await.unwrap();
    assert!(listed.is_sorted(), "{listed:?}");
    listed.retain(|name| name.starts_with(&prefix));
    assert_eq!(listed, names);
}

pub(crate) async fn an_index_without_settings_has_none(backend: &Backend) {
    let name = backend.name("index");
    assert_eq!(backend.stores.settings.get(&name).await.unwrap(), None);
    backend.stores.settings.put(&name.to_uppercase(), &full()).await.unwrap();
    assert_eq!(backend.stores.settings.get(&name).await.unwrap(), None, "case matters");
}

pub(crate) async fn a_record_of_a_newer_host_is_refused(backend: &Backend) {
    let (settings, name) = (&backend.stores.settings, backend.name("index"));
    (backend.plant_settings)(backend, &name, r#"{"endpoint": "http://localhost", "flavour": "sour"}"#);
    let error = chain(&settings.get(&name).await.unwrap_err());
    for part in [name.as_str(), "`flavour`", "newer host"] {
        assert!(error.contains(part), "{part} is not in: {error}");
    }
    assert!(settings.list().await.unwrap().contains(&name));
    // Fields that an older host did not know have their defaults.
    let older = backend.name("index");
    (backend.plant_settings)(backend, &older, r#"{"endpoint": "http://older"}"#);
    let expected = IndexSettings { endpoint: "http://older".to_owned(), ..IndexSettings::default() };
    assert_eq!(settings.get(&older).await.unwrap(), Some(expected));
}

pub(crate) async fn of_many_puts_at_once_one_stays_whole(backend: &Backend) {
    let (settings, name) = (&backend.stores.settings, backend.name("index"));
    let variants: Vec<IndexSettings> = (1..=16)
        .map(|n| IndexSettings { endpoint: format!("http://{n}"), batch_documents: n, ..full() })
        .collect();
    let puts = join_all(variants.iter().map(|variant| settings.put(&name, variant))).await;
    assert!(puts.iter().all(Result::is_ok));
    let stayed = settings.get(&name).await.unwrap().unwrap();
    assert!(variants.contains(&stayed), "{stayed:?}");
    assert_eq!(settings.list().await.unwrap().iter().filter(|listed| **listed == name).count(), 1);
}

pub(crate) async fn removed_settings_are_gone(backend: &Backend) {
    let (settings, name, other) = (&backend.stores.settings, backend.name("index"), backend.name("index"));
    for name in [&name, &other] {
        settings.put(name, &full()).await.unwrap();
    }
    assert!(settings.delete(&name).await.unwrap());
    assert!(!settings.delete(&name).await.unwrap());
    assert_eq!(settings.get(&name).await.unwrap(), None);
    assert_eq!(settings.get(&other).await.unwrap(), Some(full()));
}
