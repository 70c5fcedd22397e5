//! The changes that an ingest makes to jobs: it creates a job, adds chunks (stored parts of its documents) and seals
//! it, after which no chunk can be added. Also how a job is ended early.

use super::{ChunkKey, completion, samples};
use host_core::{
    model::{ArchiveRefused, ChunkRef, Job, JobId, JobStatus, Seal},
    storage::{AttemptError, SCHEMA},
};
use host_sqlite::{Cause, from_envelope, time, to_envelope, to_json};
use rusqlite::{OptionalExtension, Transaction, params};

/// Creates a job, or returns the stored one with its id. If chunks of other jobs of its index wait, the job gets their
/// number of lanes (all documents of a product must go through one lane), and skips no unchanged products, because
/// these chunks may change them.
pub(super) fn create(tx: &Transaction<'_>, job: &Job) -> Result<Job, Cause> {
    let known: Option<String> = tx
        .prepare_cached("SELECT job FROM job WHERE id = ?1")?
        .query_row([job.id.as_str()], |row| row.get(0))
        .optional()?;
    if let Some(known) = known {
        return from_envelope(&known);
    }
    let sequence = tx
        .prepare_cached(
            "INSERT INTO job_sequence (shop_id, index_name, sequence) VALUES (?1, ?2, 1)
            ON CONFLICT DO UPDATE SET sequence = sequence + 1 RETURNING sequence",
        )?
        .query_row([&job.shop_id, &job.index_name], |row| row.get(0))?;
    let waiting = lanes_of_waiting_chunks(tx, job)?;
    let skips_unchanged = job.skips_unchanged && waiting.is_none();
    let job = Job { sequence, lanes: waiting.unwrap_or(job.lanes), skips_unchanged, ..job.clone() };
    tx.prepare_cached(
        "INSERT INTO job (id, shop_id, created_at, fingerprint, job, status) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
    )?
    .execute(params![
        job.id.as_str(),
        job.shop_id,
        time::to_column(job.created_at),
        job.fingerprint.to_string(),
        to_envelope(&job)?,
        JobStatus::Pending.as_str(),
    ])?;
    Ok(job)
}

/// The number of lanes of the newest job of an index that has not ended or has uncounted chunks.
const WAITING_LANES: &str = "SELECT job ->> 'lanes'
        FROM (SELECT CASE WHEN json_valid(job) THEN job END AS job FROM job
            WHERE shop_id = ?1 AND (ended_at IS NULL OR completed < chunks))
        WHERE job ->> 'index_name' = ?2 AND job ->> 'lanes' > 0
        ORDER BY job ->> 'sequence' DESC LIMIT 1";

/// The number of lanes that waiting chunks of the job's index are distributed over; `None` if none waits, or if the
/// number is not known, as in records of older versions of host.
fn lanes_of_waiting_chunks(tx: &Transaction<'_>, job: &Job) -> Result<Option<u16>, Cause> {
    let mut statement = tx.prepare_cached(WAITING_LANES)?;
    Ok(statement.query_row([&job.shop_id, &job.index_name], |row| row.get(0)).optional()?)
}

/// Ends the other unsealed jobs of an index, except those that a newer version of host or another program wrote.
const SUPERSEDE: &str = "UPDATE job SET status = ?4, ended_at = ?5, error_message = ?6, last_error = NULL
        WHERE shop_id = ?1 AND id <> ?3 AND seal IS NULL AND ended_at IS NULL
            AND CASE WHEN json_valid(job) THEN job ->> 'index_name' = ?2 AND coalesce(job ->> 'schema', 1) <= ?7 END
        RETURNING job ->> 'id'";

pub(super) fn supersede(tx: &Transaction<'_>, by: &Job, now: i64) -> Result<Vec<JobId>, Cause> {
    let message = format!(
        "superseded by job {}, which reads another export into the index, or the same one after a change; what was \
         published before stays counted",
        by.id
    );
    let mut statement = tx.prepare_cached(SUPERSEDE)?;
    let status = JobStatus::Failed.as_str();
    let params = params![by.shop_id, by.index_name, by.id.as_str(), status, now, message, SCHEMA];
    let ids = statement.query_map(params, |row| row.get::<_, String>(0))?;
    ids.map(|id| {
        let id = id?;
        JobId::new(id.as_str()).ok_or_else(|| Cause::Refused(format!("`{id}` is not a valid job id")))
    })
    .collect()
}

pub(super) fn cancel(tx: &Transaction<'_>, job_id: &str, message: &str, now: i64) -> Result<bool, Cause> {
    let cancelled = tx
        .prepare_cached(
            "UPDATE job SET error_message = ?2, status = iif(seal IS NULL, ?3, status),
                ended_at = iif(seal IS NULL, ?4, NULL), last_error = iif(seal IS NULL, NULL, last_error)
            WHERE id = ?1 AND ended_at IS NULL",
        )?
        .execute(params![job_id, message, JobStatus::Failed.as_str(), now])?;
    Ok(cancelled == 1)
}

