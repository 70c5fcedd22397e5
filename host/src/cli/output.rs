//! Shows a job: as text for people, as JSON for programs.

use crate::cli::{
    failure::Exit,
    resume::{ClearedView, StoppedView, cleared_text, stopped_text},
};
use host_core::{
    format::{bytes, count, duration, pluralize},
    model::{
        ArchiveRefused, Counts, EntryClass, Job, JobId, JobStatus, Operation, QuarantinedProducts,
        ReportEntry, SourceStats, job::PluginRef, report::Samples,
    },
    report_codes::{is_damaged_chunk, is_dead_letter},
    storage::{AttemptError, Breaker, JobSnapshot},
};
use jiff::Timestamp;
use serde::Serialize;
use std::{fmt::Write, slice, time::Duration};

/// How results are printed on stdout.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum OutputFormat {
    /// For people.
    #[default]
    Text,
    /// JSON.
    Json,
}

/// The object that `run` and `jobs show` print. Programs rely on its keys.
#[derive(Debug, Serialize)]
pub(super) struct JobView<'a> {
    job_id: &'a str,
    shop_id: &'a str,
    platform: &'a str,
    index_name: &'a str,
    /// Kind of index: `catalog` or `marqo`; empty for jobs of versions that knew only one kind.
    target: &'a str,
    operation: &'static str,
    /// Whether it is a full sync.
    full: bool,
    /// The sources of the export, as the user named them.
    sources: &'a [String],
    /// When the export was taken from the shop, as far as is known.
    exported_at: Option<Timestamp>,
    /// The full sync whose missing products this job removes.
    removes_missing_of: Option<&'a JobId>,
    /// The jobs that remove what this full sync did not have; only `jobs show` looks for them.
    #[serde(skip_serializing_if = "Option::is_none")]
    removals: Option<&'a [JobId]>,
    status: JobStatus,
    /// Whether the export was read to its end, so that the number of items is known.
    sealed: bool,
    /// `None` until the job is sealed.
    total_items: Option<u64>,
    #[serde(flatten)]
    counts: Counts,
    chunks: u32,
    completed_chunks: u32,
    source: Option<&'a SourceStats>,
    /// Products that the plug-in failed on or refused, which `host plugin replay` can feed to a fixed one. `None` until
    /// the job is sealed.
    quarantine: Option<&'a QuarantinedProducts>,
    samples: SamplesView<'a>,
    /// Folder of the report objects, if any item has an entry.
    report: Option<String>,
    elapsed_ms: i64,
    created_at: Timestamp,
    /// When its last chunk was counted; `None` if it has not ended.
    ended_at: Option<Timestamp>,
    /// Products that are not in the export of a full sync and stay all the same because their data is newer. Only the
    /// run of that sync knows it.
    #[serde(skip_serializing_if = "Option::is_none")]
    kept_newer: Option<u64>,
    /// Why what this full sync did not have was not archived, if that was refused.
    archive_refused: Option<&'a ArchiveRefused>,
    /// Why the job ended before all of it was worked, or that one of its chunks is a dead letter.
    error_message: Option<&'a str>,
    /// The last failed attempt of a job that has not ended.
    last_error: Option<&'a AttemptError>,
    /// Why work on the job's index is stopped, if it is and the job has not ended.
    stopped: Option<StoppedView<'a>>,
    #[serde(skip)]
    stopped_text: Option<String>,
    /// What had stopped work on the job's index while the job was open and has been cleared since; `jobs list` leaves
    /// it out.
    cleared: Option<ClearedView<'a>>,
    #[serde(skip)]
    cleared_text: Option<String>,
    /// Dead letters of its chunks now; only `jobs show` and `jobs report` look for them, where a chunk was quarantined.
    #[serde(skip_serializing_if = "Option::is_none")]
    dead_letters: Option<usize>,
    /// Options that a command in a hint needs, such as ` --data-dir data`.
    #[serde(skip)]
    options: &'a str,
    #[serde(skip)]
    job: &'a Job,
    plugin: &'a PluginRef,
}

#[derive(Debug, Serialize)]
struct SamplesView<'a> {
    skipped: Vec<&'a ReportEntry>,
    failed: Vec<&'a ReportEntry>,
    conflict: Vec<&'a ReportEntry>,
}

