//! `host why`: where a product is, and why.

use super::{
    CliResult, Global,
    context::{print, print_json, runtime, store_failure},
    documents::OpenIndex,
    failure::{Exit, Failure},
    hints::options,
    output::OutputFormat,
    shop::warn_of_removal,
};
use clap::Args;
use host_core::{
    format::pluralize,
    model::{LastRefusal, LedgerRecord, ProductState},
    storage::LedgerScope,
};
use host_pipeline::why::{Answer, UnreadableChunks, Why, why};
use jiff::Timestamp;
use serde::Serialize;
use serde_json::{Map, Value};
use std::fmt::Write;

/// Which product.
#[derive(Debug, Args)]
pub(super) struct WhyArgs {
    /// Id of the product as the export spells it, the number at its end, or the id of one of its documents
    product: String,
}

/// The object that `why` prints. Programs rely on its keys.
#[derive(Debug, Serialize)]
struct WhyView<'a> {
    product: &'a str,
    shop_id: &'a str,
    index_name: &'a str,
    target: String,
    /// `waiting` while nothing of the product has been written.
    state: &'static str,
    documents: Vec<&'a str>,
    documents_left_out: bool,
    version: &'a Map<String, Value>,
    job_id: Option<&'a str>,
    at: Option<Timestamp>,
    /// When `host reconcile --repair` or `host ledger rebuild` has changed what that job said.
    repaired_at: Option<Timestamp>,
    /// When the export of that job was taken, or of the first chunk's or the refusal's job where nothing was ever written.
    exported_at: Option<Timestamp>,
    /// The first file of that export.
    source: Option<&'a str>,
    refusal: Option<&'a LastRefusal>,
    waiting: Vec<WaitingView<'a>>,
    dead_letters: Vec<DeadLetterView<'a>>,
    /// Only the first waiting chunks and dead letters were looked through.
    more_waiting: bool,
    /// Chunks whose products cannot all be read, by job: the product may be in one of them.
    unreadable: Vec<UnreadableView<'a>>,
}

#[derive(Debug, Serialize)]
struct UnreadableView<'a> {
    job_id: &'a str,
    dead_letters: u64,
    waiting: u64,
}

#[derive(Debug, Serialize)]
struct WaitingView<'a> {
    job_id: &'a str,
    chunk: u32,
    operation: &'static str,
}

/// A chunk of the product among the dead letters.
#[derive(Debug, Serialize)]
struct DeadLetterView<'a> {
    job_id: &'a str,
    chunk: u32,
    operation: &'static str,
    code: &'a str,
    died_at: Timestamp,
}

pub(super) fn run(global: &Global, args: &WhyArgs) -> CliResult {
    runtime()?.block_on(async {
        let OpenIndex { backend, index, target, .. } = OpenIndex::open(global).await?;
        let scope =
            LedgerScope { shop_id: target.shop_id, target: index.id(), index_name: target.index_name };
        warn_of_removal(&backend.stores(), &scope.shop_id).await?;
        let answer = why(&backend.stores(), &scope, &args.product).await.map_err(store_failure)?;
        let Answer { why: found, unreadable } = &answer;
        let LedgerScope { shop_id, index_name, target } = &scope;
        let options = options(global);
        let Some(found) = found else {
            let message =
                format!("nothing is known of product {} in index {index_name} of {shop_id} ({target})", args.product);
            let maybe = unreadable.iter().map(|chunks| unreadable_text(chunks, shop_id, &options) + "; ");
            return Err(Failure::usage(message).help(format!(
                "{}name another shop, index or target with --shop, --index and --target; what older versions of host wrote is \
                 known once a run has had it",
                maybe.collect::<String>()
            )));
        };
        let none = Map::new();
        let view = WhyView::new(&scope, found, unreadable, &none);
        match global.output {
            OutputFormat::Text => {
                let maybe = unreadable.iter().map(|chunks| unreadable_text(chunks, shop_id, &options));
                let maybe: String = maybe.map(|text| format!("unreadable {text}\n")).collect();
                print(&(view.text(&options) + &maybe))?;
            }
            OutputFormat::Json => print_json(&view)?,
        }
        Ok(Exit::Completed)
    })
}

