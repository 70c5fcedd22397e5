//! What the catalog holds of the products of a batch, read with one query per table, and the documents that can be
//! restored from it.

use super::{
    rows::{Attribute, SkuColumns, variant},
    text::TextConfig,
    words::Words,
};
use host_core::model::{DocumentId, document::VARIANTS};
use serde_json::{Map, Value};
use std::collections::{BTreeSet, HashMap};

/// A product in the catalog.
#[derive(Debug)]
pub(super) struct CurrentProduct {
    /// Database id.
    pub(super) id: i64,
    /// Fields of the document without its variants, JSON.
    pub(super) fields: String,
    /// Version fields of the document (such as `updated_at`), JSON.
    pub(super) version: String,
    /// Digest of the document's content.
    pub(super) content_hash: String,
    /// Digest of the text that is embedded.
    pub(super) text_hash: String,
    /// The job that wrote it last.
    pub(super) job_id: String,
    /// False if it is archived.
    pub(super) is_active: bool,
}

/// A SKU in the catalog.
#[derive(Debug)]
pub(super) struct CurrentSku {
    /// Database id.
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
    /// The product of this document, unless it is archived and thus not part of the index.
    pub(super) fn active(&self, id: &DocumentId) -> Option<&CurrentProduct> {
        self.products.get(id.as_str()).filter(|product| product.is_active)
    }

    /// The document of a product, with its id, its version fields and what host stores beside it.
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

    /// The words of all these products, by database ids.
    pub(super) fn words(&self, texts: &TextConfig) -> serde_json::Result<Vec<(i64, Words)>> {
        let words = |product: &CurrentProduct| Ok((product.id, Words::of(&self.fields(product)?, texts)));
        self.products.values().map(words).collect()
    }

    /// The fields that the document was written with, variants included.
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
