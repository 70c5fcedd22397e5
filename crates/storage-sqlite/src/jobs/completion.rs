//! Counting a chunk exactly once, and ending the job.

use super::{Row, samples};
use host_core::{
    model::{Counts, JobStatus},
    storage::ChunkOutcome,
};
use host_sqlite::Cause;
use host_sqlite::{from_json, to_json};
use rusqlite::{OptionalExtension, Transaction, params};

/// Step (a).
pub(super) fn settle(
    tx: &Transaction<'_>,
    row: &Row,
    fence: u64,
    outcome: &ChunkOutcome,
) -> Result<bool, Cause> {
    let settled = tx
        .prepare_cached(
            "UPDATE chunk SET state = 'SETTLING', outcome = ?4, report = ?5
            WHERE job_id = ?1 AND seq = ?2 AND fence = ?3 AND state = 'RUNNING'",
        )?
        .execute(params![row.job_id, row.seq, fence, to_json(outcome)?, outcome.report])?;
    if settled == 1 {
        return Ok(true);
    }
    // The second call of a holder that did not hear the first answer: its outcome is stored already.
    let was_mine = "SELECT 1 FROM chunk
        WHERE job_id = ?1 AND seq = ?2 AND fence = ?3 AND state IN ('SETTLING', 'DONE')";
    Ok(tx.prepare_cached(was_mine)?.exists(params![row.job_id, row.seq, fence])?)
}

/// Step (b).
pub(super) fn count(tx: &Transaction<'_>, row: &Row, now: i64) -> Result<(), Cause> {
    let outcome: Option<String> = tx
        .prepare_cached(
            "UPDATE chunk SET counted = 1 WHERE job_id = ?1 AND seq = ?2 AND state = 'SETTLING' AND counted = 0
            RETURNING outcome",
        )?
        .query_row(params![row.job_id, row.seq], |chunk| chunk.get(0))
        .optional()?;
    let Some(outcome) = outcome else { return Ok(()) };
    let outcome: ChunkOutcome = from_json(&outcome)?;
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

/// Step (c).
pub(super) fn finish(tx: &Transaction<'_>, row: &Row) -> Result<(), Cause> {
    // Not counted, but redriven: this call was late.
    let sql = "SELECT counted FROM chunk
        WHERE job_id = ?1 AND seq = ?2 AND state <> 'DONE' AND (counted = 1 OR epoch = 0)";
    let counted: Option<bool> =
        tx.prepare_cached(sql)?.query_row(params![row.job_id, row.seq], |chunk| chunk.get(0)).optional()?;
    match counted {
        None => Ok(()),
        // Marked done, it would never be counted and its job would never end.
        Some(false) => Err(Cause::Refused("a chunk that is not counted cannot be finished".to_owned())),
        Some(true) => {
            tx.prepare_cached("UPDATE chunk SET state = 'DONE' WHERE job_id = ?1 AND seq = ?2")?
                .execute(params![row.job_id, row.seq])?;
            Ok(())
        }
    }
}

/// Ends the job if it is sealed, has not ended, and all of its chunks are counted.
pub(super) fn end_if_complete(tx: &Transaction<'_>, job_id: &str, now: i64) -> Result<(), Cause> {
    let counts = tx
        .prepare_cached(
            "UPDATE job SET ended_at = ?2, last_error = NULL WHERE id = ?1 AND ended_at IS NULL AND completed = sealed_chunks
            RETURNING processed, unchanged, failed, skipped, conflict, deleted",
        )?
        .query_row(params![job_id, now], |job| counts(job, 0))
        .optional()?;
    if let Some(counts) = counts {
        tx.prepare_cached("UPDATE job SET status = ?2 WHERE id = ?1")?
            .execute(params![job_id, JobStatus::of_ended(&counts).as_str()])?;
    }
    Ok(())
}

/// The six counters, from column `first` on.
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
