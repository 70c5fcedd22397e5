//! Messages that somebody else has received, a number of them at once: what a function is invoked with. Until they are
//! begun they stay hidden by what their receiver asked for: for as long as a function may run.

use super::run::{Handled, Leave, Worker};
use futures::StreamExt;
use host_core::{
    error::chain,
    storage::{Delivery, Receipt},
};
use jiff::Timestamp;
use std::{
    collections::{BTreeMap, HashSet},
    sync::Arc,
    time::Duration,
};
use tokio_util::sync::CancellationToken;

/// How much time there is.
#[derive(Clone, Copy, Debug)]
pub struct Budget {
    /// No chunk is begun after this instant.
    pub begin_until: Timestamp,
    /// A chunk that is not done at this instant is left for later.
    pub work_until: Timestamp,
}

impl Worker {
    /// Handles messages, lanes side by side and each in its order. Returns the receipts of those that are done with. The
    /// others are in the queue and come again, with everything behind them in their lanes.
    pub async fn run_batch(self: &Arc<Self>, deliveries: Vec<Delivery>, budget: Budget) -> HashSet<Receipt> {
        let mut lanes: BTreeMap<(String, u16), Vec<Delivery>> = BTreeMap::new();
        for delivery in deliveries {
            lanes.entry((delivery.shop_id.clone(), delivery.chunk.lane)).or_default().push(delivery);
        }
        let at_once = self.settings.concurrency.max(1);
        let lanes: Vec<_> = lanes.into_values().map(|lane| self.run_lane(lane, budget)).collect();
        let done = futures::stream::iter(lanes).buffer_unordered(at_once).concat().await;
        done.into_iter().collect()
    }

    /// One lane: what comes behind a message that is left waits for it.
    async fn run_lane(&self, lane: Vec<Delivery>, budget: Budget) -> Vec<Receipt> {
        let mut done = Vec::new();
        let mut is_blocked = false;
        for delivery in lane {
            let receipt = delivery.receipt.clone();
            is_blocked |= self.env.now() >= budget.begin_until;
            if is_blocked {
                if let Err(error) = self.stores.queue.release(&receipt, Duration::ZERO).await {
                    // Its visibility ends by itself.
                    tracing::warn!(
                        key = delivery.chunk.key,
                        cause = chain(&error),
                        "a message could not be given back"
                    );
                }
                continue;
            }
            match self.handle(delivery, &Leave::At(budget.work_until), &CancellationToken::new()).await {
                Ok(Handled::Settled) => done.push(receipt),
                Ok(Handled::Left) => is_blocked = true,
                Err(stop) => {
                    tracing::error!(cause = chain(&*stop), "somebody must act before this can go on");
                    is_blocked = true;
                }
            }
        }
        done
    }
}
