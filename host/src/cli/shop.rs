//! `host shop forget`: everything of a shop goes.

use super::{
    CliResult, Global,
    backend::Backend,
    context::{clock, config, print_json, runtime, store_failure},
    documents::index_failure,
    failure::{Exit, Failure},
    hints::options,
    output::OutputFormat,
    shop_id,
};
use crate::config::{Config, TargetIndex};
use clap::Subcommand;
use host_core::{
    error::chain,
    format::pluralize,
    index::Index,
    model::{Digest, JobId},
    storage::{DocumentsLeft, LeftReason, ShopCounts, ShopIndex, ShopRemoval, Stores},
};
use host_net::RetryProfile;
use host_pipeline::{
    forget::{self, Forget, ForgetError, Found, FoundIndex, NotAsked, OpenIndexes},
    removed_shop::{ShopIsRemoved, open_removal},
};
use jiff::Timestamp;
use serde::Serialize;
use std::{
    io::{self, IsTerminal, Write},
    sync::Arc,
};

/// Commands about a shop as a whole.
#[derive(Debug, Subcommand)]
pub(super) enum ShopCommand {
    /// Remove everything of a shop: documents, queues, chunks and reports, ledger, jobs, settings with their keys. What an interrupt
    /// leaves, the same command removes. Only a receipt stays, without the shop's name
    Forget {
        /// The shop
        #[arg(value_name = "SHOP")]
        id: String,
        /// Only print what there is, and whether a job that has not ended is in the way
        #[arg(long)]
        dry_run: bool,
        /// This index of the shop is gone for good, and its documents with it: its server is not asked, and the receipt says so. As
        /// TARGET/INDEX where several targets have one of this name
        #[arg(long, value_name = "INDEX")]
        without_index: Vec<String>,
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
    /// Of a dry run: the shop's indexes.
    indexes: Vec<IndexView<'a>>,
    /// Of a dry run: a job that has not ended, because of which nothing would be removed.
    open_job: Option<&'a str>,
    /// Indexes that could not be asked: of these, the documents are counted that the ledger names.
    uncounted: Vec<UncountedView<'a>>,
    /// Documents that were not removed.
    left: Vec<LeftView<'a>>,
}

#[derive(Serialize)]
struct IndexView<'a> {
    index_name: &'a str,
    target: &'a str,
    documents: u64,
    /// Whether it has settings that go with the shop.
    settings: bool,
}

#[derive(Serialize)]
struct LeftView<'a> {
    /// None where the receipt alone is left, which has a digest of it.
    index_name: Option<&'a str>,
    /// SHA-256 of the index's name.
    index: Digest,
    documents: u64,
    reason: &'static str,
}

#[derive(Serialize)]
struct UncountedView<'a> {
    index_name: &'a str,
    reason: String,
}

pub(super) fn run(global: &Global, command: ShopCommand) -> CliResult {
    let ShopCommand::Forget { id, dry_run, without_index, yes } = command;
    let config = config(global)?;
    runtime()?.block_on(async {
        let backend = Backend::open(&config, false).await?;
        let stores = backend.stores();
        let id = shop_id::id_as_stored(id, &stores).await?;
        let before = stores.jobs.shop_removal(&id).await.map_err(store_failure)?;
        let all = forget::indexes(&stores, &id).await.map_err(store_failure)?;
        let index_names = all.iter().map(|of_shop| of_shop.index_name.clone()).chain(config.index.clone()).collect();
        let (there, gone) = split_indexes(&config, all, &without_index)?;
        let mut indexes = OpenIndexes::with_capacity(there.len());
        for of_shop in there {
            let index = open_index(&config, &backend, &of_shop)?;
            indexes.push((of_shop, index));
        }
        let gone = gone.into_iter().map(|of_shop| with_whole_target(&config, &backend, of_shop)).collect();
        let forget = Forget { storage: backend.storage(), shop_id: &id, indexes, gone, clock: clock() };
        let options = options(global);
        let failure = |error| failure(error, &id, &options);
        let found = forget.find().await.map_err(failure)?;
        let is_gone = found.counts == ShopCounts::default();
        match &before {
            Some(removal) if removal.is_open() => eprintln!(
                "the removal of shop {id} began at {:.0} and was interrupted; this is left of it:",
                removal.began_at
            ),
            None if is_gone => {
                return Err(Failure::usage(format!("there is nothing of shop {id}")).help(
                    "`host jobs list` names the shops that have jobs; with --store aws and --target name where else it was",
                ));
            }
            _ => {}
        }
        let ended = before.filter(|removal| is_gone && !removal.is_open());
        match &ended {
            Some(receipt) => eprintln!("shop {id} was removed before; then there was of it:\n{}", text(&receipt.counts)),
            None => print_found(&found),
        }
        let shown = Shown { global, id: &id, index_names };
        if dry_run {
            shown.print(ended.as_ref(), Some(&found))?;
        }
        if let Some(job) = found.open_job {
            return Err(failure(ForgetError::Unfinished(job)));
        }
        if dry_run {
            return Ok(exit(ended.as_ref()));
        }
        for index in found.indexes {
            // Of a shop that is gone it is the one that the settings name, if any.
            if let (Some(NotAsked::Failed(error)), None) = (index.not_asked, &ended) {
                return Err(failure(error));
            }
        }
        if !yes && !is_gone {
            confirm(&id)?;
        }
        let receipt = forget.run(found.counts).await.map_err(failure)?;
        backend.flush().await?;
        shown.print(Some(&receipt), None)?;
        Ok(exit(Some(&receipt)))
    })
}

