//! Renews the lease of a chunk and the visibility of its message while the chunk is handled.

use host_core::{
    clock::SharedClock,
    storage::{ChunkLease, Receipt, StoreError, Stores},
};
use jiff::Timestamp;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// Renews the chunk's lease and hides its message from others every third of the lease's duration, until dropped.
pub(super) struct Heartbeat(tokio::task::JoinHandle<()>);

/// When a lease was acquired, and for how long.
#[derive(Clone, Copy)]
pub(super) struct LeaseTerm {
    /// A time before the claim was sent, so that the lease never seems to last longer than it does.
    pub(super) claimed_at: Timestamp,
    pub(super) duration: Duration,
}

impl Heartbeat {
    /// Begins to renew. Cancels `lost` as soon as another worker has the chunk or the message, or may have it because
    /// they were not renewed in time.
    pub(super) fn start(
        stores: &Stores,
        clock: &SharedClock,
        lease: &ChunkLease,
        receipt: &Receipt,
        term: LeaseTerm,
        lost: CancellationToken,
    ) -> Self {
        let LeaseTerm { claimed_at, duration } = term;
        let (stores, clock, lease, receipt) = (stores.clone(), clock.clone(), lease.clone(), receipt.clone());
        Self(tokio::spawn(async move {
            let mut renewed_at = claimed_at;
            loop {
                clock.sleep(duration / 3).await;
                let sent_at = clock.now();
                let left = duration.saturating_sub(sent_at.duration_since(renewed_at).unsigned_abs());
                let renewed = async {
                    Ok::<_, StoreError>(
                        stores.queue.change_visibility(&receipt, duration).await?
                            && stores.jobs.renew(&lease, duration).await?,
                    )
                };
                let renewed = tokio::select! {
                    renewed = renewed => renewed,
                    // The lease has expired: another worker may have the chunk, and this one must write nothing more.
                    () = clock.sleep(left) => return lost.cancel(),
                };
                match renewed {
                    Ok(true) => renewed_at = sent_at,
                    Ok(false) => return lost.cancel(),
                    // The lease is not lost yet: the next heartbeat comes before it expires.
                    Err(error) => {
                        tracing::warn!(job_id = %lease.job_id, seq = lease.seq, %error, "could not renew a lease");
                    }
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