pub(super) fn record_error(tx: &Transaction<'_>, job_id: &str, error: &AttemptError) -> Result<(), Cause> {
    tx.prepare_cached("UPDATE job SET last_error = ?2 WHERE id = ?1 AND ended_at IS NULL")?
        .execute(params![job_id, to_json(error)?])?;
    Ok(())
}

pub(super) fn record_archiving(
    tx: &Transaction<'_>,
    job_id: &str,
    refused: Option<&ArchiveRefused>,
) -> Result<(), Cause> {
    tx.prepare_cached("UPDATE job SET archive_refused = ?2 WHERE id = ?1")?
        .execute(params![job_id, refused.map(to_json).transpose()?])?;
    Ok(())
}

pub(super) fn add_chunk(tx: &Transaction<'_>, row: &ChunkKey, chunk: &ChunkRef) -> Result<(), Cause> {
    let closed: Option<bool> = tx
        .prepare_cached("SELECT seal IS NOT NULL OR ended_at IS NOT NULL FROM job WHERE id = ?1")?
        .query_row([&row.job_id], |job| job.get(0))
        .optional()?;
    let Some(closed) = closed else {
        return Err(Cause::Refused(format!("there is no job {}", row.job_id)));
    };
    let added = tx
        .prepare_cached("INSERT INTO chunk (job_id, seq, chunk) VALUES (?1, ?2, ?3) ON CONFLICT DO NOTHING")?
        .execute(params![row.job_id, row.seq, to_envelope(chunk)?])?;
    if added == 1 && closed {
        // The error rolls the transaction back.
        return Err(Cause::Refused(format!("job {} is sealed or ended and takes no new chunk", row.job_id)));
    }
    if added == 1 {
        tx.prepare_cached("UPDATE job SET chunks = chunks + 1 WHERE id = ?1")?.execute([&row.job_id])?;
    }
    Ok(())
}

pub(super) fn seal(tx: &Transaction<'_>, job_id: &str, seal: &Seal, now: i64) -> Result<(), Cause> {
    let counts = seal.ingest_counts;
    let sealed = tx
        .prepare_cached(
            "UPDATE job SET seal = ?2, sealed_chunks = ?3, processed = processed + ?4, unchanged = unchanged + ?5,
                failed = failed + ?6, skipped = skipped + ?7, conflict = conflict + ?8, deleted = deleted + ?9
            WHERE id = ?1 AND seal IS NULL AND ended_at IS NULL RETURNING chunks",
        )?
        .query_row(
            params![
                job_id,
                to_json(seal)?,
                seal.chunks,
                counts.processed,
                counts.unchanged,
                counts.failed,
                counts.skipped,
                counts.conflict,
                counts.deleted,
            ],
            |job| job.get::<_, u32>(0),
        )
        .optional()?;
    let Some(chunks) = sealed else {
        let sealed: Option<bool> = tx
            .prepare_cached("SELECT seal IS NOT NULL FROM job WHERE id = ?1")?
            .query_row([job_id], |job| job.get(0))
            .optional()?;
        return match sealed {
            Some(true) => Ok(()),
            Some(false) => {
                Err(Cause::Refused(format!("job {job_id} was superseded by another or cancelled")))
            }
            None => Err(Cause::Refused(format!("there is no job {job_id}"))),
        };
    };
    if chunks != seal.chunks {
        // The error rolls the transaction back. A job with this seal would end too early or never.
        let expected = seal.chunks;
        return Err(Cause::Refused(format!(
            "job {job_id} has {chunks} chunks, its seal speaks of {expected}"
        )));
    }
    samples::add(tx, job_id, samples::OF_SEAL, &seal.samples)?;
    completion::end_if_complete(tx, job_id, now)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::{
        super::{lease::RELEASE_ORPHANED, snapshot::UNFINISHED},
        *,
    };
    use host_sqlite::Database;

    /// A regression test: once each new job of a shop read all of its earlier jobs, and a start took seconds after a
    /// year of syncs.
    #[tokio::test]
    async fn statements_about_open_jobs_use_the_indexes_of_open_jobs() {
        let dir = tempfile::tempdir().unwrap();
        let database = Database::open(&dir.path().join("host.db")).unwrap();
        for (sql, index) in [
            (WAITING_LANES, "job_open"),
            (SUPERSEDE, "job_open"),
            (UNFINISHED, "job_unfinished"),
            (RELEASE_ORPHANED, "job_open"),
        ] {
            let explain = move |tx: &Transaction<'_>| {
                let mut statement = tx.prepare(&format!("EXPLAIN QUERY PLAN {sql}"))?;
                let steps = statement.raw_query();
                Ok(steps.mapped(|row| row.get::<_, String>("detail")).collect::<Result<Vec<_>, _>>()?)
            };
            let plan = database.read(explain).await.unwrap().join("\n");
            assert!(plan.contains(index), "{sql}\n{plan}");
        }
    }
}
