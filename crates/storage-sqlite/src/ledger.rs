//! The ledgers in SQLite: what host remembers of the products of an index between two jobs, one row per product.
//! Records of removed products (tombstones) never expire: dead letters do not expire here either, and the redrive of an
//! old one must not bring a product back.

use async_trait::async_trait;
use host_core::{
    error::chain,
    model::{LastRefusal, LedgerRecord, ProductId},
    storage::{
        ChangeDecision, Ledger, LedgerScope, RecordChange, StoreError, StoreErrorKind, UnsupportedFormat,
    },
};
use host_sqlite::{Cause, Database, to_envelope};
use rusqlite::{OptionalExtension, Row, Transaction};
use std::sync::Arc;

/// The ledgers of all indexes.
pub(super) struct SqliteLedger {
    database: Arc<Database>,
}

impl SqliteLedger {
    pub(super) fn new(database: Arc<Database>) -> Self {
        Self { database }
    }
}

/// The row id of a scope (a shop's index); `None` if nothing was ever stored in it.
fn find_scope(tx: &Transaction<'_>, scope: &LedgerScope) -> Result<Option<i64>, Cause> {
    let mut find = tx.prepare_cached(
        "SELECT id FROM ledger_scope WHERE shop_id = ?1 AND target = ?2 AND index_name = ?3",
    )?;
    let key = (&scope.shop_id, scope.target.to_string(), &scope.index_name);
    Ok(find.query_row(key, |row| row.get(0)).optional()?)
}

/// The row id of a scope, which is created if it is missing.
fn make_scope(tx: &Transaction<'_>, scope: &LedgerScope) -> Result<i64, Cause> {
    if let Some(id) = find_scope(tx, scope)? {
        return Ok(id);
    }
    tx.prepare_cached("INSERT INTO ledger_scope (shop_id, target, index_name) VALUES (?1, ?2, ?3)")?
        .execute((&scope.shop_id, scope.target.to_string(), &scope.index_name))?;
    Ok(tx.last_insert_rowid())
}

/// A row: product id, record and refusal (why the product was left out last), the latter two as JSON with a schema
/// number.
type Stored = (String, Option<String>, Option<String>);

fn stored(row: &Row<'_>) -> rusqlite::Result<Stored> {
    Ok((row.get(0)?, row.get(1)?, row.get(2)?))
}

fn parse((product, record, refusal): &Stored) -> Result<LedgerRecord, UnsupportedFormat> {
    LedgerRecord::from_stored(product, record.as_deref(), refusal.as_deref())
}

/// The record of a row; `None`, with a warning, if a newer version of host or another program wrote it.
fn parse_listed(scope: &LedgerScope, stored: &Stored) -> Option<LedgerRecord> {
    let warn = |error: &UnsupportedFormat| {
        let LedgerScope { shop_id, index_name, .. } = scope;
        let (product, cause) = (&stored.0, chain(error));
        tracing::warn!(
            shop_id,
            index_name,
            product,
            cause,
            "left out a product that this version cannot read"
        );
    };
    parse(stored).inspect_err(warn).ok()
}

/// The rows of a ledger after a product, in the order of the product ids.
fn rows_after(
    tx: &Transaction<'_>,
    scope: &LedgerScope,
    after: &str,
    limit: i64,
) -> Result<Vec<Stored>, Cause> {
    let Some(id) = find_scope(tx, scope)? else { return Ok(Vec::new()) };
    let mut page = tx.prepare_cached(
        "SELECT product, record, refusal FROM ledger WHERE scope = ?1 AND product > ?2 ORDER BY product LIMIT ?3",
    )?;
    Ok(page.query_map((id, after, limit), stored)?.collect::<Result<Vec<_>, _>>()?)
}

#[async_trait]
impl Ledger for SqliteLedger {
    async fn get(
        &self,
        scope: &LedgerScope,
        products: &[ProductId],
    ) -> Result<Vec<Option<LedgerRecord>>, StoreError> {
        let (key, products) = (scope.clone(), products.to_vec());
        let read = self.database.read(move |tx| {
            let Some(id) = find_scope(tx, &key)? else { return Ok(vec![None; products.len()]) };
            let mut find = tx.prepare_cached(
                "SELECT product, record, refusal FROM ledger WHERE scope = ?1 AND product = ?2",
            )?;
            let found =
                products.iter().map(|product| find.query_row((id, product.as_str()), stored).optional());
            Ok(found.collect::<Result<Vec<_>, _>>()?)
        });
        let found = read.await.map_err(|error| error.during(reading(scope)))?;
        let record = |stored: Option<Stored>| {
            let unsupported = |source: UnsupportedFormat, product: &str| StoreError {
                action: format!("{}: product {product}", reading(scope)),
                kind: StoreErrorKind::Unsupported,
                source: source.into(),
            };
            stored.map(|stored| parse(&stored).map_err(|error| unsupported(error, &stored.0))).transpose()
        };
        found.into_iter().map(record).collect()
    }

