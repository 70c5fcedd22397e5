//! Redrives a quarantined chunk: a chunk (stored part of a job's documents) that was given up and counted as failed is
//! taken out of the job's counters and can be processed again. `epoch` is the redrive count, how often that was done.

use super::{ChunkKey, samples};
use host_core::{
    model::{Counts, JobStatus},
    storage::ChunkOutcome,
};
use host_sqlite::{Cause, from_envelope};
use rusqlite::{OptionalExtension, Transaction, params};

/// Undoes the quarantine, in one transaction. A job keeps the first 20 report entries of a class; entries that were
/// dropped because of those of this chunk do not come back.
pub(super) fn redrive(
    tx: &Transaction<'_>,
    row: &ChunkKey,
    redrive_count: u32,
) -> Result<Option<u32>, Cause> {
    let found: Option<(String, u32, Option<String>)> = tx
        .prepare_cached("SELECT state, epoch, outcome FROM chunk WHERE job_id = ?1 AND seq = ?2")?
        .query_row(params![row.job_id, row.seq], |chunk| Ok((chunk.get(0)?, chunk.get(1)?, chunk.get(2)?)))
        .optional()?;
    let Some((state, current_count, outcome)) = found else { return Ok(None) };
    if state != "DONE" {
        return Ok(Some(current_count));
    }
    let outcome: Option<ChunkOutcome> = outcome.as_deref().map(from_envelope).transpose()?;
    let quarantined =
        outcome.filter(|outcome| outcome.quarantined.is_some() && current_count == redrive_count);
    let Some(outcome) = quarantined else { return Ok(None) };
    let Counts { processed, unchanged, failed, skipped, conflict, deleted } = outcome.counts;
    tx.prepare_cached(
        "UPDATE job SET completed = completed - 1, processed = processed - ?2, unchanged = unchanged - ?3,
            failed = failed - ?4, skipped = skipped - ?5, conflict = conflict - ?6, deleted = deleted - ?7
        WHERE id = ?1",
    )?
    .execute(params![row.job_id, processed, unchanged, failed, skipped, conflict, deleted])?;
    // The job is in progress again, unless it was ended without a seal: such a job can never end by counting.
    tx.prepare_cached(
        "UPDATE job SET status = ?2, ended_at = NULL, error_message = NULL
        WHERE id = ?1 AND ended_at IS NOT NULL AND seal IS NOT NULL",
    )?
    .execute(params![row.job_id, JobStatus::InProgress.as_str()])?;
    samples::remove(tx, &row.job_id, row.seq.into())?;
    tx.prepare_cached(
        "UPDATE chunk SET state = 'PENDING', epoch = epoch + 1, attempts = 0, lease_until = 0, counted = 0,
            outcome = NULL, report = NULL, first_error = NULL
        WHERE job_id = ?1 AND seq = ?2",
    )?
    .execute(params![row.job_id, row.seq])?;
    Ok(Some(redrive_count + 1))
}
