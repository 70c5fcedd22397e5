//! Archives the products that a full sync (a run whose export is the whole shop) did not have: at the end of the run,
//! or by `host catalog archive`. In a Marqo index they are removed instead.

use crate::{
    cli::{
        CliResult, Global,
        backend::Backend,
        context::{clock, plugins, print, print_json, store_failure},
        failure::{Exit, Failure},
        hints::same_plugins,
        output::OutputFormat,
        run::stopped,
        shop::removed_shop,
        shutdown::cancel_on_signal,
    },
    config::{Config, Effective, TargetIndex},
};
use futures::{StreamExt, TryStreamExt, stream};
use host_core::{
    format::{count, pluralize},
    index::{ArchiveLimit, ArchiveRefusal, Index, WriteTarget},
    model::{DocumentId, Job},
    storage::{JobSnapshot, Stores},
};
use host_net::RetryProfile;
use host_pipeline::{
    archive::{Archive, ArchiveError, ArchiveNotice, ArchiveOutcome, MissingDocument, RemovalSettings},
    worker::Worker,
};
use jiff::Timestamp;
use serde::Serialize;
use std::{cell::Cell, collections::BTreeSet, sync::Arc};
use tokio_util::sync::CancellationToken;

/// Refuses to archive while no shop is named and there are several: archiving cannot be undone.
pub(super) async fn one_shop(config: &Config, stores: &Stores) -> Result<(), Failure> {
    if config.shop.is_some() {
        return Ok(());
    }
    let jobs = stores.jobs.list(None, usize::MAX).await.map_err(store_failure)?;
    let shops: BTreeSet<String> = jobs.into_iter().map(|job| job.job.shop_id).collect();
    if shops.len() < 2 {
        return Ok(());
    }
    let first: Vec<&str> = shops.iter().take(3).map(String::as_str).collect();
    let more = if shops.len() > first.len() { " …" } else { "" };
    Err(Failure::usage(format!("no shop is named, and there are several: {}{more}", first.join(", ")))
        .help("say with --shop which one's products are to go"))
}

/// Archives after the last full sync, or prints what would be archived.
pub(super) async fn run(
    global: &Global,
    Effective { config, origins }: &Effective,
    backend: &Backend,
    target: &WriteTarget,
    dry_run: bool,
    force: bool,
) -> CliResult {
    let index = backend.index(config, RetryProfile::Background)?;
    let job = last_full_job(&backend.stores(), target, index.as_ref()).await?;
    let cancel = CancellationToken::new();
    let limit = limit(config, force);
    if dry_run {
        let archive = archive(config, backend, index.as_ref(), None, limit, &cancel);
        return print_missing(global, &archive, &job).await;
    }
    backend.storage().register().await.map_err(store_failure)?;
    let worker = backend.worker(config, &plugins(config, origins)?)?;
    tokio::spawn(cancel_on_signal(cancel.clone()));
    let archive = archive(config, backend, index.as_ref(), Some(&worker), limit, &cancel);
    let (archived, kept_newer) = run_archive(&archive, &job).await;
    let archived = archived.map_err(|error| failure(error, config))?;
    backend.flush().await?;
    match archived {
        Ok(outcome) => {
            eprintln!("{outcome}");
            if global.output == OutputFormat::Json {
                let view = OutcomeView::new(&job, &outcome, config.target);
                print_json(&OutcomeView { kept_newer, ..view })?;
            }
            Ok(match outcome {
                ArchiveOutcome::Interrupted => Exit::Interrupted,
                outcome if outcome.has_failures() => Exit::Failed,
                _ => Exit::Completed,
            })
        }
        Err(refusal) => Err(refused(&job, &refusal, config)),
    }
}

/// The object that `catalog archive` prints. Programs rely on its keys.
#[derive(Serialize)]
struct OutcomeView<'a> {
    /// The job of the full sync.
    job_id: &'a str,
    /// `archived`, `removed`, `queued`, `nothing-missing` or `interrupted`.
    outcome: &'static str,
    /// How many documents were archived or removed, or are queued to be.
    documents: u64,
    /// The job that archives or removes them, if this process ran it.
    removal_job_id: Option<&'a str>,
    /// Products that stay because their data is newer than the export.
    kept_newer: u64,
}

impl<'a> OutcomeView<'a> {
    fn new(job: &'a JobSnapshot, outcome: &'a ArchiveOutcome, target: TargetIndex) -> Self {
        let done = match target {
            TargetIndex::Catalog => "archived",
            TargetIndex::Marqo => "removed",
        };
        let view = |outcome, documents| Self {
            job_id: job.job.id.as_str(),
            outcome,
            documents,
            removal_job_id: None,
            kept_newer: 0,
        };
        match outcome {
            ArchiveOutcome::NothingMissing => view("nothing-missing", 0),
            ArchiveOutcome::Interrupted => view("interrupted", 0),
            ArchiveOutcome::Queued(documents) => view("queued", *documents),
            ArchiveOutcome::Removed(removal) => {
                Self { removal_job_id: Some(removal.job.id.as_str()), ..view(done, removal.counts.deleted) }
            }
        }
    }
}

