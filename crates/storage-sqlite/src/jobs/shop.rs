//! What the removal of a shop (`host shop forget`) needs: the indexes that the shop's jobs wrote to, the record of the
//! removal, and the deletion of the jobs.

use host_core::storage::{LedgerScope, SCHEMA, ShopRemoval};
use host_sqlite::{Cause, from_json, to_json};
use rusqlite::{OptionalExtension, Row, Transaction};

/// The indexes that jobs of all shops write to, each as the scope of its ledger (the records of its products). The
/// clean-up of old jobs keeps the newest of each index, so that none is missing. Left out are jobs whose record a newer
/// version of host wrote, which this one cannot read. Jobs from before there were targets have the target ``.
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

/// The record that a shop is being removed, or was; `shop_digest` stands for the shop, whose name is not kept.
pub(super) fn removal(tx: &Transaction<'_>, shop_digest: &str) -> Result<Option<ShopRemoval>, Cause> {
    let mut find = tx.prepare_cached("SELECT removal FROM shop_removal WHERE shop = ?1")?;
    let found: Option<String> = find.query_row([shop_digest], |row| row.get(0)).optional()?;
    found.map(|removal| from_json(&removal)).transpose()
}

/// Stores the record of the removal of the shop with this digest.
pub(super) fn put_removal(
    tx: &Transaction<'_>,
    shop_digest: &str,
    removal: &ShopRemoval,
) -> Result<(), Cause> {
    tx.prepare_cached("INSERT OR REPLACE INTO shop_removal VALUES (?1, ?2)")?
        .execute((shop_digest, to_json(removal)?))?;
    Ok(())
}

/// Deletes the jobs of a shop, the records of their sent messages and the counters that number them, unless `dry_run`;
/// returns the number of jobs.
pub(super) fn remove(tx: &Transaction<'_>, shop_id: &str, dry_run: bool) -> Result<u64, Cause> {
    let jobs: i64 =
        tx.query_row("SELECT count(*) FROM job WHERE shop_id = ?1", [shop_id], |row| row.get(0))?;
    if !dry_run {
        tx.execute("DELETE FROM sent WHERE job_id IN (SELECT id FROM job WHERE shop_id = ?1)", [shop_id])?;
        tx.execute("DELETE FROM job_sequence WHERE shop_id = ?1", [shop_id])?;
        // Foreign keys delete their chunks and the samples of their failures, too.
        tx.execute("DELETE FROM job WHERE shop_id = ?1", [shop_id])?;
    }
    Ok(jobs.unsigned_abs())
}
