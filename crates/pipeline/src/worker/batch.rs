//! Handles a batch of messages that the AWS Lambda service has received from the queue and handed to a function.
//! Until a chunk is begun, its message is invisible to others for the queue's own visibility timeout, which is as
//! long as a function may run.

use super::{
    Worker,
    breaker::is_near_receive_limit,
    failure_policy::requeue_delay,
    handle::{AttemptDeadline, Handled, StopPolicy},
};
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

/// The deadlines of a batch.
#[derive(Clone, Copy, Debug)]
pub struct Deadlines {
    /// No chunk is begun after this instant.
    pub begin_until: Timestamp,
    /// A chunk that is not done at this instant is requeued.
    pub work_until: Timestamp,
}

impl Worker {
    /// Handles messages, lanes side by side and each in its order. Returns the receipts of those that are
    /// acknowledged. The others are in the queue and are redelivered, with everything after them in their lanes.
    pub async fn run_batch(
        self: &Arc<Self>,
        deliveries: Vec<Delivery>,
        deadlines: Deadlines,
    ) -> HashSet<Receipt> {
        let mut lanes: BTreeMap<(String, u16), Vec<Delivery>> = BTreeMap::new();
        for delivery in deliveries {
            lanes.entry((delivery.shop_id.clone(), delivery.chunk.lane)).or_default().push(delivery);
        }
        let concurrency = self.settings.concurrency.max(1);
        let lanes: Vec<_> = lanes.into_values().map(|lane| self.run_lane(lane, deadlines)).collect();
        let done = futures::stream::iter(lanes).buffer_unordered(concurrency).concat().await;
        self.refresh_open_breakers().await;
        done.into_iter().collect()
    }

    /// Whether the queue is about to take the message away because of its many deliveries, which would leave the
    /// chunk uncounted. Such a chunk is begun however little time is left.
    fn is_last_chance(&self, delivery: &Delivery) -> bool {
        is_near_receive_limit(self.stores.queue.receive_limit(), delivery.receive_count)
    }

    /// Handles the messages of one lane, in order. If one is not begun or is requeued, those after it wait for the
    /// same time.
    async fn run_lane(&self, lane: Vec<Delivery>, deadlines: Deadlines) -> Vec<Receipt> {
        let mut done = Vec::new();
        let mut blocked: Option<Duration> = None;
        for delivery in lane {
            let receipt = delivery.receipt.clone();
            if blocked.is_none()
                && self.clock.now() >= deadlines.begin_until
                && !self.is_last_chance(&delivery)
            {
                blocked = Some(requeue_delay(delivery.receive_count));
            }
            if let Some(delay) = blocked {
                if let Err(error) = self.stores.queue.release(&receipt, delay).await {
                    // No harm: the message is visible again once its visibility timeout expires.
                    tracing::warn!(
                        key = delivery.chunk.key,
                        cause = chain(&error),
                        "could not release a message"
                    );
                }
                continue;
            }
            match self.handle(delivery, &AttemptDeadline::At(deadlines.work_until), &StopPolicy::Wait).await {
                Ok(Handled::Acked) => done.push(receipt),
                Ok(Handled::Requeued(delay)) => blocked = Some(delay),
                Err(stop) => {
                    tracing::error!(cause = chain(&*stop), "cannot continue until the cause is fixed");
                    blocked = Some(self.lease());
                }
            }
        }
        done
    }
}
