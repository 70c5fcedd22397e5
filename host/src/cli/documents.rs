//! `host documents`: shows what is in an index, and opens the index that flags and settings name for other commands.

use super::{
    CliResult, Global,
    backend::Backend,
    context::{effective, print, print_json, runtime, store_failure},
    failure::{Exit, Failure},
    hints::quoted,
    jobs::{LATEST, newest as newest_job},
    output::OutputFormat,
    shop_id,
};
use crate::config::{Config, Effective, TargetIndex};
use clap::Subcommand;
use host_core::{
    index::{Index, IndexError, WriteTarget},
    model::{DocumentId, Job},
    storage::{JobSnapshot, Stores},
};
use host_net::RetryProfile;
use std::sync::Arc;

/// Commands about what is in the index.
#[derive(Debug, Subcommand)]
pub(super) enum DocumentsCommand {
    /// Print a document as the index holds it
    Get {
        /// Id of the document
        id: String,
    },
    /// Print ids in their order
    List {
        /// Start after this id
        #[arg(long, value_name = "ID")]
        after: Option<String>,
        /// Print at most so many
        #[arg(long, default_value_t = 100, value_name = "N")]
        limit: usize,
    },
    /// Print the number of documents
    Count,
}

pub(super) fn run(global: &Global, command: DocumentsCommand) -> CliResult {
    runtime()?.block_on(async {
        let open = OpenIndex::open(global).await?;
        open.exists().await?;
        let OpenIndex { index, target, .. } = open;
        match command {
            DocumentsCommand::Get { id } => get(global, index.as_ref(), &target, &id).await,
            DocumentsCommand::List { after, limit } => {
                list(global, index.as_ref(), &target, after, limit).await
            }
            DocumentsCommand::Count => {
                let count = index.count(&target).await.map_err(index_failure)?;
                match global.output {
                    OutputFormat::Text => print(&format!("{count}\n"))?,
                    OutputFormat::Json => print_json(&serde_json::json!({ "count": count }))?,
                }
                Ok(Exit::Completed)
            }
        }
    })
}

/// The index that flags and settings name; what they leave open is taken from the newest job.
pub(super) struct OpenIndex {
    pub(super) backend: Backend,
    pub(super) index: Arc<dyn Index>,
    /// Shop and name of the index; the job is empty, since nothing is written.
    pub(super) target: WriteTarget,
    /// The settings, with the kind of index of the newest job if none was chosen.
    pub(super) effective: Effective,
}

impl OpenIndex {
    pub(super) async fn open(global: &Global) -> Result<Self, Failure> {
        let Effective { mut config, origins } = effective(global, &global.overrides())?;
        let is_chosen = origins.iter().any(|origin| origin.key == "target" && origin.origin != "default");
        let backend = Backend::open(&config, false).await?;
        config = shop_id::as_stored(config, &backend.stores()).await?;
        let chosen = is_chosen.then_some(config.target);
        let newest = newest(&config, chosen, &backend.stores()).await?;
        if let (false, Some(newest)) = (is_chosen, &newest) {
            config.target = TargetIndex::named(newest.target.kind()).unwrap_or(config.target);
        }
        let target = target(global, &config, newest)?;
        let index = backend.index(&config, RetryProfile::Interactive)?;
        Ok(Self { backend, index, target, effective: Effective { config, origins } })
    }

    /// Refuses a catalog that nothing was ever written to: an empty answer would hide a mistyped name.
    pub(super) async fn exists(&self) -> Result<(), Failure> {
        let Self { backend, index, target, .. } = self;
        if self.effective.config.target != TargetIndex::Catalog {
            return Ok(());
        }
        if !index.list(target, None, 1).await.map_err(index_failure)?.is_empty() {
            return Ok(());
        }
        let jobs =
            backend.stores().jobs.list(Some(&target.shop_id), usize::MAX).await.map_err(store_failure)?;
        if jobs.iter().any(|job| job.job.index_name == target.index_name) {
            return Ok(());
        }
        let message = format!("there is no index {} of {}", target.index_name, target.shop_id);
        Err(Failure::usage(message).help("`host jobs list --output json` names the index of each job"))
    }
}

