//! `host resume`, and what other commands say of indexes on which work is stopped.

use super::{
    CliResult, Global,
    backend::Backend,
    context::{config, print, print_json, runtime, store_failure},
    failure::{Exit, Failure},
    output::OutputFormat,
    shop_id,
};
use clap::Args;
use host_core::{
    format::duration,
    model::Job,
    storage::{Breaker, Stores},
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

/// Why and since when work is stopped, on one line.
pub(super) fn reason_text(breaker: &Breaker) -> String {
    let Breaker { since, code, message, probes, .. } = breaker;
    let tries = if *probes == 1 { "try" } else { "tries" };
    format!("stopped since {since:.0}: {message} ({code}), after {probes} more {tries}")
}

/// The same, and what happens next.
pub(super) fn stopped_text(breaker: &Breaker, now: Timestamp) -> String {
    let next = match breaker.next_probe_at {
        at if at > now => format!("in {}", duration(now.duration_until(at).unsigned_abs())),
        _ => "as soon as a worker runs".to_owned(),
    };
    let shop = &breaker.scope.shop_id;
    format!("{}; next try {next}, or `host resume {shop}` once the cause is fixed", reason_text(breaker))
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
) -> Result<Vec<Breaker>, Failure> {
    let mut closed = Vec::new();
    for breaker in stores.breakers.list(shop).await.map_err(store_failure)? {
        if index.is_none_or(|index| breaker.scope.index_name == index) {
            closed.extend(resume(stores, &breaker.scope).await.map_err(store_failure)?);
        }
    }
    Ok(closed)
}

pub(super) fn run(global: &Global, args: &ResumeArgs) -> CliResult {
    let config = config(global)?;
    runtime()?.block_on(async {
        let stores = Backend::open(&config, false).await?.stores();
        let shop = shop_id::id_as_stored(args.shop_id.clone(), &stores).await?;
        let (shop, index) = (shop.as_str(), global.index.as_deref());
        let closed = close(&stores, Some(shop), index).await?;
        match global.output {
            OutputFormat::Json => print_json(&closed.iter().map(StoppedView::new).collect::<Vec<_>>())?,
            OutputFormat::Text => print(&closed_text(&closed, shop, index))?,
        }
        Ok(Exit::Completed)
    })
}

fn closed_text(closed: &[Breaker], shop: &str, index: Option<&str>) -> String {
    if closed.is_empty() {
        let of = index.map_or_else(|| shop.to_owned(), |index| format!("index {index} of {shop}"));
        return format!("work on {of} was not stopped\n");
    }
    let mut text = String::new();
    for breaker in closed {
        let _ = writeln!(text, "resumed {}: it was {}", breaker.scope, reason_text(breaker));
    }
    text.push_str(
        "workers take its chunks when their wait ends: within a minute, or within ten if it was stopped for half a day\n",
    );
    text
}
