//! `host plugin run`: runs a plug-in on a few items and shows its output.

use super::{batch_failure, dev_engine, load, new_runner, pluralize};
use crate::cli::{
    CliResult, Global,
    context::{config, print, print_json, remote, runtime},
    failure::{Exit, Failure},
    output::{OutputFormat, entry_text},
};
use clap::Args;
use host_core::{
    format::{bytes, count},
    model::{DocumentId, PluginManifest},
    plugin::TransformedDocument,
};
use host_plugin_dev::{
    items::{self, Items, ReadError, ReadItems},
    outcome::{self, Outcome},
};
use host_plugin_host::{Cost, EngineProfile, Plugin, Role, sanitize, truncate};
use serde_json::{Map, Value, json};
use std::{fmt::Write, path::PathBuf};

/// Most characters shown of a value.
const FIELD_CHARACTERS: usize = 160;

/// Most entries shown of a list of objects, such as variants.
const MAX_OBJECTS: usize = 20;

/// Most characters shown of a field's name, and up to how many the values are aligned.
const NAME_CHARACTERS: usize = 60;
const ALIGNED_CHARACTERS: usize = 24;

/// Arguments of `host plugin run`.
#[derive(Debug, Args)]
pub(in crate::cli) struct RunArgs {
    /// Component file or project folder
    plugin: PathBuf,
    /// Exports: files, s3://bucket/key, or - for standard input; validate reads lines {"_id": …}, version {"incoming":
    /// {…}, "stored": {…}}
    #[arg(value_name = "SOURCE", required = true)]
    sources: Vec<String>,
    /// Role to run [default: the plug-in's first of transform, validate, version]
    #[arg(long, value_enum)]
    role: Option<RoleName>,
    /// Most items to read
    #[arg(long, default_value_t = 10, value_name = "N")]
    limit: usize,
}

/// A role on the command line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(in crate::cli) enum RoleName {
    /// Make documents of products
    Transform,
    /// Validate documents
    Validate,
    /// Compare versions of documents
    Version,
}

impl From<RoleName> for Role {
    fn from(name: RoleName) -> Self {
        match name {
            RoleName::Transform => Self::Transform,
            RoleName::Validate => Self::Validate,
            RoleName::Version => Self::Version,
        }
    }
}

pub(super) fn run(global: &Global, args: &RunArgs) -> CliResult {
    let config = config(global)?;
    let engine = dev_engine(&config, EngineProfile::Deterministic)?;
    let plugin = load(&engine, &args.plugin, &config)?;
    let role = role(&plugin, args.role.map(Role::from))?;
    let runtime = runtime()?;
    let remote = runtime.block_on(remote(&config, &args.sources))?;
    let read = items::read(role, &plugin.manifest().grouping, &args.sources, args.limit, remote)
        .map_err(read_failure)?;
    if read.has_more {
        eprintln!(
            "showing the first {}; use --limit to show more",
            pluralize(args.limit as u64, read.items.noun())
        );
    }
    let bundled = engine.bundled(&config.plugin.config).map_err(Failure::usage)?;
    let (bytes_in, noun) = (read.items.bytes(), read.items.noun());
    let (outcomes, cost, verdicts) = runtime.block_on(async {
        let (outcomes, cost) =
            outcome::run(&new_runner(&plugin)?, read.items.clone()).await.map_err(batch_failure)?;
        let validator = if plugin.roles().contains(&Role::Validate) { &plugin } else { &bundled };
        let verdicts = validated(validator, &outcomes).await?;
        Ok::<_, Failure>((outcomes, cost, verdicts))
    })?;
    let shown = Shown { manifest: plugin.manifest(), read: &read, outcomes: &outcomes, verdicts: &verdicts };
    match global.output {
        OutputFormat::Json => {
            let plugin = plugin.plugin_ref();
            let items: Vec<Value> = outcomes.iter().map(Outcome::to_json).collect();
            let verdicts: Vec<Value> = verdicts.iter().map(Outcome::to_json).collect();
            print_json(&json!({
                "plugin": plugin, "items": items, "verdicts": verdicts, "refused_lines": read.rejected,
                "instructions": cost.instructions, "memory_bytes": cost.memory_bytes,
            }))?;
        }
        OutputFormat::Text => print(&shown.text(noun, bytes_in, cost))?,
    }
    let is_refused = |outcome: &Outcome| outcome.refusal.is_some();
    let refused = outcomes.iter().chain(&verdicts).any(is_refused) || !read.rejected.is_empty();
    Ok(if refused { Exit::Failed } else { Exit::Completed })
}

