//! `host catalog`: commands about the relational catalog, in PostgreSQL or in the SQLite file of the data directory.

use super::{
    CliResult, Global,
    backend::Backend,
    context::{effective, print, print_json, runtime},
    documents::{chosen, index_failure},
    failure::{Exit, Failure},
    output::OutputFormat,
};
use crate::config::{Config, TargetIndex};
use clap::Subcommand;
use host_core::{format::count, index::WriteTarget};
use host_index_catalog::{Catalog, CatalogSummary, Hit, Load};
use serde::Serialize;
use std::fmt::Write;

mod archive;
mod embed;

pub(super) use archive::after_sync;

/// Commands about the relational catalog.
#[derive(Debug, Subcommand)]
pub(super) enum CatalogCommand {
    /// Make the catalog in the database, or bring it up to date
    Migrate,
    /// Print how many products there are, and the last loads
    Status,
    /// Archive the products that the last full sync (`host run --full`) did not have, or with --target marqo remove
    /// them from the index; the sync does so itself unless it refuses
    Archive {
        /// Print the ids of these products, and change nothing
        #[arg(long)]
        dry_run: bool,
        /// Archive even if that is more than `catalog.archive_percent` allows, or if the export looks truncated
        #[arg(long)]
        force: bool,
    },
    /// Print the products that have all the words, best first: those with this SKU or barcode, then exact words, then
    /// beginnings, and the title above other fields
    Search {
        /// Words or their beginnings, a SKU, a barcode
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
        /// Continue with what is loaded meanwhile, until Ctrl-C
        #[arg(long)]
        watch: bool,
    },
}

/// Refuses commands about the relational catalog where the settings name a search server; archiving works for both.
fn of_catalog(config: &Config, command: &CatalogCommand) -> Result<(), Failure> {
    if config.target == TargetIndex::Catalog || matches!(command, CatalogCommand::Archive { .. }) {
        return Ok(());
    }
    let target = config.target.as_str();
    Err(Failure::usage(format!("this is about the relational catalog, and the target is `{target}`")).help(format!(
        "use --target catalog for the catalog; for the index, `host documents count --target {target}` shows the number of \
         documents and `host jobs list` the jobs"
    )))
}

pub(super) fn run(global: &Global, command: CatalogCommand) -> CliResult {
    let effective = effective(global, &global.overrides())?;
    let config = &effective.config;
    of_catalog(config, &command)?;
    runtime()?.block_on(async {
        let backend = Backend::open(config, matches!(command, CatalogCommand::Migrate)).await?;
        if let CatalogCommand::Archive { dry_run, force } = command {
            if !dry_run {
                archive::one_shop(config, &backend.stores()).await?;
            }
            let target = chosen(global, config, &backend.stores()).await?;
            return archive::run(global, &effective, &backend, &target, dry_run, force).await;
        }
        let catalog = backend.catalog(config)?;
        if let CatalogCommand::Migrate = command {
            let done = catalog.migrate().await.map_err(index_failure)?;
            eprintln!("{done}");
            if global.output == OutputFormat::Json {
                print_json(&serde_json::json!({ "message": done }))?;
            }
            return Ok(Exit::Completed);
        }
        let target = chosen(global, config, &backend.stores()).await?;
        match command {
            // Returned above.
            CatalogCommand::Migrate | CatalogCommand::Archive { .. } => Ok(Exit::Completed),
            CatalogCommand::Status => status(global, &catalog, &target).await,
            CatalogCommand::Search { words, limit, similar } => {
                let text = words.join(" ");
                let hits = if similar {
                    embed::similar(config, &catalog, &target, &text, limit).await?
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
            CatalogCommand::Embed { watch } => embed::run(global, config, &catalog, &target, watch).await,
        }
    })
}

/// Most loads that `catalog status` shows, newest first. A load is what one job has written.
const SHOWN_LOADS: usize = 10;

/// The object that `catalog status` prints. Programs rely on its keys.
#[derive(Serialize)]
struct Status<'a> {
    shop_id: &'a str,
    index_name: &'a str,
    #[serde(flatten)]
    summary: CatalogSummary,
    loads: Vec<Load>,
}

async fn status(global: &Global, catalog: &Catalog, target: &WriteTarget) -> CliResult {
    let summary = catalog.summary(target).await.map_err(index_failure)?;
    let loads = catalog.loads(target, SHOWN_LOADS).await.map_err(index_failure)?;
    if global.output == OutputFormat::Json {
        print_json(&Status { shop_id: &target.shop_id, index_name: &target.index_name, summary, loads })?;
        return Ok(Exit::Completed);
    }
    let CatalogSummary { active, archived, skus, embedded, to_embed, refused } = summary;
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

fn show_hits(global: &Global, hits: &[Hit]) -> CliResult {
    match global.output {
        OutputFormat::Json => print_json(&hits)?,
        OutputFormat::Text => {
            let line = |hit: &Hit| format!("{}  {}\n", hit.id, hit.title.as_deref().unwrap_or_default());
            print(&hits.iter().map(line).collect::<String>())?;
        }
    }
    Ok(Exit::Completed)
}
