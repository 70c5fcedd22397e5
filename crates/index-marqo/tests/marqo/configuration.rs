//! Configuration errors: a write fails as a whole and for good, with advice for the operator.

use crate::support::{Harness, documents, error_chain, ids};
use host_core::{index::Index, secret::Secret};
use host_index_marqo::IndexSettings;
use marqo_stand_in::{Options, Version};
use serde_json::json;

/// A write fails with an error that is not transient, names all these words and no secret.
async fn stops_with(harness: &Harness, words: &[&str]) {
    let error = harness.write_error(&documents(3)).await;
    let message = error_chain(&error);
    assert!(!error.transient && words.iter().all(|word| message.contains(word)), "{message}");
    assert!(!message.contains("test-secret"), "the error leaks the secret: {message}");
}

#[tokio::test]
async fn an_index_without_settings() {
    let mut harness = Harness::new().await;
    harness.target.index_name = "unknown".to_owned();
    stops_with(&harness, &["unknown", "host settings put"]).await;
}

#[tokio::test]
async fn an_index_that_the_server_does_not_have() {
    let mut harness = Harness::new().await;
    harness.set("nowhere", |_| ()).await;
    harness.target.index_name = "nowhere".to_owned();
    stops_with(&harness, &["nowhere", "create the index"]).await;
    harness.index.stored(&harness.target, &ids(&documents(1))).await.unwrap_err();
}

#[tokio::test]
async fn a_wrong_key() {
    let options = Options { api_key: Some("right".to_owned()), ..Options::default() };
    let harness =
        Harness::with(options, |settings| settings.api_key = Some(Secret::new("test-secret"))).await;
    stops_with(&harness, &["401", "API key"]).await;
}

#[tokio::test]
async fn a_key_that_no_header_can_hold() {
    let harness =
        Harness::with(Options::default(), |settings| settings.api_key = Some(Secret::new("test-secret\n")))
            .await;
    let error = harness.write_error(&documents(1)).await;
    assert!(!error_chain(&error).contains("test-secret"), "{}", error_chain(&error));
}

#[tokio::test]
async fn settings_that_the_server_refuses_as_a_whole() {
    type Change = fn(&mut IndexSettings);
    let changes: [Change; 2] = [
        |settings| settings.tensor_fields.push("_id".to_owned()),
        |settings| {
            settings.mappings.insert("x".to_owned(), json!({"type": "nonsense"}));
        },
    ];
    for change in changes {
        let harness = Harness::with(Options::default(), change).await;
        stops_with(&harness, &["correct the index's settings", "--tensor-field"]).await;
    }
}

#[tokio::test]
async fn an_address_that_is_no_marqo_server() {
    let harness =
        Harness::with(Options::default(), |settings| settings.endpoint.push_str("/elsewhere")).await;
    stops_with(&harness, &["404", "point the endpoint"]).await;
}

#[tokio::test]
async fn an_index_can_be_inspected_before_its_settings_are_stored() {
    for (version, numbers) in [(Version::V2_13, (2, 13)), (Version::V2_25, (2, 25))] {
        let harness = Harness::with(Options { version, ..Options::default() }, |_| ()).await;
        harness.write(&documents(3)).await;
        let settings =
            IndexSettings { endpoint: harness.server.url().to_owned(), ..IndexSettings::default() };
        let info = harness.index.inspect("shop", &settings).await.unwrap();
        assert_eq!((info.version, info.documents, info.health.as_str()), (Some(numbers), 3, "green"));
        assert!(!info.is_structured);
    }
}
