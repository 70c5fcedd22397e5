//! A comparison as one HTML page without anything from outside.

use crate::comparison::{Comparison, Example, Kind};
use std::fmt::Write;

/// The page.
pub fn of(comparison: &Comparison) -> String {
    let Comparison { old, new, products, products_that_differ, documents_that_differ, .. } = comparison;
    let title = format!("{} {} → {} {}", old.name, old.version, new.name, new.version);
    let mut page = format!(
        "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\"><title>{title}</title>\
         <meta name=\"viewport\" content=\"width=device-width\"><style>\
         :root{{color-scheme:light dark}}body{{font:15px/1.5 system-ui,sans-serif;margin:2rem auto;max-width:72rem;padding:0 1rem}}\
         table{{border-collapse:collapse;width:100%}}th,td{{text-align:left;vertical-align:top;padding:.4rem .6rem;\
         border-bottom:1px solid #8884;overflow-wrap:anywhere}}summary{{cursor:pointer}}del,ins{{display:block;text-decoration:none}}\
         del{{color:#c33}}ins{{color:#283}}.n{{text-align:right}}</style></head><body><h1>{title}</h1>",
        title = escape(&title),
    );
    let _ = write!(
        page,
        "<p>{products} products, {products_that_differ} of them differ. {documents_that_differ} documents differ. \
         Documents: {} → {}. Refused products: {} → {}.",
        comparison.old_side.documents,
        comparison.new_side.documents,
        comparison.old_side.refused,
        comparison.new_side.refused,
    );
    if let (Some(before), Some(after)) = (comparison.old_side.instructions, comparison.new_side.instructions)
    {
        let _ = write!(page, " Instructions: {before} → {after}.");
    }
    if comparison.not_compared > 0 {
        let failure = escape(comparison.failure.as_deref().unwrap_or_default());
        let _ =
            write!(page, " <strong>{} could not be compared: {failure}</strong>", comparison.not_compared);
    }
    page.push_str(
        "</p><table><thead><tr><th>What<th class=\"n\">How often<th>Examples</tr></thead><tbody>\n",
    );
    for finding in comparison.findings() {
        let _ = write!(
            page,
            "<tr><td>{} <code>{}</code><td class=\"n\">{}<td>",
            words(finding.kind),
            escape(&finding.name),
            finding.count
        );
        finding.examples.iter().for_each(|example| show(&mut page, example));
        page.push_str("</tr>\n");
    }
    page.push_str("</tbody></table></body></html>\n");
    page
}

fn words(kind: Kind) -> &'static str {
    match kind {
        Kind::DocumentAdded => "document added",
        Kind::DocumentGone => "document gone",
        Kind::Field => "field",
        Kind::RemovalAdded => "removal added",
        Kind::RemovalGone => "removal gone",
        Kind::RemovalChanged => "removal with another version",
        Kind::IssueAdded => "issue added",
        Kind::IssueGone => "issue gone",
        Kind::Refused => "product refused",
        Kind::Accepted => "product refused no longer",
    }
}

fn show(page: &mut String, Example { line, product, document, path, before, after }: &Example) {
    let _ = write!(page, "<details><summary>{} (line {line})", escape(product));
    if let Some(document) = document {
        let _ = write!(page, ", document {}", escape(document));
    }
    if let Some(path) = path {
        let _ = write!(page, " <code>{}</code>", escape(path));
    }
    page.push_str("</summary>");
    for (tag, value) in [("del", before), ("ins", after)] {
        if let Some(value) = value {
            let _ = write!(page, "<{tag}>{}</{tag}>", escape(value));
        }
    }
    page.push_str("</details>");
}

/// A text for HTML, between tags or in an attribute.
pub fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            other => escaped.push(other),
        }
    }
    escaped
}
