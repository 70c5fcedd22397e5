//! `host run` and `host ingest`. Ingest reads an export and publishes its products as chunks (files of documents) to a
//! queue; a worker writes them to the index. `host run` does both, or without an export only works the queue.

mod completeness;
mod job;
mod read;
mod replay;
mod run_job;

pub(super) use replay::{ReplayArgs, replay};

use completeness::{Completeness, CompletenessArgs};

use super::{
    CliResult, Global,
    at_least_one::at_least_one,
    backend::Backend,
    context::{clock, effective, plugins, runtime, store_failure},
    documents::index_failure,
    failure::{Exit, Failure},
    hints::{options, warn_of_other_plugin},
    plugin::shadow,
    plugin_source::PluginArgs,
    resume::print_stopped,
    shop::removed_shop,
    shop_id,
    shutdown::{cancel_on_signal, print_what_is_left},
    work_progress::WorkProgress,
};
use crate::{
    config::{Config, Effective, GroupingMode, StoreKind, TargetIndex},
    telemetry::{exporter, progress::Screen},
};
use clap::Args;
use host_core::{
    clock::SharedClock,
    error::chain,
    index::WriteTarget,
    model::{Digest, JobId, Operation},
    plugin::Transform,
};
use host_export::{Expected, ExportError, Progress};
use host_net::RetryProfile;
use host_pipeline::{
    ingest::{reader, run::IngestError},
    sync::platform,
    worker::{RunUntil, WorkerStopped},
};
use host_plugin_dev::shadow::ShadowedTransform;
use host_plugin_host::Plugins;
use jiff::Timestamp;
use job::Origin;
use std::{num::NonZeroU16, path::PathBuf, sync::Arc};
use tokio_util::sync::CancellationToken;

/// Arguments of `host run`.
#[derive(Debug, Args)]
pub(super) struct RunArgs {
    /// Export files in their order, also as s3://bucket/key, or - for standard input; .gz and .zst are unpacked.
    /// Without one, `host run` works the queue until Ctrl-C
    #[arg(value_name = "SOURCE")]
    sources: Vec<String>,
    /// The export is the whole shop: products that it does not contain are archived at the end, or removed from a Marqo
    /// index
    #[arg(long, requires = "sources")]
    full: bool,
    #[command(flatten)]
    reading: ReadingArgs,
}

/// Arguments of `host ingest`.
#[derive(Debug, Args)]
pub(super) struct IngestArgs {
    /// Export files in their order, or - for standard input; .gz and .zst are unpacked
    #[arg(value_name = "SOURCE", required = true)]
    sources: Vec<String>,
    /// The export is the whole shop: products that it does not have can be archived by `host catalog archive`, once
    /// workers have written what it has
    #[arg(long)]
    full: bool,
    #[command(flatten)]
    reading: ReadingArgs,
}

impl From<IngestArgs> for RunArgs {
    fn from(IngestArgs { sources, full, reading }: IngestArgs) -> Self {
        Self { sources, full, reading }
    }
}

/// How an export is read.
#[derive(Debug, Args)]
struct ReadingArgs {
    #[command(flatten)]
    plugins: PluginArgs,
    /// Plug-in, or folder of a project, that gets the same products and writes nothing; differences are
    /// reported on stderr
    #[arg(long, value_name = "PLUGIN", requires = "sources")]
    shadow: Option<PathBuf>,
    /// What is done with documents
    #[arg(long, value_enum, default_value_t)]
    operation: RunOperation,
    /// How lines become products
    #[arg(long, value_enum, value_name = "MODE")]
    grouping: Option<GroupingMode>,
    /// Chunks written side by side; a product stays in its lane
    #[arg(long, value_parser = at_least_one::<NonZeroU16>, value_name = "N")]
    lanes: Option<NonZeroU16>,
    /// What a document does whose version equals the stored one while its content differs
    #[arg(long, value_parser = ["newer", "conflict", "write"], value_name = "WHAT")]
    same_version: Option<String>,
    /// Transform, validate and look up all products, also those that the ledger knows to be unchanged
    #[arg(long, requires = "sources")]
    force: bool,
    /// When the export was taken from the shop, such as 2026-05-04T09:00:00Z: a full sync archives nothing that is
    /// newer [default: when its oldest source was last modified]
    #[arg(long, value_name = "TIME", requires = "sources", value_parser = time_of_export)]
    exported_at: Option<Timestamp>,
    #[command(flatten)]
    completeness: CompletenessArgs,
}

/// What a run does with documents.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
enum RunOperation {
    /// Add them, or replace them as a whole
    #[default]
    Add,
    /// Change only the fields that they have, in documents that are in the index
    Update,
}

