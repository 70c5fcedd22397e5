//! Splits a write into batches, one per transaction, and decides what a transaction writes. A document becomes a
//! product row and, for each of its variants, a SKU row with attribute rows.

use super::{
    Outcome, Precondition, Removal, StoredVersion, Write,
    current_state::{CurrentProduct, CurrentState},
    dialect::StoredRow,
    rows::{InvalidVariant, ProductRow},
    text::TextConfig,
};
use serde_json::Value;
use std::{borrow::Cow, collections::HashMap, ops::Range, sync::Arc};

/// How much one transaction may write. Only a product that alone is larger exceeds it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Bounds {
    /// Maximum complexity: each product and each variant counts 1.
    pub(super) complexity: usize,
    /// Maximum number of rows: products, SKUs and attributes.
    pub(super) rows: usize,
}

impl Bounds {
    /// Consecutive ranges that cover the documents, each within the bounds or a single document.
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

/// What one transaction writes. The products are in the order of their ids: all transactions lock them in this order,
/// so that they do not deadlock.
#[derive(Debug)]
pub(super) struct Batch {
    items: Vec<Item>,
    /// The fields whose text is searched and embedded.
    fields: Arc<TextConfig>,
}

/// A document to write.
#[derive(Debug)]
struct Item {
    /// Its position in the caller's list, which is that of its outcome.
    at: usize,
    /// Id of the document.
    source_id: String,
    precondition: Precondition,
    content: Content,
}

#[derive(Debug)]
enum Content {
    /// The rows of a whole document.
    Row(ProductRow),
    /// Fields to set in a document that the catalog holds.
    Update(Write),
    /// The document cannot be stored.
    Invalid(InvalidVariant),
}

impl Batch {
    /// A batch of documents that are added or replaced.
    pub(super) fn of_writes(writes: &[Write], fields: &Arc<TextConfig>) -> Self {
        Self::new(writes, fields, |write| match ProductRow::of(write, fields) {
            Ok(row) => Content::Row(row),
            Err(invalid) => Content::Invalid(invalid),
        })
    }

    /// A batch of documents whose fields are set in documents that the catalog holds.
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

    /// Names the searched fields ([`TextConfig::search_config`]).
    pub(super) fn search_config(&self) -> String {
        self.fields.search_config()
    }

    /// Ids of the documents, in ascending order.
    pub(super) fn source_ids(&self) -> Vec<&str> {
        self.items.iter().map(|item| item.source_id.as_str()).collect()
    }

    /// The number of new products and SKUs at most: each needs a new database id.
    pub(super) fn most_ids(&self) -> usize {
        let most_ids_of = |item: &Item| match &item.content {
            Content::Row(row) => 1 + row.skus.len(),
            Content::Update(update) => update.document.batch_weight(),
            Content::Invalid(_) => 0,
        };
        self.items.iter().map(most_ids_of).sum()
    }

    /// The rows that the catalog is to hold, given the current ones, and the outcome of each document.
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

/// Whether the precondition holds for the content hash and version (JSON) that the catalog holds; `None` if it holds no
/// such document.
fn holds(precondition: &Precondition, current: Option<(&str, &str)>) -> serde_json::Result<bool> {
    Ok(match (precondition, current) {
        (Precondition::None, _) | (Precondition::Absent, None) => true,
        (Precondition::Absent, Some(_)) | (Precondition::Matches(_), None) => false,
        (Precondition::Matches(expected), Some((hash, version))) => {
            let StoredVersion { content_hash, version: expected_version, .. } = expected;
            content_hash.as_deref() == Some(hash)
                && *expected_version == serde_json::from_str::<serde_json::Map<_, _>>(version)?
        }
    })
}

/// Ids of the documents that leave a catalog: `removed` ones are deleted, `archived` ones stay as rows with the status
/// `archived`.
#[derive(Debug, Default)]
pub(super) struct Leaving<'a> {
    pub(super) removed: Vec<&'a str>,
    pub(super) archived: Vec<&'a str>,
}

/// The documents that leave, and the outcome of each removal, given the stored versions.
pub(super) fn removals<'a>(
    batch: &'a [Removal],
    stored: &HashMap<String, StoredRow>,
) -> serde_json::Result<(Leaving<'a>, Vec<Outcome>)> {
    let mut leaving = Leaving::default();
    let mut outcomes = Vec::with_capacity(batch.len());
    for removal in batch {
        let current = stored.get(removal.id.as_str()).map(|row| (&*row.content_hash, &*row.version));
        // A document that is gone already was removed by another writer, or by an earlier attempt of this one whose
        // answer was lost.
        let may_leave = current.is_none() || holds(&removal.precondition, current)?;
        if may_leave {
            let ids = if removal.archives { &mut leaving.archived } else { &mut leaving.removed };
            ids.push(removal.id.as_str());
        }
        outcomes.push(if may_leave { Outcome::Done } else { Outcome::Conflict });
    }
    Ok((leaving, outcomes))
}

fn not_found(update: &Write) -> Outcome {
    let message = format!("the catalog holds no document {} that could be updated", update.document.id);
    Outcome::Refused { code: "document-not-found".to_owned(), message }
}

/// The current document with the fields of an update set.
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

    /// A document for each of these numbers of variants, all of which have this many attributes.
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
    fn a_batch_ends_at_the_bound_and_a_larger_document_is_alone() {
        let documents = documents(&[49, 49, 0, 200, 3, 96], 0);
        let bounds = Bounds { complexity: 100, rows: 100 };
        let batches: Vec<_> = bounds.cut(&documents).collect();
        assert_eq!(batches, [0..2, 2..3, 3..4, 4..5, 5..6]);
    }

    #[test]
    // 2,048 is the largest number of variants that a product in Shopify can have.
    fn a_product_with_the_most_variants_that_a_shop_allows_is_a_batch_of_its_own() {
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
                let total = |per_variant: usize| variants[range.clone()].iter().map(|n| 1 + n * per_variant).sum::<usize>();
                total(1) <= complexity && total(1 + attributes) <= rows
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