/// Archives after the end of a sync, if it was full. Without a `worker`, removals are queued and other processes carry
/// them out. Returns how many products stay because their data is newer than the export.
pub(in crate::cli) async fn after_sync(
    config: &Config,
    backend: &Backend,
    job: &JobSnapshot,
    worker: Option<&Arc<Worker>>,
    cancel: &CancellationToken,
) -> Result<u64, Failure> {
    let index = backend.index(config, RetryProfile::Background)?;
    let archive = archive(config, backend, index.as_ref(), worker, limit(config, false), cancel);
    let (archived, kept_newer) = run_archive(&archive, job).await;
    match archived.map_err(|error| failure(error, config))? {
        Ok(outcome) if outcome.is_nothing() => {}
        Ok(outcome) => eprintln!("{outcome}"),
        Err(ArchiveRefusal::NotFull) => {}
        Err(refusal) => {
            eprintln!("warning: nothing was archived: {refusal}");
            eprintln!("  help: {}", hint(job, &refusal, config));
        }
    }
    Ok(kept_newer)
}

/// Archives. Returns the outcome or why archiving was refused, and how many products stay because their data is newer.
async fn run_archive(
    archive: &Archive<'_>,
    job: &JobSnapshot,
) -> (Result<Result<ArchiveOutcome, ArchiveRefusal>, ArchiveError>, u64) {
    let kept_newer = Cell::new(0);
    let notify = |notice: ArchiveNotice| {
        if let ArchiveNotice::NewerStay(products, _) = notice {
            kept_newer.set(products);
        }
        print_notice(notice);
    };
    (archive.run(job, notify).await, kept_newer.get())
}

fn limit(config: &Config, force: bool) -> ArchiveLimit {
    ArchiveLimit { max_percent: config.catalog.archive_percent, force }
}

fn archive<'a>(
    config: &Config,
    backend: &'a Backend,
    index: &'a dyn Index,
    worker: Option<&'a Arc<Worker>>,
    limit: ArchiveLimit,
    cancel: &'a CancellationToken,
) -> Archive<'a> {
    Archive {
        storage: backend.storage(),
        index,
        worker,
        limit,
        removals: RemovalSettings { bounds: config.ingest.bounds(), lanes: config.lanes().get() },
        clock: clock(),
        cancel,
    }
}

/// The newest job of a shop and index whose export was the whole shop.
async fn last_full_job(
    stores: &Stores,
    target: &WriteTarget,
    index: &dyn Index,
) -> Result<JobSnapshot, Failure> {
    let (jobs, target_id) = (stores.jobs.list(Some(&target.shop_id), usize::MAX).await, index.id());
    let is_full =
        |job: &Job| job.full && job.index_name == target.index_name && job.target.kind() == target_id.kind();
    let full = jobs.map_err(store_failure)?.into_iter().filter(|job| is_full(&job.job));
    full.max_by_key(|job| (job.job.sequence, job.job.created_at)).ok_or_else(|| {
        let message = format!("there was no full sync of {}, index {}", target.shop_id, target.index_name);
        Failure::usage(message).help("`host run --full` says that an export is the whole shop")
    })
}

/// Most documents whose titles a dry run reads from the index.
const MAX_TITLES: usize = 500;
/// Documents that are read concurrently.
const READS: usize = 8;
/// Fields that name a document, the first one that it has.
const TITLE_FIELDS: [&str; 3] = ["title", "productTitle", "name"];

/// The titles of the first documents, in their order; none for a document that has none.
async fn titles(
    index: &dyn Index,
    target: &WriteTarget,
    documents: &[MissingDocument],
) -> Result<Vec<Option<String>>, Failure> {
    let title = async |id: &DocumentId| {
        let document = index.get(target, id).await.map_err(Failure::runtime)?;
        let mut fields = TITLE_FIELDS.iter().filter_map(|name| document.as_ref()?.get(*name)?.as_str());
        Ok(fields.next().map(str::to_owned))
    };
    let reads = documents.iter().take(MAX_TITLES).map(|document| title(&document.id));
    stream::iter(reads).buffered(READS).try_collect().await
}

/// What `catalog archive --dry-run` prints of a document. Programs rely on its keys.
#[derive(Serialize)]
struct MissingView<'a> {
    id: &'a str,
    product: &'a str,
    /// Its title in the index, if it has one and is among the first documents.
    title: Option<&'a str>,
    /// The job that wrote it last.
    job_id: &'a str,
    /// When the ledger was last told something about its product.
    recorded_at: Timestamp,
}

impl<'a> MissingView<'a> {
    fn new(document: &'a MissingDocument, title: Option<&'a str>) -> Self {
        Self {
            id: document.id.as_str(),
            product: document.product.as_str(),
            title,
            job_id: document.writer.as_str(),
            recorded_at: document.recorded_at,
        }
    }