impl From<RunOperation> for Operation {
    fn from(operation: RunOperation) -> Self {
        match operation {
            RunOperation::Add => Self::AddDocuments,
            RunOperation::Update => Self::UpdateDocuments,
        }
    }
}

/// Which stages a command runs: `host run` both, `host ingest` only the first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stages {
    IngestAndWork,
    Ingest,
}

pub(super) fn run(global: &Global, args: RunArgs, stages: Stages, screen: &Screen) -> CliResult {
    let RunArgs { sources, full, reading: args } = args;
    let mut overrides = global.overrides();
    overrides
        .set("--full", "ingest.full", full.then_some(true))
        .set("--force", "ingest.skip_unchanged", args.force.then_some(false))
        .set("--grouping", "ingest.grouping", args.grouping)
        .set("--lanes", "ingest.lanes", args.lanes)
        .set("--same-version", "worker.same_version", args.same_version);
    args.plugins.set(&mut overrides);
    let Effective { config, origins } = effective(global, &overrides)?;
    let shop = shop_id::named(&config)?;
    whole_shop(&config, args.operation)?;
    let Completeness { expected, created_at } = args.completeness.read()?;
    let now = clock().now();
    not_in_the_future(args.exported_at, now)?;
    // The platform's clock may be ahead of this one.
    let exported_at = args.exported_at.or(created_at.map(|created_at| created_at.min(now)));
    // Plug-ins and sources first: where they are wrong, nothing is written.
    let plugins = plugins(&config, &origins)?;
    let shadow = args.shadow.as_deref().map(|file| shadow(&config, &plugins, file)).transpose()?;
    let cancel = CancellationToken::new();
    let runtime = runtime()?;
    runtime.block_on(async {
        tokio::spawn(cancel_on_signal(cancel.clone()));
        let exporter = exporter::start(&config.telemetry).map_err(Failure::usage)?;
        tokio::spawn(exporter.clone().run(clock()));
        let transform = plugins.transform();
        let platform = transform.as_ref().map_or("", |transform| platform(transform.manifest()));
        let shop = shop_id::of_new_jobs(&config, shop, platform).await?;
        let run = Run {
            global,
            config: &config,
            operation: args.operation.into(),
            stages,
            exported_at,
            expected,
            shop: &shop,
            plugins: &plugins,
            shadow: shadow.as_ref(),
            screen,
            cancel: &cancel,
            clock: clock(),
        };
        let ended = if sources.is_empty() { run.work().await } else { run.sync(&sources).await };
        exporter.flush();
        ended
    })
}

/// A run in progress, for one shop.
struct Run<'a> {
    global: &'a Global,
    config: &'a Config,
    operation: Operation,
    stages: Stages,
    /// When the export was taken, if `--exported-at` says so.
    exported_at: Option<Timestamp>,
    expected: Expected,
    shop: &'a str,
    plugins: &'a Plugins,
    /// A second version of the plug-in that gets the same products and writes nothing, if `--shadow` names one.
    shadow: Option<&'a Arc<ShadowedTransform>>,
    screen: &'a Screen,
    cancel: &'a CancellationToken,
    clock: SharedClock,
}

