//! Works the queues of many shops side by side: fair between them, and quiet while there is nothing to do.
//!
//! One call an interval says which shops may have messages; only these are worked, so that what a worker holds and
//! does grows with them, not with all shops. They wait in one line for permits, and each handles one message before
//! it queues for the next one. A shop whose queue is empty leaves the line and long-polls, in turn with the others
//! where they are many. It is left alone once it is not named any more.

use super::{Worker, WorkerStopped, handle::StopPolicy};
use host_core::{
    error::chain,
    storage::{Delivery, StoreError, StoreErrorKind},
};
use std::{
    collections::HashSet,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    task::JoinSet,
};
use tokio_util::sync::CancellationToken;

/// Shortest interval at which shops with messages are looked for; longer where a backend bills each call.
const MIN_LOOK_INTERVAL: Duration = Duration::from_millis(200);
/// The interval is at least so many times as long as a look takes, so that looking costs little of a core; up to the
/// longest one.
const LOOK_PAUSE: u32 = 20;
const MAX_LOOK_INTERVAL: Duration = Duration::from_secs(4);
/// Interval at which breakers that were seen open are read again.
const BREAKER_INTERVAL: Duration = Duration::from_secs(30);
/// Long polls at once. Each holds a connection, and other work needs some.
const MAX_LONG_POLLS: usize = 24;
/// Wait time of one call on an empty queue: SQS's maximum, and its shortest long poll for when many shops take turns.
const LONG_POLL: Duration = Duration::from_secs(20);
const SHORTEST_LONG_POLL: Duration = Duration::from_secs(1);
/// How much later its answer may arrive here.
const RESPONSE_MARGIN: Duration = Duration::from_secs(5);
/// Wait after a receive that failed.
const RECEIVE_RETRY: Duration = Duration::from_secs(15);

impl Worker {
    /// Works the queues of all shops, or only of one, until cancelled; chunks in progress are then finished, or
    /// requeued after the shutdown timeout. Chunks of an index on which work is stopped wait for its circuit breaker,
    /// the others continue. Fails only if shops cannot be looked for at the start.
    pub async fn run_all(
        self: &Arc<Self>,
        only: Option<&str>,
        cancel: &CancellationToken,
    ) -> Result<(), WorkerStopped> {
        let line = Arc::new(Line::new(self.settings.concurrency));
        let mut tasks = JoinSet::new();
        let mut worked = HashSet::new();
        let mut is_first = true;
        let mut breakers_read_at = self.clock.now();
        while !cancel.is_cancelled() {
            let began = self.clock.now();
            let looked = match only {
                Some(shop) => Ok(vec![shop.to_owned()]),
                None => self.stores.queue.ready_shops(self.settings.lease).await,
            };
            match looked {
                Ok(ready) => *line.ready() = ready.into_iter().collect(),
                Err(error) if is_first && error.kind == StoreErrorKind::Permanent => {
                    let key = "the shops with messages".to_owned();
                    return Err(WorkerStopped { key, job_id: None, attempts: 1, error: error.into() });
                }
                Err(error) => tracing::warn!(cause = chain(&error), "could not look for shops with messages"),
            }
            is_first = false;
            while let Some(left) = tasks.try_join_next() {
                match left {
                    Ok(shop_id) => _ = worked.remove(&shop_id),
                    Err(error) => tracing::error!(%error, "work on the queue of a shop ended"),
                }
            }
            let new: Vec<String> = line.ready().difference(&worked).cloned().collect();
            for shop_id in new {
                worked.insert(shop_id.clone());
                let (line, cancel) = (line.clone(), cancel.clone());
                tasks.spawn(Shop { worker: Arc::clone(self), shop_id, line, cancel }.run());
            }
            let now = self.clock.now();
            if now.duration_since(breakers_read_at).unsigned_abs() >= BREAKER_INTERVAL {
                breakers_read_at = now;
                self.refresh_open_breakers().await;
            }
            let took = now.duration_since(began).unsigned_abs();
            let pause = took.saturating_mul(LOOK_PAUSE).min(MAX_LOOK_INTERVAL);
            let interval = self.settings.poll_interval.max(MIN_LOOK_INTERVAL).max(pause);
            tokio::select! {
                () = self.clock.sleep(interval) => {}
                () = cancel.cancelled() => {}
            }
        }
        while tasks.join_next().await.is_some() {}
        Ok(())
    }
}

