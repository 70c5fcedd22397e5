//! Giving a job up: what nobody has written yet is counted as failed, so that the chunks behind it are free.

use super::{chunk::give_up, run::finish};
use host_core::{
    model::{ChunkRef, JobId},
    storage::{Claim, GivenUp, StoreError, Stores},
};
use std::time::Duration;

/// For how long a chunk is ours while it is given up.
const LEASE: Duration = Duration::from_secs(60);

/// What became of a job that somebody wanted to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cancelled {
    /// It had ended already.
    TooLate,
    /// It is given up, but for so many chunks that workers hold: these they bring to their end.
    Given {
        /// Number of chunks.
        held: u32,
    },
}

/// Gives a job up. Its chunks that nobody has written or holds are counted as failed with the code `cancelled`; a worker
/// that meets their messages finds them done. Nobody may be ingesting for the job. The second call goes on with the first.
pub async fn cancel(stores: &Stores, id: &JobId) -> Result<Cancelled, StoreError> {
    let ended = !stores.jobs.cancel(id, "the job was cancelled").await?;
    let Some(job) = stores.jobs.get(id).await? else { return Ok(Cancelled::TooLate) };
    // One that ended unsealed may have left chunks in the queue.
    if ended && job.completed_chunks == job.chunks {
        return Ok(Cancelled::TooLate);
    }
    let mut held = 0;
    for seq in 0..job.chunks {
        let Some(chunk) = stores.jobs.chunk(id, seq).await? else { continue };
        let reason = GivenUp::new("cancelled", "the job was cancelled before the chunk was written");
        if !end(stores, &chunk, reason).await? {
            held += 1;
        }
    }
    Ok(Cancelled::Given { held })
}

/// Ends one chunk; false if a worker holds it.
async fn end(stores: &Stores, chunk: &ChunkRef, mut reason: GivenUp) -> Result<bool, StoreError> {
    let jobs = stores.jobs.as_ref();
    match jobs.claim(&chunk.job_id, chunk.seq, LEASE).await? {
        Claim::Won { fence, epoch, .. } => {
            reason.epoch = epoch;
            let outcome = give_up(stores.chunks.as_ref(), chunk, reason).await?;
            if !jobs.settle(&chunk.job_id, chunk.seq, fence, &outcome).await? {
                return Ok(false);
            }
            finish(jobs, chunk).await?;
        }
        Claim::Settling { .. } => finish(jobs, chunk).await?,
        Claim::Held { .. } => return Ok(false),
        Claim::Done { .. } | Claim::Unknown => {}
    }
    Ok(true)
}
