//! Prints a job's report: an entry for each item (a document, or a line of the export) that was skipped, failed, in
//! conflict or remarked on by a plug-in.

use super::{
    context::{print, store_failure},
    failure::Failure,
    jobs::dead_letters,
    output::JobView,
};
use host_core::{
    model::{EntryClass, ReportEntry},
    storage::{JobSnapshot, Stores},
};
use host_plugin_dev::page::escape;
use std::fmt::Write;

/// How a report is printed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum ReportFormat {
    /// One JSON object a line.
    #[default]
    Ndjson,
    /// One page without anything from outside.
    Html,
}

/// Prints all stored reports of the job: that of its ingest, then those of its chunks. Memory holds one of them at a
/// time.
pub(super) async fn print_report(
    stores: &Stores,
    job: &JobSnapshot,
    format: ReportFormat,
    options: &str,
) -> Result<(), Failure> {
    let keys = stores.jobs.reports(&job.job.id).await.map_err(store_failure)?;
    if keys.is_empty() && job.archive_refused.is_none() {
        let id = &job.job.id;
        let see_refused =
            format!("what its plug-in refused until then: `host plugin replay {id} --dry-run{options}`");
        match (job.status.has_ended(), &job.seal, &job.error_message) {
            (true, Some(_), _) => eprintln!("nothing is said of any item of job {id}: each was processed"),
            (true, None, reason) => eprintln!(
                "nothing is said of any item of job {id}, whose export was not read to its end: {}; {see_refused}",
                reason.as_deref().unwrap_or("it ended before")
            ),
            (false, ..) => {
                eprintln!("nothing is said of any item of job {id} yet: it has not ended; {see_refused}");
            }
        }
    }
    let dead_letters = dead_letters(stores, job).await?;
    let view = JobView::new(job, "", job.ended_at.unwrap_or(job.job.created_at));
    let view = view.with_options(options).with_dead_letters(dead_letters);
    if format == ReportFormat::Html {
        print(&head(&view, job.job.id.as_str()))?;
    }
    if let Some(refused) = &job.archive_refused {
        let message = format!("nothing was archived after this full sync: {}", refused.message);
        let entry = ReportEntry::new(EntryClass::Warning, "nothing-archived", message)
            .with("reason", refused.code.as_str());
        let mut text = Vec::new();
        entry.write_line(&mut text);
        print_entries(&String::from_utf8_lossy(&text), format, "the record of the job")?;
    }
    for key in keys {
        let Some(bytes) = stores.chunks.get(&key, None).await.map_err(store_failure)? else {
            return Err(Failure::runtime(format!("report object {key} is gone")));
        };
        print_entries(&String::from_utf8_lossy(&bytes), format, &format!("report object {key}"))?;
    }
    if format == ReportFormat::Html {
        print("</tbody></table></body></html>\n")?;
    }
    if let Some(hint) = view.quarantined_chunks() {
        eprintln!("{hint}");
    }
    Ok(())
}

/// Prints the entries of one object, one a line.
fn print_entries(text: &str, format: ReportFormat, object: &str) -> Result<(), Failure> {
    match format {
        ReportFormat::Ndjson => print(text),
        ReportFormat::Html => {
            let mut rows = String::new();
            for line in text.lines() {
                let entry: ReportEntry = serde_json::from_str(line)
                    .map_err(|error| Failure::runtime(format!("{object} is damaged: {error}")))?;
                row(&mut rows, &entry);
            }
            print(&rows)
        }
    }
}

/// The HTML page up to the first row of its table.
fn head(view: &JobView<'_>, id: &str) -> String {
    format!(
        "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\"><title>Job {id}</title>\
         <meta name=\"viewport\" content=\"width=device-width\"><style>\
         :root{{color-scheme:light dark}}body{{font:15px/1.5 system-ui,sans-serif;margin:2rem auto;max-width:72rem;padding:0 1rem}}\
         pre{{background:#8882;padding:1rem;border-radius:.5rem;overflow:auto}}table{{border-collapse:collapse;width:100%}}\
         th,td{{text-align:left;vertical-align:top;padding:.4rem .6rem;border-bottom:1px solid #8884}}\
         td:nth-child(4){{overflow-wrap:anywhere}}.skipped{{color:#888}}.failed{{color:#c33}}.conflict{{color:#b70}}.warning{{color:#47a}}\
         details{{font-size:.85em}}</style></head><body><h1>Job {id}</h1><pre>{summary}</pre>\
         <table><thead><tr><th>Class<th>Item<th>Code<th>What happened</tr></thead><tbody>\n",
        id = escape(id),
        summary = escape(&view.text()),
    )
}

/// Adds an entry's row of the HTML table.
fn row(rows: &mut String, entry: &ReportEntry) {
    let class = format!("{:?}", entry.class).to_lowercase();
    let mut item = entry.document_id.clone().unwrap_or_default();
    if let Some(line) = entry.line {
        let _ = write!(item, "{}line {line}", if item.is_empty() { "" } else { ", " });
    }
    if let Some(path) = &entry.path {
        let _ = write!(item, " {path}");
    }
    let details = if entry.details.is_empty() {
        String::new()
    } else {
        let json = serde_json::to_string_pretty(&entry.details).expect("details are plain data");
        format!("<details><summary>details</summary><pre>{}</pre></details>", escape(&json))
    };
    let _ = writeln!(
        rows,
        "<tr><td class=\"{class}\">{class}<td>{}<td><code>{}</code><td>{}{details}</tr>",
        escape(&item),
        escape(&entry.code),
        escape(&entry.message),
    );
}
