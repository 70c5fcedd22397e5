//! `host resume`, and what other commands say of indexes on which work is stopped.

use super::{
    CliResult, Global,
    backend::Backend,
    context::{clock, config, print, print_json, runtime, store_failure},
    failure::{Exit, Failure},
    hints::{how_to_resume, options, settings_fix, with_options},
    output::OutputFormat,
    shop_id,
};
use clap::Args;
use host_core::{
    format::duration,
    model::Job,
    storage::{Breaker, Cleared, ClearedBy, Storage, Stores},
};
use host_pipeline::worker::resume;
use jiff::Timestamp;
use serde::Serialize;
use std::fmt::Write;

/// Which shop. With `--index`, only that index.
#[derive(Debug, Args)]
pub(super) struct ResumeArgs {
    /// The shop: example.myshopify.com
    #[arg(value_name = "SHOP")]
    shop_id: String,
}

/// Why work on an index is stopped, as JSON. Programs rely on its keys.
#[derive(Debug, Serialize)]
pub(super) struct StoppedView<'a> {
    shop_id: &'a str,
    index_name: &'a str,
    since: Timestamp,
    code: &'a str,
    message: &'a str,
    probes: u32,
    next_probe_at: Timestamp,
    /// The chunk at which it was stopped.
    job_id: &'a str,
    chunk: u32,
}

impl<'a> StoppedView<'a> {
    pub(super) fn new(breaker: &'a Breaker) -> Self {
        let Breaker { scope, code, message, since, probes, next_probe_at, job_id, chunk, .. } = breaker;
        Self {
            shop_id: &scope.shop_id,
            index_name: &scope.index_name,
            since: *since,
            code,
            message,
            probes: *probes,
            next_probe_at: *next_probe_at,
            job_id: job_id.as_str(),
            chunk: *chunk,
        }
    }
}

/// What stopped work on an index before and was cleared, as JSON. Programs rely on its keys.
#[derive(Debug, Serialize)]
pub(super) struct ClearedView<'a> {
    by: ClearedBy,
    at: Timestamp,
    since: Timestamp,
    code: &'a str,
    message: &'a str,
    probes: u32,
}

impl<'a> ClearedView<'a> {
    /// None of a breaker that is open.
    pub(super) fn new(breaker: &'a Breaker) -> Option<Self> {
        let Cleared { by, at } = breaker.cleared?;
        let Breaker { since, code, message, probes, .. } = breaker;
        Some(Self { by, at, since: *since, code, message, probes: *probes })
    }
}

/// What cleared a breaker, when, and what it was; none of one that is open.
pub(super) fn cleared_text(breaker: &Breaker) -> Option<String> {
    let Cleared { by, at } = breaker.cleared?;
    Some(format!("{at:.0} {}: it was {}", cleared_by(by), reason_text(breaker)))
}

/// What cleared a breaker.
pub(super) fn cleared_by(by: ClearedBy) -> String {
    match by {
        ClearedBy::Probe => "by a chunk that was tried and written".to_owned(),
        ClearedBy::Resume | ClearedBy::Settings => format!("by `{}`", by.as_str()),
    }
}

/// Why and since when work is stopped, on one line.
pub(super) fn reason_text(breaker: &Breaker) -> String {
    let Breaker { since, code, message, probes, .. } = breaker;
    let tries = if *probes == 1 { "try" } else { "tries" };
    format!("stopped since {since:.0}: {message} ({code}), after {probes} more {tries}")
}

/// The same, and what happens next. `options` are those of a command in a hint.
pub(super) fn stopped_text(breaker: &Breaker, now: Timestamp, options: &str) -> String {
    let (next, shop) = (next_probe(breaker, now), &breaker.scope.shop_id);
    let reason = with_options(&reason_text(breaker), options);
    format!("{reason}; next try {next}, or `host resume {shop}{options}` once the cause is fixed")
}

/// The command that corrects what stops work, as far as the reason names one.
pub(super) fn fix(breaker: &Breaker, options: &str) -> Option<String> {
    settings_fix(&breaker.message, &breaker.scope.index_name, options)
}

/// When the next chunk is tried.
pub(super) fn next_probe(breaker: &Breaker, now: Timestamp) -> String {
    match breaker.next_probe_at {
        at if at > now => format!("in {}", duration(now.duration_until(at).unsigned_abs())),
        _ => "as soon as a worker runs".to_owned(),
    }
}

