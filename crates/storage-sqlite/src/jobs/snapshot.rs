//! Reads jobs and the rows of their chunks (stored parts of their documents).

use super::{ChunkKey, completion, samples};
use host_core::{
    model::{ChunkRef, Digest, Job, JobStatus, Seal},
    storage::JobSnapshot,
};
use host_sqlite::{Cause, from_envelope, from_json, time};
use rusqlite::{OptionalExtension, Params, Transaction, params};

/// A query for the columns of [`JobSnapshot`]s, without their samples.
macro_rules! select {
    ($rest:literal) => {
        concat!(
            "SELECT job, status, seal, chunks, completed, ended_at, processed, unchanged, failed, skipped, conflict,
                deleted, error_message, last_error, archive_refused, id FROM job ",
            $rest
        )
    };
}

pub(super) fn one(tx: &Transaction<'_>, job_id: &str) -> Result<Option<JobSnapshot>, Cause> {
    let mut statement = tx.prepare_cached(select!("WHERE id = ?1"))?;
    let mut rows = statement.query([job_id])?;
    let Some(row) = rows.next()? else { return Ok(None) };
    let samples = samples::of_jobs(tx, &[job_id.to_owned()])?.remove(job_id).unwrap_or_default();
    let snapshot = snapshot(row)?;
    Ok(Some(JobSnapshot { samples, quarantined: quarantined(tx, &snapshot)?, ..snapshot }))
}

/// Why the first quarantined chunk of a job was quarantined; `None` if none is, or if the job has not ended.
fn quarantined(tx: &Transaction<'_>, snapshot: &JobSnapshot) -> Result<Option<String>, Cause> {
    if snapshot.ended_at.is_none() || snapshot.counts.failed == 0 {
        return Ok(None);
    }
    let mut find = tx.prepare_cached(
        "SELECT message FROM (
            SELECT seq, CASE WHEN json_valid(outcome) THEN outcome ->> '$.quarantined.message' END AS message
            FROM chunk WHERE job_id = ?1 AND counted = 1)
        WHERE message IS NOT NULL ORDER BY seq LIMIT 1",
    )?;
    Ok(find.query_row([snapshot.job.id.as_str()], |row| row.get(0)).optional()?)
}

pub(super) fn chunk(tx: &Transaction<'_>, row: &ChunkKey) -> Result<Option<ChunkRef>, Cause> {
    let chunk: Option<String> = tx
        .prepare_cached("SELECT chunk FROM chunk WHERE job_id = ?1 AND seq = ?2")?
        .query_row(params![row.job_id, row.seq], |chunk| chunk.get(0))
        .optional()?;
    chunk.as_deref().map(from_envelope).transpose()
}

pub(super) fn uncounted(tx: &Transaction<'_>, job_id: &str, limit: usize) -> Result<Vec<ChunkRef>, Cause> {
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let mut open =
        tx.prepare_cached("SELECT chunk FROM chunk WHERE job_id = ?1 AND counted = 0 ORDER BY seq LIMIT ?2")?;
    let chunks = open.query_map(params![job_id, limit], |row| row.get::<_, String>(0))?;
    chunks.map(|chunk| from_envelope(&chunk?)).collect()
}

pub(super) fn latest(
    tx: &Transaction<'_>,
    shop_id: Option<&str>,
    limit: usize,
) -> Result<Vec<JobSnapshot>, Cause> {
    // Of two jobs created in the same microsecond the one that was stored later is newer.
    match shop_id {
        Some(shop_id) => {
            query(tx, select!("WHERE shop_id = ?1 ORDER BY created_at DESC, rowid DESC"), [shop_id], limit)
        }
        None => query(tx, select!("ORDER BY created_at DESC, rowid DESC"), [], limit),
    }
}

