//! `host status`: what is stopped, open or waits, what became a dead letter, and the command to type next.

use super::{
    CliResult, Global,
    backend::Backend,
    context::{clock, config, print, print_json, runtime, store_failure},
    failure::{Exit, Failure},
    hints::options,
    jobs::{how_to_resume, indexing},
    output::{OutputFormat, with_code},
    resume::{ClearedView, StoppedView, cleared_text, next_probe},
    shop::warn_of_removal,
    shop_id,
};
use host_core::{
    format::{count, duration, pluralize},
    model::JobStatus,
    storage::{AttemptError, Breaker, JobSnapshot, Storage},
};
use host_pipeline::status::{IndexStatus, ShopStatus, Status, status};
use jiff::Timestamp;
use serde::Serialize;
use std::{fmt::Write, slice, time::Duration};

/// The object that `status` prints. Programs rely on its keys.
#[derive(Serialize)]
struct StatusView<'a> {
    /// Whether work is stopped or there are dead letters, as far as was looked: exit code 3.
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
    /// The command that makes work go on, or tells why it does not; where only a worker is missing, how work goes on, in words.
    next: Option<String>,
}

#[derive(Serialize)]
struct StopView<'a> {
    #[serde(flatten)]
    stopped: StoppedView<'a>,
    /// When chunks become dead letters, by the settings of this machine.
    gives_up_at: Timestamp,
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
            warn_of_removal(&stores, shop).await?;
        }
        let status = status(&stores, shop, config.index.as_deref()).await.map_err(store_failure)?;
        let screen = StatusScreen {
            options: options(global),
            stopped_after: config.worker.settings().stopped_after,
            now: clock().now(),
            idle: idle_hints(global, backend.storage(), &status).await?,
        };
        match global.output {
            OutputFormat::Json => print_json(&screen.view(&status))?,
            OutputFormat::Text => print(&screen.text(&status, shop))?,
        }
        Ok(if status.needs_action() { Exit::Conflict } else { Exit::Completed })
    })
}

/// The first open job of each index on which no worker works, and what makes it go on.
async fn idle_hints(
    global: &Global,
    storage: &dyn Storage,
    status: &Status,
) -> Result<Vec<(String, String)>, Failure> {
    let mut hints = Vec::new();
    if storage.has_active_worker() {
        return Ok(hints);
    }
    for index in status.shops.iter().flat_map(|shop| &shop.indexes) {
        let Some(first) = index.jobs.first() else { continue };
        let is_ingested =
            first.seal.is_none() && storage.has_active_ingest(&first.job).await.map_err(store_failure)?;
        if !is_ingested {
            hints.push((first.job.id.to_string(), how_to_resume(first, &options(global))));
        }
    }
    Ok(hints)
}

