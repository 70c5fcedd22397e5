//! `host shop forget`: everything of a shop goes.

use super::{
    CliResult, Global,
    backend::Backend,
    context::{clock, config, print_json, runtime, store_failure},
    documents::index_failure,
    failure::{Exit, Failure},
    output::OutputFormat,
    shop_id,
};
use crate::config::{Config, TargetIndex};
use clap::Subcommand;
use host_core::{
    error::chain,
    format::pluralize,
    storage::{ShopCounts, ShopIndex, ShopRemoval, Stores},
};
use host_net::RetryProfile;
use host_pipeline::{
    forget::{self, DocumentsLeft, Forget, ForgetError, Forgotten, Found, LeftReason, OpenIndexes},
    removed_shop::{ShopIsRemoved, open_removal},
};
use jiff::Timestamp;
use serde::Serialize;
use std::io::{self, IsTerminal, Write};

/// Commands about a shop as a whole.
#[derive(Debug, Subcommand)]
pub(super) enum ShopCommand {
    /// Remove everything of a shop: documents, queues, chunks and reports, ledger, jobs, settings with their keys. What an interrupt
    /// leaves, the same command removes. Only a receipt stays, without the shop's name
    Forget {
        /// The shop
        #[arg(value_name = "SHOP")]
        id: String,
        /// Only print how much there is
        #[arg(long)]
        dry_run: bool,
        /// Do not ask
        #[arg(long)]
        yes: bool,
    },
}

/// The object that `shop forget` prints. Programs rely on its keys.
#[derive(Serialize)]
struct RemovalView<'a> {
    /// SHA-256 of the shop's id, under which the receipt is stored.
    shop: &'a str,
    dry_run: bool,
    began_at: Option<Timestamp>,
    ended_at: Option<Timestamp>,
    #[serde(flatten)]
    counts: ShopCounts,
    /// Indexes that could not be asked: of these, the documents are counted that the ledger names.
    uncounted: Vec<UncountedView<'a>>,
    /// Documents that stay, of which some may be the shop's.
    left: Vec<LeftView<'a>>,
}

#[derive(Serialize)]
struct LeftView<'a> {
    index_name: &'a str,
    documents: u64,
    reason: &'static str,
}

#[derive(Serialize)]
struct UncountedView<'a> {
    index_name: &'a str,
    reason: String,
}

pub(super) fn run(global: &Global, command: ShopCommand) -> CliResult {
    let ShopCommand::Forget { id, dry_run, yes } = command;
    let config = config(global)?;
    runtime()?.block_on(async {
        let backend = Backend::open(&config, false).await?;
        let stores = backend.stores();
        let id = shop_id::id_as_stored(id, &stores).await?;
        let before = stores.jobs.shop_removal(&id).await.map_err(store_failure)?;
        let found = forget::indexes(&stores, &id).await.map_err(store_failure)?;
        let indexes = open_indexes(&config, &backend, found)?;
        let forget = Forget { storage: backend.storage(), shop_id: &id, indexes, clock: clock() };
        let interrupted = before.clone().filter(ShopRemoval::is_open);
        let Found { counts, uncounted } = match &interrupted {
            Some(removal) => {
                eprintln!("the removal of {id} began at {:.0} and was interrupted; then there was of it:", removal.began_at);
                Found { counts: removal.counts, uncounted: Vec::new() }
            }
            None if dry_run => forget.find().await.map_err(failure)?,
            None => Found { counts: forget.counts().await.map_err(failure)?, uncounted: Vec::new() },
        };
        if interrupted.is_none() && counts == ShopCounts::default() {
            let said = before.and_then(|removal| removal.ended_at).map_or(String::new(), |ended_at| {
                format!("; it was removed at {ended_at:.0}")
            });
            return Err(Failure::usage(format!("there is nothing of shop {id}{said}"))
                .help("`host jobs list` names the shops that have jobs; with --store aws and --target name where else it was"));
        }
        eprintln!("{}", text(&counts));
        for (index_name, error) in &uncounted {
            eprintln!(
                "warning: the documents of index {index_name} are those that the ledger names, since it could not be asked: {}",
                chain(error)
            );
        }
        if dry_run {
            show(global, &id, None, counts, &uncounted, &[])?;
            return Ok(Exit::Completed);
        }
        if !yes {
            confirm(&id)?;
        }
        let Forgotten { receipt, left } = forget.run(counts).await.map_err(failure)?;
        backend.flush().await?;
        let but = if left.is_empty() { "" } else { "perhaps documents and " };
        eprintln!("nothing is left of shop {id} but {but}the receipt {}", ShopRemoval::key(&id));
        left.iter().for_each(|left| eprintln!("warning: {}", left_text(left)));
        show(global, &id, Some(&receipt), receipt.counts, &[], &left)?;
        Ok(if left.is_empty() { Exit::Completed } else { Exit::Usage })
    })
}

