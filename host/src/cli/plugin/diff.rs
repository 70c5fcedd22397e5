//! `host plugin diff`: what a new version changes.

use super::{batch_failure, findings, load, run::read_failure, runner, workbench};
use crate::{
    cli::{
        Ended, Global,
        backend::Backend,
        context::{config, print, print_json, remote, runtime},
        failure::{Exit, Failure},
        jobs::find,
        output::OutputFormat,
    },
    config::Config,
};
use clap::Args;
use host_core::{model::Product, storage::JobSnapshot, text::count};
use host_export::{Export, Item, Options, Plan};
use host_plugin_dev::{comparison::Comparison, items::ReadError, page};
use host_plugin_host::{Plugin, Profile, Role, Runner};
use std::path::PathBuf;

/// Products that both versions get at once.
const BATCH: usize = 64;

/// Arguments of `host plugin diff`.
#[derive(Debug, Args)]
pub(in crate::cli) struct DiffArgs {
    /// The component in use, or the folder of its project
    old: PathBuf,
    /// The component that is to replace it, or the folder of its project
    new: PathBuf,
    /// Exports to compare with, also as s3://bucket/key, or - for standard input; may be repeated
    #[arg(long = "source", value_name = "SOURCE", required_unless_present = "job")]
    sources: Vec<String>,
    /// Compare with what a job read, by its id or the beginning of it: its sources are read again
    #[arg(long, value_name = "JOB", conflicts_with = "sources")]
    job: Option<String>,
    /// Examples of each difference
    #[arg(long, default_value_t = 3, value_name = "N")]
    examples: usize,
    /// Write the result to a file as one HTML page as well
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
}

pub(super) fn run(global: &Global, args: &DiffArgs) -> Ended {
    let config = config(global)?;
    let workbench = workbench(&config, Profile::Deterministic)?;
    let (old, new) = (load(&workbench, &args.old, &config)?, load(&workbench, &args.new, &config)?);
    check(&old, &new)?;
    let mut comparison = Comparison::new(old.plugin_ref(), new.plugin_ref(), args.examples);
    let scratch = tempfile::tempdir().map_err(|error| read_failure(ReadError::Scratch(error)))?;
    let export = |error| read_failure(ReadError::Export(error));
    let runtime = runtime()?;
    let job = args.job.clone().map(|id| runtime.block_on(read_by(&config, id))).transpose()?;
    let sources = job.as_ref().map_or(&args.sources, |job| &job.job.sources);
    let remote = runtime.block_on(remote(&config, sources));
    let plan = Export::open(sources, Options { remote, ..Options::new(scratch.path()) })
        .and_then(|opened| opened.scan(&old.manifest().grouping))
        .map_err(export)?;
    let (old, new) = (runner(&old)?, runner(&new)?);
    runtime.block_on(compare(plan, &old, &new, &mut comparison))?;
    if let Some(job) = &job
        && let Some(seal) = &job.seal
        && seal.source.products != comparison.products
    {
        let (was, is) = (count(seal.source.products), count(comparison.products));
        eprintln!(
            "warning: the sources have {is} products; when job {} read them, they had {was}",
            job.job.id
        );
    }
    if let Some(path) = &args.html {
        std::fs::write(path, page::of(&comparison))
            .map_err(|error| Failure::broke(format!("{} cannot be written: {error}", path.display())))?;
    }
    match global.output {
        OutputFormat::Json => print_json(&comparison)?,
        OutputFormat::Text => print(&findings::text(&comparison))?,
    }
    Ok(if comparison.is_same() { Exit::Completed } else { Exit::Failed })
}

/// The job whose sources are read again.
async fn read_by(config: &Config, id: String) -> Result<JobSnapshot, Failure> {
    let backend = Backend::open(config, false).await?;
    let job = find(&backend.stores(), config.shop.as_deref(), Some(id)).await?;
    if job.job.sources.iter().any(|source| source == "-") {
        let message = format!("job {} read its export from standard input, where it is no more", job.job.id);
        return Err(Failure::usage(message).help("name a copy of the export with --source"));
    }
    Ok(job)
}

/// Whether the two can be compared at all.
pub(super) fn check(old: &Plugin, new: &Plugin) -> Result<(), Failure> {
    for plugin in [old, new] {
        if !plugin.roles().contains(&Role::Transform) {
            let name = plugin.manifest().reference();
            return Err(Failure::usage(format!("{name} makes no documents: it has no role `transform`")));
        }
    }
    if old.manifest().grouping != new.manifest().grouping {
        let message = "the two put lines together to products in other ways, so no product of the one is one of the other";
        return Err(Failure::usage(message).help("compare versions that read the same export"));
    }
    Ok(())
}

/// Gives both versions all products of an export, batch by batch.
async fn compare(plan: Plan, old: &Runner, new: &Runner, comparison: &mut Comparison) -> Result<(), Failure> {
    let mut products = plan.into_products();
    loop {
        let mut batch: Vec<Product> = Vec::with_capacity(BATCH);
        for item in products.by_ref() {
            // Lines that are no product are neither version's business.
            if let Item::Product { product, .. } =
                item.map_err(|error| read_failure(ReadError::Export(error)))?
            {
                batch.push(product);
            }
            if batch.len() == BATCH {
                break;
            }
        }
        if batch.is_empty() {
            return Ok(());
        }
        let both =
            futures::future::join(old.transform_at_cost(batch.clone()), new.transform_at_cost(batch)).await;
        let (before, old_cost) = both.0.map_err(batch_failure)?;
        let (after, new_cost) = both.1.map_err(batch_failure)?;
        comparison.add_cost(old_cost, new_cost);
        for ((product, before), (_, after)) in before.iter().zip(&after) {
            comparison.add(product, before, after);
        }
    }
}
