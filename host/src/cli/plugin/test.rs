//! `host plugin test`: the fixtures of a project, as a table and, below it, what is wrong in the manner of a compiler.

use super::{counted, project, unbuilt, workbench};
use crate::cli::{
    Ended, Global,
    context::{config, print, print_json, runtime},
    failure::{Exit, Failure},
    output::OutputFormat,
};
use clap::Args;
use host_core::text::{bytes, count};
use host_plugin_dev::{
    budget::Overrun,
    changes::Change,
    project::{PROJECT_FILE, Project},
    suite::{self, Circumstances, ItemChanges, Problem, Report, SuiteError, Tested},
};
use host_plugin_host::{Profile, bounded};
use serde_json::Value;
use std::{
    fmt::Write,
    path::{Path, PathBuf},
};

/// Changes of an item that are shown, and items of a fixture.
const SHOWN: usize = 10;

/// Characters of a value that are shown.
const VALUE_CHARACTERS: usize = 160;

/// Arguments of `host plugin test`.
#[derive(Debug, Args)]
pub(in crate::cli) struct TestArgs {
    /// Folder of the project
    #[arg(default_value = ".")]
    dir: PathBuf,
    /// Write the golden files that are missing or differ, instead of failing
    #[arg(long)]
    bless: bool,
}

pub(super) fn run(global: &Global, args: &TestArgs) -> Ended {
    let project = project(&args.dir)?;
    let workbench = workbench(&config(global)?, Profile::Deterministic)?;
    let report =
        runtime()?.block_on(suite::test(&project, &workbench, args.bless)).map_err(|error| match error {
            SuiteError::Load(error) => unbuilt(error, &args.dir),
            SuiteError::Threads(_) => Failure::broke(error),
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

fn row(text: &mut String, width: usize, tested: &Tested) {
    let state = match tested {
        Tested { problems, .. } if !problems.is_empty() => "FAIL",
        Tested { blessed: Some(_), .. } => "new",
        _ => "ok",
    };
    let figures = &tested.figures;
    let _ = writeln!(
        text,
        "  {state:<4}  {:<width$}  {:<11}  {:>11} instructions an item  {:>9} a kB  {:>8} memory  {:>8} out",
        tested.fixture,
        counted(tested.items as u64, tested.noun),
        count(figures.instructions_per_item),
        count(figures.instructions_per_kb),
        bytes(figures.memory_bytes),
        bytes(figures.output_bytes_per_item),
    );
}

fn explain(text: &mut String, project: &Project, fixture: &str, problem: &Problem) {
    text.push('\n');
    match problem {
        Problem::NoGolden { golden } => {
            let _ = writeln!(text, "error: {fixture} has no golden file {}", inside(project, golden));
            let _ = writeln!(text, "  help: --bless writes it; read it before you commit it");
        }
        Problem::Golden { golden, items } => {
            let _ = writeln!(text, "error: {fixture} gives something else than {}", inside(project, golden));
            differences(text, items);
            let _ = writeln!(text, "  help: --bless takes the new answer, if it is the right one");
        }
        Problem::Impure { circumstances, items } => {
            let (when, help) = match circumstances {
                Circumstances::Twice => (
                    "the second time, on an instance that has seen the same before",
                    "something is kept between calls: an instance serves many batches",
                ),
                Circumstances::InABatch => (
                    "in a batch with the items of the other fixtures",
                    "something is shared between the items of a batch: batches are cut anywhere",
                ),
                Circumstances::InAnotherOrder => (
                    "when the items come one by one in another order",
                    "something is kept between calls: nobody promises an order",
                ),
            };
            let _ = writeln!(text, "error: {fixture} is not pure: it gives another answer {when}");
            differences(text, items);
            let _ = writeln!(text, "  help: {help}");
        }
        Problem::Fault { item, code, message, backtrace, log } => {
            let _ = writeln!(text, "error: {fixture}, {item}: {message} ({code})");
            for (title, lines) in [("in", backtrace), ("log", log)] {
                for line in lines {
                    let _ = writeln!(text, "  {title:<3} {}", bounded(line, VALUE_CHARACTERS));
                }
            }
        }
        Problem::Unusable { message } => {
            let _ = writeln!(text, "error: {fixture}: {message}");
        }
        Problem::OverBudget(over) => over_budget(text, project, fixture, over),
    }
}

fn over_budget(text: &mut String, project: &Project, fixture: &str, over: &Overrun) {
    let Overrun { key, what, allowed, measured, line, text: source } = over;
    let excess = (*measured - *allowed).saturating_mul(100).div_ceil((*allowed).max(1));
    let _ = writeln!(
        text,
        "error: {fixture}: {} {what}, {excess} % more than the {} of the budget",
        count(*measured),
        count(*allowed)
    );
    let gutter = line.to_string().len();
    let marked = source.find(key).map_or(0, |at| source[..at].chars().count());
    let _ = writeln!(text, "{:gutter$}--> {}:{line}", "", inside(project, &project.dir.join(PROJECT_FILE)));
    let _ = writeln!(text, "{:gutter$} |", "");
    let _ = writeln!(text, "{line} | {source}");
    let _ =
        writeln!(text, "{:gutter$} | {:marked$}{}", "", "", "^".repeat(source.trim().chars().count().max(1)));
}

fn differences(text: &mut String, items: &[ItemChanges]) {
    for item in items.iter().take(SHOWN) {
        let _ = writeln!(text, "  {}", bounded(&item.item, VALUE_CHARACTERS));
        for change in item.changes.iter().take(SHOWN) {
            self::change(text, change);
        }
        more(text, "    ", item.changes.len(), "difference");
    }
    more(text, "  ", items.len(), "item");
}

fn change(text: &mut String, Change { path, before, after, .. }: &Change) {
    let shown = |value: &Value| bounded(&value.to_string(), VALUE_CHARACTERS);
    let _ = writeln!(text, "    {}", if path.is_empty() { "(all of it)" } else { path });
    for (sign, value) in [('-', before), ('+', after)] {
        if let Some(value) = value {
            let _ = writeln!(text, "      {sign} {}", shown(value));
        }
    }
}

fn more(text: &mut String, indent: &str, total: usize, noun: &str) {
    if total > SHOWN {
        let _ = writeln!(text, "{indent}and {} more", counted((total - SHOWN) as u64, noun));
    }
}

/// A path as seen from the project's folder.
fn inside(project: &Project, path: &Path) -> String {
    path.strip_prefix(&project.dir).unwrap_or(path).display().to_string()
}
