//! Compares the rows that the catalog is to hold with those that it holds: the difference is what has to be written.

use super::{
    current_state::{CurrentProduct, CurrentState},
    rows::{Attribute, ProductRow, SkuRow},
};
use std::{
    borrow::Cow,
    collections::{BTreeSet, VecDeque},
    ops::Range,
};

/// Database ids that no row has had yet, for new rows; as ranges.
#[derive(Debug, Default)]
pub(super) struct Ids(VecDeque<Range<i64>>);

impl Ids {
    pub(super) fn add(&mut self, ids: Range<i64>) {
        self.0.push_back(ids);
    }

    pub(super) fn len(&self) -> usize {
        self.0.iter().map(|range| usize::try_from(range.end - range.start).unwrap_or(0)).sum()
    }

    pub(super) fn next(&mut self) -> Result<i64, NoMoreIds> {
        while let Some(first) = self.0.front_mut() {
            if let Some(id) = first.next() {
                return Ok(id);
            }
            self.0.pop_front();
        }
        Err(NoMoreIds)
    }

    /// Takes this many ids out, or all if there are fewer.
    pub(super) fn split(&mut self, count: usize) -> Self {
        let mut taken = Self::default();
        let mut missing = i64::try_from(count).unwrap_or(i64::MAX);
        while missing > 0
            && let Some(first) = self.0.front_mut()
        {
            let some = missing.min(first.end - first.start);
            taken.add(first.start..first.start + some);
            first.start += some;
            missing -= some;
            if first.start == first.end {
                self.0.pop_front();
            }
        }
        taken
    }
}

/// A batch has more new rows than ids were taken for it: a bug in host.
#[derive(Debug, thiserror::Error)]
#[error("a batch has more new rows than it asked ids for; this is a defect of the host")]
pub(super) struct NoMoreIds;

/// A product whose row differs from the wanted one.
#[derive(Debug)]
pub(super) struct ChangedProduct<'a> {
    pub(super) id: i64,
    pub(super) row: &'a ProductRow,
    /// Whether its content differs, not only the job that wrote it last.
    pub(super) is_new_content: bool,
}

/// An attribute: database id of its SKU, name, value.
pub(super) type AttributeRow<'a> = (i64, &'a str, &'a str);

/// The rows to be written or deleted. Numbers are database ids.
#[derive(Debug, Default)]
pub(super) struct Changes<'a> {
    pub(super) new_products: Vec<(i64, &'a ProductRow)>,
    pub(super) changed_products: Vec<ChangedProduct<'a>>,
    /// Id of the SKU, id of its product, row.
    pub(super) new_skus: Vec<(i64, i64, &'a SkuRow)>,
    pub(super) changed_skus: Vec<(i64, &'a SkuRow)>,
    pub(super) vanished_skus: Vec<i64>,
    pub(super) new_attributes: Vec<AttributeRow<'a>>,
    pub(super) vanished_attributes: Vec<AttributeRow<'a>>,
    /// Products whose text to be embedded changed, with the text's digest.
    pub(super) to_embed: Vec<(i64, &'a str)>,
}

impl<'a> Changes<'a> {
    /// Compares the rows that the catalog is to hold with the current ones; new rows get their ids from `ids`.
    pub(super) fn of(
        current: &'a CurrentState,
        products: &'a [Cow<'a, ProductRow>],
        job_id: &str,
        mut ids: Ids,
    ) -> Result<Self, NoMoreIds> {
        let mut changes = Self::default();
        for row in products {
            let row: &ProductRow = row;
            let current_row = current.products.get(&row.source_id);
            let id = match current_row {
                Some(product) => {
                    changes.changed_products.extend(change(product, row, job_id));
                    product.id
                }
                None => {
                    let id = ids.next()?;
                    changes.new_products.push((id, row));
                    id
                }
            };
            if current_row.is_none_or(|product| product.text_hash != row.text_hash) {
                changes.to_embed.push((id, &row.text_hash));
            }
            changes.compare_skus(current, id, row, &mut ids)?;
        }
        changes.to_embed.sort_unstable();
        changes.vanished_skus.sort_unstable();
        Ok(changes)
    }

    fn compare_skus(
        &mut self,
        current: &'a CurrentState,
        product_id: i64,
        row: &'a ProductRow,
        ids: &mut Ids,
    ) -> Result<(), NoMoreIds> {
        let mut wanted = BTreeSet::new();
        let current_rows = current.skus.get(&product_id);
        for sku in &row.skus {
            wanted.insert(sku.source_id.as_str());
            match current_rows.and_then(|skus| skus.get(&sku.source_id)) {
                Some(current_row) => {
                    if current_row.columns != sku.columns {
                        self.changed_skus.push((current_row.id, sku));
                    }
                    self.compare_attributes(current.attributes.get(&current_row.id), current_row.id, sku);
                }
                None => {
                    let id = ids.next()?;
                    self.new_skus.push((id, product_id, sku));
                    self.compare_attributes(None, id, sku);
                }
            }
        }
        let vanished =
            current_rows.into_iter().flatten().filter(|(source_id, _)| !wanted.contains(source_id.as_str()));
        self.vanished_skus.extend(vanished.map(|(_, sku)| sku.id));
        Ok(())
    }

    /// Adds the differences of one SKU's attributes to the lists of the batch.
    fn compare_attributes(
        &mut self,
        current_rows: Option<&'a BTreeSet<Attribute>>,
        sku_id: i64,
        sku: &'a SkuRow,
    ) {
        fn row(sku_id: i64, (name, value): &Attribute) -> AttributeRow<'_> {
            (sku_id, name, value)
        }
        let Some(current_rows) = current_rows else {
            self.new_attributes.extend(sku.attributes.iter().map(|attribute| row(sku_id, attribute)));
            return;
        };
        self.vanished_attributes
            .extend(current_rows.difference(&sku.attributes).map(|vanished| row(sku_id, vanished)));
        self.new_attributes.extend(sku.attributes.difference(current_rows).map(|new| row(sku_id, new)));
    }
}

/// The change of a product's own row; `None` if it needs none.
fn change<'a>(current_row: &CurrentProduct, row: &'a ProductRow, job_id: &str) -> Option<ChangedProduct<'a>> {
    let is_new_content = !current_row.is_active
        || current_row.fields != row.fields
        || current_row.version != row.version
        || current_row.content_hash != row.content_hash
        || current_row.text_hash != row.text_hash;
    (is_new_content || current_row.job_id != job_id).then_some(ChangedProduct {
        id: current_row.id,
        row,
        is_new_content,
    })
}