/// An export that cannot be read is an error of the user, unless the machine or S3 fails.
pub(super) fn read_failure(error: ReadError) -> Failure {
    match error {
        ReadError::Export(error) if !error.is_usage() => Failure::runtime(error),
        ReadError::TempDir(_) => Failure::runtime(error),
        other => Failure::usage(other),
    }
}

/// The wanted role, or else the plug-in's first.
pub(super) fn role(plugin: &Plugin, wanted: Option<Role>) -> Result<Role, Failure> {
    let roles = plugin.roles();
    match wanted {
        Some(role) if !roles.contains(&role) => {
            Err(Failure::usage(format!("{} does not have the role `{role}`", plugin.manifest().reference())))
        }
        Some(role) => Ok(role),
        None => Ok(roles.first().copied().unwrap_or(Role::Transform)),
    }
}

/// What the validator says of the documents in `outcomes`, only where it found an issue.
async fn validated(validator: &Plugin, outcomes: &[Outcome]) -> Result<Vec<Outcome>, Failure> {
    let documents =
        outcomes.iter().filter_map(|outcome| outcome.answer.get("documents")?.as_array()).flatten();
    let documents = documents.filter_map(|document| {
        let mut fields = document.as_object()?.clone();
        let id = DocumentId::new(fields.remove("_id")?.as_str()?).ok()?;
        Some(TransformedDocument { id, fields: Value::Object(fields).to_string() })
    });
    let documents: Vec<TransformedDocument> = documents.collect();
    if documents.is_empty() {
        return Ok(Vec::new());
    }
    let (verdicts, _) =
        outcome::run(&new_runner(validator)?, Items::Documents(documents)).await.map_err(batch_failure)?;
    Ok(verdicts.into_iter().filter(|verdict| verdict.answer.contains_key("issues")).collect())
}

/// What the text output shows.
struct Shown<'a> {
    manifest: &'a PluginManifest,
    read: &'a ReadItems,
    outcomes: &'a [Outcome],
    verdicts: &'a [Outcome],
}

