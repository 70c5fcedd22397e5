//! The measured parts of `cargo xtask bench marqo`, each in its own process.
//!
//! `write URL DOCUMENTS` writes a file of documents to the index `bench` of a server and prints seconds, processor
//! seconds and documents. `busy EXPORT PLUGIN` has `host run` write an export to its own server, which takes 200 ms
//! a request and eight requests at once, and prints the share of its time that it was kept busy, the requests, and how
//! many it refused; what follows are arguments of `host run`.

use cpu_time::ProcessTime;
use futures::StreamExt;
use host_core::{
    clock::SystemClock,
    index::{Index, Outcome, Precondition, Write, WriteTarget},
    model::Document,
    storage::Storage,
};
use host_index_marqo::{IndexSettings, Marqo, MarqoConfig};
use host_net::RetryProfile;
use host_testing::storage::Memory;
use marqo_stand_in::{Operation, Options, StandIn, Version};
use serde_json::Map;
use std::{
    process::{Command, Stdio},
    sync::Arc,
    time::{Duration, Instant},
};

/// As in a chunk.
const BATCH: usize = 1000;

/// Chunks at once, as a worker handles them.
const LANES: usize = 4;

/// What the busy server takes for a request, and how many at once (Marqo's own bound).
const LATENCY: Duration = Duration::from_millis(200);
const AT_ONCE: f64 = 8.0;

fn main() {
    // Cargo adds `--bench`.
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments[..] {
        ["write", url, documents] => write(url, documents),
        ["busy", export, plugin, ref more @ ..] => busy(export, plugin, more),
        // `cargo test --benches` and the like start it without arguments.
        _ => eprintln!("nothing to measure: `cargo xtask bench marqo` says what"),
    }
}

fn batches(path: &str) -> Vec<Vec<Write>> {
    let text = std::fs::read_to_string(path).expect("the documents are readable");
    let writes: Vec<Write> = text
        .lines()
        .map(|line| Write {
            document: Document::from_line(line).expect("a document a line"),
            version: Map::new(),
            content_hash: "0".repeat(64),
            precondition: Precondition::None,
        })
        .collect();
    writes.chunks(BATCH).map(<[Write]>::to_vec).collect()
}

/// Writes everything and returns how many documents that were.
async fn write_all(marqo: &Marqo, batches: &[Vec<Write>]) -> usize {
    let target = WriteTarget {
        shop_id: "bench.myshopify.com".to_owned(),
        index_name: "bench".to_owned(),
        job_id: "bench".to_owned(),
    };
    let write = |batch| {
        let target = &target;
        async move {
            let outcomes = marqo.write(target, batch).await.expect("the server answers");
            assert!(outcomes.iter().all(|outcome| *outcome == Outcome::Done), "{outcomes:?}");
            outcomes.len()
        }
    };
    let writes = futures::stream::iter(batches.iter().map(Vec::as_slice)).map(write);
    writes.buffer_unordered(LANES).fold(0, async |written, some| written + some).await
}

fn write(url: &str, documents: &str) {
    let batches = batches(documents);
    // The Python client knows no complexity: requests as large as the server takes, as its own are.
    let settings =
        IndexSettings { endpoint: url.to_owned(), batch_complexity: usize::MAX, ..IndexSettings::default() };
    let known = Memory::new(Arc::new(SystemClock)).stores().settings;
    let config = MarqoConfig::default();
    let marqo = Marqo::new(known.clone(), Arc::new(SystemClock), &config, RetryProfile::Background);
    let marqo = marqo.expect("the client starts");
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let runtime = runtime.expect("the runtime starts");
    runtime.block_on(settings.store(&*known, "bench")).expect("memory takes the settings");
    let (started, processor) = (Instant::now(), ProcessTime::now());
    let written = runtime.block_on(write_all(&marqo, &batches));
    println!("{} {} {written}", started.elapsed().as_secs_f64(), processor.elapsed().as_secs_f64());
}

/// Runs the host itself: what a chunk needs before and after its requests is a part of what keeps a server waiting.
fn busy(export: &str, plugin: &str, more: &[&str]) {
    let options = Options {
        version: Version::V2_13,
        indexes: vec!["bench".to_owned()],
        latency: LATENCY,
        ..Options::default()
    };
    let server = StandIn::start(options).expect("the stand-in starts");
    let data = tempfile::tempdir().expect("there is room for a data directory");
    let host = |words: &str, more: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_host"));
        command.args(words.split(' ')).arg("--data-dir").arg(data.path()).args(more);
        let status = command.stdout(Stdio::null()).status().expect("the host starts");
        assert!(status.success(), "{command:?} ended with {status}");
    };
    host("settings put bench", &["--endpoint", server.url()]);
    let run = "run --quiet --shop bench.myshopify.com --target marqo --index bench";
    host(run, &[&["--plugin", plugin, export], more].concat());

    let adds: Vec<_> =
        server.requests().into_iter().filter(|seen| seen.operation == Operation::Add).collect();
    let refused = adds.iter().filter(|seen| seen.status == Some(429)).count();
    // From the first request to the end of the last one, the limiter's slow start and the end included.
    let ends = adds.iter().map(|seen| seen.arrived_ms + seen.took_ms.unwrap_or_default());
    let began = adds.iter().map(|seen| seen.arrived_ms).fold(f64::INFINITY, f64::min);
    let took = ends.fold(0.0, f64::max) - began;
    let busy: f64 = adds.iter().filter_map(|seen| seen.took_ms).sum();
    println!("{} {} {refused}", busy / AT_ONCE / took, adds.len());
}
