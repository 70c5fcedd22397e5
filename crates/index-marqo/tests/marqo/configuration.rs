//! Mistakes that an operator must correct: no attempt is counted, and the error says what to do.

use crate::support::{Lab, ids, some, told};
use host_core::{index::Index, secret::Secret};
use host_index_marqo::IndexSettings;
use marqo_stand_in::{Options, Version};
use serde_json::json;

async fn stops_with(lab: &Lab, words: &[&str]) {
    let error = lab.write_error(&some(3)).await;
    let told = told(&error);
    assert!(!error.transient && words.iter().all(|word| told.contains(word)), "{told}");
    assert!(!told.contains("hush"), "a secret is told: {told}");
}

#[tokio::test]
async fn an_index_without_settings() {
    let mut lab = Lab::new().await;
    lab.target.index_name = "unknown".to_owned();
    stops_with(&lab, &["unknown", "host settings put"]).await;
}

#[tokio::test]
async fn an_index_that_the_server_does_not_have() {
    let mut lab = Lab::new().await;
    lab.set("nowhere", |_| ()).await;
    lab.target.index_name = "nowhere".to_owned();
    stops_with(&lab, &["nowhere", "create the index"]).await;
    lab.index.stored(&lab.target, &ids(&some(1))).await.unwrap_err();
}

#[tokio::test]
async fn a_wrong_key() {
    let options = Options { api_key: Some("right".to_owned()), ..Options::default() };
    let lab = Lab::with(options, |settings| settings.api_key = Some(Secret::new("hush"))).await;
    stops_with(&lab, &["401", "API key"]).await;
}

#[tokio::test]
async fn a_key_that_no_header_can_hold() {
    let lab = Lab::with(Options::default(), |settings| settings.api_key = Some(Secret::new("hush\n"))).await;
    let error = lab.write_error(&some(1)).await;
    assert!(!told(&error).contains("hush"), "{}", told(&error));
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
        let lab = Lab::with(Options::default(), change).await;
        stops_with(&lab, &["tensor_fields and mappings"]).await;
    }
}

#[tokio::test]
async fn an_address_that_is_no_marqo_server() {
    let lab = Lab::with(Options::default(), |settings| settings.endpoint.push_str("/elsewhere")).await;
    stops_with(&lab, &["404", "point the endpoint"]).await;
}

#[tokio::test]
async fn an_index_can_be_inspected_before_its_settings_are_stored() {
    for (version, numbers) in [(Version::V2_13, (2, 13)), (Version::V2_25, (2, 25))] {
        let lab = Lab::with(Options { version, ..Options::default() }, |_| ()).await;
        lab.write(&some(3)).await;
        let settings = IndexSettings { endpoint: lab.server.url().to_owned(), ..IndexSettings::default() };
        let seen = lab.index.inspect("shop", &settings).await.unwrap();
        assert_eq!((seen.version, seen.documents, seen.health.as_str()), (Some(numbers), 3, "green"));
        assert!(!seen.is_structured);
    }
}
