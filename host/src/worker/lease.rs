//! Keeps a chunk ours while it is being handled.

use crate::{
    env::SharedEnv,
    model::ChunkRef,
    store::{Receipt, Stores},
};
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// Prolongs message visibility and chunk lease every third of `lease` until dropped; cancels `lost` as soon as either is
/// somebody else's.
pub(super) struct Heartbeat(tokio::task::JoinHandle<()>);

impl Heartbeat {
    pub(super) fn start(
        stores: &Stores,
        env: &SharedEnv,
        chunk: &ChunkRef,
        fence: u64,
        receipt: &Receipt,
        lease: Duration,
        lost: CancellationToken,
    ) -> Self {
        let (stores, env, receipt) = (stores.clone(), env.clone(), receipt.clone());
        let (job_id, seq) = (chunk.job_id.clone(), chunk.seq);
        Self(tokio::spawn(async move {
            loop {
                env.sleep(lease / 3).await;
                let held = async {
                    Ok::<_, crate::store::StoreError>(
                        stores.queue.extend(&receipt, lease).await?
                            && stores.jobs.renew(&job_id, seq, fence, lease).await?,
                    )
                };
                match held.await {
                    Ok(true) => {}
                    Ok(false) => return lost.cancel(),
                    // Not lost yet: there are two more beats before the lease runs out.
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
