//! Scans the export and shows the progress of reading and indexing.

use super::{
    super::{
        context::remote,
        failure::Failure,
        jobs::{indexing, look_interval},
    },
    Run, export_failure,
};
use crate::{config::GroupingMode, telemetry::progress::State};
use host_core::{
    format::{bytes, count, pluralize},
    model::JobId,
    plugin::Transform,
    storage::Storage,
};
use host_export::{Cancel, Export, ExportError, Mode, Options, Phase, Plan, Progress, ProgressSnapshot};
use host_pipeline::ingest::run::IngestProgress;
use std::{
    sync::{Arc, atomic::Ordering::Relaxed},
    time::{Duration, Instant},
};

/// Interval between two looks at the counters of progress.
const TICK: Duration = Duration::from_millis(100);

impl Run<'_> {
    /// Reads the export once and decides how its lines become products; `None` if interrupted.
    pub(super) async fn scan(
        &self,
        sources: &[String],
        transform: &Arc<dyn Transform>,
        progress: &Arc<Progress>,
    ) -> Result<Option<Plan>, Failure> {
        let ingest = &self.config.ingest;
        let mut options = Options::new(self.config.data_dir.join("scratch"));
        options.mode = match ingest.grouping {
            GroupingMode::Auto => Mode::Auto,
            GroupingMode::Adjacent => Mode::Adjacent,
            GroupingMode::Spill => Mode::Spill,
        };
        options.max_line_bytes = ingest.max_line_bytes;
        options.max_skipped_share = ingest.max_skipped_share;
        options.expected = self.expected;
        options.sort_memory = ingest.spill_memory_bytes;
        options.progress = progress.clone();
        options.remote = remote(self.config, sources).await?;
        let stop: Cancel = options.cancel.clone();
        let (sources, grouping) = (sources.to_vec(), transform.manifest().grouping.clone());
        let mut scan = tokio::task::spawn_blocking(move || Export::open(&sources, options)?.scan(&grouping));
        let mut line = self.screen.line("reading");
        let started = Instant::now();
        let plan = loop {
            tokio::select! {
                plan = &mut scan => break plan,
                () = self.cancel.cancelled() => {
                    stop.cancel();
                    break scan.await;
                }
                () = self.clock.sleep(TICK) => line.show(&reading_state(&progress.snapshot(), None, started.elapsed())),
            }
        };
        line.finish();
        match plan.map_err(Failure::runtime)? {
            Ok(plan) => Ok(Some(plan)),
            Err(ExportError::Cancelled) => Ok(None),
            Err(error) => Err(export_failure(error)),
        }
    }

    /// Shows the progress of reading and indexing; never returns, so the caller drops it when the job has ended.
    pub(super) async fn watch(
        &self,
        storage: &dyn Storage,
        job: &JobId,
        reading: &Progress,
        published: &IngestProgress,
    ) -> std::convert::Infallible {
        let mut read = Some(self.screen.line("reading"));
        let mut indexed = self.screen.line("indexing");
        let started = Instant::now();
        let (jobs, interval) = (storage.stores().jobs, look_interval(storage));
        let mut looked_at = started;
        loop {
            self.clock.sleep(TICK).await;
            let snapshot = reading.snapshot();
            match (&mut read, snapshot.phase) {
                (Some(_), Phase::Done) => {
                    read.take().into_iter().for_each(crate::telemetry::progress::Line::finish);
                }
                (Some(line), _) => line.show(&reading_state(&snapshot, Some(published), started.elapsed())),
                (None, _) => {}
            }
            // The counters of reading are in memory, but each look at the job is a call to storage.
            if !indexed.is_due() || looked_at.elapsed() < interval {
                continue;
            }
            looked_at = Instant::now();
            // A job that cannot be read now is shown the next time.
            if let Ok(Some(job)) = jobs.get(job).await {
                indexed.show(&indexing(&job));
            }
        }
    }
}

/// The progress of reading. `published` counts what the plug-in has made of it; `None` during the scan, before the
/// plug-in runs.
fn reading_state(reading: &ProgressSnapshot, published: Option<&IngestProgress>, elapsed: Duration) -> State {
    let what = match reading.phase {
        Phase::Idle | Phase::Scanning => "looking at the order of lines",
        Phase::Spooling => "copying the stream",
        Phase::Resolving => "matching lines with their parents",
        Phase::Sorting => "sorting lines by product",
        Phase::Grouping | Phase::Done => "making documents",
    };
    let rate = reading.bytes as f64 / elapsed.as_secs_f64().max(0.001);
    let mut text = format!("{what}: {}", pluralize(reading.lines, "line"));
    if let Some(published) = published {
        let (documents, chunks) = (published.documents.load(Relaxed), published.chunks.load(Relaxed));
        let unchanged = match published.unchanged.load(Relaxed) {
            0 => String::new(),
            unchanged => format!(", {} unchanged", count(unchanged)),
        };
        text = format!(
            "{text}, {} products, {} documents{unchanged}, {} chunks",
            count(reading.products),
            count(documents),
            count(chunks)
        );
    }
    State {
        done: reading.bytes,
        total: reading.bytes_total,
        text: format!("{text}, {}/s", bytes(rate as u64)),
    }
}
