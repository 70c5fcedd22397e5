//! The loop over one shop's queue: handles chunks side by side, one a lane.

use super::{
    ChunkError, FailureAction, Stop, Until, Worker, failure_action,
    handle::{Handled, OnStop, StopWhen},
};
use host_core::{
    model::ChunkRef,
    storage::{Delivery, StoreError},
};
use std::sync::Arc;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tracing::Instrument;

impl Worker {
    /// Works a shop's queue until `until` or until cancelled; chunks in progress are then finished, or requeued after the
    /// shutdown timeout.
    pub async fn run(
        self: &Arc<Self>,
        shop_id: &str,
        until: Until,
        cancel: &CancellationToken,
    ) -> Result<(), Stop> {
        let mut tasks = JoinSet::new();
        let mut stopped = None;
        // Cancelled before the chunk that stops the loop is requeued, or this very loop could receive it once more.
        let stopping = CancellationToken::new();
        let on_stop = OnStop::End(stopping.clone());
        loop {
            let ends = cancel.is_cancelled()
                || stopping.is_cancelled()
                || stopped.is_some()
                || self.is_over(&until).await;
            let free = self.settings.concurrency.max(1).saturating_sub(tasks.len());
            if ends && tasks.is_empty() {
                return stopped.map_or(Ok(()), Err);
            }
            let mut received = 0;
            if !ends && free > 0 {
                match self.stores.queue.receive(shop_id, free, self.settings.lease).await {
                    Ok(deliveries) => {
                        received = deliveries.len();
                        for delivery in deliveries {
                            tasks.spawn(self.handle_in_span(delivery, cancel, &on_stop));
                        }
                    }
                    Err(error) => stopped = self.receive_failed(shop_id, error).await,
                }
            }
            if received > 0 && received < free {
                continue;
            }
            tokio::select! {
                Some(ended) = tasks.join_next(), if !tasks.is_empty() => {
                    match ended {
                        Ok(Ok(_)) => {}
                        Ok(Err(stop)) => { stopped.get_or_insert(*stop); }
                        // Its lease expires, and the chunk is redelivered.
                        Err(error) => tracing::error!(%error, "could not release a chunk"),
                    }
                }
                () = self.wakeup.notified() => {}
                () = self.clock.sleep(self.settings.poll_interval), if tasks.len() < self.settings.concurrency.max(1) => {}
            }
        }
    }

    /// Handles a delivery of a loop that ends when `cancel` is cancelled. All that is logged names the job and the chunk.
    pub(super) fn handle_in_span(
        self: &Arc<Self>,
        delivery: Delivery,
        cancel: &CancellationToken,
        on_stop: &OnStop,
    ) -> impl Future<Output = Result<Handled, Box<Stop>>> + Send + 'static {
        let (worker, on_stop) = (Arc::clone(self), on_stop.clone());
        let stop_when = StopWhen::AfterCancel(cancel.clone());
        let ChunkRef { job_id, seq, .. } = &delivery.chunk;
        let span = tracing::info_span!("chunk", %job_id, seq);
        async move { worker.handle(delivery, &stop_when, &on_stop).await }.instrument(span)
    }

    async fn receive_failed(&self, shop_id: &str, error: StoreError) -> Option<Stop> {
        let error = ChunkError::Store(error);
        match failure_action(&error, 1, self.clock.random()) {
            FailureAction::Retry(after) => {
                tracing::warn!(shop_id, %error, "could not receive; retrying");
                self.clock.sleep(after.max(self.settings.poll_interval)).await;
                None
            }
            _ => Some(Stop { key: format!("the queue of {shop_id}"), job_id: None, attempts: 1, error }),
        }
    }

    async fn is_over(&self, until: &Until) -> bool {
        match until {
            Until::Cancelled => false,
            Until::JobEnds(id) => match self.stores.jobs.get(id).await {
                Ok(snapshot) => snapshot.is_some_and(|job| job.status.has_ended()),
                Err(_) => false,
            },
        }
    }
}