impl<'a> JobView<'a> {
    /// A view of a job at `now`. `chunks` is the place of its objects: a folder or `s3://bucket`.
    pub(super) fn new(job: &'a JobSnapshot, chunks: &str, now: Timestamp) -> Self {
        let samples = |class| job.samples.iter().filter(|entry| entry.class == class).collect();
        let folder = job.job.folder();
        Self {
            job_id: job.job.id.as_str(),
            shop_id: &job.job.shop_id,
            platform: &job.job.platform,
            index_name: &job.job.index_name,
            target: job.job.target.kind(),
            operation: job.job.operation.as_str(),
            full: job.job.full,
            sources: &job.job.sources,
            exported_at: job.job.exported_at,
            removes_missing_of: job.job.removes_missing_of.as_ref(),
            removals: None,
            status: job.status,
            sealed: job.seal.is_some(),
            total_items: job.seal.as_ref().map(|seal| seal.total_items),
            counts: job.counts,
            chunks: job.chunks,
            completed_chunks: job.completed_chunks,
            source: job.seal.as_ref().map(|seal| &seal.source),
            quarantine: job.seal.as_ref().map(|seal| &seal.quarantine),
            report: (!job.samples.is_empty()).then(|| format!("{chunks}/{folder}")),
            samples: SamplesView {
                skipped: samples(EntryClass::Skipped),
                failed: samples(EntryClass::Failed),
                conflict: samples(EntryClass::Conflict),
            },
            elapsed_ms: job.ended_at.unwrap_or(now).duration_since(job.job.created_at).as_millis() as i64,
            created_at: job.job.created_at,
            ended_at: job.ended_at,
            kept_newer: None,
            archive_refused: job.archive_refused.as_ref(),
            error_message: job.failure_message(),
            last_error: job.last_error.as_ref(),
            stopped: None,
            stopped_text: None,
            cleared: None,
            cleared_text: None,
            dead_letters: None,
            options: "",
            job: &job.job,
            plugin: &job.job.plugin,
        }
    }

    /// The view with the options that commands in its hints need. Call it before [`Self::with_breaker`], which uses
    /// them.
    pub(super) fn with_options(self, options: &'a str) -> Self {
        Self { options, ..self }
    }

    /// The view with what had stopped work on the job's index and was cleared. A breaker is the stored stop of work on
    /// a shop's index.
    pub(super) fn with_cleared(self, breaker: Option<&'a Breaker>) -> Self {
        Self {
            cleared: breaker.and_then(ClearedView::new),
            cleared_text: breaker.and_then(cleared_text),
            ..self
        }
    }

    /// The view with what stops work on the job's index now.
    pub(super) fn with_breaker(self, breaker: Option<&'a Breaker>, now: Timestamp) -> Self {
        let breaker = breaker.filter(|_| !self.status.has_ended());
        let (stopped, text) =
            (breaker.map(StoppedView::new), breaker.map(|breaker| stopped_text(breaker, now, self.options)));
        Self { stopped, stopped_text: text, ..self }
    }

    /// The view with how many products a full sync kept because their data is newer.
    pub(super) fn with_kept(self, kept_newer: Option<u64>) -> Self {
        Self { kept_newer, ..self }
    }

    /// The view with how many dead letters there are of it now.
    pub(super) fn with_dead_letters(self, dead_letters: Option<usize>) -> Self {
        Self { dead_letters, ..self }
    }

    /// The view with the jobs that remove what this full sync did not have.
    pub(super) fn with_removals(self, removals: Option<&'a [JobId]>) -> Self {
        Self { removals, ..self }
    }

