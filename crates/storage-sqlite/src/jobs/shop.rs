//! The end of a shop.

use host_core::storage::ShopRemoval;
use host_sqlite::{Cause, from_json, to_json};
use rusqlite::{OptionalExtension, Transaction};

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

/// Removes the jobs of a shop, and what is remembered of their messages.
pub(super) fn remove(tx: &Transaction<'_>, shop_id: &str, dry_run: bool) -> Result<u64, Cause> {
    let jobs: i64 =
        tx.query_row("SELECT count(*) FROM job WHERE shop_id = ?1", [shop_id], |row| row.get(0))?;
    if !dry_run {
        tx.execute("DELETE FROM sent WHERE job_id IN (SELECT id FROM job WHERE shop_id = ?1)", [shop_id])?;
        tx.execute("DELETE FROM job_sequence WHERE shop_id = ?1", [shop_id])?;
        // Their chunks and samples go with them.
        tx.execute("DELETE FROM job WHERE shop_id = ?1", [shop_id])?;
    }
    Ok(jobs.unsigned_abs())
}
