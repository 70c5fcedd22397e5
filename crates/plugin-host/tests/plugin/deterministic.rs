//! The deterministic engine, which plug-in authors' golden files (expected results) are checked with: equal numbers of
//! instructions on every machine, and answers that do not depend on how products are split into batches.

use crate::{
    guests::{EVIL, TRANSFORM},
    rig::{cache, configs, good_product, limits, pool, product},
    small::starting,
};
use host_core::{model::Product, plugin::Transform};
use host_plugin_host::{Configs, Engine, EngineProfile, Limits, Loader, Runner};
use insta::assert_snapshot;
use serde_json::json;
use std::path::Path;

fn runner(path: &Path, configs: &Configs, limits: Limits) -> Runner {
    let engine = Engine::new(EngineProfile::Deterministic, &limits, 4).unwrap();
    Runner::new(Loader::new(engine, limits, Some(cache())).load(path, configs).unwrap(), pool(1))
}

/// 39 products in the format of Shopify's export.
fn shop() -> Vec<Product> {
    let line = |number: usize| {
        product(&format!(
            r#"{{"id":"gid://shopify/Product/{number}","title":"Product {number}","handle":"p{number}","status":"ACTIVE","updatedAt":"2024-01-01T00:00:00Z","price":{number}.5}}"#
        ))
    };
    (1..40).map(line).collect()
}

#[tokio::test]
async fn two_runs_execute_the_same_instructions() {
    let measure = async || {
        let runner = runner(&TRANSFORM, &Configs::new(), limits());
        let (first, cost) = runner.transform_at_cost(shop()).await.unwrap();
        let (second, cost_of_second) = runner.transform_at_cost(shop()).await.unwrap();
        assert_eq!(first, second);
        (first, cost.instructions.unwrap(), cost_of_second.instructions.unwrap())
    };
    let (first, second) = (measure().await, measure().await);
    assert_eq!(first, second);
    assert!(first.1 > 1000, "{}", first.1);
}

#[tokio::test]
async fn the_split_into_batches_does_not_change_the_documents() {
    let runner = runner(&TRANSFORM, &Configs::new(), limits());
    let whole = runner.transform(shop()).await.unwrap();
    for size in [1, 7] {
        let mut parts = Vec::new();
        for batch in shop().chunks(size) {
            parts.extend(runner.transform(batch.to_vec()).await.unwrap());
        }
        assert_eq!(parts, whole);
    }
}

#[tokio::test]
async fn the_production_engine_gives_the_same_documents() {
    let deterministic = runner(&TRANSFORM, &Configs::new(), limits());
    let production =
        Runner::new(crate::rig::loader(limits()).load(&TRANSFORM, &Configs::new()).unwrap(), pool(1));
    assert_eq!(deterministic.transform(shop()).await.unwrap(), production.transform(shop()).await.unwrap());
    assert_eq!(production.transform_at_cost(shop()).await.unwrap().1.instructions, None);
}

#[tokio::test]
async fn an_endless_loop_ends_after_the_allowed_instructions() {
    let runner = runner(&EVIL, &configs("loop"), Limits { fuel: 10_000_000, ..limits() });
    let (_, outcome) = runner.transform(vec![good_product(0)]).await.unwrap().swap_remove(0);
    let refused = outcome.refused.unwrap();
    assert_eq!(refused.code, "plugin-timeout");
    assert!(
        refused.message.contains("executed more than the 10,000,000 instructions"),
        "{}",
        refused.message
    );
}

/// Instructions do not bound what the host does: a guest that has it copy megabytes again and again executes few.
#[tokio::test]
async fn a_call_ends_after_six_times_call_ms_however_few_its_instructions() {
    let short = Limits { fuel: u64::MAX, call_ms: 50, ..limits() };
    let runner = runner(&EVIL, &configs("loop"), short.clone());
    let (_, outcome) = runner.transform(vec![good_product(0)]).await.unwrap().swap_remove(0);
    let message = outcome.refused.unwrap().message;
    assert!(message.contains("took longer than the 300 ms that a call may take"), "{message}");

    let engine = Engine::new(EngineProfile::Deterministic, &short, 1).unwrap();
    let endless = starting("", "(loop (br 0))");
    let error = Loader::new(engine, short, None).load_bytes(Path::new("x.wasm"), &endless, &Configs::new());
    assert_snapshot!(error.unwrap_err(), @"the plug-in x.wasm cannot be started: it took longer than the 300 ms that a call may take");
}

/// The golden files of the bundled Shopify plug-in, whose own tests run it as native code.
#[tokio::test]
async fn golden_files_pass_with_equal_instruction_counts() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../plugins/shopify/tests/golden");
    for (name, config) in [
        (
            "jacket",
            json!({"options": {"Size": "size"}, "metafields": {"custom.material": {"field": "material"},
                "custom.weight": {"field": "weight", "type": "number"}}}),
        ),
        ("kettle", json!({"level": "variant", "currency": "EUR", "shop-domain": "shop.example"})),
    ] {
        let lines = std::fs::read_to_string(folder.join(format!("{name}.jsonl"))).unwrap();
        let golden = std::fs::read_to_string(folder.join(format!("{name}.json"))).unwrap();
        let golden: serde_json::Value = serde_json::from_str(&golden).unwrap();
        let configs = Configs::from([("shopify".to_owned(), config.as_object().unwrap().clone())]);
        let mut counts = Vec::new();
        for _ in 0..2 {
            // A new engine and instance each time, so that both counts are those of a first call.
            let runner = runner(&TRANSFORM, &configs, limits());
            let (outcomes, cost) = runner.transform_at_cost(vec![product(lines.trim_end())]).await.unwrap();
            let documents: serde_json::Map<String, serde_json::Value> = outcomes[0]
                .1
                .documents
                .iter()
                .map(|document| (document.id.to_string(), serde_json::from_str(&document.fields).unwrap()))
                .collect();
            assert_eq!(serde_json::Value::Object(documents), golden, "{name}");
            counts.push(cost.instructions.unwrap());
        }
        assert_eq!(counts[0], counts[1], "{name}");
    }
}
