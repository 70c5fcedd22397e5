//! Keeps a chunk ours while it is being handled.

use host_core::{
    clock::SharedEnv,
    model::ChunkRef,
    storage::{Receipt, Stores},
};
use jiff::Timestamp;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// Prolongs message visibility and chunk lease every third of `lease` until dropped; cancels `lost` as soon as either is
/// somebody else's, or may be because it could not be prolonged in time.
pub(super) struct Heartbeat(tokio::task::JoinHandle<()>);

/// What a worker has of a chunk.
#[derive(Clone, Copy)]
pub(super) struct Lease {
    /// When it was asked for.
    pub(super) claimed_at: Timestamp,
    /// For how long, unless prolonged.
    pub(super) duration: Duration,
}

impl Heartbeat {
    pub(super) fn start(
        stores: &Stores,
        env: &SharedEnv,
        chunk: &ChunkRef,
        fence: u64,
        receipt: &Receipt,
        lease: Lease,
        lost: CancellationToken,
    ) -> Self {
        let Lease { claimed_at, duration } = lease;
        let (stores, env, receipt) = (stores.clone(), env.clone(), receipt.clone());
        let (job_id, seq) = (chunk.job_id.clone(), chunk.seq);
        Self(tokio::spawn(async move {
            let mut held_since = claimed_at;
            loop {
                env.sleep(duration / 3).await;
                let asked_at = env.now();
                let left = duration.saturating_sub(asked_at.duration_since(held_since).unsigned_abs());
                let held = async {
                    Ok::<_, host_core::storage::StoreError>(
                        stores.queue.extend(&receipt, duration).await?
                            && stores.jobs.renew(&job_id, seq, fence, duration).await?,
                    )
                };
                let held = tokio::select! {
                    held = held => held,
                    // It has run out: somebody else may have the chunk, and nothing more must be written.
                    () = env.sleep(left) => return lost.cancel(),
                };
                match held {
                    Ok(true) => held_since = asked_at,
                    Ok(false) => return lost.cancel(),
                    // Not lost yet: there are more beats before the lease runs out.
                    Err(error) => tracing::warn!(job_id = %job_id, seq, %error, "could not prolong a lease"),
                }
            }
        }))
    }
}

impl Drop for Heartbeat {
    fn drop(&mut self) {
        self.0.abort();
    }
}
