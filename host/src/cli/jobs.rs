//! `host jobs`.

use super::{
    CliResult, Global,
    backend::Backend,
    context::{clock, config, print, print_json, runtime, store_failure},
    failure::{Exit, Failure},
    hints::{how_to_resume, options},
    output::{JobView, OutputFormat, exit_of, operation_text, sources_text},
    report::{self, ReportFormat},
    resume::{breaker_of, stopped_text},
    shop::warn_of_removal,
    shop_id,
};
use crate::telemetry::progress::{Screen, State};
use clap::Subcommand;
use host_core::{
    format::count,
    model::{Job, JobId, Operation},
    storage::{JobSnapshot, Storage, Stores},
};
use host_pipeline::worker::{self, Cancelled};
use std::{collections::BTreeSet, fmt::Write, time::Duration};

/// Commands about jobs.
#[derive(Debug, Subcommand)]
pub(super) enum JobsCommand {
    /// Print the newest jobs
    List {
        /// Print at most so many
        #[arg(long, default_value_t = 20, value_name = "N")]
        limit: usize,
    },
    /// Print one job
    Show {
        /// Id of the job, or its beginning; the newest job if left out
        id: Option<String>,
    },
    /// Follow a job until it ends; the exit code is the job's
    Watch {
        /// Id of the job, or its beginning; the newest job if left out
        id: Option<String>,
    },
    /// Cancel a job: what is not written yet is counted as failed
    Cancel {
        /// Id of the job, or its beginning
        id: String,
    },
    /// Print what is said of each item that was skipped, failed or in conflict
    Report {
        /// Id of the job, or its beginning; the newest job if left out
        id: Option<String>,
        /// One JSON object a line, or a page to look at
        #[arg(long, value_enum, default_value_t)]
        format: ReportFormat,
    },
}

pub(super) fn run(global: &Global, command: JobsCommand, screen: &Screen) -> CliResult {
    let config = config(global)?;
    runtime()?.block_on(async {
        let backend = Backend::open(&config, false).await?;
        let (stores, chunks) = (backend.stores(), backend.storage().location());
        let config = shop_id::as_stored(config, &stores).await?;
        match command {
            JobsCommand::List { limit } => {
                list(global, &stores, config.shop.as_deref(), limit, &chunks).await
            }
            JobsCommand::Show { id } => {
                let job = find(&stores, config.shop.as_deref(), id).await?;
                show_in_full(global, &stores, &job, &chunks).await?;
                print_blockers(global, &backend, &job).await?;
                warn_of_removal(&stores, &job.job.shop_id).await?;
                Ok(Exit::Completed)
            }
            JobsCommand::Watch { id } => {
                let job = find(&stores, config.shop.as_deref(), id).await?;
                watch(global, &backend, job, &chunks, screen).await
            }
            JobsCommand::Cancel { id } => {
                let job = find(&stores, config.shop.as_deref(), Some(id)).await?;
                cancel(global, &backend, &job, &chunks).await
            }
            JobsCommand::Report { id, format } => {
                let job = find(&stores, config.shop.as_deref(), id).await?;
                report::print_report(&stores, &job, format, &options(global)).await?;
                Ok(Exit::Completed)
            }
        }
    })
}

/// Prints a job that has just been worked on, and how many products its full sync kept because their data is newer, where that is
/// known.
pub(super) async fn show(
    global: &Global,
    stores: &Stores,
    job: &JobSnapshot,
    chunks: &str,
    kept_newer: Option<u64>,
) -> Result<(), Failure> {
    print_view(global, stores, job, chunks, FoundLater { kept_newer, ..FoundLater::default() }).await
}

/// What a job's record does not say.
#[derive(Default)]
struct FoundLater {
    kept_newer: Option<u64>,
    dead_letters: Option<usize>,
    removals: Option<Vec<JobId>>,
}

/// Prints a job, with what may have happened since it ended.
async fn show_in_full(
    global: &Global,
    stores: &Stores,
    job: &JobSnapshot,
    chunks: &str,
) -> Result<(), Failure> {
    let mut found = FoundLater { dead_letters: dead_letters(stores, job).await?, ..FoundLater::default() };
    if job.job.full {
        let later = stores.jobs.list(Some(&job.job.shop_id), LATEST).await.map_err(store_failure)?;
        let removals = later.into_iter().map(|other| other.job);
        let removals = removals.filter(|other| other.removes_missing_of.as_ref() == Some(&job.job.id));
        found.removals = Some(removals.map(|other| other.id).collect());
    }
    print_view(global, stores, job, chunks, found).await
}

