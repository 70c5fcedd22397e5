//! Writes and deletes the rows of a batch of products. The number of statements does not depend on the number of rows:
//! a statement gets its rows as one JSON array (`?1`), each row an array of its columns.

use super::{
    Session,
    list::{Rows, rows},
};
use crate::{
    batch::{Batch, Leaving, removals},
    changes::{Changes, Ids},
    rows::{SkuColumns, SkuRow},
};
use host_core::{
    index::{Outcome, Removal},
    model::DocumentId,
};
use host_sqlite::{Cause, time, to_json};
use jiff::Timestamp;
use rusqlite::{Params, params};

/// The columns of a row after its id: elements 1 to 6 of its JSON array.
macro_rules! product_columns {
    () => {
        "value ->> 1, value ->> 2, value ->> 3, value ->> 4, value ->> 5, value ->> 6"
    };
}

impl Session<'_> {
    pub(super) fn change(&self, batch: &Batch, now: Timestamp) -> Result<Vec<Outcome>, Cause> {
        let current = self.current_state(batch.source_ids())?;
        let (rows, outcomes) = batch.rows(&current).map_err(Cause::corrupt)?;
        let ids = self.ids(batch.most_ids())?;
        let changes = Changes::of(&current, &rows, &self.target.job_id, ids)
            .map_err(|error| Cause::Refused(error.to_string()))?;
        self.apply(&changes, &batch.search_config(), time::to_column(now))?;
        Ok(outcomes)
    }

    /// Database ids that no row has had yet. They stay free until the commit, because no other transaction can write
    /// meanwhile.
    fn ids(&self, count: usize) -> Result<Ids, Cause> {
        let last: Option<i64> = self
            .statement("SELECT max(seq) FROM sqlite_sequence WHERE name IN ('products', 'skus')")?
            .query_row([], |row| row.get(0))?;
        let first = last.unwrap_or(0) + 1;
        let mut ids = Ids::default();
        ids.add(first..first.saturating_add_unsigned(count as u64));
        Ok(ids)
    }

    /// Writes the changes of a batch.
    fn apply(&self, changes: &Changes<'_>, search_config: &str, now: i64) -> Result<(), Cause> {
        let target = self.target;
        let (merchant, index_name, job_id) = (&target.shop_id, &target.index_name, &target.job_id);
        let products = changes.new_products.iter().map(|(id, row)| {
            let title = row.title.as_deref();
            let texts = (&row.fields, &row.version, &row.content_hash, &row.text_hash);
            (*id, &row.source_id, title, texts.0, texts.1, texts.2, texts.3)
        });
        let products = rows(products)?;
        self.put(
            concat!(
                "INSERT INTO products (merchant, index_name, job_id, created_at, updated_at, search_config, id,
                    source_id, title, fields, version, content_hash, text_hash)
                SELECT ?2, ?3, ?4, ?5, ?5, ?6, value ->> 0, ",
                product_columns!(),
                " FROM json_each(?1)"
            ),
            &products,
            params![products.json, merchant, index_name, job_id, now, search_config],
        )?;
        let changed = changes.changed_products.iter().map(|product| {
            let row = product.row;
            let texts = (&row.fields, &row.version, &row.content_hash, &row.text_hash);
            (product.id, row.title.as_deref(), texts.0, texts.1, texts.2, texts.3, product.is_new_content)
        });
        let changed = rows(changed)?;
        self.put(
            "UPDATE products SET title = value ->> 1, fields = value ->> 2, version = value ->> 3,
                content_hash = value ->> 4, text_hash = value ->> 5,
                updated_at = iif(value ->> 6, ?3, updated_at),
                search_config = iif(value ->> 6, ?4, search_config), job_id = ?2, status = 'active'
            FROM json_each(?1) WHERE products.id = value ->> 0",
            &changed,
            params![changed.json, job_id, now, search_config],
        )?;
        let vanished = rows(changes.vanished_skus.iter().map(|id| (id,)))?;
        self.put_list("DELETE FROM skus WHERE id IN (SELECT value ->> 0 FROM json_each(?1))", &vanished)?;
        let skus = rows(changes.new_skus.iter().map(|(id, product_id, row)| {
            let SkuColumns { position, sku, price, rest } = &row.columns;
            (id, product_id, &row.source_id, position, sku, price, rest)
        }))?;
        self.put_list(
            concat!(
                "INSERT INTO skus (id, product_id, source_id, position, sku, price, rest) SELECT value ->> 0, ",
                product_columns!(),
                " FROM json_each(?1)"
            ),
            &skus,
        )?;
        let skus = rows(changes.changed_skus.iter().map(|(id, row): &(i64, &SkuRow)| {
            let SkuColumns { position, sku, price, rest } = &row.columns;
            (id, position, sku, price, rest)
        }))?;
        self.put_list(
            "UPDATE skus SET position = value ->> 1, sku = value ->> 2, price = value ->> 3, rest = value ->> 4
            FROM json_each(?1) WHERE skus.id = value ->> 0",
            &skus,
        )?;
        self.put_list(
            "DELETE FROM attributes WHERE (sku_id, name, value) IN (
                SELECT value ->> 0, value ->> 1, value ->> 2 FROM json_each(?1))",
            &rows(changes.vanished_attributes.iter())?,
        )?;
        self.put_list(
            "INSERT INTO attributes (sku_id, name, value)
            SELECT value ->> 0, value ->> 1, value ->> 2 FROM json_each(?1)",
            &rows(changes.new_attributes.iter())?,
        )?;
        self.put_list(
            "INSERT INTO to_embed (product_id, text_hash) SELECT value ->> 0, value ->> 1 FROM json_each(?1) WHERE true
            ON CONFLICT (product_id) DO UPDATE SET text_hash = excluded.text_hash, refused = NULL",
            &rows(changes.to_embed.iter())?,
        )?;
        let fresh = changes.new_products.iter().copied();
        let changed = changes.changed_products.iter().filter(|product| product.is_new_content);
        let words = fresh.chain(changed.map(|product| (product.id, product.row)));
        self.put_words(words.map(|(id, row)| (id, &row.words)))
    }

    pub(super) fn delete(&self, batch: &[Removal]) -> Result<Vec<Outcome>, Cause> {
        let ids: Vec<DocumentId> = batch.iter().map(|removal| removal.id.clone()).collect();
        let (Leaving { removed, archived }, outcomes) =
            removals(batch, &self.stored(&ids)?).map_err(Cause::corrupt)?;
        let (merchant, index_name) = (&self.target.shop_id, &self.target.index_name);
        for (ids, sql) in [
            (
                removed,
                "DELETE FROM products
                WHERE merchant = ?1 AND index_name = ?2 AND source_id IN (SELECT value FROM json_each(?3))",
            ),
            (
                archived,
                "UPDATE products SET status = 'archived'
                WHERE merchant = ?1 AND index_name = ?2 AND source_id IN (SELECT value FROM json_each(?3))",
            ),
        ] {
            if !ids.is_empty() {
                self.statement(sql)?.execute(params![merchant, index_name, to_json(&ids)?])?;
            }
        }
        Ok(outcomes)
    }

    /// Runs a statement if its list has rows.
    fn put(&self, sql: &str, rows: &Rows, params: impl Params) -> Result<(), Cause> {
        if !rows.is_empty {
            self.statement(sql)?.execute(params)?;
        }
        Ok(())
    }

    /// The same for a statement whose only parameter is the list.
    pub(super) fn put_list(&self, sql: &str, rows: &Rows) -> Result<(), Cause> {
        self.put(sql, rows, [&rows.json])
    }
}
