//! `host catalog`.

use super::{
    Ended, Global,
    backend::Backend,
    context::{config, plugins, print, print_json, runtime, store_failure},
    documents::{index_failure, newest, target},
    failure::{Exit, Failure},
    output::OutputFormat,
    run::interrupts,
};
use crate::config::{Config, TargetIndex};
use clap::Subcommand;
use host_core::{
    index::{Index, ArchiveRefusal, WriteTarget},
    model::{DocumentId, Job},
    storage::{JobSnapshot, Stores},
    text::count,
};
use host_index_catalog::{Archived, Catalog, Hit, Load, Summary};
use host_pipeline::{archive, worker::Worker};
use serde::Serialize;
use server::Removed;
use std::{collections::BTreeSet, fmt::Write, sync::Arc};
use tokio_util::sync::CancellationToken;

mod embed;
mod server;

/// Commands about the relational catalog.
#[derive(Debug, Subcommand)]
pub(super) enum CatalogCommand {
    /// Make the catalog in the database, or bring it up to date
    Migrate,
    /// Print how many products there are, and the last loads
    Status,
    /// Archive the products that the last full sync (`host run --full`) did not have, or with --target marqo remove them from
    /// the index; the sync does so itself unless it has doubts
    Archive {
        /// Print the ids of these products, and change nothing
        #[arg(long)]
        dry_run: bool,
        /// Archive more than the setting `catalog.archive_percent` allows, and after an export that looks cut off or of which
        /// something failed; what failed stays
        #[arg(long)]
        force: bool,
    },
    /// Print the products that have all the words, best first
    Search {
        /// Words, or their beginnings
        #[arg(required = true, value_name = "WORD")]
        words: Vec<String>,
        /// Print at most so many
        #[arg(long, default_value_t = 10, value_name = "N")]
        limit: usize,
        /// Search by meaning, with embeddings
        #[arg(long)]
        similar: bool,
    },
    /// Make the embeddings of products whose text is new or has changed
    Embed {
        /// Go on with what is loaded meanwhile, until Ctrl-C
        #[arg(long)]
        watch: bool,
    },
}

/// Refuses what only a catalog has an answer to.
fn of_catalog(config: &Config, command: &CatalogCommand) -> Result<(), Failure> {
    if config.target == TargetIndex::Catalog || matches!(command, CatalogCommand::Archive { .. }) {
        return Ok(());
    }
    let target = config.target.as_str();
    Err(Failure::usage(format!("this is about the relational catalog, and the target is `{target}`")).help(format!(
        "say --target catalog, if the catalog is meant; of the index, `host documents count --target {target}` tells the number \
         of documents and `host jobs list` the jobs"
    )))
}

pub(super) fn run(global: &Global, command: CatalogCommand) -> Ended {
    let config = config(global)?;
    of_catalog(&config, &command)?;
    runtime()?.block_on(async {
        let backend = Backend::open(&config, matches!(command, CatalogCommand::Migrate)).await?;
        if let CatalogCommand::Archive { dry_run: false, .. } = command {
            one_shop(&config, &backend.stores()).await?;
        }
        if let (CatalogCommand::Archive { dry_run, force }, TargetIndex::Marqo) = (&command, config.target) {
            let target = target(&config, newest(&config, &backend.stores()).await?)?;
            let job = last_full_job(&backend.stores(), &target, TargetIndex::Marqo).await?;
            return match dry_run {
                true => list_missing(global, &config, &backend, &job).await,
                false => remove(&config, &backend, &job, *force).await,
            };
        }
        let catalog = backend.catalog(&config)?;
        if let CatalogCommand::Migrate = command {
            let done = catalog.migrate().await.map_err(index_failure)?;
            eprintln!("{done}");
            return Ok(Exit::Completed);
        }
        let target = target(&config, newest(&config, &backend.stores()).await?)?;
        match command {
            CatalogCommand::Migrate => Ok(Exit::Completed),
            CatalogCommand::Status => status(global, &catalog, &target).await,
            CatalogCommand::Search { words, limit, similar } => {
                let text = words.join(" ");
                let hits = if similar {
                    embed::similar(&config, &catalog, &target, &text, limit).await?
                } else {
                    catalog.search(&target, &text, limit).await.map_err(index_failure)?
                };
                if hits.is_empty() {
                    let WriteTarget { shop_id, index_name, .. } = &target;
                    eprintln!(
                        "nothing in the catalog of {shop_id}, index {index_name}, is found by `{text}`"
                    );
                }
                show_hits(global, &hits)
            }
            CatalogCommand::Embed { watch } => embed::run(global, &config, &catalog, &target, watch).await,
            CatalogCommand::Archive { dry_run, force } => {
                let job = last_full_job(&backend.stores(), &target, TargetIndex::Catalog).await?;
                if dry_run {
                    list_unseen(global, &backend.stores(), &catalog, &job).await
                } else {
                    archive(&config, &backend.stores(), &catalog, &job, force).await
                }
            }
        }
    })
}