    /// One line, the id first, then tabs.
    fn text(&self) -> String {
        let title = self.title.map(|title| title.escape_debug().to_string()).unwrap_or_default();
        format!("{}\t{title}\tlast written by job {} at {:.0}\n", self.id, self.job_id, self.recorded_at)
    }
}

/// Prints the documents that the full sync did not have.
async fn print_missing(global: &Global, archive: &Archive<'_>, job: &JobSnapshot) -> CliResult {
    let missing = archive.missing(job).await.map_err(|error| match error {
        ArchiveError::Store(error) => store_failure(error),
        ArchiveError::ShopIsRemoved(removed) => removed_shop(removed),
        error => Failure::runtime(error),
    })?;
    let titles = titles(archive.index, &WriteTarget::of(&job.job), &missing.documents).await?;
    let views: Vec<MissingView<'_>> = missing
        .documents
        .iter()
        .zip(titles.iter().map(Option::as_deref).chain(std::iter::repeat(None)))
        .map(|(document, title)| MissingView::new(document, title))
        .collect();
    match global.output {
        OutputFormat::Json => print_json(&views)?,
        OutputFormat::Text => print(&views.iter().map(MissingView::text).collect::<String>())?,
    }
    let Job { id, shop_id, index_name, exported_at, .. } = &job.job;
    let as_of = exported_at.map(|at| format!(", whose export was taken at {at:.0}")).unwrap_or_default();
    let (missing, active) = (count(missing.documents.len() as u64), count(missing.active));
    eprintln!("{missing} of {active} documents of {shop_id}, index {index_name}, are not in job {id}{as_of}");
    if views.len() > titles.len() {
        eprintln!("titles are shown of the first {} alone", titles.len());
    }
    if let Some(refusal) = ArchiveRefusal::after(job) {
        eprintln!("nothing of it is archived: {refusal}");
    }
    Ok(Exit::Completed)
}

/// Why nothing is archived, and what to do.
fn refused(job: &JobSnapshot, refusal: &ArchiveRefusal, config: &Config) -> Failure {
    let message = format!("nothing is archived after job {}: {refusal}", job.job.id);
    Failure::not_archived(message).help(hint(job, refusal, config))
}

/// What to do about a refusal.
fn hint(job: &JobSnapshot, refusal: &ArchiveRefusal, config: &Config) -> String {
    override_hint(job, refusal, config).unwrap_or_else(|| match refusal {
        ArchiveRefusal::NotEnded => {
            format!(
                "wait until they are, which `host jobs watch {}` shows, and archive then: `host work --target {}` writes them{}",
                job.job.id,
                job.job.target.kind(),
                same_plugins(config, [&job.job])
            )
        }
        ArchiveRefusal::Unidentified(_) => "correct what failed and run the full sync again".to_owned(),
        ArchiveRefusal::RejectedLines(_) | ArchiveRefusal::Orphans(_) | ArchiveRefusal::MorePages => {
            "export the whole shop again, and run the full sync with `--bulk-operation`, which compares the export with what \
             the platform says that it has"
                .to_owned()
        }
        _ => "run the full sync again".to_owned(),
    })
}

/// How to look into a refusal and override it; `None` if it is not to be overridden. No operator is told to override
/// one that doubts the export itself: a whole export is the way out.
fn override_hint(job: &JobSnapshot, refusal: &ArchiveRefusal, config: &Config) -> Option<String> {
    let (flag, Job { shop_id, index_name, .. }) = (target_flag(config), &job.job);
    matches!(refusal, ArchiveRefusal::Share(_)).then(|| {
        format!(
            "`host catalog archive --shop {shop_id} --index {index_name}{flag} --dry-run` lists what would go; if the shop has none of \
             that any more, `--force` in the place of `--dry-run` archives it"
        )
    })
}

/// The flag that names the kind of index in a command of a hint; empty for the default kind.
fn target_flag(config: &Config) -> String {
    match config.target == TargetIndex::default() {
        true => String::new(),
        false => format!(" --target {}", config.target.as_str()),
    }
}

fn print_notice(notice: ArchiveNotice) {
    match notice {
        ArchiveNotice::Superseded(id) => {
            eprintln!("job {id} was interrupted and cannot be resumed: run its command again");
        }
        ArchiveNotice::NewerStay(products, exported_at) => eprintln!(
            "kept {} that the export does not have: a later job wrote {them}, or one whose export was taken after {exported_at:.0}, when \
             this one was (`host why` tells the job of each); if it was taken later, run the full sync again with --exported-at",
            pluralize(products, "product"),
            them = if products == 1 { "it" } else { "them" },
        ),
    }
}

fn failure(error: ArchiveError, config: &Config) -> Failure {
    match error {
        ArchiveError::Store(error) => store_failure(error),
        ArchiveError::Stopped { job, stop } => stopped(*stop, Some(&job)),
        // These errors themselves say what to do.
        error @ (ArchiveError::ObjectMissing { .. } | ArchiveError::Line { .. }) => Failure::runtime(error),
        error => Failure::runtime(error)
            .help(format!("`host catalog archive{}` tries it again", target_flag(config))),
    }
}
