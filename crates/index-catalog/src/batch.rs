//! Splits a write into transactions, and says what one of them is to do.

use super::{
    Outcome, Precondition, Removal, StoredVersion, Write,
    current_state::{CurrentProduct, CurrentState},
    dialect::StoredRow,
    rows::{InvalidVariant, ProductRow},
    text::TextConfig,
};
use serde_json::Value;
use std::{borrow::Cow, collections::HashMap, ops::Range, sync::Arc};

/// How much one transaction may write. Only a single larger product exceeds it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Bounds {
    /// Most complexity: 1 a product and 1 a variant.
    pub(super) complexity: usize,
    /// Most rows: of products, SKUs and attributes.
    pub(super) rows: usize,
}

impl Bounds {
    /// Consecutive ranges that cover the documents, each within the bounds.
    pub(super) fn cut(self, documents: &[Write]) -> impl Iterator<Item = Range<usize>> {
        let mut end = 0;
        std::iter::from_fn(move || {
            let start = end;
            let (mut complexity, mut rows) = (0, 0);
            for document in &documents[start..] {
                complexity += document.document.batch_weight();
                rows += row_count(document);
                if (complexity > self.complexity || rows > self.rows) && end > start {
                    break;
                }
                end += 1;
            }
            (start < end).then_some(start..end)
        })
    }
}

/// How many rows a document becomes.
fn row_count(write: &Write) -> usize {
    let attributes = |variant: &Value| match variant.get("attributes") {
        Some(Value::Object(attributes)) => attributes.len(),
        Some(Value::Array(attributes)) => attributes.len(),
        _ => 0,
    };
    write.document.batch_weight() + write.document.variants().iter().map(attributes).sum::<usize>()
}

/// What one transaction is to do, products in the order of their ids: all transactions take their locks in it.
#[derive(Debug)]
pub(super) struct Batch {
    items: Vec<Item>,
    fields: Arc<TextConfig>,
}

#[derive(Debug)]
struct Item {
    /// Index of its outcome.
    at: usize,
    source_id: String,
    precondition: Precondition,
    content: Content,
}

#[derive(Debug)]
enum Content {
    Row(ProductRow),
    Update(Write),
    Invalid(InvalidVariant),
}

impl Batch {
    /// Documents that are added or replaced.
    pub(super) fn of_writes(writes: &[Write], fields: &Arc<TextConfig>) -> Self {
        Self::new(writes, fields, |write| match ProductRow::of(write, fields) {
            Ok(row) => Content::Row(row),
            Err(invalid) => Content::Invalid(invalid),
        })
    }

    /// Documents that are put into those that are there.
    pub(super) fn of_updates(updates: &[Write], fields: &Arc<TextConfig>) -> Self {
        Self::new(updates, fields, |update| Content::Update(update.clone()))
    }

    fn new(writes: &[Write], fields: &Arc<TextConfig>, content: impl Fn(&Write) -> Content) -> Self {
        let item = |(at, write): (usize, &Write)| Item {
            at,
            source_id: write.document.id.to_string(),
            precondition: write.precondition.clone(),
            content: content(write),
        };
        let mut items: Vec<Item> = writes.iter().enumerate().map(item).collect();
        items.sort_by(|one, other| one.source_id.cmp(&other.source_id));
        Self { items, fields: fields.clone() }
    }

    /// The products that are touched, in their order.
    pub(super) fn source_ids(&self) -> Vec<&str> {
        self.items.iter().map(|item| item.source_id.as_str()).collect()
    }

    /// Maximum number of new rows with their own ids.
    pub(super) fn most_ids(&self) -> usize {
        let of = |item: &Item| match &item.content {
            Content::Row(row) => 1 + row.skus.len(),
            Content::Update(update) => update.document.batch_weight(),
            Content::Invalid(_) => 0,
        };
        self.items.iter().map(of).sum()
    }

    /// The wanted rows, given the current ones, and the outcome of each document.
    pub(super) fn rows(
        &self,
        current: &CurrentState,
    ) -> serde_json::Result<(Vec<Cow<'_, ProductRow>>, Vec<Outcome>)> {
        let mut rows = Vec::with_capacity(self.items.len());
        let mut outcomes = vec![Outcome::Done; self.items.len()];
        for item in &self.items {
            let product = current.products.get(&item.source_id);
            outcomes[item.at] = match &item.content {
                Content::Invalid(invalid) => invalid.clone().into(),
                _ if !holds(&item.precondition, product.map(hash_and_version))? => Outcome::Conflict,
                Content::Row(row) => {
                    rows.push(Cow::Borrowed(row));
                    Outcome::Done
                }
                Content::Update(update) => match current.active(&update.document.id) {
                    None => not_found(update),
                    Some(product) => match ProductRow::of(&merged(current, product, update)?, &self.fields) {
                        Ok(row) => {
                            rows.push(Cow::Owned(row));
                            Outcome::Done
                        }
                        Err(invalid) => invalid.into(),
                    },
                },
            };
        }
        Ok((rows, outcomes))
    }
}

fn hash_and_version(product: &CurrentProduct) -> (&str, &str) {
    (&product.content_hash, &product.version)
}

