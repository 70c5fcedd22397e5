//! `host reconcile` and `host ledger rebuild`: whether an index has what its ledger says, and the other way round.

use super::{
    CliResult, Global,
    context::{clock, plugins, print_json, runtime, store_failure},
    documents::{OpenIndex, index_failure},
    failure::{Exit, Failure},
    hints::options,
    output::OutputFormat,
    run::stopped,
    shop::{removed_shop, warn_of_removal},
    shutdown::cancel_on_signal,
};
use clap::{Args, Subcommand};
use host_core::{
    format::{count, pluralize},
    index::WriteTarget,
    storage::JobSnapshot,
};
use host_pipeline::{
    archive::RemovalSettings,
    reconcile::{Comparison, Difference, Reconcile, ReconcileError, ReconcileMode, Repair},
    worker::{RunUntil, Worker},
};
use serde::Serialize;
use std::{
    io::{self, BufWriter, Write},
    sync::Arc,
};
use tokio_util::sync::CancellationToken;

/// Flags of `host reconcile`.
#[derive(Debug, Args)]
pub(super) struct ReconcileArgs {
    /// The shop, as with --shop
    #[arg(value_name = "SHOP")]
    named_shop: Option<String>,
    /// Repair differences: the next sync writes what is missing, what left the index according to the ledger is removed from it, and
    /// what the ledger does not know is recorded
    #[arg(long)]
    repair: bool,
    #[command(flatten)]
    whose: AdoptArgs,
}

/// Commands about the ledger.
#[derive(Debug, Subcommand)]
pub(super) enum LedgerCommand {
    /// Record what the index has and the ledger does not know: after the ledger was lost, or of versions of host before it
    Rebuild {
        /// The shop, as with --shop
        #[arg(value_name = "SHOP")]
        named_shop: Option<String>,
        /// Only print what would be recorded, and end with exit code 3 if there is any
        #[arg(long)]
        dry_run: bool,
        #[command(flatten)]
        whose: AdoptArgs,
    },
}

/// Whose documents are compared.
#[derive(Clone, Copy, Debug, Args)]
pub(super) struct AdoptArgs {
    /// Take documents of jobs that are no longer known for this shop's: only for an index that no other shop writes to
    #[arg(long)]
    adopt: bool,
}

/// Differences that JSON lists; text has all.
const MAX_LISTED: usize = 1_000;

/// The object that both commands print. Programs rely on its keys.
#[derive(Serialize)]
struct ComparisonView<'a> {
    shop_id: &'a str,
    index_name: &'a str,
    target: String,
    in_index: u64,
    in_ledger: u64,
    /// None where only unknown documents are looked for.
    missing: Option<u64>,
    removed: Option<u64>,
    unknown: u64,
    foreign: u64,
    unattributed: u64,
    /// Whether the index could be listed, so that all unknown documents were found.
    complete: bool,
    /// The first ones.
    differences: &'a [DifferenceView],
    differences_left_out: u64,
    repair: Option<RepairView<'a>>,
}

#[derive(Serialize)]
struct DifferenceView {
    difference: &'static str,
    document: String,
    product: Option<String>,
}

#[derive(Serialize)]
struct RepairView<'a> {
    marked_missing: u64,
    recorded: u64,
    without_product: u64,
    removal_job_id: Option<&'a str>,
    deleted: u64,
    /// Documents that were newer than their removal and stay.
    kept: u64,
}

pub(super) fn run(global: &Global, args: ReconcileArgs) -> CliResult {
    let ReconcileArgs { named_shop, repair, whose } = args;
    compare(&of_shop(global, named_shop), ReconcileMode::All, whose, repair)
}

pub(super) fn ledger(global: &Global, command: LedgerCommand) -> CliResult {
    let LedgerCommand::Rebuild { named_shop, dry_run, whose } = command;
    compare(&of_shop(global, named_shop), ReconcileMode::Unknown, whose, !dry_run)
}

/// The flags with the shop that a command names by itself.
fn of_shop(global: &Global, named: Option<String>) -> Global {
    let mut global = global.clone();
    global.shop = named.or(global.shop);
    global
}

