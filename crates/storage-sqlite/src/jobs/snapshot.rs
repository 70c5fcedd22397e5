//! Reading jobs.

use super::{Row, completion, samples};
use host_core::{
    model::{ChunkRef, Digest, Job, JobStatus, Seal},
    storage::JobSnapshot,
};
use host_sqlite::from_json;
use host_sqlite::{Cause, time};
use rusqlite::{OptionalExtension, Params, Transaction, params};

/// The columns of a [`JobSnapshot`] but for its samples.
macro_rules! select {
    ($rest:literal) => {
        concat!(
            "SELECT job, status, seal, chunks, completed, ended_at, processed, unchanged, failed, skipped, conflict,
                deleted, error_message, last_error FROM job ",
            $rest
        )
    };
}

pub(super) fn one(tx: &Transaction<'_>, job_id: &str) -> Result<Option<JobSnapshot>, Cause> {
    Ok(query(tx, select!("WHERE id = ?1"), [job_id])?.pop())
}

pub(super) fn chunk(tx: &Transaction<'_>, row: &Row) -> Result<Option<ChunkRef>, Cause> {
    let chunk: Option<String> = tx
        .prepare_cached("SELECT chunk FROM chunk WHERE job_id = ?1 AND seq = ?2")?
        .query_row(params![row.job_id, row.seq], |chunk| chunk.get(0))
        .optional()?;
    chunk.as_deref().map(from_json).transpose()
}

pub(super) fn uncounted(tx: &Transaction<'_>, job_id: &str, limit: usize) -> Result<Vec<ChunkRef>, Cause> {
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let mut open =
        tx.prepare_cached("SELECT chunk FROM chunk WHERE job_id = ?1 AND counted = 0 ORDER BY seq LIMIT ?2")?;
    let chunks = open.query_map(params![job_id, limit], |row| row.get::<_, String>(0))?;
    chunks.map(|chunk| from_json(&chunk?)).collect()
}

pub(super) fn latest(
    tx: &Transaction<'_>,
    shop_id: Option<&str>,
    limit: usize,
) -> Result<Vec<JobSnapshot>, Cause> {
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    // Of two jobs created in the same microsecond the one that was stored later is newer.
    match shop_id {
        Some(shop_id) => {
            let sql = select!("WHERE shop_id = ?1 ORDER BY created_at DESC, rowid DESC LIMIT ?2");
            query(tx, sql, params![shop_id, limit])
        }
        None => query(tx, select!("ORDER BY created_at DESC, rowid DESC LIMIT ?1"), [limit]),
    }
}

fn query(tx: &Transaction<'_>, sql: &str, params: impl Params) -> Result<Vec<JobSnapshot>, Cause> {
    let mut statement = tx.prepare_cached(sql)?;
    let mut rows = statement.query(params)?;
    let mut snapshots = Vec::new();
    while let Some(row) = rows.next()? {
        snapshots.push(snapshot(row)?);
    }
    let ids: Vec<String> = snapshots.iter().map(|snapshot| snapshot.job.id.to_string()).collect();
    let mut samples = samples::of_jobs(tx, &ids)?;
    for snapshot in &mut snapshots {
        snapshot.samples = samples.remove(snapshot.job.id.as_str()).unwrap_or_default();
    }
    Ok(snapshots)
}

fn snapshot(row: &rusqlite::Row<'_>) -> Result<JobSnapshot, Cause> {
    let status = row.get::<_, String>(1)?;
    let seal = row.get::<_, Option<String>>(2)?;
    let ended_at = row.get::<_, Option<i64>>(5)?;
    let last_error = row.get::<_, Option<String>>(13)?;
    Ok(JobSnapshot {
        job: from_json(&row.get::<_, String>(0)?)?,
        status: serde_json::from_value::<JobStatus>(status.into()).map_err(Cause::corrupt)?,
        seal: seal.map(|seal| from_json::<Seal>(&seal)).transpose()?,
        counts: completion::counts(row, 6)?,
        chunks: row.get(3)?,
        completed_chunks: row.get(4)?,
        samples: Vec::new(),
        ended_at: ended_at.map(time::from_column).transpose()?,
        error_message: row.get(12)?,
        last_error: last_error.as_deref().map(from_json).transpose()?,
    })
}

pub(super) fn unfinished(
    tx: &Transaction<'_>,
    shop_id: &str,
    fingerprint: Digest,
) -> Result<Option<Job>, Cause> {
    let job: Option<String> = tx
        .prepare_cached(
            "SELECT job FROM job WHERE shop_id = ?1 AND fingerprint = ?2 AND ended_at IS NULL
            ORDER BY created_at DESC, rowid DESC LIMIT 1",
        )?
        .query_row(params![shop_id, fingerprint.to_string()], |row| row.get(0))
        .optional()?;
    job.map(|job| from_json(&job)).transpose()
}

pub(super) fn reports(tx: &Transaction<'_>, job_id: &str) -> Result<Vec<String>, Cause> {
    let seal: Option<Option<String>> = tx
        .prepare_cached("SELECT seal FROM job WHERE id = ?1")?
        .query_row([job_id], |row| row.get(0))
        .optional()?;
    let seal: Option<Seal> = seal.flatten().map(|seal| from_json(&seal)).transpose()?;
    let mut reports: Vec<String> = seal.map(|seal| seal.reports).unwrap_or_default();
    let mut counted = tx.prepare_cached(
        "SELECT report FROM chunk WHERE job_id = ?1 AND counted = 1 AND report IS NOT NULL ORDER BY seq",
    )?;
    for report in counted.query_map([job_id], |row| row.get(0))? {
        reports.push(report?);
    }
    Ok(reports)
}
