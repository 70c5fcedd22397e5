//! Every statement of the catalog, in SQLite's dialect. Another dialect replaces this file.
//!
//! Lists of ids and of rows travel as one JSON parameter each, so that a statement does not depend on their number:
//! no limit on variables, one prepared statement for all batches.

use super::{
    Cause, Target,
    prefetch::{ProductBefore, SkuBefore},
    rows::{Attribute, ProductRow, SkuColumns, SkuRow},
};
use crate::{model::DocumentId, store::embedded::to_json};
use rusqlite::{CachedStatement, Transaction, params};
use serde::{Serialize, Serializer, ser::SerializeSeq};
use std::{
    cell::Cell,
    collections::{BTreeSet, HashMap},
};

/// A transaction on the products of one shop and index.
pub(super) struct Session<'a> {
    tx: &'a Transaction<'a>,
    target: &'a Target,
    statements: Cell<usize>,
}

/// Version and origin of a product.
pub(super) struct StoredRow {
    pub(super) version: String,
    pub(super) content_hash: String,
    pub(super) job_id: String,
}

/// A product's row to be written.
#[derive(Serialize)]
pub(super) struct ProductChange<'a>(&'a str, Option<&'a str>, &'a str, &'a str, &'a str, i64);

impl<'a> ProductChange<'a> {
    pub(super) fn new(row: &'a ProductRow, updated_at: i64) -> Self {
        let title = row.title.as_deref();
        Self(&row.source_id, title, &row.fields, &row.version, &row.content_hash, updated_at)
    }
}

/// A SKU's row to be written.
#[derive(Serialize)]
pub(super) struct SkuChange<'a>(i64, &'a str, usize, Option<&'a str>, Option<&'a str>, &'a str);

impl<'a> SkuChange<'a> {
    pub(super) fn new(product_id: i64, row: &'a SkuRow) -> Self {
        let SkuColumns { position, sku, price, rest } = &row.columns;
        Self(product_id, &row.source_id, *position, sku.as_deref(), price.as_deref(), rest)
    }
}

/// An iterator as a JSON array.
struct List<I>(Cell<Option<I>>);

impl<I: Iterator<Item: Serialize>> Serialize for List<I> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut list = serializer.serialize_seq(None)?;
        for item in self.0.take().into_iter().flatten() {
            list.serialize_element(&item)?;
        }
        list.end()
    }
}

fn json(items: impl Iterator<Item: Serialize>) -> Result<String, Cause> {
    to_json(&List(Cell::new(Some(items))))
}

impl<'a> Session<'a> {
    pub(super) fn new(tx: &'a Transaction<'a>, target: &'a Target) -> Self {
        Self { tx, target, statements: Cell::new(0) }
    }

    pub(super) fn target(&self) -> &Target {
        self.target
    }

    /// How many statements have been run.
    pub(super) fn statements(&self) -> usize {
        self.statements.get()
    }