fn compare(global: &Global, mode: ReconcileMode, AdoptArgs { adopt }: AdoptArgs, repair: bool) -> CliResult {
    runtime()?.block_on(async {
        let open = OpenIndex::open(global).await?;
        open.exists().await?;
        let OpenIndex { backend, index, target, effective } = &open;
        let config = &effective.config;
        if !repair {
            warn_of_removal(&backend.stores(), &target.shop_id).await?;
        }
        // Only removals need a worker, and they are published before it is known that it has a plug-in.
        let worker = match (repair, mode) {
            (true, ReconcileMode::All) => {
                Some(backend.worker(config, &plugins(config, &effective.origins)?)?)
            }
            _ => None,
        };
        let reconcile = Reconcile {
            storage: backend.storage(),
            index: index.as_ref(),
            target: target.clone(),
            mode,
            adopt,
            clock: clock(),
        };
        let is_all = mode == ReconcileMode::All;
        let is_text = global.output == OutputFormat::Text;
        let (mut listed, mut out) = (Vec::new(), BufWriter::new(io::stdout()));
        let report = |found: &Difference| {
            let Difference { kind, document, product } = found;
            let product = product.as_ref().map(ToString::to_string);
            if is_text {
                let of = product.map_or(String::new(), |product| format!("  of product {product}"));
                // A closed pipe is not an error; the exit code still counts.
                let _printed = writeln!(out, "{:8} {document}{of}", kind.as_str());
            } else if listed.len() < MAX_LISTED {
                let (difference, document) = (kind.as_str(), document.to_string());
                listed.push(DifferenceView { difference, document, product });
            }
        };
        let compared = if repair {
            let settings = RemovalSettings { bounds: config.ingest.bounds(), lanes: config.lanes().get() };
            reconcile.repair(settings, report).await
        } else {
            reconcile.compare(report).await
        };
        let compared = compared.map_err(failure)?;
        let _printed = out.flush();
        let removed = match (&compared.repair, worker) {
            (Some(repair), Some(worker)) => remove(&open, repair, &worker).await?,
            _ => None,
        };
        if repair {
            backend.flush().await?;
        }
        if global.output == OutputFormat::Json {
            let repair = compared.repair.as_ref().map(|repair| RepairView {
                marked_missing: repair.marked_missing,
                recorded: repair.recorded,
                without_product: repair.without_product,
                removal_job_id: repair.removal_job.as_ref().map(|id| id.as_str()),
                deleted: removed.as_ref().map_or(0, |job| job.counts.deleted),
                kept: removed.as_ref().map_or(0, |job| job.counts.conflict),
            });
            print_json(&ComparisonView {
                shop_id: &target.shop_id,
                index_name: &target.index_name,
                target: index.id().to_string(),
                in_index: compared.in_index,
                in_ledger: compared.in_ledger,
                missing: is_all.then_some(compared.missing),
                removed: is_all.then_some(compared.removed),
                unknown: compared.unknown,
                foreign: compared.foreign,
                unattributed: compared.unattributed,
                complete: !compared.is_unlisted,
                differences_left_out: compared.differences() - listed.len() as u64,
                differences: &listed,
                repair,
            })?;
        }
        print_summary(&compared, mode, removed.as_ref(), adopt);
        print_next(global, &open, &compared, mode, adopt);
        exit(&compared, removed.as_ref(), index.list_limit())
    })
}

/// Carries the removals out, as far as they are not interrupted.
async fn remove(
    open: &OpenIndex,
    repair: &Repair,
    worker: &Arc<Worker>,
) -> Result<Option<JobSnapshot>, Failure> {
    let Some(job) = &repair.removal_job else { return Ok(None) };
    let cancel = CancellationToken::new();
    tokio::spawn(cancel_on_signal(cancel.clone()));
    open.backend.storage().register().await.map_err(store_failure)?;
    let worked = worker.run(&open.target.shop_id, RunUntil::JobEnds(job.clone()), &cancel).await;
    worked.map_err(|stop| stopped(stop, Some(job)))?;
    open.backend.stores().jobs.get(job).await.map_err(store_failure)
}

