//! `host catalog`.

use super::{
    Ended, Global,
    backend::Backend,
    context::{config, print, print_json, runtime, store_failure},
    documents::{index_failure, newest, target},
    failure::{Exit, Failure},
    output::OutputFormat,
};
use crate::{
    config::{Config, TargetIndex},
    index::{
        Target,
        catalog::{Archived, Catalog, Hit, Load, NotArchived, Summary},
    },
    model::Job,
    store::{JobSnapshot, Stores},
    telemetry::progress::count,
};
use clap::Subcommand;
use serde::Serialize;
use std::fmt::Write;

mod embed;

/// Commands about the relational catalog.
#[derive(Debug, Subcommand)]
pub(super) enum CatalogCommand {
    /// Make the catalog in the database, or bring it up to date
    Migrate,
    /// Print how many products there are, and the last loads
    Status,
    /// Archive the products that the last full sync (`host run --full`) did not have; it does so itself unless it has doubts
    Archive {
        /// Print the ids of these products, and change nothing
        #[arg(long)]
        dry_run: bool,
        /// Archive more than the setting `catalog.archive_percent` allows, and after an export that looks cut off
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

pub(super) fn run(global: &Global, command: CatalogCommand) -> Ended {
    let config = config(global)?;
    runtime()?.block_on(async {
        let backend = Backend::open(&config, matches!(command, CatalogCommand::Migrate)).await?;
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
                show_hits(global, &hits)
            }
            CatalogCommand::Embed { watch } => embed::run(global, &config, &catalog, &target, watch).await,
            CatalogCommand::Archive { dry_run, force } => {
                let job = last_full_job(&backend.stores(), &target).await?;
                if dry_run {
                    list_unseen(global, &catalog, &job).await
                } else {
                    archive(&config, &catalog, &job, force).await
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

async fn status(global: &Global, catalog: &Catalog, target: &Target) -> Ended {
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

/// The newest job of a shop and index whose export was the whole shop.
async fn last_full_job(stores: &Stores, target: &Target) -> Result<JobSnapshot, Failure> {
    let jobs = stores.jobs.list(Some(&target.shop_id), usize::MAX).await.map_err(store_failure)?;
    let is_full = |job: &Job| {
        job.full && job.index_name == target.index_name && job.target == TargetIndex::Catalog.as_str()
    };
    jobs.into_iter().find(|job| is_full(&job.job)).ok_or_else(|| {
        let message = format!("there was no full sync of {}, index {}", target.shop_id, target.index_name);
        Failure::usage(message).help("`host run --full` says that an export is the whole shop")
    })
}

async fn list_unseen(global: &Global, catalog: &Catalog, job: &JobSnapshot) -> Ended {
    let target = Target::of(&job.job);
    let mut all = Vec::new();
    loop {
        let after = all.last().map_or("", String::as_str);
        let page = catalog.unseen(&target, after, 1_000).await.map_err(index_failure)?;
        if page.is_empty() {
            break;
        }
        all.extend(page);
    }
    match global.output {
        OutputFormat::Json => print_json(&all)?,
        OutputFormat::Text => print(&all.iter().map(|id| format!("{id}\n")).collect::<String>())?,
    }
    let active = catalog.summary(&target).await.map_err(index_failure)?.active;
    eprintln!("{} of {} products are not in job {}", count(all.len() as u64), count(active), job.job.id);
    if let Some(reason) = NotArchived::after(job) {
        eprintln!("nothing of it is archived: {reason}");
    }
    Ok(Exit::Completed)
}

async fn archive(config: &Config, catalog: &Catalog, job: &JobSnapshot, force: bool) -> Ended {
    match archive_after(config, catalog, job, force).await? {
        Ok(archived) => {
            eprintln!("{}", sentence(&archived));
            Ok(Exit::Completed)
        }
        Err(reason) => {
            let message = format!("nothing is archived after job {}: {reason}", job.job.id);
            let help = if reason.may_be_forced() {
                "`host catalog archive --dry-run` lists these products, `--force` archives them"
            } else {
                "run the full sync again"
            };
            Err(Failure::usage(message).help(help))
        }
    }
}

/// Archives what a full sync did not have, unless there is a reason not to; remembers either.
async fn archive_after(
    config: &Config,
    catalog: &Catalog,
    job: &JobSnapshot,
    force: bool,
) -> Result<Result<Archived, NotArchived>, Failure> {
    let target = Target::of(&job.job);
    let reason = NotArchived::after(job).filter(|reason| !(force && reason.may_be_forced()));
    let archived = match reason {
        Some(reason) => Err(reason),
        None => catalog
            .archive(&target, config.catalog.archiving(force))
            .await
            .map_err(index_failure)?
            .map_err(NotArchived::Share),
    };
    let (products, remark) = match &archived {
        Ok(Archived { products, held: 0 }) => (*products, None),
        Ok(archived) => (archived.products, Some(sentence(archived))),
        Err(NotArchived::NotFull) => (0, None),
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

/// What comes after the end of a sync into a catalog: archiving if it was full, and a note of the load.
pub(super) async fn after_sync(config: &Config, backend: &Backend, job: &JobSnapshot) -> Result<(), Failure> {
    if config.target != TargetIndex::Catalog {
        return Ok(());
    }
    match archive_after(config, &backend.catalog(config)?, job, false).await? {
        Ok(Archived { products: 0, held: 0 }) | Err(NotArchived::NotFull) => {}
        Ok(archived) => eprintln!("{}", sentence(&archived)),
        Err(reason) => {
            eprintln!("warning: nothing was archived: {reason}");
            if reason.may_be_forced() {
                eprintln!(
                    "  help: `host catalog archive --dry-run` lists these products, `--force` archives them"
                );
            }
        }
    }
    Ok(())
}
