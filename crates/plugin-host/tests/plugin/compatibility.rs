//! That plug-ins that were built for a released version of the contract (the WIT package in `wit/`) keep loading and
//! keep giving the same answers.

use crate::{
    guests::fixture,
    rig::{document, limits, loader, pool, product},
};
use host_core::plugin::{Transform, Validate, Version};
use host_plugin_host::{Configs, Plugin, Role, Runner};
use insta::assert_snapshot;
use serde_json::{Map, json};
use std::path::Path;

/// Loads a plug-in file that is kept with the tests.
fn load(name: &str) -> Plugin {
    loader(limits()).load_bytes(Path::new(name), &fixture(name), &Configs::new()).unwrap()
}

/// What a plug-in answers in each of its roles.
async fn answers(plugin: Plugin) -> String {
    let mut answers = vec![plugin.plugin_ref().name];
    let runner = Runner::new(plugin, pool(1));
    let has = |role| runner.plugin().roles().contains(&role);
    if has(Role::Transform) {
        let line = json!({
            "id": "mug-1", "title": "Mug", "price": "9.90", "tags": ["new"], "updated_at": "2024-01-01T00:00:00Z"
        });
        let (_, outcome) = runner.transform(vec![product(&line.to_string())]).await.unwrap().swap_remove(0);
        answers.push(format!("{:?} {:?}", outcome.documents, outcome.issues));
    }
    if has(Role::Validate) {
        let verdicts = runner.validate(vec![document("bad", r#"{"title":""}"#)]).await.unwrap();
        answers.push(format!("{:?}", verdicts[0].refused));
    }
    if has(Role::Version) {
        let version =
            |day: u8| Map::from_iter([("updated_at".to_owned(), json!(format!("2024-01-0{day}T00:00:00Z")))]);
        let pairs = [(2, 1), (1, 1), (1, 2)].map(|(incoming, stored)| (version(incoming), version(stored)));
        answers.push(format!("{:?}", runner.compare(pairs.to_vec()).await.unwrap()));
    }
    answers.join("\n")
}

#[tokio::test]
async fn rust() {
    assert_snapshot!(answers(load("rust.wasm")).await, @r#"
    rust-shop
    [TransformedDocument { id: "mug-1", fields: "{\"currency\":\"EUR\",\"price\":9.9,\"tags\":[\"new\"],\"title\":\"Mug\",\"updated_at\":\"2024-01-01T00:00:00Z\"}" }] []
    Some(Refusal { code: "missing-title", message: "The document has no title.", path: Some("/title"), details: {} })
    [Ok(Newer), Ok(Same), Ok(Older)]
    "#);
}

#[tokio::test]
async fn rust_with_its_standard_library() {
    assert_snapshot!(answers(load("rust-std.wasm")).await, @r#"
    probe
    [TransformedDocument { id: "mug-1", fields: "{\"unknown\":\"mug-1\"}" }] []
    "#);
}

#[tokio::test]
async fn javascript() {
    assert_snapshot!(answers(load("javascript.wasm.zst")).await, @r#"
    javascript
    [TransformedDocument { id: "mug-1", fields: "{\"price\":\"9.90\",\"tags\":[\"new\"],\"title\":\"Mug\",\"updated_at\":\"2024-01-01T00:00:00Z\"}" }] []
    Some(Refusal { code: "bad", message: "It is bad.", path: None, details: {} })
    [Ok(Newer), Ok(Same), Ok(Older)]
    "#);
}
