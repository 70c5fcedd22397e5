//! Completes a chunk (some of a job's documents): adds its outcome to the job's counters exactly once, and ends the job
//! with its last chunk. A chunk row's state is PENDING, RUNNING (claimed), SETTLING (its outcome is stored) or DONE;
//! `fence` is its fencing token, the number of its claims.

use super::{ChunkKey, samples};
use host_core::{
    model::{Counts, JobStatus},
    storage::{ChunkOutcome, Completion},
};
use host_sqlite::{Cause, from_envelope, to_envelope};
use rusqlite::{OptionalExtension, Transaction, params};

/// Stores the outcome, counts the chunk and marks it done, in one transaction.
pub(super) fn complete(
    tx: &Transaction<'_>,
    row: &ChunkKey,
    fencing_token: u64,
    outcome: &ChunkOutcome,
    now: i64,
) -> Result<Completion, Cause> {
    let recorded = tx
        .prepare_cached(
            "UPDATE chunk SET state = 'SETTLING', outcome = ?4, report = ?5
            WHERE job_id = ?1 AND seq = ?2 AND fence = ?3 AND state = 'RUNNING'",
        )?
        .execute(params![row.job_id, row.seq, fencing_token, to_envelope(outcome)?, outcome.report])?;
    // A worker that did not get the answer to its first call calls again: then its outcome is stored already.
    let was_mine = "SELECT 1 FROM chunk
        WHERE job_id = ?1 AND seq = ?2 AND fence = ?3 AND state IN ('SETTLING', 'DONE')";
    if recorded == 0 && !tx.prepare_cached(was_mine)?.exists(params![row.job_id, row.seq, fencing_token])? {
        return Ok(Completion::LeaseLost);
    }
    Ok(if finish(tx, row, now)? { Completion::JobEnded } else { Completion::Counted })
}

/// Counts a chunk whose outcome is stored, and marks it done; returns whether the job ends with it. Older versions of
/// host stored the outcome, counted and marked in separate transactions, and may have crashed in between; this finishes
/// what they left.
pub(super) fn finish(tx: &Transaction<'_>, row: &ChunkKey, now: i64) -> Result<bool, Cause> {
    let outcome: Option<String> = tx
        .prepare_cached(
            "UPDATE chunk SET counted = 1 WHERE job_id = ?1 AND seq = ?2 AND state = 'SETTLING' AND counted = 0
            RETURNING outcome",
        )?
        .query_row(params![row.job_id, row.seq], |chunk| chunk.get(0))
        .optional()?;
    let has_ended = match outcome {
        Some(outcome) => add_to_job(tx, row, &from_envelope(&outcome)?, now)?,
        None => false,
    };
    tx.prepare_cached(
        "UPDATE chunk SET state = 'DONE' WHERE job_id = ?1 AND seq = ?2 AND state = 'SETTLING'",
    )?
    .execute(params![row.job_id, row.seq])?;
    Ok(has_ended)
}

/// Adds the outcome of a chunk to its job's counters and samples; returns whether the job ends with it.
fn add_to_job(tx: &Transaction<'_>, row: &ChunkKey, outcome: &ChunkOutcome, now: i64) -> Result<bool, Cause> {
    let Counts { processed, unchanged, failed, skipped, conflict, deleted } = outcome.counts;
    tx.prepare_cached(
        "UPDATE job SET completed = completed + 1, processed = processed + ?2, unchanged = unchanged + ?3,
            failed = failed + ?4, skipped = skipped + ?5, conflict = conflict + ?6, deleted = deleted + ?7
        WHERE id = ?1",
    )?
    .execute(params![row.job_id, processed, unchanged, failed, skipped, conflict, deleted])?;
    samples::add(tx, &row.job_id, row.seq.into(), &outcome.samples)?;
    end_if_complete(tx, &row.job_id, now)
}

/// Ends the job if it is sealed, has not ended, and all of its chunks are counted; returns whether it has ended now.
pub(super) fn end_if_complete(tx: &Transaction<'_>, job_id: &str, now: i64) -> Result<bool, Cause> {
    let counts = tx
        .prepare_cached(
            "UPDATE job SET ended_at = ?2, last_error = NULL WHERE id = ?1 AND ended_at IS NULL AND completed = sealed_chunks
            RETURNING processed, unchanged, failed, skipped, conflict, deleted",
        )?
        .query_row(params![job_id, now], |job| counts(job, 0))
        .optional()?;
    if let Some(counts) = counts {
        tx.prepare_cached("UPDATE job SET status = ?2 WHERE id = ?1")?
            .execute(params![job_id, JobStatus::from_final_counts(&counts).as_str()])?;
    }
    Ok(counts.is_some())
}

/// The six counters of a row, from column `first` on.
pub(super) fn counts(row: &rusqlite::Row<'_>, first: usize) -> rusqlite::Result<Counts> {
    Ok(Counts {
        processed: row.get(first)?,
        unchanged: row.get(first + 1)?,
        failed: row.get(first + 2)?,
        skipped: row.get(first + 3)?,
        conflict: row.get(first + 4)?,
        deleted: row.get(first + 5)?,
    })
}
