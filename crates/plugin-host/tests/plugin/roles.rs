//! The roles of a plug-in (transform, validate, version) through the whole engine, and how long instances live.

use crate::rig::{document, evil, good_product, limits, pool, product};
use host_core::plugin::{Transform, Validate, Version, VersionOrdering};
use host_plugin_host::{Limits, Plugins, Runner, Settings};
use serde_json::{Map, Value, json};
use std::time::{Duration, Instant};

/// The title of a product's first document.
fn title(outcome: &host_core::plugin::ProductOutcome) -> String {
    serde_json::from_str::<Value>(&outcome.documents[0].fields).unwrap()["title"].as_str().unwrap().to_owned()
}

/// Six calls of a plug-in that remembers its calls: how many its instance has had before each of them.
async fn calls_seen(limits: Limits) -> Vec<String> {
    let runner = Runner::new(evil(limits, "impure"), pool(1));
    let mut seen = Vec::new();
    for _ in 0..6 {
        let (_, outcome) = runner.transform(vec![good_product(0)]).await.unwrap().swap_remove(0);
        seen.push(title(&outcome));
    }
    seen
}

#[tokio::test]
async fn an_instance_is_kept_until_it_is_old_or_large() {
    assert_eq!(calls_seen(limits()).await, ["call 0", "call 1", "call 2", "call 3", "call 4", "call 5"]);
    // `configure` is the first call of each instance.
    let old = Limits { calls_per_instance: 3, ..limits() };
    assert_eq!(calls_seen(old).await, ["call 0", "call 1", "call 0", "call 1", "call 0", "call 1"]);
    let large = Limits { retire_memory_bytes: 1, ..limits() };
    assert_eq!(calls_seen(large).await, vec!["call 0"; 6]);
}

#[tokio::test]
async fn an_empty_batch_needs_no_guest() {
    let runner = Runner::new(evil(limits(), "panic"), pool(1));
    assert_eq!(runner.transform(vec![]).await.unwrap(), vec![]);
    assert_eq!(runner.validate(vec![]).await.unwrap(), vec![]);
    assert_eq!(runner.compare(vec![]).await.unwrap(), vec![]);
}

#[tokio::test]
async fn an_issue_refuses_its_product_only() {
    let runner = Runner::new(evil(limits(), "good"), pool(1));
    let outcomes =
        runner.transform(vec![good_product(0), product("nonsense"), good_product(2)]).await.unwrap();
    let refused: Vec<_> = outcomes.iter().map(|(_, outcome)| outcome.refused.is_some()).collect();
    assert_eq!(refused, [false, true, false]);
    let refusal = outcomes[1].1.refused.clone().unwrap();
    assert_eq!((refusal.code.as_str(), refusal.details.len()), ("evil", 0));
    assert_eq!(outcomes[2].1.documents[0].id.as_str(), "p2");
}

#[tokio::test]
async fn batches_on_several_threads_keep_their_products() {
    let runner = Runner::new(evil(limits(), "good"), pool(2));
    let batch = async |number: usize| {
        let products: Vec<_> = (number * 10..number * 10 + 10).map(good_product).collect();
        let outcomes = runner.transform(products.clone()).await.unwrap();
        for ((given, outcome), product) in outcomes.iter().zip(&products) {
            assert_eq!(given, product);
            assert!(given.text.contains(&format!("\"{}\"", outcome.documents[0].id)));
        }
    };
    futures::future::join_all((0..50).map(batch)).await;
}

#[tokio::test]
async fn the_bundled_plug_in_validates_and_compares() {
    let settings = Settings { cache: Some(crate::rig::cache()), ..Settings::default() };
    let plugins = Plugins::open(&settings, &[], &host_plugin_host::Configs::new()).unwrap();
    let verdicts = plugins.validate().validate(vec![document("p1", r#"{"title":"Mug"}"#)]).await.unwrap();
    assert_eq!(verdicts.len(), 1);
    let version = |time: &str| Map::from_iter([("updated_at".to_owned(), json!(time))]);
    let (old, new) = (version("2024-01-01T00:00:00Z"), version("2024-06-01T00:00:00Z"));
    let pairs = vec![(new.clone(), old.clone()), (old.clone(), new), (old.clone(), old)];
    let orderings = plugins.version().compare(pairs).await.unwrap();
    assert_eq!(
        orderings,
        [Ok(VersionOrdering::Newer), Ok(VersionOrdering::Older), Ok(VersionOrdering::Same)]
    );
}

#[tokio::test]
async fn abandoned_work_does_not_hold_the_thread() {
    let pool = pool(1);
    let slow = Runner::new(evil(limits().with_call_time(Duration::from_millis(500)), "loop"), pool.clone());
    let wait = Duration::from_millis(10);
    for _ in 0..50 {
        assert!(tokio::time::timeout(wait, slow.transform(vec![good_product(0)])).await.is_err());
    }
    let good = Runner::new(evil(limits(), "good"), pool);
    let started = Instant::now();
    assert!(good.transform(vec![good_product(0)]).await.is_ok());
    // The first of the fifty had begun and ends after its 500 ms; the others are skipped. Together they would take 25
    // s.
    assert!(started.elapsed() < Duration::from_secs(10));
}