/// Number of dead letters of a job's chunks; none if none was quarantined, or if one may be on its way.
pub(super) async fn dead_letters(stores: &Stores, job: &JobSnapshot) -> Result<Option<usize>, Failure> {
    if JobView::new(job, "", job.job.created_at).quarantined_chunks().is_none() {
        return Ok(None);
    }
    let (queue, shop) = (&stores.queue, &job.job.shop_id);
    let letters = queue.dead_letters(shop).await.map_err(store_failure)?;
    let number = letters.iter().filter(|letter| letter.chunk.job_id == job.job.id).count();
    // A chunk counts as failed before its message becomes a dead letter.
    let is_sure = number > 0 || queue.depth(shop).await.map_err(store_failure)? == 0;
    Ok(is_sure.then_some(number))
}

async fn print_view(
    global: &Global,
    stores: &Stores,
    job: &JobSnapshot,
    chunks: &str,
    found: FoundLater,
) -> Result<(), Failure> {
    let breakers = match job.status.has_ended() {
        true => Vec::new(),
        false => stores.breakers.list(Some(&job.job.shop_id)).await.map_err(store_failure)?,
    };
    let cleared = stores.breakers.last_cleared(&job.job.shop_id).await.map_err(store_failure)?;
    // What ended before the job began, or began after its end, is not of this job.
    let cleared = breaker_of(&cleared, &job.job).filter(|breaker| {
        breaker.cleared.is_some_and(|cleared| cleared.at >= job.job.created_at)
            && job.ended_at.is_none_or(|ended| breaker.since <= ended)
    });
    let (now, options) = (clock().now(), options(global));
    let view = JobView::new(job, chunks, now).with_options(&options);
    let view = view.with_breaker(breaker_of(&breakers, &job.job), now).with_cleared(cleared);
    let view = view.with_kept(found.kept_newer).with_dead_letters(found.dead_letters);
    let view = view.with_removals(found.removals.as_deref());
    match global.output {
        OutputFormat::Text => print(&view.text()),
        OutputFormat::Json => print_json(&view),
    }
}

async fn list(global: &Global, stores: &Stores, shop: Option<&str>, limit: usize, chunks: &str) -> CliResult {
    let jobs = stores.jobs.list(shop, limit).await.map_err(store_failure)?;
    let shops: BTreeSet<&str> = jobs.iter().map(|job| job.job.shop_id.as_str()).chain(shop).collect();
    for shop in shops {
        warn_of_removal(stores, shop).await?;
    }
    let breakers = stores.breakers.list(shop).await.map_err(store_failure)?;
    let (now, options) = (clock().now(), options(global));
    if global.output == OutputFormat::Json {
        let view = |job| JobView::new(job, chunks, now).with_breaker(breaker_of(&breakers, &job.job), now);
        print_json(&jobs.iter().map(view).collect::<Vec<_>>())?;
        return Ok(Exit::Completed);
    }
    let widest = |title: &str, of: fn(&Job) -> &str| {
        jobs.iter().map(|job| of(&job.job).chars().count()).max().unwrap_or(0).max(title.len())
    };
    let (shop_width, index_width) =
        (widest("shop", |job| &job.shop_id), widest("index", |job| &job.index_name));
    let mut text = format!(
        "{:36}  {:11}  {:shop_width$}  {:7}  {:index_width$}  {:9}  {:20}  {:>9}  {:>9}  {:>7}  {:>7}  {:>8}  source\n",
        "job",
        "status",
        "shop",
        "target",
        "index",
        "operation",
        "created",
        "items",
        "processed",
        "skipped",
        "failed",
        "conflict"
    );
    for JobSnapshot { job, status, seal, counts, .. } in &jobs {
        let items = seal.as_ref().map_or("?".to_owned(), |seal| count(seal.total_items));
        let _ = writeln!(
            text,
            "{:36}  {:11}  {:shop_width$}  {:7}  {:index_width$}  {:9}  {:20.0}  {:>9}  {:>9}  {:>7}  {:>7}  {:>8}  {}",
            job.id.as_str(),
            status.as_str(),
            job.shop_id,
            job.target.kind(),
            job.index_name,
            operation_text(job),
            job.created_at,
            items,
            count(counts.processed),
            count(counts.skipped),
            count(counts.failed),
            count(counts.conflict),
            sources_text(job).unwrap_or_default(),
        );
    }
    for breaker in &breakers {
        let _ = writeln!(text, "{}: {}", breaker.scope, stopped_text(breaker, now, &options));
    }
    print(&text)?;
    Ok(Exit::Completed)
}

