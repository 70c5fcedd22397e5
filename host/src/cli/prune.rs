//! Removes old jobs with their chunks and reports from the data directory: `host prune`, and the end of each run.

use super::{
    CliResult, Global,
    backend::Backend,
    context::{clock, config, print, print_json, runtime, store_failure},
    failure::{Exit, Failure},
    output::OutputFormat,
    shop_id,
};
use crate::config::Config;
use clap::Args;
use host_core::{error::chain, format::pluralize, storage::JobSnapshot};
use host_pipeline::retention::{Pruned, prune};
use serde::Serialize;

/// Flags of `host prune`.
#[derive(Debug, Args)]
pub(super) struct PruneArgs {
    /// Print what would be removed; remove nothing
    #[arg(long)]
    dry_run: bool,
}

/// The object that `prune` prints. Programs rely on its keys.
#[derive(Serialize)]
struct PrunedView<'a> {
    dry_run: bool,
    jobs: Vec<PrunedJob<'a>>,
    /// Jobs whose chunks are removed while their records stay.
    chunks_of: Vec<PrunedJob<'a>>,
}

#[derive(Serialize)]
struct PrunedJob<'a> {
    job_id: &'a str,
    shop_id: &'a str,
    index_name: &'a str,
    ended_at: Option<jiff::Timestamp>,
}

pub(super) fn run(global: &Global, args: &PruneArgs) -> CliResult {
    let config: Config = config(global)?;
    runtime()?.block_on(async {
        let backend = Backend::open(&config, false).await?;
        let config = shop_id::as_stored(config, &backend.stores()).await?;
        let storage = backend.storage();
        let Some(remover) = storage.job_remover() else {
            return Err(Failure::usage("AWS removes old jobs and objects by itself")
                .help("`retention.days` says when; `host aws bootstrap` sets it for objects"));
        };
        let (shop, retention) = (config.shop.as_deref(), config.retention.of_jobs());
        let pruned = prune(storage, remover, shop, clock().now(), retention, args.dry_run).await;
        let pruned = pruned.map_err(store_failure)?;
        match global.output {
            OutputFormat::Json => print_json(&view(&pruned, args.dry_run))?,
            OutputFormat::Text => print(&text(&pruned, args.dry_run))?,
        }
        if pruned.jobs.is_empty() {
            let days = pluralize(config.retention.days.get().into(), "day");
            eprintln!("no job that can go ended more than {days} ago (`retention.days`)");
        }
        Ok(Exit::Completed)
    })
}

/// Removes old jobs of a shop after its run. A failure is only a warning: the run itself has succeeded.
pub(super) async fn after_run(config: &Config, backend: &Backend, shop_id: &str) {
    let storage = backend.storage();
    let Some(remover) = storage.job_remover() else { return };
    let (now, retention) = (clock().now(), config.retention.of_jobs());
    if let Err(error) = prune(storage, remover, Some(shop_id), now, retention, false).await {
        eprintln!("warning: old jobs could not be removed: {}", chain(&error));
    }
}

fn view(pruned: &Pruned, dry_run: bool) -> PrunedView<'_> {
    PrunedView { dry_run, jobs: views(&pruned.jobs), chunks_of: views(&pruned.chunks_of) }
}

fn views(jobs: &[JobSnapshot]) -> Vec<PrunedJob<'_>> {
    let mut views = Vec::with_capacity(jobs.len());
    for JobSnapshot { job, ended_at, .. } in jobs {
        let (shop_id, index_name) = (job.shop_id.as_str(), job.index_name.as_str());
        views.push(PrunedJob { job_id: job.id.as_str(), shop_id, index_name, ended_at: *ended_at });
    }
    views
}

fn text(pruned: &Pruned, dry_run: bool) -> String {
    let verb = if dry_run { "would remove" } else { "removed" };
    let line = |what: &str, job: &JobSnapshot| {
        let ended_at = job.ended_at.map(|at| format!(", which ended at {at}")).unwrap_or_default();
        format!("{verb} {what} {} of {}{ended_at}\n", job.job.id, job.job.shop_id)
    };
    let jobs = pruned.jobs.iter().map(|job| line("job", job));
    jobs.chain(pruned.chunks_of.iter().map(|job| line("the chunks of job", job))).collect()
}
