//! Writes and deletes the rows of a batch of products. The number of statements does not depend on the number of rows:
//! a statement gets its rows as one array per column.

use super::{
    Cause, Postgres,
    read::{self, Lock, stored},
    words::vector,
};
use crate::{
    batch::{Batch, Leaving, removals},
    changes::{AttributeRow, Changes},
    rows::{ProductRow, SkuRow},
};
use deadpool_postgres::Transaction;
use host_core::index::{Outcome, Removal, WriteTarget};
use std::time::SystemTime;
use tokio_postgres::types::ToSql;

/// Reads and locks the products that may be removed, in the order in which all transactions lock, so that they do not
/// deadlock.
const LOCKED: &str =
    "SELECT source_id, version::text, content_hash, job_id, status = 'archived' FROM catalog.products
    WHERE merchant = $1 AND index_name = $2 AND source_id = ANY ($3) ORDER BY source_id FOR UPDATE";

const REMOVED: &str =
    "DELETE FROM catalog.products WHERE merchant = $1 AND index_name = $2 AND source_id = ANY ($3)";

const ARCHIVED: &str = "UPDATE catalog.products SET status = 'archived'
    WHERE merchant = $1 AND index_name = $2 AND source_id = ANY ($3)";

const NEW_PRODUCTS: &str = "INSERT INTO catalog.products (merchant, index_name, job_id, created_at, updated_at,
        search_config, id, source_id, title, fields, version, content_hash, text_hash, words)
    SELECT $1, $2, $3, $4, $4, $13, id, source_id, title, fields::json, version::json, content_hash, text_hash, words::tsvector
    FROM unnest($5::bigint[], $6::text[], $7::text[], $8::text[], $9::text[], $10::text[], $11::text[], $12::text[])
        AS new (id, source_id, title, fields, version, content_hash, text_hash, words)";

const CHANGED_PRODUCTS: &str = "UPDATE catalog.products SET title = new.title, fields = new.fields::json,
        version = new.version::json, content_hash = new.content_hash, text_hash = new.text_hash,
        words = new.words::tsvector, search_config = $11, job_id = $1, status = 'active',
        updated_at = CASE WHEN new.is_new_content THEN $2 ELSE products.updated_at END
    FROM unnest($3::bigint[], $4::text[], $5::text[], $6::text[], $7::text[], $8::text[], $9::text[], $10::bool[])
        AS new (id, title, fields, version, content_hash, text_hash, words, is_new_content)
    WHERE products.id = new.id";

const VANISHED_SKUS: &str = "DELETE FROM catalog.skus WHERE id = ANY ($1)";

const NEW_SKUS: &str = "INSERT INTO catalog.skus (id, product_id, source_id, position, sku, price, rest)
    SELECT id, product_id, source_id, position, sku, price, rest::json
    FROM unnest($1::bigint[], $2::bigint[], $3::text[], $4::integer[], $5::text[], $6::text[], $7::text[])
        AS new (id, product_id, source_id, position, sku, price, rest)";

const CHANGED_SKUS: &str =
    "UPDATE catalog.skus SET position = new.position, sku = new.sku, price = new.price,
        rest = new.rest::json
    FROM unnest($1::bigint[], $2::integer[], $3::text[], $4::text[], $5::text[])
        AS new (id, position, sku, price, rest)
    WHERE skus.id = new.id";

const VANISHED_ATTRIBUTES: &str =
    "DELETE FROM catalog.attributes USING unnest($1::bigint[], $2::text[], $3::text[])
        AS old (sku_id, name, value)
    WHERE attributes.sku_id = old.sku_id AND attributes.name = old.name AND attributes.value = old.value";

const NEW_ATTRIBUTES: &str = "INSERT INTO catalog.attributes (sku_id, name, value)
    SELECT * FROM unnest($1::bigint[], $2::text[], $3::text[])";

const TO_EMBED: &str = "INSERT INTO catalog.to_embed (product_id, text_hash)
    SELECT * FROM unnest($1::bigint[], $2::text[])
    ON CONFLICT (product_id) DO UPDATE SET text_hash = excluded.text_hash, refused = NULL";

/// All statements that write a batch, in the order in which they are sent: rows come before those that refer to them.
const ALL: [&str; 8] = [
    NEW_PRODUCTS,
    CHANGED_PRODUCTS,
    VANISHED_SKUS,
    NEW_SKUS,
    CHANGED_SKUS,
    VANISHED_ATTRIBUTES,
    NEW_ATTRIBUTES,
    TO_EMBED,
];

