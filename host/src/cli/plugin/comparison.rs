//! Prints a comparison of two versions of a plug-in on the terminal.

use super::pluralize;
use host_core::format::count;
use host_plugin_dev::comparison::{Comparison, Difference, DifferenceKind, Example};
use host_plugin_host::truncate;
use std::fmt::Write;

/// Most differences shown; JSON has all.
const SHOWN: usize = 50;

/// Most characters shown of a value.
const VALUE_CHARACTERS: usize = 120;

/// The comparison as text.
pub(in crate::cli) fn text(comparison: &Comparison) -> String {
    let Comparison { old, new, products, products_that_differ, not_compared, .. } = comparison;
    let mut text = format!("{}@{} → {}@{}\n", old.name, old.version, new.name, new.version);
    let _ = writeln!(
        text,
        "  {}, {} differ; documents: {} → {}, refused: {} → {}",
        pluralize(*products, "product"),
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
        let _ = writeln!(text, "  {} could not be compared: {failure}", pluralize(*not_compared, "product"));
    }
    for difference in comparison.differences().take(SHOWN) {
        let _ = writeln!(text, "\n{}", title(difference));
        difference.examples.iter().for_each(|example| show(&mut text, example));
    }
    let more = comparison.differences().count().saturating_sub(SHOWN);
    if more > 0 {
        let _ = writeln!(text, "\nand {} more; --output json has all", pluralize(more as u64, "difference"));
    }
    if comparison.is_same() {
        text.push_str("  no differences\n");
    }
    text
}

/// Name and count of a difference: `field /price differs in 17 documents`.
fn title(Difference { kind, name, count: number, .. }: &Difference) -> String {
    let name = truncate(name, VALUE_CHARACTERS);
    let of = |noun: &str| pluralize(*number, noun);
    match kind {
        DifferenceKind::DocumentAdded => format!("{} added", of("document")),
        DifferenceKind::DocumentGone => format!("{} missing", of("document")),
        DifferenceKind::Field => format!("field {name} differs in {}", of("document")),
        DifferenceKind::RemovalAdded => format!("{} added", of("removal")),
        DifferenceKind::RemovalGone => format!("{} missing", of("removal")),
        DifferenceKind::RemovalChanged => format!("{} with another version", of("removal")),
        DifferenceKind::IssueAdded => format!("issue {name} added {} times", count(*number)),
        DifferenceKind::IssueGone => format!("issue {name} missing {} times", count(*number)),
        DifferenceKind::Refused => format!("{} now refused ({name})", of("product")),
        DifferenceKind::Accepted => format!("{} no longer refused ({name})", of("product")),
    }
}

fn show(text: &mut String, example: &Example) {
    let Example { line, product, document, path, before, after } = example;
    let mut place = format!("line {line}, product {}", truncate(product, VALUE_CHARACTERS));
    if let Some(document) = document {
        let _ = write!(place, ", document {document}");
    }
    if let Some(path) = path {
        let _ = write!(place, " at {}", truncate(path, VALUE_CHARACTERS));
    }
    let _ = writeln!(text, "  {place}");
    for (sign, value) in [('-', before), ('+', after)] {
        if let Some(value) = value {
            let _ = writeln!(text, "    {sign} {}", truncate(value, VALUE_CHARACTERS));
        }
    }
}

/// The change in percent, ` (+12.5 %)`; empty if there is none, or nothing to compare with.
fn change(before: u64, after: u64) -> String {
    if before == 0 || before == after {
        return String::new();
    }
    format!(" ({:+.1} %)", (after as f64 / before as f64 - 1.0) * 100.0)
}
