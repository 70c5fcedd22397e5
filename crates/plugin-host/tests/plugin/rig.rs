//! The rig of these tests: a misbehaving plug-in and a good one on one thread, so that harm that the first does to the
//! thread shows in the second. Also the limits, loaders and products that the tests share.

use crate::guests::EVIL;
use host_core::{
    model::Product,
    plugin::{BatchFailure, ProductOutcome, Transform, TransformedDocument},
};
use host_plugin_host::{
    Cache, Compiler, Configs, Engine, EngineProfile, Limits, Loader, Plugin, Pool, Runner,
};
use serde_json::{Map, Value};
use std::{
    fmt::Write,
    io::Seek,
    num::NonZeroUsize,
    path::Path,
    sync::{Arc, LazyLock, mpsc::channel},
    time::Duration,
};

static ENGINE: LazyLock<Engine> =
    LazyLock::new(|| Engine::new(EngineProfile::Production, &Limits::default(), 64).unwrap());

/// Limits of memory and output that a test reaches soon. The times are long enough for a busy machine; tests of the
/// time limits set their own.
pub(crate) fn limits() -> Limits {
    Limits::default()
        .with_memory_bytes(64 << 20)
        .with_output_bytes(8 << 20)
        .with_call_time(Duration::from_secs(10))
        .with_isolation_time(Duration::from_secs(60))
}

/// The cache that the tests share, so that each plug-in is compiled once.
pub(crate) fn cache() -> Cache {
    Cache::new(Path::new(env!("CARGO_TARGET_TMPDIR")).join("plugin-cache"))
}

pub(crate) fn loader(limits: Limits) -> Loader {
    Loader::new(ENGINE.clone(), limits, Some(cache()))
}

/// The compiler in a child process.
pub(crate) fn child() -> Compiler {
    Compiler::Child { program: env!("CARGO_BIN_EXE_compile-plugin").into(), args: Vec::new() }
}

/// Calls a function; returns what it logs.
pub(crate) fn logged(act: impl FnOnce()) -> String {
    let log = Arc::new(tempfile::tempfile().unwrap());
    let subscriber = tracing_subscriber::fmt().with_ansi(false).with_writer(log.clone()).finish();
    tracing::subscriber::with_default(subscriber, act);
    (&*log).rewind().unwrap();
    std::io::read_to_string(&*log).unwrap()
}

/// Calls a function; returns its result, and fails instead of waiting forever if it does not return.
pub(crate) fn within_minutes<T: Send + 'static>(act: impl FnOnce() -> T + Send + 'static) -> T {
    let (ended, end) = channel();
    std::thread::spawn(move || ended.send(act()));
    end.recv_timeout(Duration::from_secs(300)).expect("the function returns")
}

pub(crate) fn pool(threads: usize) -> Arc<Pool> {
    Pool::new(NonZeroUsize::new(threads).unwrap()).unwrap()
}

/// The plug-in `tests/guests/evil`, which misbehaves in the way that it is told.
pub(crate) fn evil(limits: Limits, misbehaviour: &str) -> Plugin {
    loader(limits).load(&EVIL, &configs(misbehaviour)).unwrap()
}

/// The configuration that tells the plug-in `tests/guests/evil` how to misbehave.
pub(crate) fn configs(misbehaviour: &str) -> Configs {
    let config = Map::from_iter([("do".to_owned(), Value::from(misbehaviour))]);
    Configs::from([("evil".to_owned(), config)])
}

/// A plug-in that may misbehave and a good one, on one thread.
pub(crate) struct Rig {
    pub(crate) evil: Runner,
    good: Runner,
}

/// The most memory that the process has ever had, in bytes.
fn peak_memory() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    peak.trim().trim_end_matches(" kB").parse::<u64>().unwrap() << 10
}

/// The most memory that the tests' process may ever have, in bytes. Loose, because tests run at the same time: without
/// limits a single call would take more.
const MEMORY_BOUND: u64 = 1 << 30;

impl Rig {
    pub(crate) fn new(misbehaviour: &str) -> Self {
        Self::with_limits(misbehaviour, limits())
    }

    pub(crate) fn with_limits(misbehaviour: &str, limits: Limits) -> Self {
        Self::of(evil(limits, misbehaviour))
    }

    /// Another plug-in beside the good one.
    pub(crate) fn of(plugin: Plugin) -> Self {
        let pool = pool(1);
        let good = Runner::new(evil(limits(), "good"), pool.clone());
        Self { evil: Runner::new(plugin, pool), good }
    }

    /// The result of a batch of good products, as [`render`] shows it.
    pub(crate) async fn transform(&self, products: usize) -> String {
        self.transform_these((0..products).map(good_product).collect()).await
    }

    pub(crate) async fn transform_these(&self, products: Vec<Product>) -> String {
        let result = render(self.evil.transform(products).await);
        self.still_works().await;
        result
    }

    /// Checks that the good plug-in on the same thread still works, for more than one batch, and that the process has
    /// not taken too much memory.
    pub(crate) async fn still_works(&self) {
        assert!(peak_memory() < MEMORY_BOUND, "{} bytes", peak_memory());
        for _ in 0..2 {
            let outcomes = self.good.transform((0..10).map(good_product).collect()).await.unwrap();
            assert!(
                outcomes.iter().all(|(_, outcome)| outcome.documents.len() == 1 && outcome.refused.is_none())
            );
        }
    }
}

pub(crate) fn product(text: &str) -> Product {
    Product { text: text.to_owned(), line: 1, id: None }
}

pub(crate) fn good_product(number: usize) -> Product {
    product(&format!(r#"{{"id":"p{number}","title":"Product {number}"}}"#))
}

pub(crate) fn document(id: &str, fields: &str) -> TransformedDocument {
    TransformedDocument { id: host_core::model::DocumentId::new(id).unwrap(), fields: fields.to_owned() }
}

/// A result for snapshots: how many products were not refused, and for each other one its position, refusal and log; or
/// the failure of the whole batch.
pub(crate) fn render(result: Result<Vec<(Product, ProductOutcome)>, BatchFailure>) -> String {
    let outcomes = match result {
        Ok(outcomes) => outcomes,
        Err(failure) => return failure.to_string(),
    };
    let good = outcomes.iter().filter(|(_, outcome)| outcome.refused.is_none()).count();
    let mut text = format!("{good} of {} went well", outcomes.len());
    for (position, (_, outcome)) in outcomes.iter().enumerate() {
        if let Some(refusal) = &outcome.refused {
            assert!(outcome.documents.is_empty(), "a refused product has no documents");
            write!(text, "\n{position}: {}: {}", refusal.code, refusal.message).unwrap();
            if let Some(log) = refusal.details.get("log").and_then(|log| log.as_array()) {
                for line in log {
                    write!(text, "\n   log {line}").unwrap();
                }
            }
        }
    }
    text
}
