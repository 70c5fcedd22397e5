//! The measured parts of `cargo xtask bench ingest`, each in its own process. Prints the seconds of one round: of
//! processor time for a part that has one core, so that a busy machine disturbs it less; else of wall-clock time.
//!
//! `transform EXPORT PLUGIN` runs every product through the component on one thread; `ingest EXPORT PLUGIN THREADS` runs
//! the whole way from the file to published chunks in a fresh data directory.

// The allocator of the program.
use host as _;

use cpu_time::ProcessTime;
use futures::{StreamExt, stream};
use host_core::storage::Storage;
use host_core::{
    clock::{SharedClock, SystemClock},
    model::{Digest, Job, JobId, Operation, Product, SameVersion},
    plugin::Transform,
};
use host_export::{Export, ExportItem, Options};
use host_pipeline::ingest::{
    chunk::ChunkBounds,
    reader,
    run::{Ingest, IngestProgress, IngestSettings},
};
use host_plugin_host::{Configs, Plugins, Role, Settings};
use host_storage_sqlite::SqliteStorage;
use std::{
    num::NonZeroUsize,
    path::{Path, PathBuf},
    sync::Arc,
    time::Instant,
};
use tokio_util::sync::CancellationToken;

/// As in the host's reader.
const BATCH: usize = 128;

/// Batches that are read before the clock runs: an ingest has few at a time, and never the whole export in memory.
const SLICE: usize = 64;

fn main() {
    // Cargo adds `--bench`.
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments[..] {
        ["transform", export, plugin] => component(export, plugin),
        ["ingest", export, plugin, threads] => {
            whole(export, plugin, threads.parse().expect("a number of threads"));
        }
        // `cargo test --benches` and the like start it without arguments.
        _ => eprintln!("nothing to measure: `cargo xtask bench ingest` says what"),
    }
}

fn plugins(plugin: &str, threads: usize) -> Plugins {
    let threads = NonZeroUsize::new(threads).expect("at least one thread");
    let settings = Settings { threads, ..Settings::default() };
    Plugins::open(&settings, &[PathBuf::from(plugin)], &Configs::new()).expect("the plug-in loads")
}

fn component(export: &str, plugin: &str) {
    let plugins = plugins(plugin, 1);
    let transform = plugins.transform().expect("the plug-in transforms");
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("the runtime starts");
    let scratch = tempfile::tempdir().expect("a temporary folder");
    let mut export = products(export, transform.as_ref(), scratch.path());
    let (mut seconds, mut products, mut documents) = (0.0, 0, 0);
    loop {
        let batches: Vec<Vec<Product>> = (0..SLICE)
            .map(|_| export.by_ref().take(BATCH).collect())
            .filter(|batch: &Vec<_>| !batch.is_empty())
            .collect();
        if batches.is_empty() {
            break;
        }
        products += batches.iter().map(Vec::len).sum::<usize>();
        let started = ProcessTime::now();
        // As in an ingest: one batch waits while another is at work, so that the plug-in's thread never has to be woken.
        let mut answers = stream::iter(batches).map(|batch| transform.transform(batch)).buffered(2);
        while let Some(made) = runtime.block_on(answers.next()) {
            let made = made.expect("the plug-in answers");
            documents += made.iter().map(|(_, outcome)| outcome.documents.len()).sum::<usize>();
        }
        seconds += started.elapsed().as_secs_f64();
    }
    println!("{seconds} {products} {documents}");
}

fn products(export: &str, transform: &dyn Transform, scratch: &Path) -> impl Iterator<Item = Product> {
    let open = Export::open(&[export.to_owned()], Options::new(scratch)).expect("the export opens");
    let plan = open.scan(&transform.manifest().grouping).expect("the export is readable");
    plan.into_products().filter_map(|item| match item.expect("the export is readable") {
        ExportItem::Product { product, .. } => Some(product),
        _ => None,
    })
}

fn whole(export: &str, plugin: &str, threads: usize) {
    let plugins = plugins(plugin, threads);
    let transform = plugins.transform().expect("the plug-in transforms");
    let dir = tempfile::tempdir().expect("a temporary folder");
    let stores =
        SqliteStorage::open(dir.path(), Arc::new(SystemClock)).expect("the data directory opens").stores();
    let job = job(&plugins);
    let bounds = ChunkBounds { documents: 1000, bytes: 8 << 20 };
    let settings = IngestSettings { bounds, batches: 2 * threads, quarantine_bytes: 0 };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("the runtime starts");
    let started = Instant::now();
    let seal = runtime.block_on(async {
        let options = Options::new(dir.path().join("scratch"));
        let open = Export::open(&[export.to_owned()], options).expect("the export opens");
        let plan = open.scan(&transform.manifest().grouping).expect("the export is readable");
        let reads = reader::start(plan, settings.batches);
        let (clock, progress): (SharedClock, _) = (Arc::new(SystemClock), IngestProgress::default());
        let (stores, clock, job, transform, progress) = (&stores, &clock, &job, &*transform, &progress);
        Ingest { stores, clock, job, transform, settings, progress }
            .run(reads, &CancellationToken::new())
            .await
            .expect("the ingest ends")
            .expect("it is not cancelled")
    });
    println!("{} {} {}", started.elapsed().as_secs_f64(), seal.source.products, seal.total_items);
}

fn job(plugins: &Plugins) -> Job {
    Job {
        id: JobId::new("bench").expect("a valid id"),
        platform: "shopify".to_owned(),
        shop_id: "bench.myshopify.com".to_owned(),
        index_name: "bench".to_owned(),
        operation: Operation::AddDocuments,
        created_at: jiff::Timestamp::now(),
        sequence: 0,
        exported_at: None,
        lanes: 1,
        plugin: plugins.plugin_ref(Role::Transform).expect("the plug-in transforms"),
        fingerprint: Digest::of(b"bench"),
        sources: vec![Path::new("export").display().to_string()],
        target: "catalog".into(),
        same_version: SameVersion::Conflict,
        transform_digest: None,
        skips_unchanged: false,
        full: false,
        removes_missing_of: None,
    }
}
