//! `host status`: what is stopped, open or waits, what became a dead letter, and the command to type next.

use super::{
    CliResult, Global,
    backend::Backend,
    context::{clock, config, print, print_json, runtime, store_failure},
    failure::{Exit, Failure},
    hints::{how_to_resume, options, settings_fix},
    output::OutputFormat,
    resume::{ClearedView, StoppedView, fix},
    shop::warn_of_removal,
    shop_id,
};
use host_core::{
    model::{ArchiveRefused, JobStatus},
    storage::{AttemptError, JobSnapshot, Storage},
};
use host_pipeline::status::{EndedSync, IndexStatus, ShopStatus, Status, status};
use jiff::Timestamp;
use serde::Serialize;
use std::{slice, time::Duration};

mod text;

/// The object that `status` prints. Programs rely on its keys.
#[derive(Serialize)]
struct StatusView<'a> {
    /// Whether a stop holds jobs up or there are dead letters, as far as was looked: exit code 3.
    needs_action: bool,
    shops: Vec<ShopView<'a>>,
    /// Whether there are more open jobs than are listed.
    jobs_left_out: bool,
    /// Shops without an open job whose queues were not looked at.
    shops_left_out: u64,
}

#[derive(Serialize)]
struct ShopView<'a> {
    shop_id: &'a str,
    messages: u64,
    /// Those of all its indexes.
    dead_letters: u64,
    /// The command that tells why there are dead letters.
    next: Option<String>,
    indexes: Vec<IndexView<'a>>,
}

#[derive(Serialize)]
struct IndexView<'a> {
    index_name: &'a str,
    stopped: Option<StopView<'a>>,
    /// What stopped work before and was cleared, where one shop is named.
    cleared: Option<ClearedView<'a>>,
    /// When the oldest job was created of which not all chunks are written.
    waiting_since: Option<Timestamp>,
    jobs: Vec<OpenJobView<'a>>,
    /// The newest sync that has ended, and the newest in which nothing failed, of the last jobs.
    last_sync: Option<SyncView<'a>>,
    last_success: Option<SyncView<'a>>,
    /// Why nothing was archived after the newest full sync, if that was refused.
    not_archived: Option<NotArchivedView<'a>>,
    /// The command that corrects what stops work, if it is known; otherwise the one that makes work go on, or tells why it does not. Where
    /// only a worker is missing, how work goes on, in words.
    next: Option<String>,
}

#[derive(Serialize)]
struct StopView<'a> {
    #[serde(flatten)]
    stopped: StoppedView<'a>,
    /// Whether open jobs wait for it.
    holds_up_jobs: bool,
    /// When chunks become dead letters, by the settings of this machine; none where none waits.
    gives_up_at: Option<Timestamp>,
}

#[derive(Serialize)]
struct SyncView<'a> {
    job_id: &'a str,
    status: JobStatus,
    ended_at: Timestamp,
}

/// A full sync after which nothing was archived.
#[derive(Serialize)]
struct NotArchivedView<'a> {
    job_id: &'a str,
    #[serde(flatten)]
    refused: &'a ArchiveRefused,
}

#[derive(Serialize)]
struct OpenJobView<'a> {
    job_id: &'a str,
    operation: &'static str,
    status: JobStatus,
    sealed: bool,
    chunks: u32,
    completed_chunks: u32,
    /// Known once the job is sealed.
    total_items: Option<u64>,
    items: u64,
    failed: u64,
    created_at: Timestamp,
    last_error: Option<&'a AttemptError>,
}

pub(super) fn run(global: &Global) -> CliResult {
    let config = config(global)?;
    runtime()?.block_on(async {
        let backend = Backend::open(&config, false).await?;
        let stores = backend.stores();
        let config = shop_id::as_stored(config, &stores).await?;
        let shop = config.shop.as_deref();
        if let Some(shop) = shop {
            shop_id::must_be_known(&stores, shop).await?;
            warn_of_removal(&stores, shop).await?;
        }
        let status = status(&stores, shop, config.index.as_deref()).await.map_err(store_failure)?;
        let screen = StatusScreen {
            options: options(global),
            stopped_after: config.worker.settings().stopped_after,
            now: clock().now(),
            has_worker: backend.storage().has_active_worker(),
            idle: idle_hints(global, backend.storage(), &status).await?,
        };
        match global.output {
            OutputFormat::Json => print_json(&screen.view(&status))?,
            OutputFormat::Text => print(&screen.text(&status, shop))?,
        }
        Ok(if status.needs_action() { Exit::Conflict } else { Exit::Completed })
    })
}

