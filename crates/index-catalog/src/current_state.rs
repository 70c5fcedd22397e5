//! What the catalog holds of the products of a batch, read with one query a table.

use super::rows::{Attribute, SkuColumns, variant};
use host_core::model::{DocumentId, document::VARIANTS};
use serde_json::{Map, Value};
use std::collections::{BTreeSet, HashMap};

/// A product in the catalog.
#[derive(Debug)]
pub(super) struct CurrentProduct {
    pub(super) id: i64,
    pub(super) fields: String,
    pub(super) version: String,
    pub(super) content_hash: String,
    pub(super) text_hash: String,
    pub(super) job_id: String,
    pub(super) is_active: bool,
}

/// A SKU in the catalog.
#[derive(Debug)]
pub(super) struct CurrentSku {
    pub(super) id: i64,
    pub(super) columns: SkuColumns,
}

/// The rows of some products.
#[derive(Debug, Default)]
pub(super) struct CurrentState {
    /// By the products' source ids.
    pub(super) products: HashMap<String, CurrentProduct>,
    /// By the products' ids in the database, then by the SKUs' source ids.
    pub(super) skus: HashMap<i64, HashMap<String, CurrentSku>>,
    /// By the SKUs' ids in the database.
    pub(super) attributes: HashMap<i64, BTreeSet<Attribute>>,
}

impl CurrentState {
    /// The product if it is part of the index: one that is archived is not.
    pub(super) fn active(&self, id: &DocumentId) -> Option<&CurrentProduct> {
        self.products.get(id.as_str()).filter(|product| product.is_active)
    }

    /// The stored form of a product.
    pub(super) fn document(
        &self,
        id: &DocumentId,
        product: &CurrentProduct,
    ) -> serde_json::Result<Map<String, Value>> {
        let mut document = self.fields(product)?;
        document.extend(serde_json::from_str::<Map<_, _>>(&product.version)?);
        document.insert("_id".to_owned(), id.as_str().into());
        document.insert("_mq_job_id".to_owned(), product.job_id.clone().into());
        document.insert("_mq_content_hash".to_owned(), product.content_hash.clone().into());
        Ok(document)
    }

    /// The fields that a product was written with.
    pub(super) fn fields(&self, product: &CurrentProduct) -> serde_json::Result<Map<String, Value>> {
        let mut fields: Map<String, Value> = serde_json::from_str(&product.fields)?;
        let mut skus: Vec<_> = self.skus.get(&product.id).into_iter().flatten().collect();
        skus.sort_by_key(|(_, sku)| sku.columns.position);
        let none = BTreeSet::new();
        let variants = skus.into_iter().map(|(source_id, sku)| {
            variant(source_id, &sku.columns, self.attributes.get(&sku.id).unwrap_or(&none))
        });
        let variants: Vec<Value> = variants.collect::<serde_json::Result<_>>()?;
        if !variants.is_empty() {
            fields.insert(VARIANTS.to_owned(), variants.into());
        }
        Ok(fields)
    }
}