    async fn replace(&self, scope: &LedgerScope, changes: &[RecordChange]) -> Result<Vec<bool>, StoreError> {
        let (key, changes) = (scope.clone(), changes.to_vec());
        let write = self.database.write(move |tx| {
            let id = make_scope(tx, &key)?;
            let mut find = tx.prepare_cached(
                "SELECT product, record, refusal FROM ledger WHERE scope = ?1 AND product = ?2",
            )?;
            let mut put = tx.prepare_cached(
                "INSERT INTO ledger (scope, product, record, refusal) VALUES (?1, ?2, ?3, ?4)
                 ON CONFLICT DO UPDATE SET record = excluded.record, refusal = iif(?5, excluded.refusal, refusal)",
            )?;
            let mut replaced = Vec::with_capacity(changes.len());
            for change in &changes {
                let product = change.after.product.as_str();
                let found = find.query_row((id, product), stored).optional()?;
                let decision = match found.as_ref().map(parse).transpose() {
                    Ok(found) => change.decide(found.as_ref()),
                    // A record that cannot be read is not the one that the caller has read.
                    Err(_) => ChangeDecision::Conflict,
                };
                if decision == ChangeDecision::Apply {
                    let new_refusal = change.new_refusal();
                    let refusal = new_refusal.flatten().map(to_envelope).transpose()?;
                    put.execute((id, product, to_envelope(&change.after)?, refusal, new_refusal.is_some()))?;
                }
                replaced.push(decision != ChangeDecision::Conflict);
            }
            Ok(replaced)
        });
        write.await.map_err(|error| error.during(writing(scope)))
    }

    async fn refuse(
        &self,
        scope: &LedgerScope,
        refusals: &[(ProductId, LastRefusal)],
    ) -> Result<(), StoreError> {
        let (key, refusals) = (scope.clone(), refusals.to_vec());
        let write = self.database.write(move |tx| {
            let id = make_scope(tx, &key)?;
            let mut find =
                tx.prepare_cached("SELECT refusal FROM ledger WHERE scope = ?1 AND product = ?2")?;
            let mut put = tx.prepare_cached(
                "INSERT INTO ledger (scope, product, refusal) VALUES (?1, ?2, ?3)
                 ON CONFLICT DO UPDATE SET refusal = excluded.refusal",
            )?;
            for (product, refusal) in &refusals {
                let earlier: Option<Option<String>> =
                    find.query_row((id, product.as_str()), |row| row.get(0)).optional()?;
                if !refusal.repeats_stored(earlier.flatten().as_deref()) {
                    put.execute((id, product.as_str(), to_envelope(refusal)?))?;
                }
            }
            Ok(())
        });
        write.await.map_err(|error| error.during(writing(scope)))
    }

    async fn page(
        &self,
        scope: &LedgerScope,
        after: Option<&ProductId>,
        limit: usize,
    ) -> Result<Vec<LedgerRecord>, StoreError> {
        let mut after = after.map_or_else(String::new, ToString::to_string);
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        loop {
            let key = scope.clone();
            let rows = self.database.read(move |tx| rows_after(tx, &key, &after, limit)).await;
            let rows = rows.map_err(|error| error.during(reading(scope)))?;
            let records: Vec<_> = rows.iter().filter_map(|row| parse_listed(scope, row)).collect();
            // If no record of the page can be read, the next page is read: to the caller an empty page means the end.
            match rows.into_iter().next_back() {
                Some((last, ..)) if records.is_empty() => after = last,
                _ => return Ok(records),
            }
        }
    }

    async fn remove_shop(&self, shop_id: &str, dry_run: bool) -> Result<u64, StoreError> {
        let shop = shop_id.to_owned();
        let remove = self.database.write(move |tx| {
            let records =
                "SELECT count(*) FROM ledger JOIN ledger_scope s ON s.id = scope WHERE s.shop_id = ?1";
            let records: i64 = tx.query_row(records, [&shop], |row| row.get(0))?;
            if !dry_run {
                // Deletes the records, too, by a foreign key.
                tx.execute("DELETE FROM ledger_scope WHERE shop_id = ?1", [&shop])?;
            }
            Ok(records.unsigned_abs())
        });
        remove.await.map_err(|error| error.during(format!("removing the ledger of {shop_id}")))
    }
}

/// What a call was doing, for its error.
fn reading(scope: &LedgerScope) -> String {
    format!("reading the ledger of index {} of {}", scope.index_name, scope.shop_id)
}

fn writing(scope: &LedgerScope) -> String {
    format!("writing the ledger of index {} of {}", scope.index_name, scope.shop_id)
}
