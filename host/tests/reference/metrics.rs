//! The page of metrics, generated from the constants with their names, whose doc comments are `Kind: meaning` with
//! labels in backticks.

use crate::{
    cell, check,
    source::{doc, files},
};
use std::fmt::Write;
use syn::{Expr, ExprLit, Item, Lit};

#[test]
fn metrics() {
    let mut page = "Every metric of the process. Labels have few values and never name a shop, a job or a document. `telemetry.prometheus_file`, \
                    `telemetry.prometheus_listen` and `telemetry.emf` say where metrics go ([settings](settings.md)). Under CloudWatch, two \
                    metrics of incomplete vectors are called `PartialDocumentsDetected` and `PartialDocumentsRecoveredAfterRetry`.\n\n\
                    | metric | kind | labels | meaning |\n| --- | --- | --- | --- |\n"
        .to_owned();
    let mut names = 0;
    let is_of_metrics = |path: &std::path::Path| path.ends_with("crates/core/src/metrics.rs");
    for (_, file) in files("crates/core/src").into_iter().filter(|(path, _)| is_of_metrics(path)) {
        for item in file.items {
            let Item::Const(item) = item else { continue };
            let Expr::Lit(ExprLit { lit: Lit::Str(name), .. }) = &*item.expr else { continue };
            let text = doc(&item.attrs);
            let (kind, meaning) =
                text.split_once(": ").unwrap_or_else(|| panic!("{}: `Kind: meaning` is missing", item.ident));
            let labels: Vec<_> =
                meaning.split('`').skip(1).step_by(2).map(|label| format!("`{label}`")).collect();
            writeln!(
                page,
                "| `{}` | {} | {} | {} |",
                name.value(),
                kind.to_lowercase(),
                labels.join(", "),
                cell(meaning)
            )
            .unwrap();
            names += 1;
        }
    }
    assert!(names > 10, "{names} metrics");
    check("metrics.md", "Metrics", &page);
}
