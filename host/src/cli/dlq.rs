//! `host dlq`: chunks that no worker could handle, and why; redriven or discarded.

use super::{
    CliResult, Global,
    backend::Backend,
    context::{clock, config, print, print_json, runtime, store_failure},
    failure::{Exit, Failure},
    hints::{options, same_plugins},
    jobs::find,
    output::OutputFormat,
    shop_id,
};
use crate::config::Config;
use clap::{Args, Subcommand};
use host_core::{
    format::pluralize,
    model::JobId,
    report_codes::is_damaged_chunk,
    storage::{AttemptError, DeadLetter, MessagePlace, StoreError, Stores, UnreadableMessage},
};
use host_pipeline::worker::{self, DeadLetterFilter, Redriven};
use serde::Serialize;
use std::{collections::BTreeSet, fmt::Write};

/// Commands about dead letters.
#[derive(Debug, Subcommand)]
pub(super) enum DlqCommand {
    /// Print the chunks that no worker could handle, each with its reason
    List(Choice),
    /// Print all that is known of one of them
    Show {
        /// Id of the job, or its beginning
        job: String,
        /// Number of the chunk; may be left out if the job has one dead letter
        chunk: Option<u32>,
    },
    /// Send chunks again once the cause is fixed: they no longer count as failed, and the job ends once more. That --job or --code name
    /// no dead letter is an error
    Redrive {
        #[command(flatten)]
        choice: Choice,
        /// All of them, where neither --job nor --code is given
        #[arg(long, conflicts_with_all = ["job", "code"])]
        all: bool,
        /// Only print what would be sent
        #[arg(long)]
        dry_run: bool,
    },
    /// Remove dead letters; their chunks stay counted as failed. That --job or --code name no dead letter is an error
    Discard {
        #[command(flatten)]
        choice: Choice,
        /// All of them, where neither --job nor --code is given
        #[arg(long, conflicts_with_all = ["job", "code"])]
        all: bool,
        /// Only print what would be removed
        #[arg(long)]
        dry_run: bool,
    },
}

/// Selects dead letters.
#[derive(Debug, Args)]
pub(super) struct Choice {
    /// Only those of this job
    #[arg(long, value_name = "ID")]
    job: Option<String>,
    /// Only those with this reason: corrupt-chunk, lost-input …
    #[arg(long, value_name = "CODE")]
    code: Option<String>,
}

impl Choice {
    async fn filter(self, config: &Config, stores: &Stores) -> Result<DeadLetterFilter, Failure> {
        let job = match self.job {
            Some(job) => Some(job_id(config, stores, job).await?),
            None => None,
        };
        Ok(DeadLetterFilter { job, code: self.code, chunk: None })
    }
}

/// The job with this id or beginning of one. A dead letter may outlive the record of its job.
async fn job_id(config: &Config, stores: &Stores, id: String) -> Result<JobId, Failure> {
    match find(stores, config.shop.as_deref(), Some(id.clone())).await {
        Ok(job) => Ok(job.job.id),
        Err(failure) => JobId::new(id).filter(|id| id.as_str().len() >= WHOLE_ID).ok_or(failure),
    }
}

/// Characters of a complete id: ids are UUIDs.
const WHOLE_ID: usize = 36;

pub(super) fn run(global: &Global, command: DlqCommand) -> CliResult {
    let config = config(global)?;
    runtime()?.block_on(async {
        let backend = Backend::open(&config, false).await?;
        let stores = backend.stores();
        let config = shop_id::as_stored(config, &stores).await?;
        // Where there is nothing at all, there would be no dead letters either.
        stores.jobs.list(config.shop.as_deref(), 1).await.map_err(store_failure)?;
        let shops = match &config.shop {
            Some(shop) => vec![shop.clone()],
            None => stores.queue.shops().await.map_err(store_failure)?,
        };
        match command {
            DlqCommand::List(choice) => {
                let filter = choice.filter(&config, &stores).await?;
                let dead_letters =
                    list_dead_letters(&stores, &shops, &filter).await.map_err(store_failure)?;
                let unreadable = list_unreadable(&stores, &shops, &filter).await.map_err(store_failure)?;
                if dead_letters.is_empty() && unreadable.is_empty() {
                    let of = config.shop.as_ref().map_or(String::new(), |shop| format!(" of {shop}"));
                    let such = if filter == DeadLetterFilter::default() { "" } else { "such " };
                    eprintln!("there are no {such}dead letters{of}");
                }
                match global.output {
                    OutputFormat::Json => {
                        let dead_letters = dead_letters.iter().map(Listed::DeadLetter);
                        let unreadable = unreadable.iter().map(Listed::Unreadable);
                        print_json(&dead_letters.chain(unreadable).collect::<Vec<_>>())?;
                    }
                    OutputFormat::Text => {
                        print(&(list_text(&dead_letters) + &unreadable_text(&unreadable)))?;
                    }
                }
            }
            DlqCommand::Show { job, chunk } => {
                let job = Some(job_id(&config, &stores, job).await?);
                let filter = DeadLetterFilter { job, chunk, code: None };
                let found = list_dead_letters(&stores, &shops, &filter).await.map_err(store_failure)?;
                let options = options(global);
                let dead_letter = only(found, &filter, &options)?;
                match global.output {
                    OutputFormat::Json => print_json(&dead_letter)?,
                    OutputFormat::Text => print(&dead_letter_text(&dead_letter, &options))?,
                }
            }
            DlqCommand::Redrive { choice, all, dry_run } => {
                let filter = choice.filter(&config, &stores).await?;
                must_choose(&filter, all || dry_run, "sent again")?;
                redrive(global, &config, &stores, &shops, &filter, dry_run).await?;
                backend.flush().await?;
            }
            DlqCommand::Discard { choice, all, dry_run } => {
                let filter = choice.filter(&config, &stores).await?;
                must_choose(&filter, all || dry_run, "removed")?;
                discard(global, &stores, &shops, &filter, dry_run).await?;
                backend.flush().await?;
            }
        }
        Ok(Exit::Completed)
    })
}