/// Whether the precondition holds for the content hash and version that the catalog has.
fn holds(precondition: &Precondition, current: Option<(&str, &str)>) -> serde_json::Result<bool> {
    Ok(match (precondition, current) {
        (Precondition::None, _) | (Precondition::Absent, None) => true,
        (Precondition::Absent, Some(_)) | (Precondition::Matches(_), None) => false,
        (Precondition::Matches(seen), Some((hash, version))) => {
            let StoredVersion { content_hash, version: seen_version, .. } = seen;
            content_hash.as_deref() == Some(hash)
                && *seen_version == serde_json::from_str::<serde_json::Map<_, _>>(version)?
        }
    })
}

/// The ids of products that leave a catalog.
#[derive(Debug, Default)]
pub(super) struct Leaving<'a> {
    pub(super) removed: Vec<&'a str>,
    pub(super) archived: Vec<&'a str>,
}

/// The products that leave, and the outcome of each removal, given the stored versions.
pub(super) fn removals<'a>(
    batch: &'a [Removal],
    stored: &HashMap<String, StoredRow>,
) -> serde_json::Result<(Leaving<'a>, Vec<Outcome>)> {
    let mut leaving = Leaving::default();
    let mut outcomes = Vec::with_capacity(batch.len());
    for removal in batch {
        let current = stored.get(removal.id.as_str()).map(|row| (&*row.content_hash, &*row.version));
        // One that is gone already was removed by another writer, or by this one before the answer was lost.
        let may_go = current.is_none() || holds(&removal.precondition, current)?;
        if may_go {
            let ids = if removal.archives { &mut leaving.archived } else { &mut leaving.removed };
            ids.push(removal.id.as_str());
        }
        outcomes.push(if may_go { Outcome::Done } else { Outcome::Conflict });
    }
    Ok((leaving, outcomes))
}

fn not_found(update: &Write) -> Outcome {
    let message = format!("the catalog holds no document {} that could be updated", update.document.id);
    Outcome::Refused { code: "document-not-found".to_owned(), message }
}

/// The current product with the fields of an update.
fn merged(current: &CurrentState, product: &CurrentProduct, update: &Write) -> serde_json::Result<Write> {
    let mut merged = update.clone();
    merged.document.fields = current.fields(product)?;
    merged.document.fields.extend(update.document.fields.clone());
    merged.version = serde_json::from_str(&product.version)?;
    merged.version.extend(update.version.clone());
    Ok(merged)
}

#[cfg(test)]
mod tests {
    use super::*;
    use host_core::model::{Document, DocumentId};
    use proptest::prelude::*;
    use serde_json::{Map, json};

    fn documents(variants: &[usize], attributes: usize) -> Vec<Write> {
        let attributes: Map<_, _> = (0..attributes).map(|n| (n.to_string(), "x".into())).collect();
        let document = |(at, variants): (usize, &usize)| {
            let mut fields = Map::new();
            fields.insert("variants".to_owned(), vec![json!({"attributes": attributes}); *variants].into());
            let document = Document { id: DocumentId::new(at.to_string()).unwrap(), fields };
            Write {
                document,
                version: Map::new(),
                content_hash: String::new(),
                precondition: Precondition::None,
            }
        };
        variants.iter().enumerate().map(document).collect()
    }

    #[test]
    fn a_batch_is_full_at_the_bound_and_a_giant_is_alone() {
        let documents = documents(&[49, 49, 0, 200, 3, 96], 0);
        let bounds = Bounds { complexity: 100, rows: 100 };
        let batches: Vec<_> = bounds.cut(&documents).collect();
        assert_eq!(batches, [0..2, 2..3, 3..4, 4..5, 5..6]);
    }

    #[test]
    fn the_largest_product_of_a_shop_is_a_batch_of_its_own() {
        let documents = documents(&[1, 2048, 1], 3);
        let batches: Vec<_> = crate::CatalogConfig::default().bounds().cut(&documents).collect();
        assert_eq!(batches, [0..1, 1..2, 2..3]);
        assert_eq!(row_count(&documents[1]), 1 + 2048 + 3 * 2048);
    }

    proptest! {
        #[test]
        fn the_bounds_hold_and_batches_are_as_large_as_they_allow(
            variants in prop::collection::vec(0usize..130, 0..60),
            attributes in 0usize..4,
            complexity in 1usize..150,
            rows in 1usize..400,
        ) {
            let documents = documents(&variants, attributes);
            let batches: Vec<_> = Bounds { complexity, rows }.cut(&documents).collect();
            let covered: Vec<usize> = batches.iter().cloned().flatten().collect();
            prop_assert_eq!(covered, (0..variants.len()).collect::<Vec<_>>());
            let fits = |range: Range<usize>| {
                let of = |unit: usize| variants[range.clone()].iter().map(|n| 1 + n * unit).sum::<usize>();
                of(1) <= complexity && of(1 + attributes) <= rows
            };
            for (batch, next) in batches.iter().zip(batches.iter().skip(1).map(Some).chain([None])) {
                prop_assert!(fits(batch.clone()) || batch.len() == 1);
                if let Some(next) = next {
                    prop_assert!(!fits(batch.start..next.start + 1));
                }
            }
        }
    }
}
