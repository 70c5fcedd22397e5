//! What the removal of a shop (`host shop forget`) needs: the indexes that the shop's jobs wrote to, the record of the
//! removal, and the deletion of the jobs.

use host_core::storage::{LedgerScope, SCHEMA, ShopRemoval};
use host_sqlite::{Cause, from_json, to_json};
use rusqlite::{OptionalExtension, Row, Transaction};

/// The indexes that jobs of all shops write to. Each is known as long as it is used, because the newest job of an index
/// is never deleted. Jobs that a newer version of host or another program wrote are left out.
pub(super) fn indexes(tx: &Transaction<'_>) -> Result<Vec<LedgerScope>, Cause> {
    let mut find = tx.prepare_cached(
        "SELECT DISTINCT shop_id, coalesce(job ->> 'target', ''), job ->> 'index_name'
        FROM (SELECT shop_id, CASE WHEN json_valid(job) THEN job END AS job FROM job)
        WHERE job ->> 'index_name' IS NOT NULL AND coalesce(job ->> 'schema', 1) <= ?1",
    )?;
    let scope = |row: &Row<'_>| {
        let target: String = row.get(1)?;
        Ok(LedgerScope { shop_id: row.get(0)?, target: target.into(), index_name: row.get(2)? })
    };
    Ok(find.query_map([SCHEMA], scope)?.collect::<Result<_, _>>()?)
}

pub(super) fn removal(tx: &Transaction<'_>, key: &str) -> Result<Option<ShopRemoval>, Cause> {
    let mut find = tx.prepare_cached("SELECT removal FROM shop_removal WHERE shop = ?1")?;
    let found: Option<String> = find.query_row([key], |row| row.get(0)).optional()?;
    found.map(|removal| from_json(&removal)).transpose()
}

pub(super) fn put_removal(tx: &Transaction<'_>, key: &str, removal: &ShopRemoval) -> Result<(), Cause> {
    tx.prepare_cached("INSERT OR REPLACE INTO shop_removal VALUES (?1, ?2)")?
        .execute((key, to_json(removal)?))?;
    Ok(())
}

/// Deletes the jobs of a shop and the records of their sent messages, unless `dry_run`; returns the number of jobs.
pub(super) fn remove(tx: &Transaction<'_>, shop_id: &str, dry_run: bool) -> Result<u64, Cause> {
    let jobs: i64 =
        tx.query_row("SELECT count(*) FROM job WHERE shop_id = ?1", [shop_id], |row| row.get(0))?;
    if !dry_run {
        tx.execute("DELETE FROM sent WHERE job_id IN (SELECT id FROM job WHERE shop_id = ?1)", [shop_id])?;
        tx.execute("DELETE FROM job_sequence WHERE shop_id = ?1", [shop_id])?;
        // Deletes their chunks and samples, too, by foreign keys.
        tx.execute("DELETE FROM job WHERE shop_id = ?1", [shop_id])?;
    }
    Ok(jobs.unsigned_abs())
}