/// What the shops share.
struct Line {
    /// To handle a message.
    permits: Arc<Semaphore>,
    /// To wait at a queue.
    polls: Semaphore,
    /// Shops that may have messages.
    ready: Mutex<HashSet<String>>,
}

impl Line {
    fn new(concurrency: usize) -> Self {
        Self {
            permits: Arc::new(Semaphore::new(concurrency.max(1))),
            polls: Semaphore::new(MAX_LONG_POLLS),
            ready: Mutex::default(),
        }
    }

    fn ready(&self) -> MutexGuard<'_, HashSet<String>> {
        self.ready.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Wait time of a long poll: the more shops there are, the sooner it is another one's turn.
    fn wait_time(&self) -> Duration {
        let turns = self.ready().len().div_ceil(MAX_LONG_POLLS).max(1);
        (LONG_POLL / u32::try_from(turns).unwrap_or(u32::MAX)).max(SHORTEST_LONG_POLL)
    }
}

/// One shop's queue.
struct Shop {
    worker: Arc<Worker>,
    shop_id: String,
    line: Arc<Line>,
    cancel: CancellationToken,
}

impl Shop {
    /// Works the queue until cancelled, or until it is empty and the shop is not ready any more; then returns the shop.
    async fn run(self) -> String {
        let mut chunks = JoinSet::new();
        let mut last_poll_empty = false;
        while !self.cancel.is_cancelled() {
            while chunks.try_join_next().is_some() {}
            match self.next(&mut last_poll_empty, &mut chunks).await {
                Ok(Some((delivery, permit))) => {
                    let handle = self.worker.handle_in_span(delivery, &self.cancel, &StopPolicy::Wait);
                    chunks.spawn(async move {
                        if let Err(stop) = handle.await {
                            tracing::error!(
                                cause = chain(&*stop),
                                "cannot continue until the cause is fixed"
                            );
                        }
                        drop(permit);
                    });
                    continue;
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
            if last_poll_empty && chunks.is_empty() && !self.line.ready().contains(&self.shop_id) {
                break;
            }
        }
        while chunks.join_next().await.is_some() {}
        self.shop_id
    }

    async fn sleep(&self, duration: Duration) {
        tokio::select! {
            () = self.worker.clock.sleep(duration) => {}
            () = self.cancel.cancelled() => {}
        }
    }

    /// Returns when a long poll that was in flight at the cancellation has had its time. Dropping the request does
    /// not cancel it: SQS may still hand out a message, invisible until its timeout
    /// (<https://github.com/aws/aws-sdk-js/issues/2350>).
    async fn long_poll_drained(&self, wait_time: Duration) {
        self.cancel.cancelled().await;
        self.worker.clock.sleep(wait_time + RESPONSE_MARGIN).await;
    }

    /// The next message and a permit to handle it; none if there was nothing for a while. After an empty poll, the
    /// queue is long-polled without a short poll first, since each call is billed.
    async fn next(
        &self,
        last_poll_empty: &mut bool,
        chunks: &mut JoinSet<()>,
    ) -> Result<Option<(Delivery, OwnedSemaphorePermit)>, StoreError> {
        let (queue, lease) = (&self.worker.stores.queue, self.worker.settings.lease);
        let may_begin = || !self.cancel.is_cancelled();
        if !*last_poll_empty {
            let permit = tokio::select! {
                permit = self.line.permits.clone().acquire_owned() => permit,
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
        let poll = tokio::select! {
            poll = self.line.polls.acquire() => poll,
            () = self.cancel.cancelled() => return Ok(None),
        };
        let (waiting_since, wait_time) = (self.worker.clock.now(), self.line.wait_time());
        let delivery = tokio::select! {
            delivery = queue.long_poll(&self.shop_id, lease, wait_time) => delivery?,
            () = self.long_poll_drained(wait_time) => None,
        };
        drop(poll);
        let Some(delivery) = delivery else {
            *last_poll_empty = true;
            // A backend without long polling has answered immediately.
            let waited = self.worker.clock.now().duration_since(waiting_since).unsigned_abs();
            tokio::select! {
                () = self.sleep(self.worker.settings.poll_interval.saturating_sub(waited)) => {}
                // Its lane is free.
                Some(_) = chunks.join_next(), if !chunks.is_empty() => *last_poll_empty = false,
            }
            return Ok(None);
        };
        match self.line.permits.clone().try_acquire_owned() {
            Ok(permit) if may_begin() => Ok(Some((delivery, permit))),
            _ => {
                queue.release(&delivery.receipt, Duration::ZERO).await?;
                Ok(None)
            }
        }
    }
}
