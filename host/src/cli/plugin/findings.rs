//! A comparison of two versions of a plug-in, on the terminal.

use super::counted;
use host_core::text::count;
use host_plugin_dev::comparison::{Comparison, Example, Finding, Kind};
use host_plugin_host::bounded;
use std::fmt::Write;

/// Differences that are shown; JSON has all.
const SHOWN: usize = 50;

/// Characters of a value that are shown.
const VALUE_CHARACTERS: usize = 120;

/// The comparison as text.
pub(in crate::cli) fn text(comparison: &Comparison) -> String {
    let Comparison { old, new, products, products_that_differ, not_compared, .. } = comparison;
    let mut text = format!("{}@{} → {}@{}\n", old.name, old.version, new.name, new.version);
    let _ = writeln!(
        text,
        "  {}, {} of them differ; {} → {} documents, {} refused → {}",
        counted(*products, "product"),
        count(*products_that_differ),
        count(comparison.old_side.documents),
        count(comparison.new_side.documents),
        count(comparison.old_side.refused),
        count(comparison.new_side.refused),
    );
    if let (Some(before), Some(after)) = (comparison.old_side.instructions, comparison.new_side.instructions)
    {
        let _ =
            writeln!(text, "  {} → {} instructions{}", count(before), count(after), change(before, after));
    }
    if *not_compared > 0 {
        let failure = comparison.failure.as_deref().unwrap_or_default();
        let _ = writeln!(text, "  {} could not be compared: {failure}", counted(*not_compared, "product"));
    }
    for finding in comparison.findings().take(SHOWN) {
        let _ = writeln!(text, "\n{}", title(finding));
        finding.examples.iter().for_each(|example| show(&mut text, example));
    }
    let more = comparison.findings().count().saturating_sub(SHOWN);
    if more > 0 {
        let _ = writeln!(text, "\nand {} more; --output json has all", counted(more as u64, "difference"));
    }
    if comparison.is_same() {
        text.push_str("  the same answers to everything\n");
    }
    text
}

/// What differs and how often: `field /price differs in 17 documents`.
fn title(Finding { kind, name, count: number, .. }: &Finding) -> String {
    let name = bounded(name, VALUE_CHARACTERS);
    let of = |noun: &str| counted(*number, noun);
    match kind {
        Kind::DocumentAdded => format!("{} added", of("document")),
        Kind::DocumentGone => format!("{} gone", of("document")),
        Kind::Field => format!("field {name} differs in {}", of("document")),
        Kind::RemovalAdded => format!("{} added", of("removal")),
        Kind::RemovalGone => format!("{} gone", of("removal")),
        Kind::RemovalChanged => format!("{} with another version", of("removal")),
        Kind::IssueAdded => format!("issue {name} added {} times", count(*number)),
        Kind::IssueGone => format!("issue {name} gone {} times", count(*number)),
        Kind::Refused => format!("{} refused now ({name})", of("product")),
        Kind::Accepted => format!("{} refused no longer ({name})", of("product")),
    }
}

fn show(text: &mut String, example: &Example) {
    let Example { line, product, document, path, before, after } = example;
    let mut place = format!("line {line}, product {}", bounded(product, VALUE_CHARACTERS));
    if let Some(document) = document {
        let _ = write!(place, ", document {document}");
    }
    if let Some(path) = path {
        let _ = write!(place, " at {}", bounded(path, VALUE_CHARACTERS));
    }
    let _ = writeln!(text, "  {place}");
    for (sign, value) in [('-', before), ('+', after)] {
        if let Some(value) = value {
            let _ = writeln!(text, "    {sign} {}", bounded(value, VALUE_CHARACTERS));
        }
    }
}

/// ` (+12.5 %)`.
fn change(before: u64, after: u64) -> String {
    if before == 0 || before == after {
        return String::new();
    }
    format!(" ({:+.1} %)", (after as f64 / before as f64 - 1.0) * 100.0)
}