async fn cancel(global: &Global, backend: &Backend, job: &JobSnapshot, chunks: &str) -> CliResult {
    let (id, stores) = (&job.job.id, backend.stores());
    if job.seal.is_none()
        && !job.status.has_ended()
        && backend.storage().has_active_ingest(&job.job).await.map_err(store_failure)?
    {
        return Err(Failure::usage(format!(
            "an export is being read into this data directory, perhaps for job {id}"
        ))
        .help("interrupt that `host run` first, or wait for its end"));
    }
    // Releases what a crashed process held.
    backend.storage().register().await.map_err(store_failure)?;
    match worker::cancel(&stores, id).await.map_err(store_failure)? {
        Cancelled::AlreadyEnded => {
            return Err(Failure::usage(format!("job {id} has ended already: {}", job.status.as_str())));
        }
        Cancelled::Done { in_progress: 0 } => {}
        Cancelled::Done { in_progress } => {
            eprintln!(
                "warning: {} chunks are being written at this moment; their workers finish them",
                count(in_progress.into())
            );
        }
    }
    backend.flush().await?;
    show(global, &stores, &get(&stores, id).await?, chunks, None).await?;
    Ok(Exit::Completed)
}

async fn watch(
    global: &Global,
    backend: &Backend,
    mut job: JobSnapshot,
    chunks: &str,
    screen: &Screen,
) -> CliResult {
    let (env, stores) = (clock(), backend.stores());
    let mut line = screen.line("indexing");
    let (mut unattended, interval) = (Duration::ZERO, look_interval(backend.storage()));
    while !job.status.has_ended() && unattended < ABANDONED_AFTER {
        line.show(&indexing(&job));
        env.sleep(interval).await;
        let now = get(&stores, &job.job.id).await?;
        let moves = now != job || backend.storage().has_active_worker();
        unattended = if moves { Duration::ZERO } else { unattended + interval };
        job = now;
    }
    line.finish();
    show_in_full(global, &stores, &job, chunks).await?;
    print_blockers(global, backend, &job).await?;
    Ok(exit_of(&job))
}

/// Prints on stderr what keeps a job from ending, beside its last error: another job comes first, or no worker runs.
async fn print_blockers(global: &Global, backend: &Backend, job: &JobSnapshot) -> Result<(), Failure> {
    let Job { id, shop_id, .. } = &job.job;
    if job.status.has_ended() {
        return Ok(());
    }
    let jobs = backend.stores().jobs.list_open(Some(shop_id), usize::MAX).await.map_err(store_failure)?;
    let (first, options) = (first_of(&jobs, job), options(global));
    if first.job.id != *id {
        let first = &first.job.id;
        eprintln!(
            "warning: job {first} of the same shop is not finished and blocks it: see `host jobs show {first}{options}`"
        );
    }
    if !backend.storage().has_active_worker() {
        eprintln!("warning: no worker runs for job {}: {}", first.job.id, how_to_resume(first, global));
    }
    Ok(())
}

/// The first of the unfinished jobs up to this one.
fn first_of<'a>(jobs: &'a [JobSnapshot], job: &'a JobSnapshot) -> &'a JobSnapshot {
    // One whose chunks are all written holds nothing back, even if its export was never read to the end.
    let blocks = |other: &&JobSnapshot| other.completed_chunks < other.chunks && !other.status.has_ended();
    jobs.iter().filter(blocks).fold(
        job,
        |first, other| {
            if is_before(&other.job, &first.job) { other } else { first }
        },
    )
}

/// Whether a job was created before another one. Within an index storage numbers them; otherwise clocks tell, of which one may be wrong.
fn is_before(job: &Job, other: &Job) -> bool {
    match is_of_same_index(job, other) {
        true => other.is_after(job),
        false => job.created_at < other.created_at,
    }
}

fn is_of_same_index(job: &Job, other: &Job) -> bool {
    job.shop_id == other.shop_id && job.index_name == other.index_name
}

/// The newest of some jobs: of the last one of each index, the one that was created last.
pub(super) fn newest<'a>(jobs: impl Iterator<Item = &'a JobSnapshot>) -> Option<&'a JobSnapshot> {
    let mut last: Vec<&JobSnapshot> = Vec::new();
    for job in jobs {
        match last.iter_mut().find(|other| is_of_same_index(&other.job, &job.job)) {
            Some(other) if is_before(&other.job, &job.job) => *other = job,
            Some(_) => {}
            None => last.push(job),
        }
    }
    last.into_iter().max_by_key(|job| job.job.created_at)
}

/// Jobs of a shop among which the newest one is looked for, to be shown.
pub(super) const LATEST: usize = 20;

/// Between two looks at a job that is watched; the longer one where each read is billed.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);
const BILLED_LOOK_INTERVAL: Duration = Duration::from_secs(5);