/// The code of the error that a worker of another target leaves a job with.
const OTHER_TARGET: &str = "other-target";

/// The first open job of each index on which no worker works, and what makes it go on.
async fn idle_hints(
    global: &Global,
    storage: &dyn Storage,
    status: &Status,
) -> Result<Vec<(String, String)>, Failure> {
    let mut hints = Vec::new();
    let has_worker = storage.has_active_worker();
    for index in status.shops.iter().flat_map(|shop| &shop.indexes) {
        let Some(first) = index.jobs.first() else { continue };
        let is_ingested =
            first.seal.is_none() && storage.has_active_ingest(&first.job).await.map_err(store_failure)?;
        if is_ingested {
            continue;
        }
        let missing = match &first.last_error {
            _ if !has_worker => "no worker runs".to_owned(),
            Some(AttemptError { code, at, .. }) if code == OTHER_TARGET => {
                format!("a worker of another target left it at {at:.0}; if none of its own runs")
            }
            _ => continue,
        };
        hints.push((first.job.id.to_string(), format!("{missing}: {}", how_to_resume(first, global))));
    }
    Ok(hints)
}

/// What the status is shown with.
struct StatusScreen {
    /// Of a command in a hint.
    options: String,
    stopped_after: Duration,
    now: Timestamp,
    /// Whether a worker may run.
    has_worker: bool,
    /// Jobs on which no worker works, by id, with what makes them go on.
    idle: Vec<(String, String)>,
}

impl StatusScreen {
    fn view<'a>(&self, status: &'a Status) -> StatusView<'a> {
        StatusView {
            needs_action: status.needs_action(),
            shops: status.shops.iter().map(|shop| self.shop_view(shop)).collect(),
            jobs_left_out: status.more_jobs,
            shops_left_out: status.shops_left_out,
        }
    }

    fn shop_view<'a>(&self, shop: &'a ShopStatus) -> ShopView<'a> {
        ShopView {
            shop_id: &shop.shop_id,
            messages: shop.messages,
            dead_letters: shop.dead_letters,
            next: (shop.dead_letters > 0).then(|| self.list_dead_letters(&shop.shop_id)),
            indexes: shop.indexes.iter().map(|index| self.index_view(&shop.shop_id, index)).collect(),
        }
    }

    fn index_view<'a>(&self, shop_id: &str, index: &'a IndexStatus) -> IndexView<'a> {
        let failing = index.jobs.iter().find(|job| job.last_error.is_some());
        IndexView {
            index_name: &index.index_name,
            stopped: index.stopped.as_ref().map(|breaker| StopView {
                stopped: StoppedView::new(breaker),
                holds_up_jobs: index.is_held_up,
                gives_up_at: index.is_held_up.then(|| breaker.expires_at(self.stopped_after)),
            }),
            cleared: index.cleared.as_ref().and_then(ClearedView::new),
            waiting_since: index.waiting_since(),
            jobs: index.jobs.iter().map(OpenJobView::new).collect(),
            last_sync: index.last_sync.as_ref().map(SyncView::new),
            last_success: index.last_success.as_ref().map(SyncView::new),
            not_archived: index
                .not_archived
                .as_ref()
                .map(|(job_id, refused)| NotArchivedView { job_id: job_id.as_str(), refused }),
            next: match (index.stopped.as_ref().filter(|_| index.is_held_up), failing) {
                (Some(breaker), _) => Some(
                    fix(breaker, &self.options).unwrap_or_else(|| self.resume(shop_id, &index.index_name)),
                ),
                (None, Some(job)) => Some(self.next_of_failing(index, job)),
                (None, None) => index.jobs.iter().find_map(|job| self.idle_hint(job)).map(str::to_owned),
            },
        }
    }

    fn list_dead_letters(&self, shop_id: &str) -> String {
        format!("host dlq list --shop {shop_id}{}", self.options)
    }

    fn resume(&self, shop_id: &str, index_name: &str) -> String {
        format!("host resume {shop_id} --index {index_name}{}", self.options)
    }

    /// What corrects the last error of a job, as far as that names it; otherwise what tells more of it.
    fn next_of_failing(&self, index: &IndexStatus, job: &JobSnapshot) -> String {
        let fix = |error| settings_fix(&said(error), &index.index_name, &self.options);
        job.last_error.as_ref().and_then(fix).unwrap_or_else(|| self.show_job(job))
    }

    fn show_job(&self, job: &JobSnapshot) -> String {
        format!("host jobs show {}{}", job.job.id, self.options)
    }

    fn idle_hint(&self, job: &JobSnapshot) -> Option<&str> {
        let hint = self.idle.iter().find(|(id, _)| *id == job.job.id.as_str());
        hint.map(|(_, hint)| hint.as_str())
    }
}

