//! Who may work on a chunk, and until when.

use super::Row;
use host_core::{
    model::JobStatus,
    storage::{AttemptError, ChunkOutcome, Claim},
};
use host_sqlite::{Cause, time};
use host_sqlite::{from_json, to_json};
use jiff::Timestamp;
use rusqlite::{OptionalExtension, Transaction, params};
use std::time::Duration;

pub(super) fn claim(
    tx: &Transaction<'_>,
    row: &Row,
    now: Timestamp,
    lease: Duration,
) -> Result<Claim, Cause> {
    let won = tx
        .prepare_cached(
            "UPDATE chunk SET state = 'RUNNING', fence = fence + 1, attempts = attempts + 1, lease_until = ?4
            WHERE job_id = ?1 AND seq = ?2 AND (state = 'PENDING' OR (state = 'RUNNING' AND lease_until <= ?3))
            RETURNING fence, attempts, epoch, first_error",
        )?
        .query_row(params![row.job_id, row.seq, time::to_column(now), time::after(now, lease)], |chunk| {
            Ok((chunk.get(0)?, chunk.get(1)?, chunk.get(2)?, chunk.get::<_, Option<String>>(3)?))
        })
        .optional()?;
    let Some((fence, attempts, epoch, first_error)) = won else { return lost(tx, row) };
    let first_error = first_error.as_deref().map(from_json).transpose()?;
    tx.prepare_cached("UPDATE job SET status = ?3 WHERE id = ?1 AND status = ?2")?.execute(params![
        row.job_id,
        JobStatus::Pending.as_str(),
        JobStatus::InProgress.as_str()
    ])?;
    Ok(Claim::Won { fence, attempts, epoch, first_error })
}

/// Why a claim was not won.
fn lost(tx: &Transaction<'_>, row: &Row) -> Result<Claim, Cause> {
    let found: Option<(String, i64, Option<String>)> = tx
        .prepare_cached("SELECT state, lease_until, outcome FROM chunk WHERE job_id = ?1 AND seq = ?2")?
        .query_row(params![row.job_id, row.seq], |chunk| Ok((chunk.get(0)?, chunk.get(1)?, chunk.get(2)?)))
        .optional()?;
    let Some((state, until, outcome)) = found else { return Ok(Claim::Unknown) };
    let outcome: Option<ChunkOutcome> = outcome.as_deref().map(from_json).transpose()?;
    let quarantined = outcome.and_then(|outcome| outcome.quarantined);
    Ok(match state.as_str() {
        "DONE" => Claim::Done { quarantined },
        "SETTLING" => Claim::Settling { quarantined },
        _ => Claim::Held { until: time::from_column(until)? },
    })
}

pub(super) fn renew(
    tx: &Transaction<'_>,
    row: &Row,
    fence: u64,
    now: Timestamp,
    lease: Duration,
) -> Result<bool, Cause> {
    let renewed = tx
        .prepare_cached(
            "UPDATE chunk SET lease_until = ?4
            WHERE job_id = ?1 AND seq = ?2 AND fence = ?3 AND state = 'RUNNING'",
        )?
        .execute(params![row.job_id, row.seq, fence, time::after(now, lease)])?;
    Ok(renewed == 1)
}

pub(super) fn give_back(
    tx: &Transaction<'_>,
    row: &Row,
    fence: u64,
    error: Option<&AttemptError>,
) -> Result<bool, Cause> {
    let error = error.map(to_json).transpose()?;
    let given_back = tx
        .prepare_cached(
            "UPDATE chunk SET state = 'PENDING', lease_until = 0, first_error = ifnull(first_error, ?4)
            WHERE job_id = ?1 AND seq = ?2 AND fence = ?3 AND state = 'RUNNING'",
        )?
        .execute(params![row.job_id, row.seq, fence, error])?;
    if given_back == 1 {
        return Ok(true);
    }
    let was_mine = "SELECT 1 FROM chunk WHERE job_id = ?1 AND seq = ?2 AND fence = ?3 AND state = 'PENDING'";
    Ok(tx.prepare_cached(was_mine)?.exists(params![row.job_id, row.seq, fence])?)
}

pub(super) fn forgive(tx: &Transaction<'_>, row: &Row) -> Result<(), Cause> {
    let sql = "UPDATE chunk SET attempts = 0, first_error = NULL
        WHERE job_id = ?1 AND seq = ?2 AND state = 'PENDING'";
    tx.prepare_cached(sql)?.execute(params![row.job_id, row.seq])?;
    Ok(())
}

/// Gives back every chunk that is being worked on. The attempt counts: its worker may have died of this very chunk.
pub(crate) fn give_back_all(tx: &Transaction<'_>) -> Result<(), Cause> {
    tx.execute("UPDATE chunk SET state = 'PENDING', lease_until = 0 WHERE state = 'RUNNING'", [])?;
    Ok(())
}