    /// How many chunks were quarantined as far as the samples tell, and what can be done about them; none if there is none.
    pub(super) fn quarantined_chunks(&self) -> Option<String> {
        let failed = &self.samples.failed;
        let quarantined = || failed.iter().filter(|entry| is_dead_letter(&entry.code));
        let chunks = quarantined().count() as u64;
        let at_least = if failed.len() < Samples::LIMIT { "" } else { "at least " };
        let were = if chunks == 1 { "was" } else { "were" };
        let number = pluralize(chunks, "chunk");
        let (shop, job, options) = (self.shop_id, self.job_id, self.options);
        (chunks > 0).then(|| match self.dead_letters {
            Some(0) => format!(
                "{at_least}{number} {were} quarantined, and no dead letter is left: run the export again to write what was in them"
            ),
            _ if quarantined().all(|entry| is_damaged_chunk(&entry.code)) => format!(
                "{at_least}{number} {were} quarantined, because its object is damaged or gone: `host dlq list --shop {shop} --job \
                 {job}{options}` names it, and `host dlq show {job}{options}` says what helps"
            ),
            _ => format!(
                "{at_least}{number} {were} quarantined: `host dlq list --shop {shop} --job {job}{options}` tells why, and \
                 `host dlq redrive --shop {shop} --job {job}{options}` sends them again once the cause is fixed"
            ),
        })
    }

    /// The job as a few lines of text.
    pub(super) fn text(&self) -> String {
        let mut text = String::new();
        let Counts { processed, unchanged, failed, skipped, conflict, deleted } = self.counts;
        let elapsed = Duration::from_millis(self.elapsed_ms.unsigned_abs());
        let took = if elapsed < Duration::from_secs(10) {
            format!("{:.1} s", elapsed.as_secs_f64())
        } else {
            duration(elapsed)
        };
        let _ = writeln!(text, "job {}  {}  in {took}", self.job_id, self.status.as_str());
        let _ = writeln!(text, "  shop       {} → index {} ({})", self.shop_id, self.index_name, self.target);
        let _ = writeln!(text, "  operation  {}", operation_text(self.job));
        if let Some(source) = sources_text(self.job) {
            let _ = writeln!(text, "  source     {source}");
        }
        let ended = self.ended_at.map(|at| format!(", ended {at:.0}")).unwrap_or_default();
        let _ = writeln!(text, "  began      {:.0}{ended}", self.created_at);
        if let Some(source) = self.source {
            let _ = writeln!(
                text,
                "  read       {}, {}, {} ({})",
                pluralize(source.lines, "line"),
                pluralize(source.products, "product"),
                bytes(source.bytes),
                source.grouping
            );
        }
        let written = processed - unchanged - deleted;
        let _ = writeln!(
            text,
            "  processed  {}: {} written, {} unchanged, {} removed",
            count(processed),
            count(written),
            count(unchanged),
            count(deleted)
        );
        if !self.status.has_ended() {
            let so_far = if self.sealed { "" } else { " so far" };
            let (done, all) = (count(self.completed_chunks.into()), count(self.chunks.into()));
            let _ = writeln!(text, "  chunks     {done} of {all}{so_far} are written");
        }
        for (name, number, class) in [
            ("skipped", skipped, &self.samples.skipped),
            ("failed", failed, &self.samples.failed),
            ("conflict", conflict, &self.samples.conflict),
        ] {
            if number > 0 {
                let _ = writeln!(text, "  {name:<10} {}", count(number));
            }
            // Many entries may have the same text, such as those of the chunks of a cancelled job.
            let mut texts: Vec<String> = class.iter().map(|entry| entry_text(entry)).collect();
            texts.dedup();
            for line in texts.iter().take(3) {
                let _ = writeln!(text, "    {line}");
            }
        }
        for removal in self.removals.unwrap_or_default() {
            let _ = writeln!(text, "  removals   of what it did not have: job {removal}");
        }
        if let Some(ArchiveRefused { message, .. }) = self.archive_refused {
            let (shop, index, target, options) = (self.shop_id, self.index_name, self.target, self.options);
            let _ = writeln!(
                text,
                "  archived   nothing: {message}; `host catalog archive --shop {shop} --index {index} --target {target} \
                 --dry-run{options}` lists what would go (docs/archiving.md)"
            );
        }
        if let Some(hint) = self.quarantined_chunks() {
            let _ = writeln!(text, "  dlq        {hint}");
        }
        if let Some(AttemptError { code, message, causes, at, .. }) = self.last_error {
            let message = [slice::from_ref(message), causes].concat().join(": ");
            let _ = writeln!(text, "  last error {at:.0}: {}", with_code(&message, code));
        }
        if let Some(stopped) = &self.stopped_text {
            let _ = writeln!(text, "  stopped    {}", stopped.trim_start_matches("stopped "));
        }
        if let Some(cleared) = &self.cleared_text {
            let _ = writeln!(text, "  resumed    {cleared}");
        }
        if let Some(message) = self.error_message {
            let _ = writeln!(text, "  reason     {message}");
        } else if !self.sealed {
            let _ = writeln!(text, "  not sealed; re-run the same command to resume");
        }
        if self.report.is_some() {
            let _ = writeln!(text, "  details    host jobs report {}{}", self.job_id, self.options);
        }
        if let Some(QuarantinedProducts { products: products @ 1.., left_out, .. }) = self.quarantine {
            let _ = write!(
                text,
                "  replay     host plugin replay {} --plugin FIXED.wasm{}, and the other plug-ins of the run: {}",
                self.job_id,
                self.options,
                pluralize(*products, "product")
            );
            let _ = match left_out {
                0 => writeln!(text),
                left_out => writeln!(text, "; there was no room for {} more", count(*left_out)),
            };
        }
        text
    }
}