fn exit(receipt: Option<&ShopRemoval>) -> Exit {
    match receipt {
        Some(receipt) if receipt.may_have_left_documents() => Exit::Usage,
        _ => Exit::Completed,
    }
}

/// The indexes of a shop, those that `gone` names apart. Without any, that of the settings is the shop's, since jobs expire.
fn split_indexes(
    config: &Config,
    mut all: Vec<ShopIndex>,
    gone: &[String],
) -> Result<(Vec<ShopIndex>, Vec<ShopIndex>), Failure> {
    // A removal that has come so far has erased the names.
    let are_known = !all.is_empty();
    if all.is_empty() && (config.index.is_some() || config.target == TargetIndex::Catalog) {
        let (target, index_name) = (config.target.as_str().into(), config.index.clone().unwrap_or_default());
        all.push(ShopIndex { target, index_name, is_exclusive: false });
    }
    let name = |of_shop: &ShopIndex| format!("{}/{}", of_shop.target, of_shop.index_name);
    let is = |wanted: &str, of_shop: &ShopIndex| wanted == of_shop.index_name || wanted == name(of_shop);
    for wanted in gone {
        let named: Vec<String> = all.iter().filter(|of_shop| is(wanted, of_shop)).map(name).collect();
        let message = match named.len() {
            1 => continue,
            0 if !are_known => continue,
            0 => format!("the shop has no index {wanted}"),
            _ => format!("the shop has several indexes {wanted}"),
        };
        let named = if named.is_empty() { all.iter().map(name).collect() } else { named };
        return Err(Failure::usage(message).help(format!("name one of {}", named.join(", "))));
    }
    Ok(all.into_iter().partition(|of_shop| !gone.iter().any(|wanted| is(wanted, of_shop))))
}

/// Opens an index of a shop, which asks nothing of it.
fn open_index(config: &Config, backend: &Backend, of_shop: &ShopIndex) -> Result<Arc<dyn Index>, Failure> {
    let target = TargetIndex::named(of_shop.target.kind()).unwrap_or(config.target);
    let index = backend.index(&Config { target, ..config.clone() }, RetryProfile::Interactive)?;
    if of_shop.target.includes(&index.id()) {
        return Ok(index);
    }
    let message =
        format!("the shop has documents in {}, and the settings name {}", of_shop.target, index.id());
    Err(Failure::usage(message).help(format!(
        "name that catalog with `catalog.url`, and run the command again; if it is gone for good, add `--without-index {}`",
        of_shop.index_name
    )))
}