#[derive(Serialize)]
struct Status<'a> {
    shop_id: &'a str,
    index_name: &'a str,
    #[serde(flatten)]
    summary: Summary,
    loads: Vec<Load>,
}

async fn status(global: &Global, catalog: &Catalog, target: &WriteTarget) -> Ended {
    let summary = catalog.summary(target).await.map_err(index_failure)?;
    let loads = catalog.loads(target, 10).await.map_err(index_failure)?;
    if global.output == OutputFormat::Json {
        print_json(&Status { shop_id: &target.shop_id, index_name: &target.index_name, summary, loads })?;
        return Ok(Exit::Completed);
    }
    let Summary { active, archived, skus, embedded, to_embed, refused } = summary;
    let mut text = format!(
        "catalog of {}, index {}\n  products    {} active, {} archived\n  skus        {}\n  embeddings  {} current, {} pending",
        target.shop_id,
        target.index_name,
        count(active),
        count(archived),
        count(skus),
        count(embedded),
        count(to_embed)
    );
    if refused > 0 {
        let _ = write!(text, ", {} refused by the endpoint", count(refused));
    }
    text.push('\n');
    for load in loads {
        let kind = if load.full { "full" } else { "part" };
        let _ = write!(
            text,
            "  load {}  {kind}  {}  {} products, {} archived",
            load.job_id,
            load.status,
            count(load.products),
            count(load.archived)
        );
        text.push_str(&load.remark.map_or("\n".to_owned(), |remark| format!(": {remark}\n")));
    }
    print(&text)?;
    Ok(Exit::Completed)
}

fn show_hits(global: &Global, hits: &[Hit]) -> Ended {
    match global.output {
        OutputFormat::Json => print_json(&hits)?,
        OutputFormat::Text => {
            let line = |hit: &Hit| format!("{}  {}\n", hit.id, hit.title.as_deref().unwrap_or_default());
            print(&hits.iter().map(line).collect::<String>())?;
        }
    }
    Ok(Exit::Completed)
}

/// What cannot be undone is done in no shop that nobody named, unless there is only one.
async fn one_shop(config: &Config, stores: &Stores) -> Result<(), Failure> {
    if config.shop.is_some() {
        return Ok(());
    }
    let jobs = stores.jobs.list(None, usize::MAX).await.map_err(store_failure)?;
    let shops: BTreeSet<String> = jobs.into_iter().map(|job| job.job.shop_id).collect();
    if shops.len() < 2 {
        return Ok(());
    }
    let few: Vec<&str> = shops.iter().take(3).map(String::as_str).collect();
    let more = if shops.len() > few.len() { " …" } else { "" };
    Err(Failure::usage(format!("no shop is named, and there are several: {}{more}", few.join(", ")))
        .help("say with --shop which one's products are to go"))
}

/// The newest job of a shop and index whose export was the whole shop.
async fn last_full_job(stores: &Stores, target: &WriteTarget, kind: TargetIndex) -> Result<JobSnapshot, Failure> {
    let jobs = stores.jobs.list(Some(&target.shop_id), usize::MAX).await.map_err(store_failure)?;
    let is_full =
        |job: &Job| job.full && job.index_name == target.index_name && job.target_kind() == kind.as_str();
    jobs.into_iter().find(|job| is_full(&job.job)).ok_or_else(|| {
        let message = format!("there was no full sync of {}, index {}", target.shop_id, target.index_name);
        Failure::usage(message).help("`host run --full` says that an export is the whole shop")
    })
}

