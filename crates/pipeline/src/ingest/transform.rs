//! Has the plug-in make documents of batches of products, except of products that the ledger (what the host recorded
//! of each product's outcome) knows to be unchanged.

use super::unchanged::{KnownProducts, source_digest};
use host_core::{
    model::{Digest, DocumentId, Job, Product, ReportEntry},
    plugin::{BatchFailure, ProductOutcome, Transform},
    storage::StoreError,
};
use host_export::ExportItem;
use std::collections::BTreeSet;

/// A transformed batch, in the order of its items.
pub(super) struct Batch {
    pub(super) items: Vec<TransformedItem>,
    /// Set if the plug-in failed on the whole batch: then `items` has only the products that it had refused by then.
    pub(super) failure: Option<BatchFailure>,
}

/// What became of an item of the export. `source` is the position of its source among those of the job.
pub(super) enum TransformedItem {
    /// The plug-in has seen this product.
    Product {
        source: usize,
        product: Product,
        /// Digest of the product's lines, the plug-ins and their configuration; `None` if the product may not be
        /// skipped by it.
        source_digest: Option<Digest>,
        outcome: ProductOutcome,
    },
    /// The plug-in was not asked: the index has these documents, made of the same product.
    Unchanged { source: usize, product: Product, documents: BTreeSet<DocumentId> },
    /// The plug-in was not asked: a line of the export that cannot be read was probably part of the product.
    Damaged { source: usize, product: Product },
    /// A line of the export that could not be read or has no product.
    Rejected(ReportEntry),
}

/// What batches are transformed with.
pub(super) struct Transformer<'a> {
    pub(super) transform: &'a dyn Transform,
    pub(super) job: &'a Job,
    /// What the ledger knows; `None` if the job does not skip unchanged products.
    pub(super) known: Option<KnownProducts<'a>>,
}

/// The place of an item in its batch.
enum Slot {
    /// A product that is being transformed.
    Pending { source: usize, source_digest: Option<Digest> },
    /// An item that needs no transform.
    Ready(Box<TransformedItem>),
}

impl Transformer<'_> {
    /// Transforms the products of a batch that are not known to be unchanged.
    pub(super) async fn transform(&self, items: Vec<ExportItem>) -> Result<Batch, StoreError> {
        let digests: Vec<Option<Digest>> = items
            .iter()
            .map(|item| match item {
                ExportItem::Product { product, is_damaged: false, .. } => source_digest(self.job, product),
                ExportItem::Product { .. } | ExportItem::Rejected(_) => None,
            })
            .collect();
        let unchanged = match &self.known {
            Some(known) => known.unchanged(&items, &digests).await?,
            None => vec![None; items.len()],
        };
        // Entries keep their positions among the products, so that reports are in export order.
        let (mut slots, mut products) = (Vec::with_capacity(items.len()), Vec::new());
        for ((item, source_digest), unchanged) in items.into_iter().zip(digests).zip(unchanged) {
            slots.push(match (item, unchanged) {
                (ExportItem::Product { source, product, is_damaged: true }, _) => {
                    Slot::Ready(Box::new(TransformedItem::Damaged { source, product }))
                }
                (ExportItem::Product { source, product, .. }, Some(documents)) => {
                    Slot::Ready(Box::new(TransformedItem::Unchanged { source, product, documents }))
                }
                (ExportItem::Product { source, product, .. }, None) => {
                    products.push(product);
                    Slot::Pending { source, source_digest }
                }
                (ExportItem::Rejected(entry), _) => Slot::Ready(Box::new(TransformedItem::Rejected(entry))),
            });
        }
        Ok(self.fill(slots, products).await)
    }

    /// Transforms a product though it is known to be unchanged.
    pub(super) async fn transform_one(&self, source: usize, product: Product) -> Batch {
        let source_digest = source_digest(self.job, &product);
        self.fill(vec![Slot::Pending { source, source_digest }], vec![product]).await
    }

    /// Transforms products, and puts each in its slot among the items that need no work.
    async fn fill(&self, slots: Vec<Slot>, products: Vec<Product>) -> Batch {
        let outcomes =
            if products.is_empty() { Ok(Vec::new()) } else { self.transform.transform(products).await };
        let (outcomes, failure) = match outcomes {
            Ok(outcomes) => (outcomes, None),
            Err(mut failure) => (std::mem::take(&mut failure.before), Some(failure)),
        };
        let has_failed = failure.is_some();
        let mut outcomes = outcomes.into_iter();
        let items = slots.into_iter().filter_map(|slot| match slot {
            Slot::Pending { source, source_digest } => {
                let (product, outcome) = outcomes.next()?;
                let is_kept = !has_failed || outcome.refused.is_some();
                is_kept.then_some(TransformedItem::Product { source, product, source_digest, outcome })
            }
            Slot::Ready(item) => (!has_failed).then_some(*item),
        });
        Batch { items: items.collect(), failure }
    }
}
