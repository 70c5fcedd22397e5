//! Ingest's side: create, add chunks, seal.

use super::{ChunkKey, completion, samples};
use host_core::{
    model::{ChunkRef, Job, JobId, JobStatus, Seal},
    storage::{AttemptError, SCHEMA},
};
use host_sqlite::{Cause, from_envelope, time, to_envelope, to_json};
use rusqlite::{OptionalExtension, Transaction, params};

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

const WAITING_LANES: &str = "SELECT job ->> 'lanes'
        FROM (SELECT CASE WHEN json_valid(job) THEN job END AS job FROM job
            WHERE shop_id = ?1 AND (ended_at IS NULL OR completed < chunks))
        WHERE job ->> 'index_name' = ?2 AND job ->> 'lanes' > 0
        ORDER BY job ->> 'sequence' DESC LIMIT 1";

/// The number of lanes that chunks of the job's index wait in, if any waits and the number is known.
fn lanes_of_waiting_chunks(tx: &Transaction<'_>, job: &Job) -> Result<Option<u16>, Cause> {
    let mut statement = tx.prepare_cached(WAITING_LANES)?;
    Ok(statement.query_row([&job.shop_id, &job.index_name], |row| row.get(0)).optional()?)
}

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
        // The transaction is rolled back.
        return Err(Cause::Refused(format!("job {} is sealed or ended and takes no new chunk", row.job_id)));
    }
    if added == 1 {
        tx.prepare_cached("UPDATE job SET chunks = chunks + 1 WHERE id = ?1")?.execute([&row.job_id])?;
    }
    Ok(())
}

pub(super) fn seal(tx: &Transaction<'_>, job_id: &str, seal: &Seal, now: i64) -> Result<(), Cause> {
    let refused = seal.ingest_counts;
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
                refused.processed,
                refused.unchanged,
                refused.failed,
                refused.skipped,
                refused.conflict,
                refused.deleted,
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
        // The transaction is rolled back. A job sealed so would end too early or never.
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

    /// Faults of before: each new job of a shop read all that it had had, and a start took seconds after a year.
    #[tokio::test]
    async fn what_looks_for_open_jobs_reads_their_indexes_alone() {
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