async fn get(global: &Global, index: &dyn Index, target: &WriteTarget, id: &str) -> CliResult {
    let id = DocumentId::new(id).map_err(Failure::usage)?;
    let Some(document) = index.get(target, &id).await.map_err(index_failure)? else {
        let message =
            format!("there is no document {id} in index {} of {}", target.index_name, target.shop_id);
        return Err(Failure::usage(message).help("`host documents list` prints the ids that there are"));
    };
    match global.output {
        OutputFormat::Json => print_json(&document)?,
        OutputFormat::Text => {
            print(&format!("{}\n", serde_json::to_string_pretty(&document).map_err(Failure::runtime)?))?;
        }
    }
    Ok(Exit::Completed)
}

async fn list(
    global: &Global,
    index: &dyn Index,
    target: &WriteTarget,
    after: Option<String>,
    limit: usize,
) -> CliResult {
    let after = after.map(DocumentId::new).transpose().map_err(Failure::usage)?;
    // One more than is printed tells whether there are more.
    let listed = index.list(target, after.as_ref(), limit.saturating_add(1)).await;
    let mut ids = listed.map_err(index_failure)?;
    let has_more = ids.len() > limit;
    ids.truncate(limit);
    match global.output {
        OutputFormat::Text => print(&ids.iter().map(|id| format!("{id}\n")).collect::<String>())?,
        OutputFormat::Json => print_json(&ids)?,
    }
    if has_more {
        let after = ids.last().map_or(String::new(), |id| {
            format!("; --after {} prints those that follow", quoted(id.as_str()))
        });
        eprintln!("there are more: this list ends at --limit {limit}{after}");
    }
    Ok(Exit::Completed)
}

/// The newest job of the shop that is named, and of the index and target where these are named, unless no job is of them.
/// Without a shop, of all shops: most data directories have a single one.
async fn newest(
    config: &Config,
    target: Option<TargetIndex>,
    stores: &Stores,
) -> Result<Option<Job>, Failure> {
    let is_of = |job: &&JobSnapshot| {
        config.index.as_ref().is_none_or(|index| job.job.index_name == *index)
            // Records of older versions do not say.
            && target.is_none_or(|target| ["", target.as_str()].contains(&job.job.target.kind()))
    };
    let mut jobs = stores.jobs.list(config.shop.as_deref(), LATEST).await.map_err(store_failure)?;
    // Those before the latest ones are only of interest where none of these is of what is named.
    if jobs.len() == LATEST && !jobs.iter().any(|job| is_of(&job)) {
        jobs = stores.jobs.list(config.shop.as_deref(), usize::MAX).await.map_err(store_failure)?;
    }
    let newest = newest_job(jobs.iter().filter(is_of)).or(newest_job(jobs.iter()));
    Ok(newest.map(|found| found.job.clone()))
}

/// Shop and index that flags and settings name, or those of the newest job.
pub(super) async fn chosen(
    global: &Global,
    config: &Config,
    stores: &Stores,
) -> Result<WriteTarget, Failure> {
    let config = shop_id::as_stored(config.clone(), stores).await?;
    target(global, &config, newest(&config, Some(config.target), stores).await?)
}

/// Shop and index: those of the flags, or else those of the newest job, and then stderr names them.
fn target(global: &Global, config: &Config, newest: Option<Job>) -> Result<WriteTarget, Failure> {
    let (shop_id, index_name) = match (&config.shop, &config.index, newest) {
        (Some(shop), Some(index), _) => (shop.clone(), index.clone()),
        (shop, index, Some(job)) => {
            let index = index.clone().unwrap_or(job.index_name);
            if shop.is_none() && !global.quiet {
                eprintln!(
                    "no shop is named, so this is that of the newest job: {}, index {index}",
                    job.shop_id
                );
            }
            (job.shop_id, index)
        }
        (shop, ..) => {
            let of = shop.as_ref().map_or(String::new(), |shop| format!(" of {shop}"));
            return Err(Failure::usage(format!("there is no job{of} that would name an index"))
                .help("name shop, index and target with --shop, --index and --target"));
        }
    };
    Ok(WriteTarget { shop_id, index_name, job_id: String::new() })
}

/// An index that does not answer a command is a runtime error; one that refuses what the settings say is wrong
/// configuration.
pub(super) fn index_failure(error: IndexError) -> Failure {
    if error.transient { Failure::runtime(error) } else { Failure::usage(error) }
}
