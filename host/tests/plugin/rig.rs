//! A good and a misbehaving plug-in on one thread, so that what the one does to the thread would hurt the other.

use crate::guests::EVIL;
use host::{
    model::Product,
    plugin::{
        BatchFailure, Cache, Configs, Engine, Limits, Loader, MadeDocument, Plugin, Pool, ProductOutcome,
        Profile, Runner, Transform,
    },
};
use serde_json::{Map, Value};
use std::{
    fmt::Write,
    num::NonZeroUsize,
    path::Path,
    sync::{Arc, LazyLock},
    time::Duration,
};

static ENGINE: LazyLock<Engine> =
    LazyLock::new(|| Engine::new(Profile::Production, &Limits::default(), 64).unwrap());

/// Limits of memory and output that a test reaches soon. The time is for a busy machine; tests of it set their own.
pub fn limits() -> Limits {
    Limits::default()
        .with_memory_bytes(64 << 20)
        .with_output_bytes(8 << 20)
        .with_call_time(Duration::from_secs(10))
        .with_isolation_time(Duration::from_secs(60))
}

pub fn cache() -> Cache {
    Cache::new(Path::new(env!("CARGO_TARGET_TMPDIR")).join("plugin-cache"))
}

pub fn loader(limits: Limits) -> Loader {
    Loader::new(ENGINE.clone(), limits, Some(cache()))
}

pub fn pool(threads: usize) -> Arc<Pool> {
    Pool::new(NonZeroUsize::new(threads).unwrap()).unwrap()
}

pub fn evil(limits: Limits, doing: &str) -> Plugin {
    loader(limits).load(&EVIL, &configs(doing)).unwrap()
}

/// The configuration that makes the evil plug-in do something.
pub fn configs(doing: &str) -> Configs {
    let config = Map::from_iter([("do".to_owned(), Value::from(doing))]);
    Configs::from([("evil".to_owned(), config)])
}

pub struct Rig {
    pub evil: Runner,
    good: Runner,
}

impl Rig {
    pub fn new(doing: &str) -> Self {
        Self::with_limits(doing, limits())
    }

    pub fn with_limits(doing: &str, limits: Limits) -> Self {
        let pool = pool(1);
        let runner = |doing| Runner::new(evil(limits.clone(), doing), pool.clone());
        Self { evil: runner(doing), good: runner("good") }
    }

    /// What becomes of a batch of good products with numbers, one line a product that did not simply succeed.
    pub async fn transform(&self, products: usize) -> String {
        self.transform_these((0..products).map(good_product).collect()).await
    }

    pub async fn transform_these(&self, products: Vec<Product>) -> String {
        let said = render(self.evil.transform(products).await);
        self.still_works().await;
        said
    }

    /// The thread goes on: another plug-in on it works, and so does the next batch.
    pub async fn still_works(&self) {
        for _ in 0..2 {
            let outcomes = self.good.transform((0..10).map(good_product).collect()).await.unwrap();
            assert!(
                outcomes.iter().all(|(_, outcome)| outcome.documents.len() == 1 && outcome.refused.is_none())
            );
        }
    }
}

pub fn product(text: &str) -> Product {
    Product { text: text.to_owned(), line: 1, id: None }
}

pub fn good_product(n: usize) -> Product {
    product(&format!(r#"{{"id":"p{n}","title":"Product {n}"}}"#))
}

pub fn document(id: &str, fields: &str) -> MadeDocument {
    MadeDocument { id: host::model::DocumentId::new(id).unwrap(), fields: fields.to_owned() }
}

/// How many products went well, and everything that is said of the others.
pub fn render(result: Result<Vec<(Product, ProductOutcome)>, BatchFailure>) -> String {
    let outcomes = match result {
        Ok(outcomes) => outcomes,
        Err(failure) => return failure.to_string(),
    };
    let good = outcomes.iter().filter(|(_, outcome)| outcome.refused.is_none()).count();
    let mut text = format!("{good} of {} went well", outcomes.len());
    for (n, (_, outcome)) in outcomes.iter().enumerate() {
        if let Some(refusal) = &outcome.refused {
            assert!(outcome.documents.is_empty(), "a refused product has no documents");
            write!(text, "\n{n}: {}: {}", refusal.code, refusal.message).unwrap();
            if let Some(log) = refusal.details.get("log").and_then(|log| log.as_array()) {
                for line in log {
                    write!(text, "\n   log {line}").unwrap();
                }
            }
        }
    }
    text
}
