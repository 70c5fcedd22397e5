//! Works the queues of many shops side by side: fair between them, and quiet while there is nothing to do.
//!
//! Shops with messages wait in one line for permits, and each handles one message before it queues for the next one.
//! A shop without messages leaves the line and long-polls its queue.

use super::{Stop, Worker, handle::OnStop};
use host_core::{
    error::chain,
    storage::{Delivery, StoreError, StoreErrorKind},
};
use std::{collections::HashSet, sync::Arc, time::Duration};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    task::JoinSet,
};
use tokio_util::sync::CancellationToken;

/// Interval at which queues of new shops are looked for.
const SHOP_POLL_INTERVAL: Duration = Duration::from_secs(30);
/// Wait time of one call on an empty queue: SQS's maximum.
const LONG_POLL: Duration = Duration::from_secs(20);
/// How much later its answer may arrive here.
const RESPONSE_MARGIN: Duration = Duration::from_secs(5);
/// Wait after a receive that failed.
const RECEIVE_RETRY: Duration = Duration::from_secs(15);

impl Worker {
    /// Works the queues of all shops, or only of one, until cancelled; chunks in progress are then finished, or requeued
    /// after the shutdown timeout. Chunks of an index on which work is stopped wait for its circuit breaker, the others continue.
    /// Fails only if the shops cannot be listed at the start.
    pub async fn run_all(
        self: &Arc<Self>,
        only: Option<&str>,
        cancel: &CancellationToken,
    ) -> Result<(), Stop> {
        let permits = Arc::new(Semaphore::new(self.settings.concurrency.max(1)));
        let mut known = HashSet::new();
        let mut shops = JoinSet::new();
        let mut is_first = true;
        while !cancel.is_cancelled() {
            let listed = match only {
                Some(shop) => Ok(vec![shop.to_owned()]),
                None => self.stores.queue.shops().await,
            };
            match listed {
                Ok(found) => {
                    for shop_id in found {
                        if known.insert(shop_id.clone()) {
                            let (permits, cancel) = (permits.clone(), cancel.clone());
                            let shop = Shop { worker: Arc::clone(self), shop_id, permits, cancel };
                            shops.spawn(shop.run());
                        }
                    }
                }
                Err(error) if is_first && error.kind == StoreErrorKind::Permanent => {
                    let key = "the list of queues".to_owned();
                    return Err(Stop { key, job_id: None, attempts: 1, error: error.into() });
                }
                Err(error) => tracing::warn!(cause = chain(&error), "could not look for queues of new shops"),
            }
            is_first = false;
            self.refresh_open_breakers().await;
            tokio::select! {
                () = self.clock.sleep(SHOP_POLL_INTERVAL) => {}
                () = cancel.cancelled() => {}
            }
        }
        while shops.join_next().await.is_some() {}
        Ok(())
    }
}

/// One shop's queue.
struct Shop {
    worker: Arc<Worker>,
    shop_id: String,
    permits: Arc<Semaphore>,
    cancel: CancellationToken,
}

impl Shop {
    async fn run(self) {
        let mut chunks = JoinSet::new();
        let mut last_poll_empty = false;
        while !self.cancel.is_cancelled() {
            while chunks.try_join_next().is_some() {}
            match self.next(&mut last_poll_empty).await {
                Ok(Some((delivery, permit))) => {
                    let handle = self.worker.handle_in_span(delivery, &self.cancel, &OnStop::Wait);
                    chunks.spawn(async move {
                        if let Err(stop) = handle.await {
                            tracing::error!(
                                cause = chain(&*stop),
                                "cannot continue until the cause is fixed"
                            );
                        }
                        drop(permit);
                    });
                }
                Ok(None) => {}
                Err(error) => {
                    tracing::warn!(
                        shop_id = self.shop_id,
                        cause = chain(&error),
                        "could not receive; retrying"
                    );
                    self.sleep(RECEIVE_RETRY).await;
                }
            }
        }
        while chunks.join_next().await.is_some() {}
    }

    async fn sleep(&self, duration: Duration) {
        tokio::select! {
            () = self.worker.clock.sleep(duration) => {}
            () = self.cancel.cancelled() => {}
        }
    }

    /// Returns when a long poll that was in flight at the cancellation has had its time. Dropping the request does not cancel
    /// it: SQS may still hand out a message, invisible until its timeout
    /// (<https://github.com/aws/aws-sdk-js/issues/2350>).
    async fn long_poll_drained(&self) {
        self.cancel.cancelled().await;
        self.worker.clock.sleep(LONG_POLL + RESPONSE_MARGIN).await;
    }

    /// The next message and a permit to handle it; none if there was nothing for a while. After an empty poll, the queue is
    /// long-polled without a short poll first, since each call is billed.
    async fn next(
        &self,
        last_poll_empty: &mut bool,
    ) -> Result<Option<(Delivery, OwnedSemaphorePermit)>, StoreError> {
        let (queue, lease) = (&self.worker.stores.queue, self.worker.settings.lease);
        let may_begin = || !self.cancel.is_cancelled();
        if !*last_poll_empty {
            let permit = tokio::select! {
                permit = self.permits.clone().acquire_owned() => permit,
                () = self.cancel.cancelled() => return Ok(None),
            };
            let Ok(permit) = permit else { return Ok(None) };
            if let Some(delivery) = queue.receive(&self.shop_id, 1, lease).await?.pop() {
                if may_begin() {
                    return Ok(Some((delivery, permit)));
                }
                queue.release(&delivery.receipt, Duration::ZERO).await?;
                return Ok(None);
            }
            // Nothing there, or its lanes are busy: the permit is for others.
            drop(permit);
        }
        *last_poll_empty = false;
        let waiting_since = self.worker.clock.now();
        let delivery = tokio::select! {
            delivery = queue.long_poll(&self.shop_id, lease, LONG_POLL) => delivery?,
            () = self.long_poll_drained() => None,
        };
        let Some(delivery) = delivery else {
            *last_poll_empty = true;
            // A backend without long polling has answered immediately.
            let waited = self.worker.clock.now().duration_since(waiting_since).unsigned_abs();
            self.sleep(self.worker.settings.poll_interval.saturating_sub(waited)).await;
            return Ok(None);
        };
        match self.permits.clone().try_acquire_owned() {
            Ok(permit) if may_begin() => Ok(Some((delivery, permit))),
            _ => {
                queue.release(&delivery.receipt, Duration::ZERO).await?;
                Ok(None)
            }
        }
    }
}
