//! Leases of chunks (stored parts of a job's documents): a worker claims a chunk, renews the lease, and releases it. In
//! a chunk row, `fence` is the fencing token, the number of claims; `epoch` is the redrive count, how often an operator
//! has sent the chunk's dead letter to the queue again.

use super::{ChunkKey, completion};
use host_core::{
    model::{JobId, JobStatus},
    storage::{AttemptError, ChunkLease, ChunkOutcome, Claim, Release, latest_lease_end},
};
use host_sqlite::{Cause, from_envelope, from_json, time, to_json};
use jiff::Timestamp;
use rusqlite::{OptionalExtension, Transaction, params};
use std::time::Duration;

/// Claims a chunk that is free, or whose lease has expired: its end is past, or so far in the future that a wrong clock
/// wrote it.
pub(super) fn claim(
    tx: &Transaction<'_>,
    id: &JobId,
    row: &ChunkKey,
    now: Timestamp,
    duration: Duration,
) -> Result<Claim, Cause> {
    let acquired = tx
        .prepare_cached(
            "UPDATE chunk SET state = 'RUNNING', fence = fence + 1, attempts = attempts + 1, lease_until = ?4
            WHERE job_id = ?1 AND seq = ?2 AND (state = 'PENDING' OR (state = 'RUNNING' AND lease_until NOT BETWEEN ?3 + 1 AND ?5))
            RETURNING fence, attempts, epoch, first_error",
        )?
        .query_row(
            params![
                row.job_id,
                row.seq,
                time::to_column(now),
                time::after(now, duration),
                time::to_column(latest_lease_end(now, duration))
            ],
            |chunk| Ok((chunk.get(0)?, chunk.get(1)?, chunk.get(2)?, chunk.get::<_, Option<String>>(3)?)),
        )
        .optional()?;
    let Some((fencing_token, attempts, redrive_count, first_error)) = acquired else {
        return refused_claim(tx, row, now);
    };
    let first_error: Option<AttemptError> = first_error.as_deref().map(from_json).transpose()?;
    tx.prepare_cached("UPDATE job SET status = ?3 WHERE id = ?1 AND status = ?2")?.execute(params![
        row.job_id,
        JobStatus::Pending.as_str(),
        JobStatus::InProgress.as_str()
    ])?;
    let (job_id, seq) = (id.clone(), row.seq);
    Ok(Claim::Acquired(ChunkLease { job_id, seq, fencing_token, attempts, redrive_count, first_error }))
}

/// Why a claim was refused. A completion that an older version of host left unfinished is finished here.
fn refused_claim(tx: &Transaction<'_>, row: &ChunkKey, now: Timestamp) -> Result<Claim, Cause> {
    let found: Option<(String, i64, Option<String>)> = tx
        .prepare_cached("SELECT state, lease_until, outcome FROM chunk WHERE job_id = ?1 AND seq = ?2")?
        .query_row(params![row.job_id, row.seq], |chunk| Ok((chunk.get(0)?, chunk.get(1)?, chunk.get(2)?)))
        .optional()?;
    let Some((state, until, outcome)) = found else { return Ok(Claim::Unknown) };
    match state.as_str() {
        "DONE" => {}
        "SETTLING" => {
            completion::finish(tx, row, time::to_column(now))?;
        }
        _ => return Ok(Claim::Held { until: time::from_column(until)? }),
    }
    let outcome: Option<ChunkOutcome> = outcome.as_deref().map(from_envelope).transpose()?;
    Ok(Claim::Done { quarantined: outcome.and_then(|outcome| outcome.quarantined) })
}

pub(super) fn renew(
    tx: &Transaction<'_>,
    row: &ChunkKey,
    fencing_token: u64,
    now: Timestamp,
    duration: Duration,
) -> Result<bool, Cause> {
    let renewed = tx
        .prepare_cached(
            "UPDATE chunk SET lease_until = ?4
            WHERE job_id = ?1 AND seq = ?2 AND fence = ?3 AND state = 'RUNNING'",
        )?
        .execute(params![row.job_id, row.seq, fencing_token, time::after(now, duration)])?;
    Ok(renewed == 1)
}

pub(super) fn release(
    tx: &Transaction<'_>,
    row: &ChunkKey,
    fencing_token: u64,
    release: Release<'_>,
) -> Result<bool, Cause> {
    let released = match release {
        Release::CountAttempt(error) => tx
            .prepare_cached(
                "UPDATE chunk SET state = 'PENDING', lease_until = 0, first_error = ifnull(first_error, ?4)
                WHERE job_id = ?1 AND seq = ?2 AND fence = ?3 AND state = 'RUNNING'",
            )?
            .execute(params![row.job_id, row.seq, fencing_token, error.map(to_json).transpose()?])?,
        Release::ResetAttempts => tx
            .prepare_cached(
                "UPDATE chunk SET state = 'PENDING', lease_until = 0, attempts = 0, first_error = NULL
                WHERE job_id = ?1 AND seq = ?2 AND fence = ?3 AND state = 'RUNNING'",
            )?
            .execute(params![row.job_id, row.seq, fencing_token])?,
    };
    if released == 1 {
        return Ok(true);
    }
    // A worker that did not get the answer to its first call calls again: then the chunk is free, and no worker has
    // claimed it since.
    let was_mine = "SELECT 1 FROM chunk WHERE job_id = ?1 AND seq = ?2 AND fence = ?3 AND state = 'PENDING'";
    Ok(tx.prepare_cached(was_mine)?.exists(params![row.job_id, row.seq, fencing_token])?)
}

/// Releases the claimed chunks of jobs that have uncounted chunks.
pub(super) const RELEASE_ORPHANED: &str = "UPDATE chunk SET state = 'PENDING', lease_until = 0
        WHERE job_id IN (SELECT id FROM job WHERE completed < chunks) AND state = 'RUNNING'";

/// Releases every claimed chunk; called when no other worker is alive. The attempt counts, because the chunk may have
/// crashed its worker. The statement looks for jobs with uncounted chunks first, which are few, instead of reading all
/// chunks.
pub(crate) fn release_orphaned(tx: &Transaction<'_>) -> Result<(), Cause> {
    tx.execute(RELEASE_ORPHANED, [])?;
    Ok(())
}
