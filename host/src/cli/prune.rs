//! `host prune`, and what a run removes at its end.

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
use host_core::{error::chain, format::counted, storage::JobSnapshot};
use host_pipeline::retention;
use serde::Serialize;

/// Flags of `host prune`.
#[derive(Debug, Args)]
pub(super) struct PruneArgs {
    /// Print what would be removed; remove nothing
    #[arg(long)]
    dry_run: bool,
}

#[derive(Serialize)]
struct Pruned<'a> {
    dry_run: bool,
    jobs: Vec<PrunedJob<'a>>,
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
                .help("`aws.retention_days` says when; `host aws bootstrap` sets it for objects"));
        };
        let (shop, age) = (config.shop.as_deref(), config.retention.age());
        let removed = retention::prune(storage, remover, shop, clock().now(), age, args.dry_run).await;
        let removed = removed.map_err(store_failure)?;
        match global.output {
            OutputFormat::Json => print_json(&view(&removed, args.dry_run))?,
            OutputFormat::Text => print(&text(&removed, args.dry_run))?,
        }
        if removed.is_empty() {
            let days = counted(config.retention.days.get().into(), "day");
            eprintln!("no job that can go ended more than {days} ago (`retention.days`)");
        }
        Ok(Exit::Completed)
    })
}

/// Removes what is old of a shop after its run. That it cannot is no failure of the run.
pub(super) async fn after_run(config: &Config, backend: &Backend, shop_id: &str) {
    let storage = backend.storage();
    let Some(remover) = storage.job_remover() else { return };
    let (now, age) = (clock().now(), config.retention.age());
    if let Err(error) = retention::prune(storage, remover, Some(shop_id), now, age, false).await {
        eprintln!("warning: old jobs could not be removed: {}", chain(&error));
    }
}

fn view(removed: &[JobSnapshot], dry_run: bool) -> Pruned<'_> {
    let mut jobs = Vec::with_capacity(removed.len());
    for JobSnapshot { job, ended_at, .. } in removed {
        let (shop_id, index_name) = (job.shop_id.as_str(), job.index_name.as_str());
        jobs.push(PrunedJob { job_id: job.id.as_str(), shop_id, index_name, ended_at: *ended_at });
    }
    Pruned { dry_run, jobs }
}

fn text(removed: &[JobSnapshot], dry_run: bool) -> String {
    let what = if dry_run { "would remove" } else { "removed" };
    let line = |job: &JobSnapshot| {
        let ended_at = job.ended_at.map(|at| format!(", which ended at {at}")).unwrap_or_default();
        format!("{what} job {} of {}{ended_at}\n", job.job.id, job.job.shop_id)
    };
    removed.iter().map(line).collect()
}
