//! Cancels a job: counts its chunks that are not written yet as failed, so that they no longer hold back later chunks
//! of their lanes.

use super::chunk::quarantine;
use host_core::{
    model::{ChunkRef, JobId},
    storage::{ChunkOutcome, Claim, QuarantineReason, StoreError, Stores},
};
use std::time::Duration;

/// Lease of a chunk while it is counted as failed, which takes a few calls of the stores.
const LEASE: Duration = Duration::from_secs(60);

/// The result of a cancellation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cancelled {
    /// The job had ended already.
    AlreadyEnded,
    /// The job is cancelled, except for chunks that workers are writing at this moment; they finish them.
    Done {
        /// Number of these chunks.
        in_progress: u32,
    },
}

/// Cancels a job. Chunks that are not written and not claimed are counted as failed with the code `cancelled`; a worker
/// that receives their messages finds them done. No process may ingest for the job. A repeated call resumes the first.
pub async fn cancel(stores: &Stores, id: &JobId) -> Result<Cancelled, StoreError> {
    let had_ended = !stores.jobs.cancel(id, "the job was cancelled").await?;
    let Some(job) = stores.jobs.get(id).await? else { return Ok(Cancelled::AlreadyEnded) };
    // A job that ended before its seal, as superseded, may have left chunks in the queue.
    if had_ended && job.completed_chunks == job.chunks {
        return Ok(Cancelled::AlreadyEnded);
    }
    let mut in_progress = 0;
    for seq in 0..job.chunks {
        let Some(chunk) = stores.jobs.chunk(id, seq).await? else { continue };
        if !cancel_chunk(stores, &chunk).await? {
            in_progress += 1;
        }
    }
    Ok(Cancelled::Done { in_progress })
}

/// Counts a chunk as failed unless it is done. False if a worker is writing it.
async fn cancel_chunk(stores: &Stores, chunk: &ChunkRef) -> Result<bool, StoreError> {
    match stores.jobs.claim(&chunk.job_id, chunk.seq, LEASE).await? {
        Claim::Acquired(lease) => {
            let reason =
                QuarantineReason::new("cancelled", "the job was cancelled before the chunk was written");
            let outcome = quarantine(stores.chunks.as_ref(), chunk, &lease, reason).await?;
            // No dead letter: the chunk is given up on purpose, and its message is acknowledged.
            let outcome = ChunkOutcome { quarantined: None, ..outcome };
            Ok(stores.jobs.complete(&lease, &outcome).await?.is_counted())
        }
        Claim::Held { .. } => Ok(false),
        Claim::Done { .. } | Claim::Unknown => Ok(true),
    }
}