/// The breaker of a job's index, if it is among these.
pub(super) fn breaker_of<'a>(breakers: &'a [Breaker], job: &Job) -> Option<&'a Breaker> {
    breakers
        .iter()
        .find(|breaker| breaker.scope.shop_id == job.shop_id && breaker.scope.index_name == job.index_name)
}

/// Says before a run that work is stopped, and that the run tries it now.
pub(super) async fn print_stopped(stores: &Stores, shop: &str) -> Result<(), Failure> {
    for breaker in stores.breakers.list(Some(shop)).await.map_err(store_failure)? {
        eprintln!("work on {} is {}; trying now", breaker.scope, reason_text(&breaker));
    }
    Ok(())
}

/// Closes the selected breakers; returns what each was.
pub(super) async fn close(
    stores: &Stores,
    shop: Option<&str>,
    index: Option<&str>,
    by: ClearedBy,
) -> Result<Vec<Breaker>, Failure> {
    let mut closed = Vec::new();
    for breaker in stores.breakers.list(shop).await.map_err(store_failure)? {
        if index.is_none_or(|index| breaker.scope.index_name == index) {
            closed.extend(resume(stores, &clock(), &breaker.scope, by).await.map_err(store_failure)?);
        }
    }
    Ok(closed)
}

pub(super) fn run(global: &Global, args: &ResumeArgs) -> CliResult {
    let config = config(global)?;
    runtime()?.block_on(async {
        let backend = Backend::open(&config, false).await?;
        let stores = backend.stores();
        let shop = shop_id::id_as_stored(args.shop_id.clone(), &stores).await?;
        shop_id::must_be_known(&stores, &shop).await?;
        let (shop, index) = (shop.as_str(), global.index.as_deref());
        let closed = close(&stores, Some(shop), index, ClearedBy::Resume).await?;
        let next = match closed.is_empty() {
            true => Next::Nothing,
            false => Next::after_resume(global, backend.storage(), shop, &closed).await?,
        };
        match global.output {
            OutputFormat::Json => print_json(&closed.iter().map(StoppedView::new).collect::<Vec<_>>())?,
            OutputFormat::Text => {
                let text = closed_text(&closed, shop, index, &next);
                print(&with_options(&text, &options(global)))?;
            }
        }
        Ok(Exit::Completed)
    })
}

/// What happens after work was resumed.
enum Next {
    /// No chunk waits.
    Nothing,
    /// Chunks are visible to workers, if some run.
    Workers,
    /// No worker runs; what starts one.
    NoWorker(String),
    /// Messages are hidden until then.
    HiddenUntil(Timestamp),
}

impl Next {
    /// Makes messages visible where the store can.
    async fn after_resume(
        global: &Global,
        storage: &dyn Storage,
        shop: &str,
        closed: &[Breaker],
    ) -> Result<Self, Failure> {
        let stores = storage.stores();
        let is_visible = stores.queue.expedite(shop).await.map_err(store_failure)?;
        let open = stores.jobs.list_open(Some(shop), usize::MAX).await.map_err(store_failure)?;
        let Some(first) = open.iter().find(|open| breaker_of(closed, &open.job).is_some()) else {
            return Ok(Self::Nothing);
        };
        if !storage.has_active_worker() {
            return Ok(Self::NoWorker(how_to_resume(first, global)));
        }
        let latest = closed.iter().map(|breaker| breaker.next_probe_at).max();
        let hidden_until = latest.filter(|at| !is_visible && *at > clock().now());
        Ok(hidden_until.map_or(Self::Workers, Self::HiddenUntil))
    }
}

fn closed_text(closed: &[Breaker], shop: &str, index: Option<&str>, next: &Next) -> String {
    if closed.is_empty() {
        let of = index.map_or_else(|| shop.to_owned(), |index| format!("index {index} of {shop}"));
        return format!("work on {of} was not stopped\n");
    }
    let mut text = String::new();
    for breaker in closed {
        let _ = writeln!(text, "resumed {}: it was {}", breaker.scope, reason_text(breaker));
    }
    // Nothing was asked of the server.
    let decides = "the next attempt shows whether the cause is gone";
    let _ = match next {
        Next::Nothing => writeln!(text, "no chunk waits; {decides}"),
        Next::Workers => writeln!(text, "workers that run take its chunks now; {decides}"),
        Next::NoWorker(hint) => writeln!(text, "no worker runs, and {decides}: {hint}"),
        Next::HiddenUntil(at) => writeln!(
            text,
            "workers take its chunks when their messages are visible again: at {at:.0}, and a minute later what was tried last; {decides}"
        ),
    };
    text
}
