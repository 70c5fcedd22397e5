//! Works the queues of many shops side by side: fair between them, and quiet while there is nothing to do.
//!
//! Shops with messages stand in one line for the places at work, and each takes one message before it stands at the end
//! again. A shop without messages leaves the line and waits at its queue.

use super::run::{Leave, Stop, Worker};
use host_core::{
    error::chain,
    model::ChunkRef,
    storage::{Delivery, StoreError, StoreErrorKind},
};
use std::{
    collections::HashSet,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use tokio::{sync::Semaphore, task::JoinSet};
use tokio_util::sync::CancellationToken;
use tracing::Instrument;

/// Between two looks for queues of new shops.
const DISCOVERY: Duration = Duration::from_secs(30);
/// For how long one call waits at an empty queue: SQS's longest.
const PATIENCE: Duration = Duration::from_secs(20);
/// How much later its answer may be here.
const SLACK: Duration = Duration::from_secs(5);
/// How long a shop is left alone after a failure that somebody has to mend: doubled each time, up to the longest.
const FIRST_PAUSE: Duration = Duration::from_secs(15);
const LONGEST_PAUSE: Duration = Duration::from_secs(600);

impl Worker {
    /// Works the queues of all shops, or only of one, until cancelled; chunks under way are then finished, or given
    /// back after the grace. A shop whose chunks fail for a reason that somebody has to mend is left alone for a while, the
    /// others go on. Fails only if the shops cannot be listed at the start.
    pub async fn run_all(
        self: &Arc<Self>,
        only: Option<&str>,
        cancel: &CancellationToken,
    ) -> Result<(), Stop> {
        let places = Arc::new(Semaphore::new(self.settings.concurrency.max(1)));
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
                            let shop = Shop {
                                worker: Arc::clone(self),
                                shop_id,
                                places: places.clone(),
                                cancel: cancel.clone(),
                            };
                            shops.spawn(shop.run());
                        }
                    }
                }
                Err(error) if is_first && error.kind == StoreErrorKind::Permanent => {
                    return Err(Stop {
                        key: "the list of queues".to_owned(),
                        job_id: None,
                        attempts: 1,
                        fault: error.into(),
                    });
                }
                Err(error) => tracing::warn!(cause = chain(&error), "could not look for queues of new shops"),
            }
            is_first = false;
            tokio::select! {
                () = self.env.sleep(DISCOVERY) => {}
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
    places: Arc<Semaphore>,
    cancel: CancellationToken,
}

/// What failed for a reason that somebody has to mend, since it was last looked at.
type Stopped = Arc<Mutex<Option<Stop>>>;

impl Shop {
    async fn run(self) {
        let stopped = Stopped::default();
        let mut chunks = JoinSet::new();
        let mut pause = FIRST_PAUSE;
        // Cancelled before a message is given back that somebody must act for.
        let mut stopping = CancellationToken::new();
        let mut is_quiet = false;
        while !self.cancel.is_cancelled() {
            while let Some(ended) = chunks.try_join_next() {
                if matches!(ended, Ok(true)) {
                    pause = FIRST_PAUSE;
                }
            }
            let stop = stopped.lock().unwrap_or_else(PoisonError::into_inner).take();
            if let Some(stop) = stop {
                tracing::error!(
                    shop_id = self.shop_id,
                    cause = chain(&stop),
                    ?pause,
                    "a shop is left alone for a while"
                );
                self.sleep(pause).await;
                pause = (pause * 2).min(LONGEST_PAUSE);
                stopping = CancellationToken::new();
                continue;
            }
            if stopping.is_cancelled() {
                // The chunk is just being given back; then its failure is known.
                self.sleep(self.worker.settings.idle).await;
                continue;
            }
            match self.next(&stopping, &mut is_quiet).await {
                Ok(Some((delivery, place))) => {
                    let (worker, stopped) = (Arc::clone(&self.worker), stopped.clone());
                    let (stopping, leave) = (stopping.clone(), Leave::After(self.cancel.clone()));
                    let ChunkRef { job_id, seq, .. } = &delivery.chunk;
                    let span = tracing::info_span!("chunk", %job_id, seq);
                    let handle = async move {
                        let handled = worker.handle(delivery, &leave, &stopping).await;
                        drop(place);
                        let is_done = handled.is_ok();
                        if let Err(stop) = handled {
                            stopped.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(*stop);
                        }
                        is_done
                    };
                    chunks.spawn(handle.instrument(span));
                }
                Ok(None) => {}
                Err(error) => {
                    tracing::warn!(shop_id = self.shop_id, cause = chain(&error), "could not receive");
                    self.sleep(FIRST_PAUSE).await;
                }
            }
        }
        while chunks.join_next().await.is_some() {}
    }

    async fn sleep(&self, duration: Duration) {
        tokio::select! {
            () = self.worker.env.sleep(duration) => {}
            () = self.cancel.cancelled() => {}
        }
    }

    /// Returns when a call that was in flight when the work was cancelled has had its time. Broken off, SQS answers it all
    /// the same (<https://github.com/aws/aws-sdk-js/issues/2350>), and nobody has the message.
    async fn out_of_patience(&self) {
        self.cancel.cancelled().await;
        self.worker.env.sleep(PATIENCE + SLACK).await;
    }

    /// The next message and a place at work for it; none if there was nothing for a while. A queue that was found empty
    /// `is_quiet`: it is waited at without another look before, since each call is paid for.
    async fn next(
        &self,
        stopping: &CancellationToken,
        is_quiet: &mut bool,
    ) -> Result<Option<(Delivery, tokio::sync::OwnedSemaphorePermit)>, StoreError> {
        let (queue, lease) = (&self.worker.stores.queue, self.worker.settings.lease);
        let may_begin = || !stopping.is_cancelled() && !self.cancel.is_cancelled();
        if !*is_quiet {
            let place = tokio::select! {
                place = self.places.clone().acquire_owned() => place,
                () = self.cancel.cancelled() => return Ok(None),
            };
            let Ok(place) = place else { return Ok(None) };
            if let Some(delivery) = queue.receive(&self.shop_id, 1, lease).await?.pop() {
                if may_begin() {
                    return Ok(Some((delivery, place)));
                }
                queue.release(&delivery.receipt, Duration::ZERO).await?;
                return Ok(None);
            }
            // Nothing there, or its lanes are busy: the place is for others.
            drop(place);
        }
        *is_quiet = false;
        let waiting_since = self.worker.env.now();
        let delivery = tokio::select! {
            delivery = queue.wait(&self.shop_id, lease, PATIENCE) => delivery?,
            () = self.out_of_patience() => None,
        };
        let Some(delivery) = delivery else {
            *is_quiet = true;
            // A backend that cannot wait by itself has answered at once.
            let waited = self.worker.env.now().duration_since(waiting_since).unsigned_abs();
            self.sleep(self.worker.settings.idle.saturating_sub(waited)).await;
            return Ok(None);
        };
        match self.places.clone().try_acquire_owned() {
            Ok(place) if may_begin() => Ok(Some((delivery, place))),
            _ => {
                queue.release(&delivery.receipt, Duration::ZERO).await?;
                Ok(None)
            }
        }
    }
}