impl Postgres {
    /// One attempt at the transaction that writes a batch.
    pub(super) async fn try_change(
        &self,
        target: &WriteTarget,
        batch: &Batch,
    ) -> Result<Vec<Outcome>, Cause> {
        let mut client = self.pool.get().await?;
        let ids = self.take_ids(&client, batch.most_ids()).await?;
        let tx = client.transaction().await?;
        let current = read::current_state(&tx, target, &batch.source_ids(), Lock::Products).await?;
        let (rows, outcomes) = batch.rows(&current)?;
        let changes = Changes::of(&current, &rows, &target.job_id, ids)
            .map_err(|error| Cause::Other(error.to_string()))?;
        apply(&tx, target, &changes, &batch.search_config(), self.clock.now().into()).await?;
        tx.commit().await?;
        Ok(outcomes)
    }

    /// One attempt at the transaction that removes or archives products.
    pub(super) async fn try_delete(
        &self,
        target: &WriteTarget,
        batch: &[Removal],
    ) -> Result<Vec<Outcome>, Cause> {
        let mut client = self.pool.get().await?;
        let tx = client.transaction().await?;
        let lock = tx.prepare_cached(LOCKED).await?;
        let (merchant, index_name) = (&target.shop_id, &target.index_name);
        let ids: Vec<&str> = batch.iter().map(|removal| removal.id.as_str()).collect();
        let current = tx.query(&lock, &[merchant, index_name, &ids]).await?;
        let (Leaving { removed, archived }, outcomes) =
            removals(batch, &current.iter().map(stored).collect())?;
        put(&tx, REMOVED, removed.len(), &[merchant, index_name, &removed]).await?;
        put(&tx, ARCHIVED, archived.len(), &[merchant, index_name, &archived]).await?;
        tx.commit().await?;
        Ok(outcomes)
    }
}

/// Sends all statements at once, so that together they take one round trip.
async fn apply(
    tx: &Transaction<'_>,
    target: &WriteTarget,
    changes: &Changes<'_>,
    search_config: &str,
    now: SystemTime,
) -> Result<(), Cause> {
    for sql in ALL {
        // All are prepared first: a statement that is still being prepared would be sent after the next one.
        tx.prepare_cached(sql).await?;
    }
    let products = Columns::of(changes.new_products.iter().map(|(id, row)| (*id, *row)));
    let changed = Columns::of(changes.changed_products.iter().map(|product| (product.id, product.row)));
    let is_new_content: Vec<bool> =
        changes.changed_products.iter().map(|product| product.is_new_content).collect();
    let skus = SkuColumns::of(changes.new_skus.iter().map(|(id, _, row)| (*id, *row)));
    let products_of_skus: Vec<i64> = changes.new_skus.iter().map(|(_, product_id, _)| *product_id).collect();
    let changed_skus = SkuColumns::of(changes.changed_skus.iter().copied());
    let vanished = AttributeColumns::of(&changes.vanished_attributes);
    let new = AttributeColumns::of(&changes.new_attributes);
    let (embed, hashes): (Vec<i64>, Vec<&str>) = changes.to_embed.iter().copied().unzip();
    let (shop, index, job) = (&target.shop_id, &target.index_name, &target.job_id);
    let Columns { ids, source_ids, titles, fields, versions, hashes: contents, texts, words } = &products;
    let new_products: [&(dyn ToSql + Sync); 13] = [
        shop,
        index,
        job,
        &now,
        ids,
        source_ids,
        titles,
        fields,
        versions,
        contents,
        texts,
        words,
        &search_config,
    ];
    let Columns { ids, titles, fields, versions, hashes: contents, texts, words, .. } = &changed;
    let changed_products: [&(dyn ToSql + Sync); 11] =
        [job, &now, ids, titles, fields, versions, contents, texts, words, &is_new_content, &search_config];
    let SkuColumns { ids, source_ids, positions, skus: codes, prices, rests } = &skus;
    let new_skus: [&(dyn ToSql + Sync); 7] =
        [ids, &products_of_skus, source_ids, positions, codes, prices, rests];
    let SkuColumns { ids, positions, skus: codes, prices, rests, .. } = &changed_skus;
    let changed_skus: [&(dyn ToSql + Sync); 5] = [ids, positions, codes, prices, rests];
    let vanished_skus: [&(dyn ToSql + Sync); 1] = [&changes.vanished_skus];
    let vanished_attributes: [&(dyn ToSql + Sync); 3] = [&vanished.ids, &vanished.names, &vanished.values];
    let new_attributes: [&(dyn ToSql + Sync); 3] = [&new.ids, &new.names, &new.values];
    let to_embed: [&(dyn ToSql + Sync); 2] = [&embed, &hashes];
    futures::try_join!(
        put(tx, NEW_PRODUCTS, changes.new_products.len(), &new_products),
        put(tx, CHANGED_PRODUCTS, changes.changed_products.len(), &changed_products),
        put(tx, VANISHED_SKUS, changes.vanished_skus.len(), &vanished_skus),
        put(tx, NEW_SKUS, changes.new_skus.len(), &new_skus),
        put(tx, CHANGED_SKUS, changes.changed_skus.len(), &changed_skus),
        put(tx, VANISHED_ATTRIBUTES, changes.vanished_attributes.len(), &vanished_attributes),
        put(tx, NEW_ATTRIBUTES, changes.new_attributes.len(), &new_attributes),
        put(tx, TO_EMBED, changes.to_embed.len(), &to_embed),
    )?;
    Ok(())
}

