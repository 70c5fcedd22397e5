//! What the catalog holds of the products of a batch: one query a table (seed, "Anti-N+1 Strategy").

use super::{
    Cause,
    rows::{Attribute, SkuColumns, variant},
    sql::Session,
};
use crate::{
    model::{DocumentId, document::VARIANTS},
    store::embedded::from_json,
};
use serde_json::{Map, Value};
use std::collections::{BTreeSet, HashMap};

/// A product as it stands in the catalog.
pub(super) struct ProductBefore {
    pub(super) id: i64,
    pub(super) fields: String,
    pub(super) version: String,
    pub(super) content_hash: String,
    pub(super) job_id: String,
    pub(super) status: String,
    pub(super) updated_at: i64,
}

/// A SKU as it stands in the catalog.
pub(super) struct SkuBefore {
    pub(super) id: i64,
    pub(super) columns: SkuColumns,
}

/// The rows of some products.
#[derive(Default)]
pub(super) struct Before {
    /// By the products' source ids.
    pub(super) products: HashMap<String, ProductBefore>,
    /// By the products' ids in the database, then by the SKUs' source ids.
    pub(super) skus: HashMap<i64, HashMap<String, SkuBefore>>,
    /// By the SKUs' ids in the database.
    pub(super) attributes: HashMap<i64, BTreeSet<Attribute>>,
}

impl Before {
    pub(super) fn read<'a>(
        session: &Session<'_>,
        source_ids: impl Iterator<Item = &'a str>,
    ) -> Result<Self, Cause> {
        let products = session.products(source_ids)?;
        if products.is_empty() {
            return Ok(Self::default());
        }
        let skus = session.skus(products.values().map(|product| product.id))?;
        let sku_ids = skus.values().flat_map(HashMap::values).map(|sku| sku.id);
        let attributes = session.attributes(sku_ids)?;
        Ok(Self { products, skus, attributes })
    }

    /// The stored form of a product.
    pub(super) fn document(
        &self,
        id: &DocumentId,
        product: &ProductBefore,
    ) -> Result<Map<String, Value>, Cause> {
        let mut document = self.fields(product)?;
        document.extend(from_json::<Map<_, _>>(&product.version)?);
        document.insert("_id".to_owned(), id.as_str().into());
        document.insert("_mq_job_id".to_owned(), product.job_id.clone().into());
        document.insert("_mq_content_hash".to_owned(), product.content_hash.clone().into());
        Ok(document)
    }

    /// The fields that a product was written with.
    pub(super) fn fields(&self, product: &ProductBefore) -> Result<Map<String, Value>, Cause> {
        let mut fields: Map<String, Value> = from_json(&product.fields)?;
        let mut skus: Vec<_> = self.skus.get(&product.id).into_iter().flatten().collect();
        skus.sort_by_key(|(_, sku)| sku.columns.position);
        let none = BTreeSet::new();
        let variants = skus.into_iter().map(|(source_id, sku)| {
            variant(source_id, &sku.columns, self.attributes.get(&sku.id).unwrap_or(&none))
                .map_err(Cause::corrupt)
        });
        let variants: Vec<Value> = variants.collect::<Result<_, _>>()?;
        if !variants.is_empty() {
            fields.insert(VARIANTS.to_owned(), variants.into());
        }
        Ok(fields)
    }
}