/// Says on stderr what was found and done.
fn print_summary(compared: &Comparison, mode: ReconcileMode, removed: Option<&JobSnapshot>, adopt: bool) {
    let Comparison { in_index, in_ledger, missing, removed: left, unknown, .. } = *compared;
    let what_differs = match mode {
        ReconcileMode::All => {
            format!("{} missing, {} removed and still there, ", count(missing), count(left))
        }
        ReconcileMode::Unknown => String::new(),
    };
    eprintln!(
        "{} in the index, {} according to the ledger: {what_differs}{} unknown to the ledger",
        pluralize(in_index, "document"),
        count(in_ledger),
        count(unknown)
    );
    if compared.foreign > 0 {
        eprintln!("{} of other shops or programs are left alone", pluralize(compared.foreign, "document"));
    }
    if compared.unattributed > 0 && !adopt {
        eprintln!(
            "{} of jobs that are no longer known: if no other shop writes to this index, `--adopt` takes them for this shop's",
            pluralize(compared.unattributed, "document")
        );
    }
    let Some(repair) = &compared.repair else { return };
    if repair.marked_missing > 0 {
        eprintln!(
            "{} marked as missing: the next sync that has them writes them",
            pluralize(repair.marked_missing, "document")
        );
    }
    if repair.recorded > 0 {
        eprintln!("{} recorded", pluralize(repair.recorded, "document"));
    }
    if repair.without_product > 0 {
        eprintln!(
            "no chunk says which product {} of these belong to: each is recorded as a product of its own",
            count(repair.without_product)
        );
    }
    if let Some(job) = removed {
        let kept = match job.counts.conflict {
            0 => String::new(),
            kept => format!(", {} are newer than their removal and stay", count(kept)),
        };
        eprintln!("{} removed (job {}){kept}", pluralize(job.counts.deleted, "document"), job.job.id);
    }
}

/// Says on stderr what to type next about differences that stay.
fn print_next(
    global: &Global,
    OpenIndex { target, effective, .. }: &OpenIndex,
    compared: &Comparison,
    mode: ReconcileMode,
    adopt: bool,
) {
    let WriteTarget { shop_id, index_name, .. } = target;
    let (kind, options) = (effective.config.target.as_str(), options(global));
    let names = format!("--index {index_name} --target {kind}");
    let adopt = if adopt { " --adopt" } else { "" };
    match (&compared.repair, mode) {
        (Some(repair), _) if repair.marked_missing > 0 => eprintln!(
            "`host run EXPORT --shop {shop_id} {names}{options}` writes what is missing, with the plug-ins of the shop's syncs"
        ),
        (Some(_), _) => {}
        (None, _) if compared.differences() == 0 => {}
        (None, ReconcileMode::All) => {
            eprintln!("`host reconcile {shop_id} {names}{adopt} --repair{options}` repairs the differences");
        }
        (None, ReconcileMode::Unknown) => {
            eprintln!("`host ledger rebuild {shop_id} {names}{adopt}{options}` records what is unknown");
        }
    }
}

fn exit(compared: &Comparison, removed: Option<&JobSnapshot>, limit: Option<u64>) -> CliResult {
    match removed {
        Some(job) if !job.status.has_ended() => return Ok(Exit::Interrupted),
        Some(job) if job.counts.failed > 0 => return Ok(Exit::Failed),
        _ => {}
    }
    if compared.repair.is_none() && compared.differences() > 0 {
        return Ok(Exit::Conflict);
    }
    match limit.filter(|_| compared.is_unlisted) {
        None => Ok(Exit::Completed),
        Some(limit) => Err(Failure::usage(format!(
            "the index has {} documents, and its server lists at most {}: those that are unknown to the ledger were looked for only in \
             the chunks that are still there",
            count(compared.in_index),
            count(limit)
        ))
        .help("what the ledger names was compared; a full sync (`host run --full`) writes and records what the shop has")),
    }
}

const REPEAT: &str = "run the same command again: what is repaired stays repaired";

fn failure(error: ReconcileError) -> Failure {
    match error {
        ReconcileError::Store(error) => store_failure(error),
        ReconcileError::ShopIsRemoved(removed) => removed_shop(removed),
        ReconcileError::Index(error) => index_failure(error).help(REPEAT),
        ReconcileError::Unfinished(job) => {
            let help = format!("`host jobs watch {job}` waits for it, `host jobs cancel {job}` ends it");
            Failure::usage(ReconcileError::Unfinished(job)).help(help)
        }
        error @ (ReconcileError::Shared(_) | ReconcileError::NoJob) => Failure::usage(error),
        error => Failure::runtime(error).help(REPEAT),
    }
}