/// An error unless dead letters are named, or all of them.
fn must_choose(filter: &DeadLetterFilter, all: bool, what: &str) -> Result<(), Failure> {
    if all || filter.job.is_some() || filter.code.is_some() {
        return Ok(());
    }
    Err(Failure::usage(format!("which dead letters are to be {what}?"))
        .help("name them with --job or --code, or use --all"))
}

/// The selected dead letters of these shops.
async fn list_dead_letters(
    stores: &Stores,
    shops: &[String],
    filter: &DeadLetterFilter,
) -> Result<Vec<DeadLetter>, StoreError> {
    let mut dead_letters = Vec::new();
    for shop in shops {
        dead_letters.extend(stores.queue.dead_letters(shop).await?);
    }
    dead_letters.retain(|dead_letter| filter.matches(dead_letter));
    Ok(dead_letters)
}

/// An entry of the list.
#[derive(Serialize)]
#[serde(untagged)]
enum Listed<'a> {
    DeadLetter(&'a DeadLetter),
    Unreadable(&'a UnreadableMessage),
}

/// What this version cannot read, unless dead letters of a job or with another reason are asked for.
async fn list_unreadable(
    stores: &Stores,
    shops: &[String],
    filter: &DeadLetterFilter,
) -> Result<Vec<UnreadableMessage>, StoreError> {
    let mut unreadable = Vec::new();
    if filter.job.is_none() && filter.code.as_ref().is_none_or(|code| code == UnreadableMessage::CODE) {
        for shop in shops {
            unreadable.extend(stores.queue.unreadable(shop).await?);
        }
    }
    Ok(unreadable)
}

fn unreadable_text(unreadable: &[UnreadableMessage]) -> String {
    let mut text = String::new();
    for UnreadableMessage { shop_id, code, place, message, receive_count, body } in unreadable {
        let place = match place {
            MessagePlace::Queue => "left in the queue, its group behind it",
            MessagePlace::DeadLetters => "among the dead letters",
        };
        let delivered = pluralize((*receive_count).into(), "time");
        let _ = write!(text, "{shop_id}  {code}, {place}\n  {message}\n  {body:?}, delivered {delivered}\n");
    }
    text
}

/// The one selected dead letter; of several redrives the last.
fn only(
    mut dead_letters: Vec<DeadLetter>,
    filter: &DeadLetterFilter,
    options: &str,
) -> Result<DeadLetter, Failure> {
    dead_letters.sort_by_key(|dead_letter| (dead_letter.chunk.seq, dead_letter.redrive_count));
    let mut chunks: Vec<u32> = dead_letters.iter().map(|dead_letter| dead_letter.chunk.seq).collect();
    chunks.dedup();
    let job = filter.job.as_ref().map(JobId::as_str).unwrap_or_default();
    match (dead_letters.pop(), chunks.as_slice()) {
        (Some(dead_letter), [_]) => Ok(dead_letter),
        (Some(_), many) => {
            let many: Vec<String> = many.iter().map(u32::to_string).collect();
            Err(Failure::usage(format!("job {job} has several dead letters: chunks {}", many.join(", ")))
                .help(format!("name one of them: `host dlq show {job} {}{options}`", many[0])))
        }
        (None, _) => Err(not_found(filter, options)),
    }
}

/// The selected dead letters are not there.
fn not_found(DeadLetterFilter { job, code, chunk }: &DeadLetterFilter, options: &str) -> Failure {
    let message = match (job, code, chunk) {
        (Some(job), _, Some(chunk)) => format!("chunk {chunk} of job {job} is not among the dead letters"),
        (Some(job), Some(code), None) => format!("job {job} has no dead letter with the reason {code}"),
        (Some(job), None, None) => format!("job {job} has no dead letter"),
        (None, Some(code), _) => format!("there is no dead letter with the reason {code}"),
        (None, None, _) => "there are no dead letters".to_owned(),
    };
    Failure::usage(message).help(format!("`host dlq list{options}` prints all of them"))
}

/// An error if dead letters were named and none is there. That there are none at all is what `--all` asks for.
fn must_exist(found: usize, filter: &DeadLetterFilter, options: &str) -> Result<(), Failure> {
    match found {
        0 if *filter != DeadLetterFilter::default() => Err(not_found(filter, options)),
        _ => Ok(()),
    }
}

/// What identifies a dead letter.
#[derive(Serialize)]
struct Named<'a> {
    job_id: &'a str,
    shop_id: &'a str,
    chunk: u32,
    code: &'a str,
}