impl Shown<'_> {
    fn text(&self, noun: &str, bytes_in: usize, cost: Cost) -> String {
        let mut text = String::new();
        for outcome in self.outcomes {
            let name = truncate(&outcome.item, FIELD_CHARACTERS);
            let _ =
                writeln!(text, "{}", if name.starts_with(noun) { name } else { format!("{noun} {name}") });
            for document in list(&outcome.answer, "documents") {
                self.document(&mut text, document);
            }
            for removal in list(&outcome.answer, "removals") {
                let _ =
                    writeln!(text, "  removal {}, version {}", plain(&removal["_id"]), removal["version"]);
            }
            issues(&mut text, "  ", &outcome.answer);
            if let Some(ordering) = outcome.answer.get("ordering").and_then(Value::as_str) {
                let _ = writeln!(text, "  the incoming document is {ordering}");
            }
            if let Some(error) = outcome.fault() {
                let _ = writeln!(text, "  refused {}: {}", error.code, error.message);
                for (key, title) in [("backtrace", "in"), ("log", "log")] {
                    for line in error.details.get(key).and_then(Value::as_array).into_iter().flatten() {
                        let _ = writeln!(text, "    {title:<3} {}", plain(line));
                    }
                }
            }
        }
        for entry in &self.read.rejected {
            let _ = writeln!(text, "refused {}", entry_text(entry));
        }
        self.summary(&mut text, noun, bytes_in, cost);
        text
    }

    fn document(&self, text: &mut String, document: &Value) {
        let id = plain(&document["_id"]);
        let _ = writeln!(text, "  document {id}");
        let fields = document.as_object().into_iter().flatten().filter(|(key, _)| *key != "_id");
        let width =
            fields.clone().map(|(key, _)| key.chars().count()).max().unwrap_or(0).min(ALIGNED_CHARACTERS);
        for (key, value) in fields {
            let key = truncate(key, NAME_CHARACTERS);
            match value {
                Value::Array(items) if items.iter().any(Value::is_object) => {
                    let _ = writeln!(text, "    {key:<width$}  {}", items.len());
                    for item in items.iter().take(MAX_OBJECTS) {
                        let _ = writeln!(text, "      {}", object(item));
                    }
                    if items.len() > MAX_OBJECTS {
                        let _ = writeln!(text, "      and {} more", items.len() - MAX_OBJECTS);
                    }
                }
                value => {
                    let _ = writeln!(text, "    {key:<width$}  {}", plain(value));
                }
            }
        }
        for verdict in self.verdicts.iter().filter(|verdict| document["_id"] == verdict.item.as_str()) {
            issues(text, "    validator: ", &verdict.answer);
        }
    }

    fn summary(&self, text: &mut String, noun: &str, bytes_in: usize, cost: Cost) {
        let total = |key: &str| -> u64 {
            self.outcomes.iter().map(|outcome| list(&outcome.answer, key).count() as u64).sum()
        };
        let refused = self.outcomes.iter().filter(|outcome| outcome.refusal.is_some()).count() as u64;
        let _ =
            write!(text, "{}: {}", self.manifest.reference(), pluralize(self.outcomes.len() as u64, noun));
        for (number, noun) in
            [(total("documents"), "document"), (total("removals"), "removal"), (total("issues"), "issue")]
        {
            if number > 0 {
                let _ = write!(text, ", {}", pluralize(number, noun));
            }
        }
        if refused > 0 {
            let _ = write!(text, ", {} refused", count(refused));
        }
        let _ = writeln!(
            text,
            "; {} instructions for {}, {} of memory",
            count(cost.instructions.unwrap_or(0)),
            bytes(bytes_in as u64),
            bytes(cost.memory_bytes as u64)
        );
    }
}

/// The values of a list in a plug-in's answer; none if it has no such list.
fn list<'a>(answer: &'a Map<String, Value>, key: &str) -> impl Iterator<Item = &'a Value> {
    answer.get(key).and_then(Value::as_array).into_iter().flatten()
}

/// Adds a line for each issue of a plug-in's answer.
fn issues(text: &mut String, indent: &str, answer: &Map<String, Value>) {
    for issue in list(answer, "issues") {
        let path = issue["path"].as_str().map(|path| format!(" at {path}")).unwrap_or_default();
        let _ = writeln!(
            text,
            "{indent}{} {}{path}: {}",
            plain(&issue["severity"]),
            plain(&issue["code"]),
            plain(&issue["message"])
        );
    }
}

/// An object on one line: `id 1 · sku A · price 12.5`.
fn object(value: &Value) -> String {
    let Some(fields) = value.as_object() else { return plain(value) };
    let parts: Vec<String> = fields.iter().map(|(key, value)| format!("{key} {}", plain(value))).collect();
    truncate(&parts.join(" · "), FIELD_CHARACTERS)
}

/// A value on one line, without JSON quotes.
fn plain(value: &Value) -> String {
    let text = match value {
        Value::String(text) => sanitize(text).into_owned(),
        Value::Array(items) if items.iter().all(|item| !item.is_object() && !item.is_array()) => {
            items.iter().map(plain).collect::<Vec<_>>().join(", ")
        }
        other => other.to_string(),
    };
    truncate(&text, FIELD_CHARACTERS)
}
