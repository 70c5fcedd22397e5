//! Writes the attributes of a whole batch (seed, "Batch Attribute Insertion").

use super::{
    Cause,
    prefetch::Before,
    rows::{Attribute, SkuRow},
    sql::Session,
};
use std::collections::{BTreeSet, HashMap};

/// Makes the SKUs, by their ids in the database, have exactly their attributes: what is too much is removed by one
/// statement, what is missing inserted by another.
pub(super) fn write(
    session: &Session<'_>,
    before: &Before,
    skus: &HashMap<i64, &SkuRow>,
) -> Result<(), Cause> {
    let none = BTreeSet::new();
    let mut vanished = Vec::new();
    let mut missing = Vec::new();
    for (&id, sku) in skus {
        let there = before.attributes.get(&id).unwrap_or(&none);
        vanished.extend(there.difference(&sku.attributes).map(|attribute| row(id, attribute)));
        missing.extend(sku.attributes.difference(there).map(|attribute| row(id, attribute)));
    }
    session.delete_attributes(&vanished)?;
    session.insert_attributes(&missing)
}

fn row(sku_id: i64, (name, value): &Attribute) -> (i64, &str, &str) {
    (sku_id, name, value)
}