/// An index that is gone, with the target under which the ledger has its documents: records of older versions name only a part.
fn with_whole_target(config: &Config, backend: &Backend, of_shop: ShopIndex) -> ShopIndex {
    match open_index(config, backend, &of_shop) {
        Ok(index) => ShopIndex { target: index.id(), ..of_shop },
        Err(_) => of_shop,
    }
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

/// Prints on stderr what there is of a shop.
fn print_found(found: &Found) {
    eprintln!("{}", text(&found.counts));
    for FoundIndex { of_shop, documents, has_settings, not_asked } in &found.indexes {
        let (index_name, target) = (&of_shop.index_name, of_shop.target.kind());
        let settings = match (has_settings, of_shop.is_exclusive) {
            (true, _) => ", and its settings",
            (false, true) => ", no settings",
            (false, false) => "; its settings stay for other shops",
        };
        eprintln!("  index {index_name} ({target}): {}{settings}", pluralize(*documents, "document"));
        match not_asked {
            None => {}
            Some(NotAsked::Gone) => {
                eprintln!("    it is not asked: its documents are those that the ledger names");
            }
            Some(NotAsked::Failed(error)) => eprintln!(
                "    warning: its documents are those that the ledger names, since it could not be asked: {}",
                chain(error)
            ),
        }
    }
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

/// What is shown of a removal.
struct Shown<'a> {
    global: &'a Global,
    id: &'a str,
    /// Names of indexes, of which a receipt has digests.
    index_names: Vec<String>,
}

impl Shown<'_> {
    /// Prints a receipt, or what a dry run found.
    fn print(&self, receipt: Option<&ShopRemoval>, dry_run: Option<&Found>) -> Result<(), Failure> {
        let (id, key) = (self.id, ShopRemoval::key(self.id));
        let left = receipt.map_or(&[][..], |receipt| &receipt.left);
        if let Some(receipt) = receipt {
            let but = if receipt.may_have_left_documents() { "perhaps documents and " } else { "" };
            eprintln!("nothing is left of shop {id} but {but}the receipt {key}");
        }
        for left in left {
            eprintln!("warning: {}", self.left_text(left));
        }
        if self.global.output == OutputFormat::Text {
            return Ok(());
        }
        let counts = receipt.map(|receipt| receipt.counts).or(dry_run.map(|found| found.counts));
        let (mut indexes, mut uncounted) = (Vec::new(), Vec::new());
        for FoundIndex { of_shop, documents, has_settings, not_asked } in
            dry_run.iter().flat_map(|found| &found.indexes)
        {
            let (index_name, target) = (of_shop.index_name.as_str(), of_shop.target.kind());
            indexes.push(IndexView { index_name, target, documents: *documents, settings: *has_settings });
            if let Some(NotAsked::Failed(error)) = not_asked {
                uncounted.push(UncountedView { index_name, reason: chain(error) });
            }
        }
        print_json(&RemovalView {
            shop: &key,
            dry_run: dry_run.is_some(),
            began_at: receipt.map(|receipt| receipt.began_at),
            ended_at: receipt.and_then(|receipt| receipt.ended_at),
            counts: counts.unwrap_or_default(),
            indexes,
            open_job: dry_run.and_then(|found| found.open_job.as_ref()).map(JobId::as_str),
            uncounted,
            left: left.iter().map(|left| self.left_view(left)).collect(),
        })
    }

    fn left_view(&self, left: &DocumentsLeft) -> LeftView<'_> {
        let DocumentsLeft { index, documents, reason } = *left;
        LeftView { index_name: self.index_name(&index), index, documents, reason: reason.as_str() }
    }

    fn index_name(&self, digest: &Digest) -> Option<&str> {
        let is_named = |name: &&String| Digest::of(name.as_bytes()) == *digest;
        self.index_names.iter().find(is_named).map(String::as_str)
    }

    fn left_text(&self, left: &DocumentsLeft) -> String {
        let index = match self.index_name(&left.index) {
            Some(name) => format!("index {name}"),
            None => format!("the index whose name has the digest {}", left.index),
        };
        let documents = pluralize(left.documents, "document");
        match left.reason {
            LeftReason::Unlisted => format!(
                "{index} still had {documents}, more than it lists, so that those which no ledger names could not be found; if \
                 they are the shop's, delete the index"
            ),
            LeftReason::Unattributed => format!(
                "{index} still had {documents}, written by jobs that are no longer known; if they are the shop's, delete the index"
            ),
            LeftReason::WithoutIndex => {
                format!("{index} was not asked to remove {documents}: it was said to be gone for good")
            }
        }
    }
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

fn failure(error: ForgetError, id: &str, options: &str) -> Failure {
    let again = format!("run `host shop forget {id}{options}` again: it removes what is left");
    match error {
        ForgetError::Store(error) => store_failure(error),
        ForgetError::Unfinished(job) => {
            let help = format!(
                "wait for it (`host jobs watch {job}{options}`) or end it (`host jobs cancel {job}{options}`) first"
            );
            Failure::usage(ForgetError::Unfinished(job)).help(help)
        }
        ForgetError::Index { index_name, source } => index_failure(source).help(format!(
            "once index {index_name} answers, {again}; if it is gone for good, and its documents with it: \
             `host shop forget {id} --without-index {index_name}{options}`"
        )),
        error => Failure::runtime(error).help(again),
    }
}