/// What a job does, in a word or two.
pub(super) fn operation_text(job: &Job) -> &'static str {
    match (job.operation, job.full) {
        (Operation::AddDocuments, true) => "full sync",
        (Operation::AddDocuments, false) => "add",
        (Operation::UpdateDocuments, _) => "update",
        (Operation::DeleteDocuments, _) => "remove",
    }
}

/// Names of sources that are shown.
const MAX_SOURCES: usize = 3;

/// Where the products of a job came from, and when they were exported as far as is known; none if the record does not say.
pub(super) fn sources_text(Job { sources, exported_at, .. }: &Job) -> Option<String> {
    let mut text = sources.iter().take(MAX_SOURCES).map(String::as_str).collect::<Vec<_>>().join(", ");
    if sources.len() > MAX_SOURCES {
        let _ = write!(text, " and {} more", sources.len() - MAX_SOURCES);
    }
    if let Some(at) = exported_at {
        let _ = write!(text, " (as of {at:.0})");
    }
    (!sources.is_empty()).then_some(text)
}

/// One line about a job that has just ended, with the next command where one is due.
pub(super) fn ended_text(job: &JobSnapshot, options: &str) -> String {
    let Job { id, shop_id, index_name, .. } = &job.job;
    let mut text = format!("job {id} {}: {shop_id} → index {index_name}", job.status.as_str());
    let Counts { processed, failed, skipped, conflict, .. } = job.counts;
    for (number, name) in
        [(processed, "processed"), (skipped, "skipped"), (failed, "failed"), (conflict, "in conflict")]
    {
        if number > 0 || name == "processed" {
            let _ = write!(text, ", {} {name}", count(number));
        }
    }
    let view = JobView::new(job, "", job.job.created_at).with_options(options);
    if let Some(hint) = view.quarantined_chunks() {
        let _ = write!(text, "; {hint}");
    } else if failed + conflict > 0 {
        let _ = write!(text, "; `host jobs report {id}{options}` tells why");
    }
    text
}

/// An entry of a report on one line.
pub(super) fn entry_text(entry: &ReportEntry) -> String {
    let place = match (&entry.document_id, entry.line) {
        (Some(id), _) => format!("document {id}: "),
        (None, Some(line)) => format!("line {line}: "),
        (None, None) => String::new(),
    };
    format!("{place}{}", with_code(&entry.message, &entry.code))
}

/// A message followed by its code in parentheses, unless it ends with that already.
pub(super) fn with_code(message: &str, code: &str) -> String {
    let behind = format!(" ({code})");
    if message.ends_with(&behind) { message.to_owned() } else { message.to_owned() + &behind }
}

/// The exit code of a job that ended.
pub(super) fn exit_of(job: &JobSnapshot) -> Exit {
    match job.status {
        JobStatus::Completed | JobStatus::Conflict if job.archive_refused.is_some() => Exit::NotArchived,
        JobStatus::Completed => Exit::Completed,
        JobStatus::Conflict => Exit::Conflict,
        JobStatus::Failed => Exit::Failed,
        JobStatus::Pending | JobStatus::InProgress => Exit::Runtime,
    }
}