/// An error with its causes, on one line.
fn said(AttemptError { message, causes, .. }: &AttemptError) -> String {
    [slice::from_ref(message), causes].concat().join(": ")
}

impl<'a> SyncView<'a> {
    fn new(EndedSync { job_id, status, ended_at }: &'a EndedSync) -> Self {
        Self { job_id: job_id.as_str(), status: *status, ended_at: *ended_at }
    }
}

impl<'a> OpenJobView<'a> {
    fn new(job: &'a JobSnapshot) -> Self {
        Self {
            job_id: job.job.id.as_str(),
            operation: job.job.operation.as_str(),
            status: job.status,
            sealed: job.seal.is_some(),
            chunks: job.chunks,
            completed_chunks: job.completed_chunks,
            total_items: job.seal.as_ref().map(|seal| seal.total_items),
            items: job.counts.total(),
            failed: job.counts.failed,
            created_at: job.job.created_at,
            last_error: job.last_error.as_ref(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use host_core::clock::SharedClock;
    use host_testing::{VirtualClock, build, storage::Memory};
    use std::sync::Arc;

    fn screen(idle: Vec<(String, String)>) -> StatusScreen {
        StatusScreen {
            options: String::new(),
            stopped_after: Duration::ZERO,
            now: Timestamp::UNIX_EPOCH,
            has_worker: idle.is_empty(),
            idle,
        }
    }

    #[test]
    fn what_was_not_looked_at_is_never_said_to_be_well() {
        let text = |status: &Status| screen(Vec::new()).text(status, None);
        let all = text(&Status::default());
        let hint = "`host status --shop SHOP` tells when a shop was synced last.\n";
        assert_eq!(all, format!("No job is open, nothing is stopped, no dead letters.\n{hint}"));
        assert_eq!(
            text(&Status { shops_left_out: 9_500, ..Status::default() }),
            "No job is open, nothing is stopped, no dead letters in the queues that were looked at.\n\
             `host status --shop SHOP` tells when a shop was synced last.\n\
             the queues of 9,500 shops without an open job were not looked at: `host dlq list` looks at all of them\n"
        );
        let more_jobs = text(&Status { more_jobs: true, ..Status::default() });
        assert!(more_jobs.starts_with("there are more open jobs: "), "{more_jobs}");
    }

    #[tokio::test(start_paused = true)]
    async fn where_only_a_worker_is_missing_the_object_says_what_is_next_as_the_text_does() {
        let clock: SharedClock = Arc::new(VirtualClock::paused(1));
        let stores = Memory::new(clock.clone()).stores();
        let job = stores.jobs.create(&build::job(&*clock, "shop")).await.unwrap();
        let screen = screen(vec![(job.id.to_string(), "no worker runs: `host run`".to_owned())]);
        let found = status(&stores, None, None).await.unwrap();
        let shown = screen.index_view("shop", &found.shops[0].indexes[0]);
        assert_eq!(shown.next.as_deref(), Some("no worker runs: `host run`"));
        assert!(screen.text(&found, None).contains("no worker runs: `host run`"));
    }
}