/// Runs a statement if its list has rows.
async fn put(
    tx: &Transaction<'_>,
    sql: &str,
    rows: usize,
    params: &[&(dyn ToSql + Sync)],
) -> Result<(), Cause> {
    if rows > 0 {
        let statement = tx.prepare_cached(sql).await?;
        tx.execute(&statement, params).await?;
    }
    Ok(())
}

/// Products, one list per column.
#[derive(Default)]
struct Columns<'a> {
    ids: Vec<i64>,
    source_ids: Vec<&'a str>,
    titles: Vec<Option<&'a str>>,
    fields: Vec<&'a str>,
    versions: Vec<&'a str>,
    /// Digests of the documents' contents.
    hashes: Vec<&'a str>,
    /// Digests of the texts to be embedded.
    texts: Vec<&'a str>,
    /// The words that the products are found by, as `tsvector`.
    words: Vec<String>,
}

impl<'a> Columns<'a> {
    fn of(rows: impl Iterator<Item = (i64, &'a ProductRow)>) -> Self {
        let mut columns = Self::default();
        for (id, row) in rows {
            columns.ids.push(id);
            columns.source_ids.push(&row.source_id);
            columns.titles.push(row.title.as_deref());
            columns.fields.push(&row.fields);
            columns.versions.push(&row.version);
            columns.hashes.push(&row.content_hash);
            columns.texts.push(&row.text_hash);
            columns.words.push(vector(&row.words));
        }
        columns
    }
}

/// SKUs, one list per column.
#[derive(Default)]
struct SkuColumns<'a> {
    ids: Vec<i64>,
    source_ids: Vec<&'a str>,
    positions: Vec<i32>,
    skus: Vec<Option<&'a str>>,
    prices: Vec<Option<&'a str>>,
    rests: Vec<&'a str>,
}

impl<'a> SkuColumns<'a> {
    fn of(rows: impl Iterator<Item = (i64, &'a SkuRow)>) -> Self {
        let mut columns = Self::default();
        for (id, row) in rows {
            columns.ids.push(id);
            columns.source_ids.push(&row.source_id);
            columns.positions.push(i32::try_from(row.columns.position).unwrap_or(i32::MAX));
            columns.skus.push(row.columns.sku.as_deref());
            columns.prices.push(row.columns.price.as_deref());
            columns.rests.push(&row.columns.rest);
        }
        columns
    }
}

/// Attributes, one list per column.
struct AttributeColumns<'a> {
    ids: Vec<i64>,
    names: Vec<&'a str>,
    values: Vec<&'a str>,
}

impl<'a> AttributeColumns<'a> {
    fn of(rows: &[AttributeRow<'a>]) -> Self {
        Self {
            ids: rows.iter().map(|(id, _, _)| *id).collect(),
            names: rows.iter().map(|(_, name, _)| *name).collect(),
            values: rows.iter().map(|(_, _, value)| *value).collect(),
        }
    }
}
