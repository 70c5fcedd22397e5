//! Renders a comparison of two versions of a plug-in as one self-contained HTML page.

use crate::comparison::{Comparison, DifferenceKind, Example};
use std::fmt::Write;

/// Renders the page.
pub fn render(comparison: &Comparison) -> String {
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
        "<p>{products} products, {products_that_differ} differ. {documents_that_differ} documents differ. \
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
        "</p><table><thead><tr><th>Difference<th class=\"n\">Count<th>Examples</tr></thead><tbody>\n",
    );
    for difference in comparison.differences() {
        let _ = write!(
            page,
            "<tr><td>{} <code>{}</code><td class=\"n\">{}<td>",
            label(difference.kind),
            escape(&difference.name),
            difference.count
        );
        difference.examples.iter().for_each(|example| show(&mut page, example));
        page.push_str("</tr>\n");
    }
    page.push_str("</tbody></table></body></html>\n");
    page
}

/// What the page calls a kind of difference.
fn label(kind: DifferenceKind) -> &'static str {
    match kind {
        DifferenceKind::DocumentAdded => "document added",
        DifferenceKind::DocumentGone => "document missing",
        DifferenceKind::Field => "field",
        DifferenceKind::RemovalAdded => "removal added",
        DifferenceKind::RemovalGone => "removal missing",
        DifferenceKind::RemovalChanged => "removal with another version",
        DifferenceKind::IssueAdded => "issue added",
        DifferenceKind::IssueGone => "issue missing",
        DifferenceKind::Refused => "product refused",
        DifferenceKind::Accepted => "product no longer refused",
    }
}

/// Adds an example, which the reader can unfold.
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

/// Escapes a text for HTML, between tags or in an attribute.
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
