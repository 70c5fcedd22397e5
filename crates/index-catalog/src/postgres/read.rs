//! Reads products with their rows, one query per table.

use super::Cause;
use crate::{
    current_state::{CurrentProduct, CurrentSku, CurrentState},
    dialect::StoredRow,
    rows::{Attribute, SkuColumns},
};
use deadpool_postgres::Transaction;
use host_core::index::WriteTarget;
use std::collections::{BTreeSet, HashMap};
use tokio_postgres::Row;

const PRODUCTS: &str =
    "SELECT source_id, id, fields::text, version::text, content_hash, text_hash, job_id, status = 'active'
    FROM catalog.products WHERE merchant = $1 AND index_name = $2 AND source_id = ANY ($3)";

/// The same with a lock on the rows until the end of the transaction. All transactions lock in this order, so that they
/// do not deadlock.
const LOCKED_PRODUCTS: &str =
    "SELECT source_id, id, fields::text, version::text, content_hash, text_hash, job_id, status = 'active'
    FROM catalog.products WHERE merchant = $1 AND index_name = $2 AND source_id = ANY ($3)
    ORDER BY source_id FOR NO KEY UPDATE";

const SKUS: &str = "SELECT product_id, source_id, id, position, sku, price, rest::text FROM catalog.skus
    WHERE product_id = ANY ($1)";

const ATTRIBUTES: &str = "SELECT a.sku_id, a.name, a.value FROM catalog.attributes a
    JOIN catalog.skus s ON s.id = a.sku_id WHERE s.product_id = ANY ($1)";

/// Which rows a read locks until the end of the transaction.
pub(super) enum Lock {
    None,
    Products,
}

/// The rows of the products whose documents have these ids.
pub(super) async fn current_state(
    tx: &Transaction<'_>,
    target: &WriteTarget,
    source_ids: &[&str],
    lock: Lock,
) -> Result<CurrentState, Cause> {
    let products = match lock {
        Lock::None => PRODUCTS,
        Lock::Products => LOCKED_PRODUCTS,
    };
    let products = tx.prepare_cached(products).await?;
    let products = tx.query(&products, &[&target.shop_id, &target.index_name, &source_ids]).await?;
    let products: HashMap<String, CurrentProduct> = products.iter().map(product).collect();
    if products.is_empty() {
        return Ok(CurrentState::default());
    }
    let ids: Vec<i64> = products.values().map(|product| product.id).collect();
    let (skus, attributes) = (tx.prepare_cached(SKUS).await?, tx.prepare_cached(ATTRIBUTES).await?);
    let ids: [&(dyn tokio_postgres::types::ToSql + Sync); 1] = [&ids];
    // Both queries are sent at once and take one round trip.
    let (sku_rows, attribute_rows) = futures::try_join!(tx.query(&skus, &ids), tx.query(&attributes, &ids))?;
    let mut skus: HashMap<i64, HashMap<String, CurrentSku>> = HashMap::with_capacity(products.len());
    for row in &sku_rows {
        let position = usize::try_from(row.get::<_, i32>(3)).unwrap_or(0);
        let columns = SkuColumns { position, sku: row.get(4), price: row.get(5), rest: row.get(6) };
        skus.entry(row.get(0)).or_default().insert(row.get(1), CurrentSku { id: row.get(2), columns });
    }
    let mut attributes: HashMap<i64, BTreeSet<Attribute>> = HashMap::with_capacity(sku_rows.len());
    for row in &attribute_rows {
        attributes.entry(row.get(0)).or_default().insert((row.get(1), row.get(2)));
    }
    Ok(CurrentState { products, skus, attributes })
}

/// Source id, version, content hash and job of a product, and whether it is archived.
pub(super) fn stored(row: &Row) -> (String, StoredRow) {
    let (version, content_hash, job_id) = (row.get(1), row.get(2), row.get(3));
    (row.get(0), StoredRow { version, content_hash, job_id, is_archived: row.get(4) })
}

fn product(row: &Row) -> (String, CurrentProduct) {
    let product = CurrentProduct {
        id: row.get(1),
        fields: row.get(2),
        version: row.get(3),
        content_hash: row.get(4),
        text_hash: row.get(5),
        job_id: row.get(6),
        is_active: row.get(7),
    };
    (row.get(0), product)
}
