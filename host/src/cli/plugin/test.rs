//! `host plugin test`: runs a project's fixtures (input files) and compares the output with their golden files. Prints
//! a table and, below it, the problems in the style of a compiler.

use super::{dev_engine, load_failure, pluralize, project, warn_of_stale};
use crate::cli::{
    CliResult, Global,
    context::{config, print, print_json, runtime},
    failure::{Exit, Failure},
    output::OutputFormat,
};
use clap::Args;
use host_core::format::{bytes, count};
use host_plugin_dev::{
    budget::BudgetExceeded,
    json_diff::Change,
    project::{PROJECT_FILE, Project},
    suite::{self, FixtureReport, ItemChanges, Problem, PurityVariant, Report, SuiteError},
};
use host_plugin_host::{EngineProfile, truncate};
use serde_json::Value;
use std::{
    fmt::Write,
    path::{Path, PathBuf},
};

/// Most changes shown per item, and items per fixture.
const SHOWN: usize = 10;

/// Most characters shown of a value.
const VALUE_CHARACTERS: usize = 160;

/// Arguments of `host plugin test`.
#[derive(Debug, Args)]
pub(in crate::cli) struct TestArgs {
    /// Project folder
    #[arg(default_value = ".")]
    dir: PathBuf,
    /// Write golden files that are missing or differ, instead of failing
    #[arg(long)]
    bless: bool,
}

pub(super) fn run(global: &Global, args: &TestArgs) -> CliResult {
    let project = project(&args.dir)?;
    warn_of_stale(&project);
    let engine = dev_engine(&config(global)?, EngineProfile::Deterministic)?;
    let report =
        runtime()?.block_on(suite::test(&project, &engine, args.bless)).map_err(|error| match error {
            SuiteError::Load(error) => load_failure(error, &args.dir),
            SuiteError::Threads(_) => Failure::runtime(error),
            other => Failure::usage(other),
        })?;
    match global.output {
        OutputFormat::Json => print_json(&report)?,
        OutputFormat::Text => print(&text(&project, &report))?,
    }
    Ok(if report.passed() { Exit::Completed } else { Exit::Failed })
}

fn text(project: &Project, report: &Report) -> String {
    let mut text = String::new();
    let (plugin, size) = (&report.plugin, bytes(report.component_bytes));
    let _ = writeln!(text, "{}@{} ({size})", plugin.name, plugin.version);
    let width = report.fixtures.iter().map(|tested| tested.fixture.len()).max().unwrap_or(0);
    for tested in &report.fixtures {
        row(&mut text, width, tested);
    }
    for tested in &report.fixtures {
        for problem in &tested.problems {
            explain(&mut text, project, &tested.fixture, problem);
        }
    }
    for problem in &report.problems {
        explain(&mut text, project, "the component", problem);
    }
    let failed = report.fixtures.iter().filter(|tested| !tested.problems.is_empty()).count();
    let passed = report.fixtures.len() - failed;
    let _ = writeln!(text, "\n{passed} passed, {failed} failed");
    text
}

/// Adds a fixture's line of the table.
fn row(text: &mut String, width: usize, tested: &FixtureReport) {
    let state = match tested {
        FixtureReport { problems, .. } if !problems.is_empty() => "FAIL",
        FixtureReport { blessed: Some(_), .. } => "new",
        _ => "ok",
    };
    let metrics = &tested.metrics;
    let _ = writeln!(
        text,
        "  {state:<4}  {:<width$}  {:<11}  {:>11} instructions/item  {:>9}/kB  {:>8} memory  {:>8} out/item",
        tested.fixture,
        pluralize(tested.items as u64, tested.noun),
        count(metrics.instructions_per_item),
        count(metrics.instructions_per_kb),
        bytes(metrics.memory_bytes),
        bytes(metrics.output_bytes_per_item),
    );
}