async fn list_unseen(global: &Global, stores: &Stores, catalog: &Catalog, job: &JobSnapshot) -> Ended {
    let target = WriteTarget::of(&job.job);
    let mut all = unseen(catalog, &target).await?;
    let refused = archive::refused(stores, job, &all).await.map_err(server::failure)?;
    all.retain(|id| !refused.contains(id));
    let active = catalog.summary(&target).await.map_err(index_failure)?.active;
    show_missing(global, &all, active, job)
}

async fn unseen(catalog: &Catalog, target: &WriteTarget) -> Result<Vec<String>, Failure> {
    let mut all = Vec::new();
    loop {
        let after = all.last().map_or("", String::as_str);
        let page = catalog.unseen(target, after, 1_000).await.map_err(index_failure)?;
        if page.is_empty() {
            return Ok(all);
        }
        all.extend(page);
    }
}

/// Notes the products as seen that a full sync had and that failed: the shop has them.
async fn keep_refused(stores: &Stores, catalog: &Catalog, job: &JobSnapshot) -> Result<(), Failure> {
    if job.counts.failed == 0 {
        return Ok(());
    }
    let target = WriteTarget::of(&job.job);
    let unseen = unseen(catalog, &target).await?;
    let refused = archive::refused(stores, job, &unseen).await.map_err(server::failure)?;
    let refused: Vec<DocumentId> = refused.into_iter().filter_map(|id| DocumentId::new(id).ok()).collect();
    catalog.mark_seen(&target, &refused).await.map_err(index_failure)
}

async fn list_missing(global: &Global, config: &Config, backend: &Backend, job: &JobSnapshot) -> Ended {
    let (ids, active) = server::missing(config, backend, job).await?;
    let ids: Vec<String> = ids.into_iter().map(String::from).collect();
    show_missing(global, &ids, active, job)
}

fn show_missing(global: &Global, ids: &[String], active: u64, job: &JobSnapshot) -> Ended {
    match global.output {
        OutputFormat::Json => print_json(&ids)?,
        OutputFormat::Text => print(&ids.iter().map(|id| format!("{id}\n")).collect::<String>())?,
    }
    let Job { id, shop_id, index_name, .. } = &job.job;
    let (missing, active) = (count(ids.len() as u64), count(active));
    eprintln!("{missing} of {active} products of {shop_id}, index {index_name}, are not in job {id}");
    if let Some(reason) = ArchiveRefusal::after(job) {
        eprintln!("nothing of it is archived: {reason}");
    }
    Ok(Exit::Completed)
}

async fn remove(config: &Config, backend: &Backend, job: &JobSnapshot, force: bool) -> Ended {
    backend.storage().register().await.map_err(store_failure)?;
    let worker = backend.worker(config, &plugins(config)?)?;
    let cancel = CancellationToken::new();
    tokio::spawn(interrupts(cancel.clone()));
    let archiving = config.catalog.archiving(force);
    match server::remove(config, backend, job, archiving, Some(&worker), &cancel).await? {
        Ok(removed) => {
            eprintln!("{removed}");
            if matches!(removed, Removed::Interrupted) {
                return Ok(Exit::Interrupted);
            }
            Ok(if removed.is_clean() { Exit::Completed } else { Exit::Failed })
        }
        Err(reason) => Err(refused(job, &reason, TargetIndex::Marqo)),
    }
}

async fn archive(
    config: &Config,
    stores: &Stores,
    catalog: &Catalog,
    job: &JobSnapshot,
    force: bool,
) -> Ended {
    match archive_after(config, stores, catalog, job, force).await? {
        Ok(archived) => {
            eprintln!("{}", sentence(&archived));
            Ok(Exit::Completed)
        }
        Err(reason) => Err(refused(job, &reason, TargetIndex::Catalog)),
    }
}

