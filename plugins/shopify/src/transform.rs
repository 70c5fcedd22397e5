//! The decisions about a product as a whole: refused, removed, or turned into documents.

use std::collections::HashSet;
use std::mem::take;

use crate::assemble::{assemble, gid_of};
use crate::completeness;
use crate::config::{Config, Level, ListingPolicy};
use crate::document::{DocumentSource, is_unpublished, removed_ids};
use crate::family::Family;
use crate::kind::Kind;
use crate::lines::{self, Lines, Unreadable, replace_lone_surrogates};
use crate::record::Record;
use crate::report::{Diagnostics, Document, Removal, Transformed};
use crate::text::sanitize;
use crate::writer::{write_key, write_string};

/// Turns products, each as JSON Lines text, into documents and removals. It never fails: problems are reported as
/// issues of their product.
pub fn transform(products: &[impl AsRef<str>], config: &Config) -> Transformed {
    let mut transformed = Transformed::default();
    let (mut scratch, mut named) = (Vec::new(), HashSet::new());
    for (item, product) in products.iter().enumerate() {
        let before = transformed.documents.len();
        transform_one(item, product.as_ref(), config, (&mut scratch, &mut named), &mut transformed);
        transformed.counts.push(u32::try_from(transformed.documents.len() - before).unwrap_or(u32::MAX));
    }
    transformed
}

/// Transforms the product at position `item` of the batch. `scratch` is memory that the reader reuses, `named` the kinds
/// that were reported.
fn transform_one(
    item: usize,
    text: &str,
    config: &Config,
    (scratch, named): (&mut Vec<u8>, &mut HashSet<String>),
    out: &mut Transformed,
) {
    let lines = lines::read(text, scratch);
    if lines.unreadable.is_empty() {
        return transform_lines(item, lines, config, named, out);
    }
    // Lone surrogates are rare, so that a repaired copy of the text costs little.
    let repaired = replace_lone_surrogates(text);
    transform_lines(item, lines::read(&repaired, scratch), config, named, out);
}

fn transform_lines(
    item: usize,
    mut lines: Lines<'_>,
    config: &Config,
    named: &mut HashSet<String>,
    out: &mut Transformed,
) {
    let mut diagnostics = Diagnostics::new(&mut out.issues, item);
    let unreadable = take(&mut lines.unreadable);
    let family = match Family::gather(lines) {
        Ok(family) => family,
        Err(records) => return report_no_product(&records, &unreadable, &mut diagnostics),
    };
    let (root, product) = (family.root(), assemble(&family));
    let Some(product_id) = product.document_id() else {
        let message = "a product has no id that an index can take; select `id` of the products in the export"
            .to_owned();
        return diagnostics.error("missing-id", message, Some("/id"));
    };
    diagnostics.about(product_id);
    for unreadable in &unreadable {
        diagnostics
            .warn("invalid-record", format!("line {} was omitted: {}", unreadable.line, unreadable.reason));
    }

    if is_removed(root, config, &mut diagnostics) {
        let version = version_of(root);
        let removal = |id| Removal { item, id, version: version.clone() };
        out.removals.extend(removed_ids(&product, product_id, config.level).into_iter().map(removal));
        return;
    }
    if let Some(missing) = completeness::missing(&product) {
        let message = format!("{missing}; export all of it, for example with a bulk operation");
        return diagnostics.error("incomplete-product", message, None);
    }
    // Whole exports have them; a warning for each product would hide all others.
    for kind in family.unused_kinds.iter().filter(|kind| named.insert((*kind).clone())) {
        let message = format!(
            "{kind}: no field is made of these records of the export; leave them out of the query, or take no notice"
        );
        diagnostics.warn_of_export("unused-records", message);
    }
    let source = DocumentSource::new(&product, product_id, config, &mut diagnostics);
    match config.level {
        Level::Product => {
            let fields = source.product_document(&mut diagnostics);
            out.documents.push(Document { id: product_id.to_owned(), fields });
        }
        Level::Variant => {
            let documents = source.variant_documents(&mut diagnostics);
            if documents.is_empty() {
                // Each product of a shop has a variant, so the export lacks them: that says nothing of the documents.
                let message = "it has no variant with an id and produced no document; select the variants in the export, or set level to product";
                diagnostics.warn("no-variants", message.to_owned());
            }
            out.documents.extend(documents.into_iter().map(|(id, fields)| Document { id, fields }));
        }
    }
}

/// Reports why there is no product in the lines.
fn report_no_product(records: &[Record<'_>], unreadable: &[Unreadable], diagnostics: &mut Diagnostics<'_>) {
    if let Some(unreadable) = unreadable.first() {
        let message = format!("line {} cannot be read as a product: {}", unreadable.line, unreadable.reason);
        return diagnostics.error("invalid-product", message, None);
    }
    match records.first() {
        None => {
            diagnostics.error("invalid-product", "the product is empty; export it again".to_owned(), None);
        }
        Some(record) => {
            let id = gid_of(record);
            let what = match Kind::of_root(record) {
                Kind::Other if id.kind.is_empty() => "a record of unknown type".to_owned(),
                kind => format!(
                    "a record of type {}",
                    record.type_name.get().map_or_else(|| format!("{kind:?}"), str::to_owned)
                ),
            };
            let remedy = if Kind::of_root(record) == Kind::Variant {
                "export the products in the same run, and select `product { id }` of the variants"
            } else {
                "export products with their children"
            };
            let message = format!("{what} was found where a product was expected; {remedy}");
            diagnostics.error("not-a-product", message, None);
        }
    }
}

/// Whether the product must not be in the index.
fn is_removed(root: &Record<'_>, config: &Config, diagnostics: &mut Diagnostics<'_>) -> bool {
    let status = root.status.get();
    let is = |name: &str| status.is_some_and(|status| status.eq_ignore_ascii_case(name));
    if let Some(status) = status
        && !is("ACTIVE")
    {
        if !["DRAFT", "ARCHIVED", "UNLISTED"].into_iter().any(is) {
            // A status of a newer API version more likely hides a product than shows it.
            let status = sanitize(crate::text::cut_chars(status, 40)).into_owned();
            let message = format!(
                "its status `{status}` is unknown, so it is kept out of the index; update the plug-in"
            );
            diagnostics.warn_at("unknown-status", message, Some("/status"));
        }
        return true;
    }
    (config.unpublished == ListingPolicy::Remove && is_unpublished(root))
        || (config.gift_cards == ListingPolicy::Remove && root.gift_card.0 == Some(true))
}

/// The fields of a product, as JSON, by which a plug-in decides whether its removal is newer than what the index has.
fn version_of(root: &Record<'_>) -> String {
    let mut json = String::from("{");
    let updated_at = sanitize(root.updated_at.get().unwrap_or_default());
    if !updated_at.is_empty() {
        write_key(&mut json, "updated_at");
        write_string(&mut json, &updated_at);
    }
    json.push('}');
    json
}