/// Adds a problem with what to do about it.
fn explain(text: &mut String, project: &Project, fixture: &str, problem: &Problem) {
    text.push('\n');
    match problem {
        Problem::GoldenMissing { golden } => {
            let _ =
                writeln!(text, "error: {fixture}: the golden file {} is missing", relative(project, golden));
            let _ = writeln!(text, "  help: --bless writes it; review it before you commit it");
        }
        Problem::GoldenMismatch { golden, items } => {
            let _ = writeln!(text, "error: {fixture}: the output differs from {}", relative(project, golden));
            differences(text, items);
            let _ = writeln!(text, "  help: if the new output is right, accept it with --bless");
        }
        Problem::Impure { variant, items } => {
            let (when, help) = match variant {
                PurityVariant::Repeated => (
                    "on an instance that has run the same items before",
                    "keep no state between calls: an instance runs many batches",
                ),
                PurityVariant::Batched => (
                    "in a batch with the items of the other fixtures",
                    "share no state between the items of a batch: a batch can end after any item",
                ),
                PurityVariant::Reordered => (
                    "when the items come one by one in another order",
                    "keep no state between calls: items come in any order",
                ),
            };
            let _ = writeln!(text, "error: {fixture}: the plug-in is not pure: the output differs {when}");
            differences(text, items);
            let _ = writeln!(text, "  help: {help}");
        }
        Problem::Fault { item, code, message, backtrace, log } => {
            let _ = writeln!(text, "error: {fixture}, {item}: {message} ({code})");
            for (title, lines) in [("in", backtrace), ("log", log)] {
                for line in lines {
                    let _ = writeln!(text, "  {title:<3} {}", truncate(line, VALUE_CHARACTERS));
                }
            }
        }
        Problem::Unusable { message } => {
            let _ = writeln!(text, "error: {fixture}: {message}");
        }
        Problem::OverBudget(exceeded) => over_budget(text, project, fixture, exceeded),
    }
}

/// Adds a measurement above its limit, pointing at the line of `plugin.toml` that sets the limit.
fn over_budget(text: &mut String, project: &Project, fixture: &str, exceeded: &BudgetExceeded) {
    let BudgetExceeded { key, unit, allowed, measured, line, text: source } = exceeded;
    let excess = (*measured - *allowed).saturating_mul(100).div_ceil((*allowed).max(1));
    let _ = writeln!(
        text,
        "error: {fixture}: {} {unit}, {excess} % over the budget of {}",
        count(*measured),
        count(*allowed)
    );
    let gutter = line.to_string().len();
    let marked = source.find(key).map_or(0, |at| source[..at].chars().count());
    let _ = writeln!(text, "{:gutter$}--> {}:{line}", "", relative(project, &project.dir.join(PROJECT_FILE)));
    let _ = writeln!(text, "{:gutter$} |", "");
    let _ = writeln!(text, "{line} | {source}");
    let _ =
        writeln!(text, "{:gutter$} | {:marked$}{}", "", "", "^".repeat(source.trim().chars().count().max(1)));
}

fn differences(text: &mut String, items: &[ItemChanges]) {
    for item in items.iter().take(SHOWN) {
        let _ = writeln!(text, "  {}", truncate(&item.item, VALUE_CHARACTERS));
        for change in item.changes.iter().take(SHOWN) {
            self::change(text, change);
        }
        more(text, "    ", item.changes.len(), "difference");
    }
    more(text, "  ", items.len(), "item");
}

fn change(text: &mut String, Change { path, before, after, .. }: &Change) {
    let shown = |value: &Value| truncate(&value.to_string(), VALUE_CHARACTERS);
    let _ = writeln!(text, "    {}", if path.is_empty() { "(whole value)" } else { path });
    for (sign, value) in [('-', before), ('+', after)] {
        if let Some(value) = value {
            let _ = writeln!(text, "      {sign} {}", shown(value));
        }
    }
}

fn more(text: &mut String, indent: &str, total: usize, noun: &str) {
    if total > SHOWN {
        let _ = writeln!(text, "{indent}and {} more", pluralize((total - SHOWN) as u64, noun));
    }
}

/// A path relative to the project's folder.
fn relative(project: &Project, path: &Path) -> String {
    path.strip_prefix(&project.dir).unwrap_or(path).display().to_string()
}