/// Why nothing is archived, and what to do.
fn refused(job: &JobSnapshot, reason: &ArchiveRefusal, target: TargetIndex) -> Failure {
    let message = format!("nothing is archived after job {}: {reason}", job.job.id);
    let otherwise = || match reason {
        ArchiveRefusal::NotEnded => {
            format!(
                "wait until they are, which `host jobs watch {}` shows, and archive then: `host work` writes them",
                job.job.id
            )
        }
        ArchiveRefusal::Failed(_) => "mend what failed and run the full sync again".to_owned(),
        _ => "run the full sync again".to_owned(),
    };
    Failure::usage(message).help(forcing(job, reason, target).unwrap_or_else(otherwise))
}

/// How a reason can be looked into and overruled, if it can.
fn forcing(job: &JobSnapshot, reason: &ArchiveRefusal, target: TargetIndex) -> Option<String> {
    let (flag, does) = match target {
        TargetIndex::Catalog => ("", "archives"),
        TargetIndex::Marqo => (" --target marqo", "removes"),
    };
    let Job { shop_id, index_name, .. } = &job.job;
    reason.is_overridable().then(|| {
        format!(
            "`host catalog archive --shop {shop_id} --index {index_name}{flag} --dry-run` lists what would go, nothing that failed \
             among it, and with `--force` in the place of `--dry-run` it {does} that"
        )
    })
}

/// Archives what a full sync did not have, unless there is a reason not to; remembers either.
async fn archive_after(
    config: &Config,
    stores: &Stores,
    catalog: &Catalog,
    job: &JobSnapshot,
    force: bool,
) -> Result<Result<Archived, ArchiveRefusal>, Failure> {
    let target = WriteTarget::of(&job.job);
    let reason = ArchiveRefusal::after(job).filter(|reason| !(force && reason.is_overridable()));
    let archived = match reason {
        Some(reason) => Err(reason),
        None => {
            keep_refused(stores, catalog, job).await?;
            let archived = catalog.archive(&target, config.catalog.archiving(force)).await;
            archived.map_err(index_failure)?.map_err(ArchiveRefusal::Share)
        }
    };
    let (products, remark) = match &archived {
        Ok(Archived { products, held: 0 }) => (*products, None),
        Ok(archived) => (archived.products, Some(sentence(archived))),
        Err(ArchiveRefusal::NotFull) => (0, None),
        Err(reason) => (0, Some(format!("nothing archived: {reason}"))),
    };
    let before = catalog.loads(&target, usize::MAX).await.map_err(index_failure)?;
    let before = before.iter().find(|load| load.job_id == target.job_id).map_or(0, |load| load.archived);
    catalog.remember(&target, job, before + products, remark).await.map_err(index_failure)?;
    Ok(archived)
}

fn sentence(archived: &Archived) -> String {
    let Archived { products, held } = archived;
    let mut text =
        format!("{} products were archived that the shop does not have any more", count(*products));
    if *held > 0 {
        let _ = write!(text, ", {} are being written by somebody else: archive again later", count(*held));
    }
    text
}

/// What comes after the end of a sync: archiving if it was full, and a note of the load in a catalog. Without a worker,
/// others carry out what a server is to remove.
pub(super) async fn after_sync(
    config: &Config,
    backend: &Backend,
    job: &JobSnapshot,
    worker: Option<&Arc<Worker>>,
    cancel: &CancellationToken,
) -> Result<(), Failure> {
    let told = match config.target {
        TargetIndex::Catalog => {
            let archived =
                archive_after(config, &backend.stores(), &backend.catalog(config)?, job, false).await?;
            let told = |archived: Archived| {
                (archived != Archived { products: 0, held: 0 }).then(|| sentence(&archived))
            };
            archived.map(told)
        }
        TargetIndex::Marqo => {
            let archiving = config.catalog.archiving(false);
            let removed = server::remove(config, backend, job, archiving, worker, cancel).await?;
            let told = |removed: Removed| (!matches!(removed, Removed::Nothing)).then(|| removed.to_string());
            removed.map(told)
        }
    };
    match told {
        Ok(told) => told.iter().for_each(|told| eprintln!("{told}")),
        Err(ArchiveRefusal::NotFull) => {}
        Err(reason) => {
            eprintln!("warning: nothing was archived: {reason}");
            forcing(job, &reason, config.target).iter().for_each(|help| eprintln!("  help: {help}"));
        }
    }
    Ok(())
}
