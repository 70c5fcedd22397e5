//! The samples of a job: its first report entries of each class (skipped, failed, conflict, warning), in the order of
//! its chunks, whatever the order in which these were counted.

use host_core::model::{EntryClass, ReportEntry};
use host_sqlite::Cause;
use host_sqlite::{from_json, to_json};
use rusqlite::{Transaction, params};
use std::collections::HashMap;

/// Samples of each class that a job keeps.
const PER_CLASS: usize = 20;

/// The sequence number under which ingest's samples, which come with the seal, are stored: before all chunks.
pub(super) const OF_SEAL: i64 = -1;

/// Name of a class in the table.
fn name(class: EntryClass) -> &'static str {
    match class {
        EntryClass::Skipped => "skipped",
        EntryClass::Failed => "failed",
        EntryClass::Conflict => "conflict",
        EntryClass::Warning => "warning",
    }
}

/// Adds the samples of a chunk, and drops those that are then beyond the first [`PER_CLASS`] of their class. A dropped
/// sample is never missed, because more samples can only move it further back.
pub(super) fn add(
    tx: &Transaction<'_>,
    job_id: &str,
    seq: i64,
    entries: &[ReportEntry],
) -> Result<(), Cause> {
    for class in [EntryClass::Skipped, EntryClass::Failed, EntryClass::Conflict, EntryClass::Warning] {
        let mut insert = tx.prepare_cached("INSERT INTO sample VALUES (?1, ?2, ?3, ?4, ?5)")?;
        let of_class = entries.iter().enumerate().filter(|(_, entry)| entry.class == class);
        let mut added = 0;
        for (position, entry) in of_class.take(PER_CLASS) {
            added += insert.execute(params![job_id, name(class), seq, position, to_json(entry)?])?;
        }
        if added > 0 {
            tx.prepare_cached(
                "DELETE FROM sample WHERE job_id = ?1 AND class = ?2 AND (seq, position) IN (
                    SELECT seq, position FROM sample WHERE job_id = ?1 AND class = ?2
                    ORDER BY seq, position LIMIT -1 OFFSET ?3)",
            )?
            .execute(params![job_id, name(class), PER_CLASS])?;
        }
    }
    Ok(())
}

/// Removes the samples of a chunk.
pub(super) fn remove(tx: &Transaction<'_>, job_id: &str, seq: i64) -> Result<(), Cause> {
    tx.prepare_cached("DELETE FROM sample WHERE job_id = ?1 AND seq = ?2")?.execute(params![job_id, seq])?;
    Ok(())
}

/// The samples of some jobs, each job's in chunk order.
pub(super) fn of_jobs(
    tx: &Transaction<'_>,
    job_ids: &[String],
) -> Result<HashMap<String, Vec<ReportEntry>>, Cause> {
    let mut samples: HashMap<String, Vec<ReportEntry>> = HashMap::new();
    let mut statement = tx.prepare_cached(
        "SELECT job_id, entry FROM sample WHERE job_id IN (SELECT value FROM json_each(?1)) ORDER BY seq, position",
    )?;
    let rows =
        statement.query_map([to_json(&job_ids)?], |row| Ok((row.get(0)?, row.get::<_, String>(1)?)))?;
    for row in rows {
        let (job_id, entry) = row?;
        samples.entry(job_id).or_default().push(from_json(&entry)?);
    }
    Ok(samples)
}
