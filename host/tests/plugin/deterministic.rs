//! The engine for golden files: the same instructions on every machine, and answers that do not depend on the batch.

use crate::{
    guests::{EVIL, TRANSFORM},
    rig::{cache, configs, good_product, limits, pool, product},
};
use host::{
    model::Product,
    plugin::{Configs, Engine, Limits, Loader, Profile, Runner, Transform},
};
use std::path::Path;

fn runner(path: &Path, configs: &Configs, limits: Limits) -> Runner {
    let engine = Engine::new(Profile::Deterministic, &limits, 4).unwrap();
    Runner::new(Loader::new(engine, limits, Some(cache())).load(path, configs).unwrap(), pool(1))
}

fn shop() -> Vec<Product> {
    let line = |n: usize| {
        product(&format!(
            r#"{{"id":"gid://shopify/Product/{n}","title":"Product {n}","handle":"p{n}","status":"ACTIVE","updatedAt":"2024-01-01T00:00:00Z","price":{n}.5}}"#
        ))
    };
    (1..40).map(line).collect()
}

#[tokio::test]
async fn two_runs_execute_the_same_instructions() {
    let measure = async || {
        let runner = runner(&TRANSFORM, &Configs::new(), limits());
        let (first, fuel) = runner.transform_counting(shop()).await.unwrap();
        let (second, more_fuel) = runner.transform_counting(shop()).await.unwrap();
        assert_eq!(first, second);
        (first, fuel.unwrap(), more_fuel.unwrap())
    };
    let (first, second) = (measure().await, measure().await);
    assert_eq!(first, second);
    assert!(first.1 > 1000, "{}", first.1);
}

#[tokio::test]
async fn the_split_into_batches_does_not_show() {
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
    assert_eq!(production.transform_counting(shop()).await.unwrap().1, None);
}

#[tokio::test]
async fn a_loop_ends_after_its_instructions() {
    let runner = runner(&EVIL, &configs("loop"), Limits { fuel: 10_000_000, ..limits() });
    let (_, outcome) = runner.transform(vec![good_product(0)]).await.unwrap().swap_remove(0);
    assert_eq!(outcome.refused.unwrap().code, "plugin-timeout");
}