fn named(dead_letters: &[DeadLetter]) -> Vec<Named<'_>> {
    let mut all = Vec::with_capacity(dead_letters.len());
    for DeadLetter { chunk, shop_id, code, .. } in dead_letters {
        all.push(Named { job_id: chunk.job_id.as_str(), shop_id, chunk: chunk.seq, code });
    }
    all
}

/// What helps where an object of the chunk store is not what was written.
const REPAIR_HINT: &str = "its object is restored first, from a backup or an older version; `host dlq show` names it and says what helps \
                    without one";

fn lines(text: &mut String, what: &str, dead_letters: &[DeadLetter]) {
    for Named { job_id, chunk, code, .. } in named(dead_letters) {
        let _ = writeln!(text, "{what} chunk {chunk} of job {job_id} ({code})");
    }
}

async fn redrive(
    global: &Global,
    config: &Config,
    stores: &Stores,
    shops: &[String],
    filter: &DeadLetterFilter,
    dry_run: bool,
) -> Result<(), Failure> {
    let mut redriven = Redriven::default();
    for shop in shops {
        let of_shop = match dry_run {
            true => worker::plan_redrive(stores, shop, filter).await,
            false => worker::redrive(stores, &clock(), shop, filter).await,
        };
        let of_shop = of_shop.map_err(store_failure)?;
        redriven.sent.extend(of_shop.sent);
        redriven.done.extend(of_shop.done);
        redriven.orphaned.extend(of_shop.orphaned);
        redriven.held_back.extend(of_shop.held_back);
    }
    let Redriven { sent, done, orphaned, held_back } = &redriven;
    must_exist(sent.len() + done.len() + orphaned.len() + held_back.len(), filter, &options(global))?;
    if global.output == OutputFormat::Json {
        return print_json(&serde_json::json!({
            "dry_run": dry_run,
            "redriven": named(sent),
            "done": named(done),
            "orphaned": named(orphaned),
            "held_back": named(held_back),
        }));
    }
    let mut text = String::new();
    lines(&mut text, if dry_run { "would send" } else { "sent" }, sent);
    lines(&mut text, "was done before:", done);
    lines(&mut text, "skipped, job not found:", orphaned);
    lines(&mut text, "held back:", held_back);
    if !held_back.is_empty() {
        let _ = writeln!(
            text,
            "chunks of another job wait in another number of lanes, where one change could overtake another: run this again when \
             they are done; `host status{}` shows them",
            options(global)
        );
    }
    if !dry_run && !sent.is_empty() {
        let mut jobs = Vec::new();
        for id in sent.iter().map(|letter| &letter.chunk.job_id).collect::<BTreeSet<_>>() {
            jobs.extend(stores.jobs.get(id).await.map_err(store_failure)?);
        }
        let targets: BTreeSet<&str> = jobs.iter().map(|job| job.job.target.kind()).collect();
        for target in targets {
            let of_target = jobs.iter().map(|job| &job.job).filter(|job| job.target.kind() == target);
            let _ = writeln!(
                text,
                "a worker writes them: `host work --target {target}{0}`, or `host run --target {target}{0}` without a source{1}",
                options(global),
                same_plugins(config, of_target)
            );
        }
    }
    if sent.iter().any(|dead_letter| is_damaged_chunk(&dead_letter.code)) {
        let _ =
            writeln!(text, "a chunk that is damaged or missing is quarantined again unless {REPAIR_HINT}");
    }
    if text.is_empty() {
        text.push_str("there are no dead letters\n");
    }
    print(&text)
}