    fn statement(&self, sql: &str) -> rusqlite::Result<CachedStatement<'_>> {
        self.statements.set(self.statements.get() + 1);
        self.tx.prepare_cached(sql)
    }

    pub(super) fn stored(&self, ids: &[DocumentId]) -> Result<HashMap<String, StoredRow>, Cause> {
        let mut statement = self.statement(
            "SELECT source_id, version, content_hash, job_id FROM products
            WHERE merchant = ?1 AND index_name = ?2 AND source_id IN (SELECT value FROM json_each(?3))",
        )?;
        let params = params![self.target.shop_id, self.target.index_name, to_json(&ids)?];
        let rows = statement.query_map(params, |row| {
            let stored = StoredRow { version: row.get(1)?, content_hash: row.get(2)?, job_id: row.get(3)? };
            Ok((row.get(0)?, stored))
        })?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    pub(super) fn products<'b>(
        &self,
        source_ids: impl Iterator<Item = &'b str>,
    ) -> Result<HashMap<String, ProductBefore>, Cause> {
        let mut statement = self.statement(
            "SELECT source_id, id, fields, version, content_hash, job_id, status, updated_at FROM products
            WHERE merchant = ?1 AND index_name = ?2 AND source_id IN (SELECT value FROM json_each(?3))",
        )?;
        let params = params![self.target.shop_id, self.target.index_name, json(source_ids)?];
        let rows = statement.query_map(params, |row| {
            let product = ProductBefore {
                id: row.get(1)?,
                fields: row.get(2)?,
                version: row.get(3)?,
                content_hash: row.get(4)?,
                job_id: row.get(5)?,
                status: row.get(6)?,
                updated_at: row.get(7)?,
            };
            Ok((row.get(0)?, product))
        })?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// SKUs by their products' ids and their own source ids.
    pub(super) fn skus(
        &self,
        product_ids: impl Iterator<Item = i64>,
    ) -> Result<HashMap<i64, HashMap<String, SkuBefore>>, Cause> {
        let mut statement = self.statement(
            "SELECT product_id, source_id, id, position, sku, price, rest FROM skus
            WHERE product_id IN (SELECT value FROM json_each(?1))",
        )?;
        let mut rows = statement.query([json(product_ids)?])?;
        let mut skus: HashMap<i64, HashMap<String, SkuBefore>> = HashMap::new();
        while let Some(row) = rows.next()? {
            let columns =
                SkuColumns { position: row.get(3)?, sku: row.get(4)?, price: row.get(5)?, rest: row.get(6)? };
            let sku = SkuBefore { id: row.get(2)?, columns };
            skus.entry(row.get(0)?).or_default().insert(row.get(1)?, sku);
        }
        Ok(skus)
    }

    /// Attributes by their SKUs' ids.
    pub(super) fn attributes(
        &self,
        sku_ids: impl Iterator<Item = i64>,
    ) -> Result<HashMap<i64, BTreeSet<Attribute>>, Cause> {
        let mut statement = self.statement(
            "SELECT sku_id, name, value FROM attributes WHERE sku_id IN (SELECT value FROM json_each(?1))",
        )?;
        let mut rows = statement.query([json(sku_ids)?])?;
        let mut attributes: HashMap<i64, BTreeSet<Attribute>> = HashMap::new();
        while let Some(row) = rows.next()? {
            attributes.entry(row.get(0)?).or_default().insert((row.get(1)?, row.get(2)?));
        }
        Ok(attributes)
    }

    /// Adds or replaces products; gives their ids by source id.
    pub(super) fn put_products(
        &self,
        changes: &[ProductChange<'_>],
        now: i64,
    ) -> Result<HashMap<String, i64>, Cause> {
        if changes.is_empty() {
            return Ok(HashMap::new());
        }
        // `WHERE true` keeps ON from being read as a join's.
        let mut statement = self.statement(
            "INSERT INTO products (merchant, index_name, source_id, title, fields, version, content_hash,
                updated_at, job_id, created_at)
            SELECT ?1, ?2, value ->> 0, value ->> 1, value ->> 2, value ->> 3, value ->> 4, value ->> 5, ?4, ?5
            FROM json_each(?3) WHERE true
            ON CONFLICT (merchant, index_name, source_id) DO UPDATE SET
                title = excluded.title, fields = excluded.fields, version = excluded.version,
                content_hash = excluded.content_hash, updated_at = excluded.updated_at,
                job_id = excluded.job_id, status = 'active'
            RETURNING source_id, id",
        )?;
        let Target { shop_id, index_name, job_id } = self.target;
        let params = params![shop_id, index_name, to_json(&changes)?, job_id, now];
        let rows = statement.query_map(params, |row| Ok((row.get(0)?, row.get(1)?)))?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// Adds or replaces SKUs; gives their ids by product id and source id.
    pub(super) fn put_skus(&self, changes: &[SkuChange<'_>]) -> Result<HashMap<(i64, String), i64>, Cause> {
        if changes.is_empty() {
            return Ok(HashMap::new());
        }
        let mut statement = self.statement(
            "INSERT INTO skus (product_id, source_id, position, sku, price, rest)
            SELECT value ->> 0, value ->> 1, value ->> 2, value ->> 3, value ->> 4, value ->> 5
            FROM json_each(?1) WHERE true
            ON CONFLICT (product_id, source_id) DO UPDATE SET
                position = excluded.position, sku = excluded.sku, price = excluded.price, rest = excluded.rest
            RETURNING product_id, source_id, id",
        )?;
        let rows =
            statement.query_map([to_json(&changes)?], |row| Ok(((row.get(0)?, row.get(1)?), row.get(2)?)))?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// Removes SKUs with their attributes.
    pub(super) fn delete_skus(&self, ids: &[i64]) -> Result<(), Cause> {
        if !ids.is_empty() {
            self.statement("DELETE FROM skus WHERE id IN (SELECT value FROM json_each(?1))")?
                .execute([to_json(&ids)?])?;
        }
        Ok(())
    }

    pub(super) fn delete_attributes(&self, rows: &[(i64, &str, &str)]) -> Result<(), Cause> {
        if !rows.is_empty() {
            self.statement(
                "DELETE FROM attributes WHERE (sku_id, name, value) IN (
                    SELECT value ->> 0, value ->> 1, value ->> 2 FROM json_each(?1))",
            )?
            .execute([to_json(&rows)?])?;
        }
        Ok(())
    }

    pub(super) fn insert_attributes(&self, rows: &[(i64, &str, &str)]) -> Result<(), Cause> {
        if !rows.is_empty() {
            self.statement(
                "INSERT INTO attributes (sku_id, name, value)
                SELECT value ->> 0, value ->> 1, value ->> 2 FROM json_each(?1)",
            )?
            .execute([to_json(&rows)?])?;
        }
        Ok(())
    }

    /// Removes products with their SKUs and attributes.
    pub(super) fn delete_products(&self, ids: &[DocumentId]) -> Result<(), Cause> {
        let mut statement = self.statement(
            "DELETE FROM products
            WHERE merchant = ?1 AND index_name = ?2 AND source_id IN (SELECT value FROM json_each(?3))",
        )?;
        statement.execute(params![self.target.shop_id, self.target.index_name, to_json(&ids)?])?;
        Ok(())
    }

    pub(super) fn list(&self, after: Option<&DocumentId>, limit: usize) -> Result<Vec<String>, Cause> {
        // No id is empty.
        let after = after.map_or("", DocumentId::as_str);
        let mut statement = self.statement(
            "SELECT source_id FROM products WHERE merchant = ?1 AND index_name = ?2 AND source_id > ?3
            ORDER BY source_id LIMIT ?4",
        )?;
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let params = params![self.target.shop_id, self.target.index_name, after, limit];
        let rows = statement.query_map(params, |row| row.get(0))?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    pub(super) fn count(&self) -> rusqlite::Result<u64> {
        self.statement("SELECT count(*) FROM products WHERE merchant = ?1 AND index_name = ?2")?
            .query_row([&self.target.shop_id, &self.target.index_name], |row| row.get(0))
    }
}
