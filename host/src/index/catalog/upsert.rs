//! Writes the products of a batch and their SKUs, as far as they differ from what is there.

use super::{
    Cause, Outcome, Write, attributes,
    prefetch::{Before, ProductBefore},
    rows::{ProductRow, SkuRow},
    sql::{ProductChange, Session, SkuChange},
};
use crate::store::embedded::from_json;
use std::collections::HashMap;

/// Makes the catalog hold the products as they are, with a number of statements that does not depend on theirs.
pub(super) fn write(session: &Session<'_>, products: &[ProductRow], now: i64) -> Result<(), Cause> {
    let before = Before::read(session, products.iter().map(|product| product.source_id.as_str()))?;
    put(session, &before, products, now)
}

/// Puts the given fields into the products that are there; one outcome an update.
pub(super) fn update(session: &Session<'_>, updates: &[Write], now: i64) -> Result<Vec<Outcome>, Cause> {
    let before = Before::read(session, updates.iter().map(|update| update.document.id.as_str()))?;
    let mut outcomes = Vec::with_capacity(updates.len());
    let mut products = Vec::with_capacity(updates.len());
    for update in updates {
        let id = &update.document.id;
        let Some(product) = before.products.get(id.as_str()) else {
            let message = format!("the catalog holds no document {id} that could be updated");
            outcomes.push(Outcome::Refused { code: "document-not-found".to_owned(), message });
            continue;
        };
        match ProductRow::of(&merged(&before, product, update)?) {
            Ok(row) => {
                products.push(row);
                outcomes.push(Outcome::Done);
            }
            Err(invalid) => outcomes.push(invalid.into()),
        }
    }
    put(session, &before, &products, now)?;
    Ok(outcomes)
}

/// A product as it stands, with the fields of an update in it.
fn merged(before: &Before, product: &ProductBefore, update: &Write) -> Result<Write, Cause> {
    let mut merged = update.clone();
    merged.document.fields = before.fields(product)?;
    merged.document.fields.extend(update.document.fields.clone());
    merged.version = from_json(&product.version)?;
    merged.version.extend(update.version.clone());
    Ok(merged)
}

fn put(session: &Session<'_>, before: &Before, products: &[ProductRow], now: i64) -> Result<(), Cause> {
    let changes: Vec<_> =
        products.iter().filter_map(|product| change(session, before, product, now)).collect();
    let mut product_ids = session.put_products(&changes, now)?;
    product_ids.extend(before.products.iter().map(|(source_id, product)| (source_id.clone(), product.id)));

    let mut sku_changes = Vec::new();
    let mut vanished = Vec::new();
    let mut wanted: HashMap<(i64, &str), &SkuRow> = HashMap::new();
    for product in products {
        let Some(&product_id) = product_ids.get(&product.source_id) else {
            return Err(Cause::Refused(format!("product {} got no row", product.source_id)));
        };
        let skus_before = before.skus.get(&product_id);
        for sku in &product.skus {
            wanted.insert((product_id, &sku.source_id), sku);
            let same = skus_before.and_then(|skus| skus.get(&sku.source_id));
            if same.is_none_or(|same| same.columns != sku.columns) {
                sku_changes.push(SkuChange::new(product_id, sku));
            }
        }
        let gone = skus_before.into_iter().flatten();
        vanished.extend(
            gone.filter(|(source_id, _)| !wanted.contains_key(&(product_id, source_id.as_str())))
                .map(|(_, sku)| sku.id),
        );
    }
    session.delete_skus(&vanished)?;
    let new_ids = session.put_skus(&sku_changes)?;

    let old_ids = before.skus.iter().flat_map(|(&product_id, skus)| {
        skus.iter().map(move |(source_id, sku)| ((product_id, source_id.as_str()), sku.id))
    });
    let sku_ids =
        old_ids.chain(new_ids.iter().map(|((product, source_id), id)| ((*product, source_id.as_str()), *id)));
    let mut skus: HashMap<i64, &SkuRow> = HashMap::with_capacity(wanted.len());
    for (key, id) in sku_ids {
        if let Some(sku) = wanted.get(&key) {
            skus.insert(id, sku);
        }
    }
    attributes::write(session, before, &skus)
}

/// What is to be written of a product's own row; none if it stands as wanted.
fn change<'a>(
    session: &Session<'_>,
    before: &Before,
    product: &'a ProductRow,
    now: i64,
) -> Option<ProductChange<'a>> {
    let same_content = |before: &ProductBefore| {
        before.fields == product.fields
            && before.version == product.version
            && before.content_hash == product.content_hash
            && before.status == "active"
    };
    let updated_at = match before.products.get(&product.source_id) {
        Some(before) if same_content(before) && before.job_id == session.target().job_id => return None,
        Some(before) if same_content(before) => before.updated_at,
        _ => now,
    };
    Some(ProductChange::new(product, updated_at))
}