impl<'a> WhyView<'a> {
    fn new(
        scope: &'a LedgerScope,
        why: &'a Why,
        unreadable: &'a [UnreadableChunks],
        none: &'a Map<String, Value>,
    ) -> Self {
        let record = why.record.as_ref();
        let waiting = why.waiting.iter().map(|chunk| WaitingView {
            job_id: chunk.job_id.as_str(),
            chunk: chunk.seq,
            operation: chunk.operation.as_str(),
        });
        let dead_letters = why.dead_letters.iter().map(|dead_letter| DeadLetterView {
            job_id: dead_letter.chunk.job_id.as_str(),
            chunk: dead_letter.chunk.seq,
            operation: dead_letter.chunk.operation.as_str(),
            code: &dead_letter.code,
            died_at: dead_letter.died_at,
        });
        // Of a product that was only ever refused, the refusal says which job and when.
        let said = record.filter(|record| record.state != ProductState::Refused);
        Self {
            product: why.product.as_str(),
            shop_id: &scope.shop_id,
            index_name: &scope.index_name,
            target: scope.target.to_string(),
            state: record.map_or("waiting", |record| name(record.state)),
            documents: record
                .into_iter()
                .flat_map(|record| &record.documents)
                .map(|id| id.as_str())
                .collect(),
            documents_left_out: record.is_some_and(|record| record.documents_left_out),
            version: record.map_or(none, |record| &record.version),
            job_id: said.map(|record| record.job_id.as_str()),
            at: said.map(|record| record.at),
            repaired_at: said.and_then(|record| record.repaired_at),
            exported_at: why.job.as_ref().and_then(|job| job.exported_at),
            source: why.job.as_ref().and_then(|job| Some(job.sources.first()?.as_str())),
            refusal: record.and_then(|record: &LedgerRecord| record.refusal.as_ref()),
            waiting: waiting.collect(),
            dead_letters: dead_letters.collect(),
            more_waiting: why.more_waiting,
            unreadable: unreadable.iter().map(UnreadableView::new).collect(),
        }
    }

    fn text(&self, options: &str) -> String {
        let Self { product, shop_id, index_name, target, .. } = self;
        let meaning = match self.state {
            "live" => "in the index",
            "removed" => "removed from the index; older versions do not come back",
            "absent" => "no longer in the index",
            "refused" => "never in the index",
            _ => "nothing of it has been written yet",
        };
        let mut text = format!("product    {product}\nindex      {index_name} of {shop_id} ({target})\n");
        let _ = writeln!(text, "state      {}: {meaning}", self.state);
        if !self.documents.is_empty() {
            let more = if self.documents_left_out { " and more" } else { "" };
            let _ = writeln!(text, "documents  {}{more}", self.documents.join(", "));
        }
        if !self.version.is_empty() {
            let fields = self.version.iter().map(|(name, value)| match value {
                Value::String(text) => format!("{name} {text}"),
                other => format!("{name} {other}"),
            });
            let _ = writeln!(text, "version    {}", fields.collect::<Vec<_>>().join(", "));
        }
        if let (Some(job_id), Some(at)) = (self.job_id, self.at) {
            let _ = match self.repaired_at {
                None => writeln!(text, "since      {at:.0}, job {job_id}"),
                // What the job wrote was found there, or found missing, by a comparison.
                Some(repaired_at) => writeln!(
                    text,
                    "since      {repaired_at:.0}, by a comparison of index and ledger (`host reconcile --repair`, `host ledger rebuild`); \
                     before that, job {job_id}"
                ),
            };
        }
        if let Some(source) = self.source {
            let taken = self.exported_at.map_or(String::new(), |at| format!(", taken {at:.0}"));
            let _ = writeln!(text, "export     {source}{taken}");
        }
        if let Some(LastRefusal { class, code, message, job_id, at, .. }) = self.refusal {
            let class = format!("{class:?}").to_lowercase();
            let _ = writeln!(text, "{class:9}  {message} ({code}), since {at:.0}, job {job_id}");
        }
        for WaitingView { job_id, chunk, operation } in &self.waiting {
            let _ = writeln!(text, "waiting    chunk {chunk} of job {job_id} ({operation})");
        }
        for DeadLetterView { job_id, chunk, operation, code, died_at } in &self.dead_letters {
            let _ = writeln!(
                text,
                "dead       chunk {chunk} of job {job_id} ({operation}), {code}, since {died_at:.0}: `host dlq show {job_id} {chunk}{options}` tells why"
            );
        }
        if self.more_waiting {
            text.push_str("waiting    there are more chunks than were looked through\n");
        }
        text
    }
}

impl<'a> UnreadableView<'a> {
    fn new(UnreadableChunks { job_id, dead_letters, waiting }: &'a UnreadableChunks) -> Self {
        Self { job_id: job_id.as_str(), dead_letters: *dead_letters, waiting: *waiting }
    }
}

/// That the product may be in chunks of a job that cannot be read, and the command that looks.
fn unreadable_text(chunks: &UnreadableChunks, shop_id: &str, options: &str) -> String {
    let UnreadableChunks { job_id, dead_letters, waiting } = chunks;
    let mut kinds = Vec::new();
    if *dead_letters > 0 {
        kinds.push(pluralize(*dead_letters, "dead letter"));
    }
    if *waiting > 0 {
        kinds.push(pluralize(*waiting, "waiting chunk"));
    }
    let command = match dead_letters {
        0 => format!("host jobs show {job_id}{options}"),
        _ => format!("host dlq list --shop {shop_id} --job {job_id}{options}"),
    };
    format!(
        "job {job_id} has {} whose products cannot all be read, and this one may be among them: `{command}` tells more",
        kinds.join(" and ")
    )
}

fn name(state: ProductState) -> &'static str {
    match state {
        ProductState::Live => "live",
        ProductState::Removed => "removed",
        ProductState::Absent => "absent",
        ProductState::Refused => "refused",
    }
}
