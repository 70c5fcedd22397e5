//! `host plugin diff`: compares two versions of a plug-in.

use super::{batch_failure, comparison, dev_engine, load, new_runner, run::read_failure};
use crate::{
    cli::{
        CliResult, Global,
        backend::Backend,
        context::{config, print, print_json, remote, runtime},
        failure::{Exit, Failure},
        jobs::find,
        output::OutputFormat,
        shop_id,
    },
    config::Config,
};
use clap::Args;
use host_core::{format::count, model::Product, storage::JobSnapshot};
use host_export::{Export, ExportItem, Options, Plan};
use host_plugin_dev::{comparison::Comparison, items::ReadError, page};
use host_plugin_host::{EngineProfile, Plugin, Role, Runner};
use std::path::PathBuf;

/// Products that both versions get at a time.
const BATCH: usize = 64;

/// Arguments of `host plugin diff`.
#[derive(Debug, Args)]
pub(in crate::cli) struct DiffArgs {
    /// Component file or project folder of the version in use
    old: PathBuf,
    /// Component file or project folder of the new version
    new: PathBuf,
    /// Export to compare with: a file, s3://bucket/key, or - for standard input; may be repeated
    #[arg(long = "source", value_name = "SOURCE", required_unless_present = "job")]
    sources: Vec<String>,
    /// Compare with the sources of a job, read again; the id or its beginning
    #[arg(long, value_name = "JOB", conflicts_with = "sources")]
    job: Option<String>,
    /// Examples to keep per difference
    #[arg(long, default_value_t = 3, value_name = "N")]
    examples: usize,
    /// Also write the result to a file as an HTML page
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
}

pub(super) fn run(global: &Global, args: &DiffArgs) -> CliResult {
    let config = config(global)?;
    let engine = dev_engine(&config, EngineProfile::Deterministic)?;
    let (old, new) = (load(&engine, &args.old, &config)?, load(&engine, &args.new, &config)?);
    ensure_comparable(&old, &new)?;
    let mut comparison = Comparison::new(old.plugin_ref(), new.plugin_ref(), args.examples);
    let temp = tempfile::tempdir().map_err(|error| read_failure(ReadError::TempDir(error)))?;
    let export_failure = |error| read_failure(ReadError::Export(error));
    let runtime = runtime()?;
    let job = args.job.clone().map(|id| runtime.block_on(find_job(&config, id))).transpose()?;
    let sources = job.as_ref().map_or(&args.sources, |job| &job.job.sources);
    let remote = runtime.block_on(remote(&config, sources))?;
    let plan = Export::open(sources, Options { remote, ..Options::new(temp.path()) })
        .and_then(|opened| opened.scan(&old.manifest().grouping))
        .map_err(export_failure)?;
    let (old, new) = (new_runner(&old)?, new_runner(&new)?);
    runtime.block_on(compare(plan, &old, &new, &mut comparison))?;
    if let Some(job) = &job
        && let Some(seal) = &job.seal
        && seal.source.products != comparison.products
    {
        let (was, is) = (count(seal.source.products), count(comparison.products));
        eprintln!(
            "warning: the sources have changed: {is} products now, {was} when job {} read them",
            job.job.id
        );
    }
    if let Some(path) = &args.html {
        std::fs::write(path, page::render(&comparison))
            .map_err(|error| Failure::runtime(format!("cannot write {}: {error}", path.display())))?;
    }
    match global.output {
        OutputFormat::Json => print_json(&comparison)?,
        OutputFormat::Text => print(&comparison::text(&comparison))?,
    }
    Ok(if comparison.is_same() { Exit::Completed } else { Exit::Failed })
}

/// Finds the job whose sources are to be read again.
async fn find_job(config: &Config, id: String) -> Result<JobSnapshot, Failure> {
    let backend = Backend::open(config, false).await?;
    let config = shop_id::as_stored(config.clone(), &backend.stores()).await?;
    let job = find(&backend.stores(), config.shop.as_deref(), Some(id)).await?;
    if job.job.sources.iter().any(|source| source == "-") {
        let message =
            format!("job {} read its export from standard input, which cannot be read again", job.job.id);
        return Err(Failure::usage(message).help("pass a copy of the export with --source"));
    }
    if job.job.sources.iter().any(|source| source.starts_with("… and ")) {
        let message = format!("the record of job {} names only the first of its many sources", job.job.id);
        return Err(Failure::usage(message).help("pass the export with --source"));
    }
    Ok(job)
}

/// Checks that both versions make documents from the same kind of products.
pub(super) fn ensure_comparable(old: &Plugin, new: &Plugin) -> Result<(), Failure> {
    for plugin in [old, new] {
        if !plugin.roles().contains(&Role::Transform) {
            let name = plugin.manifest().reference();
            return Err(Failure::usage(format!(
                "{name} cannot be compared: it does not have the role `transform`"
            )));
        }
    }
    if old.manifest().grouping != new.manifest().grouping {
        let message =
            "the two versions group lines into products differently, so their products cannot be compared";
        return Err(Failure::usage(message).help("compare versions that read the same export"));
    }
    Ok(())
}

/// Runs both versions on all products of an export, batch by batch.
async fn compare(plan: Plan, old: &Runner, new: &Runner, comparison: &mut Comparison) -> Result<(), Failure> {
    let mut products = plan.into_products();
    loop {
        let mut batch: Vec<Product> = Vec::with_capacity(BATCH);
        for item in products.by_ref() {
            // Neither version gets lines that belong to no product.
            if let ExportItem::Product { product, .. } =
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