/// What the status is shown with.
struct StatusScreen {
    /// Of a command in a hint.
    options: String,
    stopped_after: Duration,
    now: Timestamp,
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
                gives_up_at: breaker.expires_at(self.stopped_after),
            }),
            cleared: index.cleared.as_ref().and_then(ClearedView::new),
            waiting_since: index.waiting_since(),
            jobs: index.jobs.iter().map(OpenJobView::new).collect(),
            next: match (&index.stopped, failing) {
                (Some(_), _) => Some(self.resume(shop_id, &index.index_name)),
                (None, Some(job)) => Some(self.show_job(job)),
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

    fn show_job(&self, job: &JobSnapshot) -> String {
        format!("host jobs show {}{}", job.job.id, self.options)
    }

    fn idle_hint(&self, job: &JobSnapshot) -> Option<&str> {
        let hint = self.idle.iter().find(|(id, _)| *id == job.job.id.as_str());
        hint.map(|(_, hint)| hint.as_str())
    }

    fn text(&self, status: &Status, shop: Option<&str>) -> String {
        let mut text = String::new();
        if status.is_quiet() || (status.shops.is_empty() && !status.more_jobs) {
            let nothing = "o job is open, nothing is stopped, no dead letters";
            let place = if status.shops_left_out > 0 { " in the queues that were looked at" } else { "" };
            let _ = match shop {
                Some(shop) => writeln!(text, "{shop}: n{nothing}{place}."),
                None => writeln!(text, "N{nothing}{place}."),
            };
        }
        for shop in &status.shops {
            self.shop_text(&mut text, shop);
        }
        self.left_out_text(&mut text, status);
        text
    }

    fn shop_text(&self, text: &mut String, shop: &ShopStatus) {
        let ShopStatus { shop_id, messages, dead_letters, indexes } = shop;
        let _ = writeln!(text, "{shop_id}");
        for index in indexes {
            self.index_text(text, shop_id, index);
        }
        if *dead_letters > 0 {
            let (number, command) =
                (pluralize(*dead_letters, "dead letter"), self.list_dead_letters(shop_id));
            let _ = writeln!(text, "  {number}: `{command}` tells why");
        }
        if *messages > 0 {
            let _ = writeln!(text, "  {} in the queue", pluralize(*messages, "message"));
        }
    }

    fn index_text(&self, text: &mut String, shop_id: &str, index: &IndexStatus) {
        let _ = writeln!(text, "  index {}", index.index_name);
        if let Some(breaker) = &index.stopped {
            self.stop_text(text, breaker);
            let command = self.resume(shop_id, &index.index_name);
            let _ = writeln!(text, "             once the cause is fixed: `{command}`");
        }
        for job in &index.jobs {
            self.job_text(text, job);
        }
        if let Some(since) = index.waiting_since() {
            let _ = writeln!(text, "    waiting  the oldest chunk's job for {}", self.age(since));
        }
        if let Some(cleared) = index.cleared.as_ref().and_then(cleared_text) {
            let _ = writeln!(text, "    cleared  {cleared}");
        }
    }

    fn stop_text(&self, text: &mut String, breaker: &Breaker) {
        let Breaker { code, message, since, probes, .. } = breaker;
        let age = self.age(*since);
        let _ = writeln!(text, "    stopped  for {age}, since {since:.0}: {}", with_code(message, code));
        let tries = if *probes == 1 { "try" } else { "tries" };
        let gives_up_at = breaker.expires_at(self.stopped_after);
        let gives_up = match gives_up_at > self.now {
            true => format!("in {} at {gives_up_at:.0}", self.time_until(gives_up_at)),
            false => "at the next try that fails, if there were ten".to_owned(),
        };
        let next = next_probe(breaker, self.now);
        let _ = writeln!(
            text,
            "             {} {tries} since, next try {next}; its chunks become dead letters {gives_up}",
            count((*probes).into())
        );
    }

    fn job_text(&self, text: &mut String, job: &JobSnapshot) {
        let JobSnapshot { job: created, status, seal, last_error, .. } = job;
        let total = seal.as_ref().map_or(String::new(), |seal| format!(" of {}", count(seal.total_items)));
        let (progress, age) = (indexing(job).text, self.age(created.created_at));
        let _ =
            writeln!(text, "    job      {} {}, for {age}: {progress}{total}", created.id, status.as_str());
        if let Some(AttemptError { code, message, causes, at, .. }) = last_error {
            let said = with_code(&[slice::from_ref(message), causes].concat().join(": "), code);
            let command = self.show_job(job);
            let _ = writeln!(text, "             last error {at:.0}: {said}; `{command}`");
        }
        if let Some(hint) = self.idle_hint(job) {
            let _ = writeln!(text, "             no worker runs: {hint}");
        }
    }

    /// How long ago that was; a clock may have been ahead.
    fn age(&self, since: Timestamp) -> String {
        duration(Duration::try_from(self.now.duration_since(since)).unwrap_or_default())
    }

    fn time_until(&self, at: Timestamp) -> String {
        duration(Duration::try_from(at.duration_since(self.now)).unwrap_or_default())
    }

    /// What was not looked at, on which nothing above says anything.
    fn left_out_text(&self, text: &mut String, status: &Status) {
        let options = &self.options;
        if status.more_jobs {
            let _ = writeln!(
                text,
                "there are more open jobs: `host status --shop SHOP{options}` shows those of one shop"
            );
        }
        if status.shops_left_out > 0 {
            let shops = pluralize(status.shops_left_out, "shop");
            let _ = writeln!(
                text,
                "the queues of {shops} without an open job were not looked at: `host dlq list{options}` looks at all of them"
            );
        }
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
            idle,
        }
    }

    #[test]
    fn what_was_not_looked_at_is_never_said_to_be_well() {
        let text = |status: &Status| screen(Vec::new()).text(status, None);
        let all = text(&Status::default());
        assert_eq!(all, "No job is open, nothing is stopped, no dead letters.\n");
        assert_eq!(
            text(&Status { shops_left_out: 9_500, ..Status::default() }),
            "No job is open, nothing is stopped, no dead letters in the queues that were looked at.\n\
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
        let screen = screen(vec![(job.id.to_string(), "`host run`".to_owned())]);
        let found = status(&stores, None, None).await.unwrap();
        let shown = screen.index_view("shop", &found.shops[0].indexes[0]);
        assert_eq!(shown.next.as_deref(), Some("`host run`"));
        assert!(screen.text(&found, None).contains("no worker runs: `host run`"));
    }
}