impl Run<'_> {
    /// Works the queue until interrupted.
    async fn work(&self) -> CliResult {
        let backend = self.open().await?;
        warn_of_other_plugin(&backend.stores(), Some(self.shop), self.plugins).await?;
        print_stopped(&backend.stores(), self.shop).await?;
        if !self.global.quiet {
            eprintln!("working the queue of {} until Ctrl-C", self.shop);
        }
        let progress = WorkProgress::new(self.screen, self.global.quiet, options(self.global));
        let worker = backend.observed_worker(self.config, self.plugins, progress.clone())?;
        let worked = worker.run(self.shop, RunUntil::Cancelled, self.cancel).await;
        progress.finish();
        worked.map_err(|stop| stopped(stop, None))?;
        print_what_is_left(&backend.stores(), Some(self.shop)).await;
        Ok(Exit::Interrupted)
    }

    /// Ingests an export and works the queue until its job has ended.
    async fn sync(&self, sources: &[String]) -> CliResult {
        let transform = self.transform()?;
        let index_name = self.index_name(transform.as_ref()).await?;
        self.preflight(&index_name).await?;
        let reading = Arc::new(Progress::default());
        let Some(plan) = self.scan(sources, &transform, &reading).await? else {
            return Ok(Exit::Interrupted);
        };
        if self.config.ingest.full && !self.expected.is_some() {
            eprintln!(
                "warning: whether the export is the whole shop was not checked: one that was cut off at the end of a line looks \
                 whole; name Shopify's bulk operation with --bulk-operation, or the number of lines with --expect-objects"
            );
        }
        let backend = self.open().await?;
        let inputs = plan.digests().iter().map(Digest::to_string).collect();
        let modified_at = plan.modified_at().and_then(|at| Timestamp::try_from(at).ok());
        let (grouping, exported_at) = (plan.strategy(), self.exported_at);
        let origin = Origin { sources, grouping, inputs, exported_at, modified_at };
        let job = self.job(&backend, &origin, transform.as_ref(), index_name).await?;
        self.run_job(&backend, job, transform, &reading, |ahead| reader::start(plan, ahead)).await
    }

    /// The plug-in with the role `transform`, without which nothing can be ingested.
    fn transform(&self) -> Result<Arc<dyn Transform>, Failure> {
        self.plugins.transform().ok_or_else(|| {
            Failure::usage("no plug-in has the role `transform`, which turns products into documents")
                .help("name one with --plugin, such as target/plugins/shopify.wasm")
        })
    }

    /// Checks that the index can be written to, before a long export is read for it. A server that is temporarily down
    /// only causes a warning, because the worker waits for it.
    async fn preflight(&self, index_name: &str) -> Result<(), Failure> {
        let Config { store, target, catalog, .. } = self.config;
        if (*store, *target) == (StoreKind::Embedded, TargetIndex::Catalog) && catalog.url.is_none() {
            return Ok(());
        }
        let backend = self.open().await?;
        let target = WriteTarget {
            shop_id: self.shop.to_owned(),
            index_name: index_name.to_owned(),
            job_id: String::new(), // there is no job yet
        };
        match backend.index(self.config, RetryProfile::Interactive)?.check(&target).await {
            Ok(()) => Ok(()),
            Err(error) if error.transient => {
                eprintln!("warning: {}; the run begins and waits for it", chain(&error));
                Ok(())
            }
            Err(error) => Err(index_failure(error)),
        }
    }

    /// Opens the storage, creating it where needed, and registers this process with it.
    async fn open(&self) -> Result<Backend, Failure> {
        let backend = Backend::open(self.config, true).await?;
        backend.storage().register().await.map_err(store_failure)?;
        Ok(backend)
    }
}

/// Refuses a full sync that could not archive anything.
fn whole_shop(config: &Config, operation: RunOperation) -> Result<(), Failure> {
    if config.ingest.full && operation == RunOperation::Update {
        return Err(Failure::usage("--full cannot be combined with --operation update")
            .help("remove --full: an update changes the documents in its export and removes nothing else"));
    }
    Ok(())
}

/// Parses a time, with an error in plain words: the library's own is about grammars.
fn time_of_export(text: &str) -> Result<Timestamp, String> {
    text.parse()
        .map_err(|_| "give a date and time with its offset from UTC, such as 2026-05-04T09:00:00Z".to_owned())
}

/// Refuses a time in the future, with which the export would count as newer than exports that are really taken later.
fn not_in_the_future(exported_at: Option<Timestamp>, now: Timestamp) -> Result<(), Failure> {
    match exported_at {
        Some(at) if at > now => {
            Err(Failure::usage(format!("--exported-at {at} is in the future: it is {now:.0}"))
                .help("give the time at which the export was taken, with its offset: 2026-05-04T09:00:00Z"))
        }
        _ => Ok(()),
    }
}

fn export_failure(error: ExportError) -> Failure {
    if error.is_usage() { Failure::usage(error) } else { Failure::runtime(error) }
}

fn ingest_failure(error: IngestError, job: &JobId) -> Failure {
    match error {
        IngestError::Read(error) => export_failure(error),
        IngestError::Store(error) => store_failure(error),
        IngestError::ShopIsRemoved(removed) => removed_shop(removed),
        IngestError::Plugin(failure) if failure.stopped => Failure::runtime(failure).help(format!(
            "run the export again with the fixed plug-in, which takes the job's place; `host plugin replay {job} --dry-run` prints \
             the products that were refused before. If the plug-in is not the cause, re-run the same command to resume"
        )),
        other => Failure::runtime(other).help("fix the cause and run the same command again"),
    }
}

/// The failure of a stopped worker. `job` is this run's job, if it has one; the worker may have stopped at a chunk of
/// another.
pub(super) fn stopped(stop: WorkerStopped, job: Option<&JobId>) -> Failure {
    let help = match &stop.job_id {
        Some(other) if job != Some(other) => format!(
            "the chunk belongs to job {other}, which an earlier run left unfinished and which comes first; fix the cause and \
             run the same command again, or cancel that job with `host jobs cancel {other}`"
        ),
        _ => "fix the cause and run the same command again: it resumes where it stopped".to_owned(),
    };
    Failure::runtime(stop).help(help)
}