/// Opens the indexes of a shop; without one, that of the settings, since jobs expire.
fn open_indexes(
    config: &Config,
    backend: &Backend,
    mut found: Vec<ShopIndex>,
) -> Result<OpenIndexes, Failure> {
    if found.is_empty() && (config.index.is_some() || config.target == TargetIndex::Catalog) {
        let (target, index_name) = (config.target.as_str().into(), config.index.clone().unwrap_or_default());
        found.push(ShopIndex { target, index_name, is_exclusive: false });
    }
    let open = |of_shop: ShopIndex| {
        let target = TargetIndex::named(of_shop.target.kind()).unwrap_or(config.target);
        let index = backend.index(&Config { target, ..config.clone() }, RetryProfile::Interactive)?;
        if !of_shop.target.includes(&index.id()) {
            let message =
                format!("the shop has documents in {}, and the settings name {}", of_shop.target, index.id());
            return Err(Failure::usage(message)
                .help("name that catalog with `catalog.url`, and run the command again"));
        }
        Ok((of_shop, index))
    };
    found.into_iter().map(open).collect()
}

fn text(counts: &ShopCounts) -> String {
    let ShopCounts { documents, messages, objects, products, jobs, settings } = *counts;
    [
        pluralize(documents, "document"),
        pluralize(messages, "message"),
        pluralize(objects, "object"),
        pluralize(products, "ledger record"),
        pluralize(jobs, "job"),
        match settings {
            1 => "the settings of 1 index".to_owned(),
            _ => format!("the settings of {settings} indexes"),
        },
    ]
    .join(", ")
}

fn left_text(left: &DocumentsLeft) -> String {
    let DocumentsLeft { index_name, documents, reason } = left;
    let documents = pluralize(*documents, "document");
    let why = match reason {
        LeftReason::Unlisted => "more than it lists, so that those which no ledger names cannot be found",
        LeftReason::Unattributed => "written by jobs that are no longer known",
    };
    format!("index {index_name} still has {documents}, {why}; if they are the shop's, delete the index")
}

/// Asks for the shop's id.
fn confirm(id: &str) -> Result<(), Failure> {
    let refused =
        || Failure::usage(format!("the removal of shop {id} was not confirmed; nothing was removed"));
    if !io::stdin().is_terminal() {
        return Err(refused().help("`--yes` confirms it where there is no terminal"));
    }
    eprint!("All of it is removed and cannot be restored. Type the shop's id to confirm: ");
    io::stderr().flush().map_err(Failure::runtime)?;
    let mut line = String::new();
    io::stdin().read_line(&mut line).map_err(Failure::runtime)?;
    if line.trim() == id { Ok(()) } else { Err(refused()) }
}

fn show(
    global: &Global,
    id: &str,
    removal: Option<&ShopRemoval>,
    counts: ShopCounts,
    uncounted: &[(String, ForgetError)],
    left: &[DocumentsLeft],
) -> Result<(), Failure> {
    let mut reasons = Vec::with_capacity(uncounted.len());
    for (index_name, error) in uncounted {
        reasons.push(UncountedView { index_name, reason: chain(error) });
    }
    match global.output {
        OutputFormat::Text => Ok(()),
        OutputFormat::Json => print_json(&RemovalView {
            shop: &ShopRemoval::key(id),
            dry_run: removal.is_none(),
            began_at: removal.map(|removal| removal.began_at),
            ended_at: removal.and_then(|removal| removal.ended_at),
            counts,
            uncounted: reasons,
            left: left.iter().map(left_view).collect(),
        }),
    }
}

fn left_view(left: &DocumentsLeft) -> LeftView<'_> {
    LeftView { index_name: &left.index_name, documents: left.documents, reason: left.reason.as_str() }
}

/// What to do before anything else of a shop that is being removed.
pub(super) fn removed_shop(removed: ShopIsRemoved) -> Failure {
    let help = format!(
        "`host shop forget {}` finishes an interrupted removal; run this again afterwards",
        removed.0
    );
    Failure::usage(removed).help(help)
}

/// Warns where a shop is being removed, of which there may be only a part.
pub(super) async fn warn_of_removal(stores: &Stores, shop_id: &str) -> Result<(), Failure> {
    if let Some(removal) = open_removal(stores, shop_id).await.map_err(store_failure)? {
        eprintln!(
            "warning: the removal of shop {shop_id} began at {:.0} and is not finished: `host shop forget {shop_id}` finishes it",
            removal.began_at
        );
    }
    Ok(())
}

fn failure(error: ForgetError) -> Failure {
    match error {
        ForgetError::Store(error) => store_failure(error),
        ForgetError::Unfinished(job) => {
            let help =
                format!("wait for it (`host jobs watch {job}`) or end it (`host jobs cancel {job}`) first");
            Failure::usage(ForgetError::Unfinished(job)).help(help)
        }
        ForgetError::Index(error) => {
            index_failure(error).help("run the same command again: it removes what is left")
        }
        error => Failure::runtime(error).help("run the same command again: it removes what is left"),
    }
}