/// How often a job is looked at to show its progress.
pub(super) fn look_interval(storage: &dyn Storage) -> Duration {
    // Only backends that bill each request say how often they want to be asked.
    storage.poll_interval().map_or(LOOK_INTERVAL, |_| BILLED_LOOK_INTERVAL)
}

/// How long no worker may run in the data directory before a job counts as abandoned: a process that is just starting
/// needs less.
const ABANDONED_AFTER: Duration = Duration::from_secs(2);

/// How far a job's chunks are.
pub(super) fn indexing(job: &JobSnapshot) -> State {
    let total = job.seal.as_ref().map(|seal| u64::from(seal.chunks));
    let mut text = format!("{} of {} chunks", job.completed_chunks, job.chunks);
    if job.seal.is_none() {
        text.push_str(" so far");
    }
    let _ = write!(text, ", {} items", count(job.counts.total()));
    for (name, number) in [("failed", job.counts.failed), ("conflicts", job.counts.conflict)] {
        if number > 0 {
            let _ = write!(text, ", {} {name}", count(number));
        }
    }
    State { done: job.completed_chunks.into(), total, text }
}

/// The current state of the job, which must exist.
pub(super) async fn get(stores: &Stores, id: &JobId) -> Result<JobSnapshot, Failure> {
    let job = stores.jobs.get(id).await.map_err(store_failure)?;
    job.ok_or_else(|| Failure::runtime(format!("the record of job {id} is gone")))
}

/// The job with this id or beginning of one, or the newest.
pub(super) async fn find(
    stores: &Stores,
    shop: Option<&str>,
    id: Option<String>,
) -> Result<JobSnapshot, Failure> {
    let Some(wanted) = id else {
        // What a sync did not have is removed by a job that belongs to it.
        let is_sync = |job: &JobSnapshot| job.job.operation != Operation::DeleteDocuments;
        let jobs = stores.jobs.list(shop, LATEST).await.map_err(store_failure)?;
        let newest = newest(jobs.iter().filter(|job| is_sync(job))).or(newest(jobs.iter())).cloned();
        return newest.ok_or_else(|| Failure::usage("there is no job yet").help("`host run` makes one"));
    };
    if let Some(id) = JobId::new(wanted.as_str())
        && let Some(job) = stores.jobs.get(&id).await.map_err(store_failure)?
    {
        return Ok(job);
    }
    let jobs = stores.jobs.list(shop, usize::MAX).await.map_err(store_failure)?;
    let mut matching = jobs.into_iter().filter(|job| job.job.id.as_str().starts_with(&wanted));
    let help = "`host jobs list` prints the jobs that there are";
    match (matching.next(), matching.next()) {
        (Some(job), None) => Ok(job),
        (None, _) => Err(Failure::usage(format!("there is no job {wanted}")).help(help)),
        (Some(_), Some(_)) => Err(Failure::usage(format!("several jobs begin with {wanted}")).help(help)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use host_core::model::{Counts, JobStatus};
    use host_testing::{VirtualClock, build};

    /// An open job of a shop's index that is its n-th, created so many days after the epoch.
    fn job(index_name: &str, sequence: u64, day: i64) -> JobSnapshot {
        let job = build::job(&VirtualClock::new(sequence), "shop");
        let created_at = jiff::Timestamp::from_second(day * 86_400).unwrap();
        JobSnapshot {
            job: Job { index_name: index_name.to_owned(), sequence, created_at, ..job },
            status: JobStatus::InProgress,
            seal: None,
            chunks: 2,
            completed_chunks: 1,
            counts: Counts::default(),
            samples: Vec::new(),
            ended_at: None,
            error_message: None,
            last_error: None,
            quarantined: None,
            archive_refused: None,
        }
    }

    #[test]
    fn a_clock_that_was_ahead_hides_no_newer_job() {
        let (ahead, later, other) = (job("i", 1, 400), job("i", 2, 30), job("other", 7, 20));
        // As storage lists them.
        let jobs = [ahead.clone(), later.clone(), other];
        let newest = newest(jobs.iter()).unwrap();
        assert_eq!((newest.job.sequence, newest.job.created_at), (2, later.job.created_at));
        assert_eq!(first_of(&jobs[..2], &later).job.sequence, 1);
        assert_eq!(first_of(&jobs[..2], &ahead).job.sequence, 1);
        // Another index of the shop shares its queue.
        assert_eq!(first_of(&jobs, &later).job.sequence, 7);
        let written = JobSnapshot { completed_chunks: 2, ..ahead };
        assert_eq!(first_of(&[written], &later).job.sequence, 2);
    }
}
