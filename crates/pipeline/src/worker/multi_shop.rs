//! Works the queues of many shops side by side: fair between them, and with few calls while there is nothing to do.
//!
//! Once an interval, one call says which shops may have messages; only these are worked, so that a worker's memory
//! and calls grow with them and not with all shops. Their tasks wait in one line for permits, of which there are as
//! many as chunks may be handled at once; each receives one message per permit before it waits again. The task of a
//! shop whose queue is empty leaves the line and long-polls (SQS holds the call until a message comes). It ends once
//! its queue is empty and the shop is not named any more.

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

/// Shortest interval at which shops with messages are looked for. The setting for the poll interval makes it longer
/// where a backend bills each call.
const MIN_LOOK_INTERVAL: Duration = Duration::from_millis(200);
/// The interval is at least this many times as long as the call takes, so that looking uses little of a core.
const LOOK_PAUSE: u32 = 20;
/// A slow call does not make the interval longer than this.
const MAX_LOOK_INTERVAL: Duration = Duration::from_secs(4);
/// Interval at which circuit breakers that were seen open are read again, for their metric.
const BREAKER_INTERVAL: Duration = Duration::from_secs(30);
/// Number of long polls at once: each occupies a connection to the queue, and other calls need some.
const MAX_LONG_POLLS: usize = 24;
/// Wait time of one long poll: the maximum that SQS allows.
const LONG_POLL: Duration = Duration::from_secs(20);
/// Wait time if so many shops take turns that each gets the minimum: the shortest that SQS counts as a long poll.
const SHORTEST_LONG_POLL: Duration = Duration::from_secs(1);
/// How long after the wait time the answer of a long poll may still arrive.
const RESPONSE_MARGIN: Duration = Duration::from_secs(5);
/// Wait of a shop's task after a failed call of its queue.
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
            while let Some(ended) = tasks.try_join_next() {
                match ended {
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

/// What the tasks of all shops share.
struct Line {
    /// One permit for each message that may be handled at once; tasks get them in the order in which they ask.
    permits: Arc<Semaphore>,
    /// One permit for each long poll at once.
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

    /// Wait time of a long poll: the more shops there are, the shorter, so that it is soon the next one's turn.
    fn wait_time(&self) -> Duration {
        let turns = self.ready().len().div_ceil(MAX_LONG_POLLS).max(1);
        (LONG_POLL / u32::try_from(turns).unwrap_or(u32::MAX)).max(SHORTEST_LONG_POLL)
    }
}

/// The task that works one shop's queue.
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

    /// Returns when the answer of a long poll that was in flight at the cancellation must have arrived. To drop the
    /// request would not cancel it: SQS could still hand out a message, which no worker would see until its visibility
    /// timeout expires (<https://github.com/aws/aws-sdk-js/issues/2350>).
    async fn long_poll_drained(&self, wait_time: Duration) {
        self.cancel.cancelled().await;
        self.worker.clock.sleep(wait_time + RESPONSE_MARGIN).await;
    }

    /// The next message and a permit to handle it; `None` if there was none for a while. After an empty poll, the
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
            // The queue is empty, or all its lanes have a chunk that is being handled: another shop gets the permit.
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
                // A chunk is done, so its lane may have a next message.
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