async fn discard(
    global: &Global,
    stores: &Stores,
    shops: &[String],
    filter: &DeadLetterFilter,
    dry_run: bool,
) -> Result<(), Failure> {
    let mut discarded = Vec::new();
    if dry_run {
        discarded = list_dead_letters(stores, shops, filter).await.map_err(store_failure)?;
    } else {
        for shop in shops {
            let of_shop = worker::discard(stores, &clock(), shop, filter).await.map_err(store_failure)?;
            discarded.extend(of_shop);
        }
    }
    must_exist(discarded.len(), filter, &options(global))?;
    if global.output == OutputFormat::Json {
        return print_json(&serde_json::json!({ "dry_run": dry_run, "discarded": named(&discarded) }));
    }
    let mut text = String::new();
    lines(&mut text, if dry_run { "would remove" } else { "removed" }, &discarded);
    if text.is_empty() {
        text.push_str("there are no dead letters\n");
    }
    print(&text)
}

fn list_text(dead_letters: &[DeadLetter]) -> String {
    let mut text = String::new();
    for DeadLetter { chunk, shop_id, code, message, died_at, receive_count, .. } in dead_letters {
        let _ = write!(
            text,
            "{died_at:.0}  {shop_id}  job {}  chunk {}: {code}\n  {message}\n  {} ({}, {}), delivered {}\n",
            chunk.job_id,
            chunk.seq,
            chunk.key,
            pluralize(chunk.documents.into(), "document"),
            chunk.sha256,
            pluralize((*receive_count).into(), "time"),
        );
    }
    text
}

fn dead_letter_text(dead_letter: &DeadLetter, options: &str) -> String {
    let DeadLetter {
        chunk,
        shop_id,
        code,
        message,
        died_at,
        receive_count,
        redrive_count,
        context,
        external,
    } = dead_letter;
    let mut text =
        format!("chunk {} of job {} was quarantined: {code}\n  {message}\n\n", chunk.seq, chunk.job_id);
    let mut row = |name: &str, value: String| {
        let _ = writeln!(text, "{name:12}{value}");
    };
    row("shop", shop_id.clone());
    match external {
        Some(message) => row("message", message.clone()),
        None => {
            row("chunk", chunk.key.clone());
            row("checksum", chunk.sha256.to_string());
            let operation = chunk.operation.as_str();
            row(
                "content",
                format!(
                    "{}, {}, {operation}, lane {}",
                    pluralize(chunk.documents.into(), "document"),
                    pluralize(chunk.bytes, "byte"),
                    chunk.lane
                ),
            );
        }
    }
    if !context.sample_ids.is_empty() {
        row("documents", format!("{} …", context.sample_ids.join(", ")));
    }
    row("quarantined", format!("{died_at:.0}"));
    row(
        "attempts",
        format!(
            "{}, delivered {}, redriven {}",
            context.attempts,
            pluralize((*receive_count).into(), "time"),
            pluralize((*redrive_count).into(), "time")
        ),
    );
    let known = [("endpoint", &context.endpoint), ("report", &context.report_key)];
    for (name, value) in known {
        if let Some(value) = value {
            row(name, value.clone());
        }
    }
    if let Some(digest) = &context.plugin_digest {
        row("plug-in", digest.to_string());
    }
    if !context.host_version.is_empty() {
        row("host", context.host_version.clone());
    }
    let (first, last) = (&context.first_error, &context.last_error);
    let errors = match first == last {
        true => vec![("error", first)],
        false => vec![("first error", first), ("last error", last)],
    };
    for (name, error) in errors {
        if let Some(error) = error {
            row(name, error_text(error));
        }
    }
    if let Some(backtrace) = &context.backtrace {
        let _ = writeln!(text, "\nthe host panicked {backtrace}");
    }
    let job = format!("--shop {shop_id} --job {}{options}", chunk.job_id);
    let (to_redrive, to_discard) = match is_damaged_chunk(code) {
        true => (
            "if a backup has its object, restore that, and then",
            "otherwise run the export again, which makes new chunks of it, and then",
        ),
        false => ("once the cause is fixed", "to discard it"),
    };
    let _ =
        write!(text, "\n{to_redrive}:\n  host dlq redrive {job}\n{to_discard}:\n  host dlq discard {job}\n");
    text
}

fn error_text(error: &AttemptError) -> String {
    let AttemptError { code, message, causes, attempt, at, .. } = error;
    let mut text = format!("attempt {attempt}, {at:.0}: {code}\n  {message}");
    for cause in causes {
        let _ = write!(text, "\n  cause: {cause}");
    }
    text
}