/// Jobs that have not ended or have uncounted chunks. The query repeats the condition of the index `job_open`, so that
/// SQLite uses it.
pub(super) fn open(
    tx: &Transaction<'_>,
    shop_id: Option<&str>,
    limit: usize,
) -> Result<Vec<JobSnapshot>, Cause> {
    let mut open = match shop_id {
        Some(shop_id) => without_samples(
            tx,
            select!("WHERE (ended_at IS NULL OR completed < chunks) AND shop_id = ?1"),
            [shop_id],
            usize::MAX,
        )?,
        None => without_samples(tx, select!("WHERE ended_at IS NULL OR completed < chunks"), [], usize::MAX)?,
    };
    open.sort_by(JobSnapshot::by_index);
    open.truncate(limit);
    Ok(open)
}

fn query(
    tx: &Transaction<'_>,
    sql: &str,
    params: impl Params,
    limit: usize,
) -> Result<Vec<JobSnapshot>, Cause> {
    let mut snapshots = without_samples(tx, sql, params, limit)?;
    let ids: Vec<String> = snapshots.iter().map(|snapshot| snapshot.job.id.to_string()).collect();
    let mut samples = samples::of_jobs(tx, &ids)?;
    for snapshot in &mut snapshots {
        snapshot.samples = samples.remove(snapshot.job.id.as_str()).unwrap_or_default();
        snapshot.quarantined = quarantined(tx, snapshot)?;
    }
    Ok(snapshots)
}

/// The first jobs that can be read, at most `limit`. Those that a newer version of host or another program wrote are
/// logged.
fn without_samples(
    tx: &Transaction<'_>,
    sql: &str,
    params: impl Params,
    limit: usize,
) -> Result<Vec<JobSnapshot>, Cause> {
    let mut statement = tx.prepare_cached(sql)?;
    let mut rows = statement.query(params)?;
    let mut snapshots = Vec::new();
    while snapshots.len() < limit
        && let Some(row) = rows.next()?
    {
        match snapshot(row) {
            Ok(snapshot) => snapshots.push(snapshot),
            Err(Cause::Unsupported(reason)) => {
                let job_id: String = row.get("id")?;
                tracing::warn!(job_id, %reason, "left a job record that cannot be read");
            }
            Err(error) => return Err(error),
        }
    }
    Ok(snapshots)
}

fn snapshot(row: &rusqlite::Row<'_>) -> Result<JobSnapshot, Cause> {
    let status = row.get::<_, String>(1)?;
    let seal = row.get::<_, Option<String>>(2)?;
    let ended_at = row.get::<_, Option<i64>>(5)?;
    let last_error = row.get::<_, Option<String>>(13)?;
    let archive_refused = row.get::<_, Option<String>>(14)?;
    Ok(JobSnapshot {
        job: from_envelope(&row.get::<_, String>(0)?)?,
        status: serde_json::from_value::<JobStatus>(status.into())
            .map_err(|error| Cause::Unsupported(error.into()))?,
        seal: seal.map(|seal| from_envelope::<Seal>(&seal)).transpose()?,
        counts: completion::counts(row, 6)?,
        chunks: row.get(3)?,
        completed_chunks: row.get(4)?,
        samples: Vec::new(),
        ended_at: ended_at.map(time::from_column).transpose()?,
        error_message: row.get(12)?,
        last_error: last_error.as_deref().map(from_envelope).transpose()?,
        quarantined: None,
        archive_refused: archive_refused.as_deref().map(from_envelope).transpose()?,
    })
}

pub(super) const UNFINISHED: &str = "SELECT job FROM job
        WHERE shop_id = ?1 AND fingerprint = ?2 AND ended_at IS NULL";

pub(super) fn unfinished(
    tx: &Transaction<'_>,
    shop_id: &str,
    fingerprint: Digest,
) -> Result<Option<Job>, Cause> {
    let mut statement = tx.prepare_cached(UNFINISHED)?;
    let mut unfinished: Vec<Job> = Vec::new();
    for job in
        statement.query_map(params![shop_id, fingerprint.to_string()], |row| row.get::<_, String>(0))?
    {
        unfinished.extend(from_envelope(&job?).ok());
    }
    Ok(unfinished.into_iter().max_by_key(|job| (job.sequence, job.created_at)))
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
