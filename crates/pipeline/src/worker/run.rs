//! The loop over one shop's queue: receives messages and handles their chunks side by side, at most one of each lane.

use super::{
    ChunkError, FailureAction, RunUntil, Worker, WorkerStopped, failure_action,
    handle::{AttemptDeadline, Handled, StopPolicy},
};
use host_core::{
    model::ChunkRef,
    storage::{Delivery, StoreError},
};
use jiff::Timestamp;
use std::{sync::Arc, time::Duration};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tracing::Instrument;

/// Shortest interval at which a busy loop asks storage whether the job that it waits for has ended.
const MIN_ASK_INTERVAL: Duration = Duration::from_secs(1);

impl Worker {
    /// Works a shop's queue until `until` or until cancelled; chunks in progress are then finished, or requeued after
    /// the shutdown timeout.
    pub async fn run(
        self: &Arc<Self>,
        shop_id: &str,
        until: RunUntil,
        cancel: &CancellationToken,
    ) -> Result<(), WorkerStopped> {
        let mut tasks = JoinSet::new();
        let mut stopped = None;
        // Cancelled before the chunk that stops the loop is requeued: otherwise this loop could receive it once more.
        let stopping = CancellationToken::new();
        let stop_policy = StopPolicy::End(stopping.clone());
        let (mut last_receive_empty, mut asked_at, mut is_over) = (true, None, false);
        loop {
            // Asking costs a call, so it is done only once an interval while messages keep coming.
            let now = self.clock.now();
            let since = asked_at.map(|at: Timestamp| now.duration_since(at).unsigned_abs());
            let is_idle = tasks.is_empty() && last_receive_empty;
            if is_idle || since.is_none_or(|since| since >= self.settings.poll_interval.max(MIN_ASK_INTERVAL))
            {
                asked_at = Some(now);
                is_over = is_over || self.is_over(&until).await;
            }
            let ends = cancel.is_cancelled() || stopping.is_cancelled() || stopped.is_some() || is_over;
            let free = self.settings.concurrency.max(1).saturating_sub(tasks.len());
            if ends && tasks.is_empty() {
                return stopped.map_or(Ok(()), Err);
            }
            let mut received = 0;
            if !ends && free > 0 {
                match self.stores.queue.receive(shop_id, free, self.settings.lease).await {
                    Ok(deliveries) => {
                        received = deliveries.len();
                        last_receive_empty = received == 0;
                        for delivery in deliveries {
                            tasks.spawn(self.handle_in_span(delivery, cancel, &stop_policy));
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
                        // The task panicked outside of the chunk's own work: the lease expires, and the chunk is
                        // redelivered.
                        Err(error) => tracing::error!(%error, "could not release a chunk"),
                    }
                }
                () = self.wakeup.notified() => {}
                () = self.clock.sleep(self.settings.poll_interval), if tasks.len() < self.settings.concurrency.max(1) => {}
            }
        }
    }

    /// Handles a delivery for a loop that ends when `cancel` is cancelled. Every log line of it names the job and the
    /// chunk.
    pub(super) fn handle_in_span(
        self: &Arc<Self>,
        delivery: Delivery,
        cancel: &CancellationToken,
        stop_policy: &StopPolicy,
    ) -> impl Future<Output = Result<Handled, Box<WorkerStopped>>> + Send + 'static {
        let (worker, stop_policy) = (Arc::clone(self), stop_policy.clone());
        let deadline = AttemptDeadline::AfterShutdown(cancel.clone());
        let ChunkRef { job_id, seq, .. } = &delivery.chunk;
        let span = tracing::info_span!("chunk", %job_id, seq);
        async move { worker.handle(delivery, &deadline, &stop_policy).await }.instrument(span)
    }

    /// Waits after a temporary failure to receive, and returns `None`; otherwise the reason to stop.
    async fn receive_failed(&self, shop_id: &str, error: StoreError) -> Option<WorkerStopped> {
        let error = ChunkError::Store(error);
        match failure_action(&error, 1, self.clock.random()) {
            FailureAction::Retry(after) => {
                tracing::warn!(shop_id, %error, "could not receive; retrying");
                self.clock.sleep(after.max(self.settings.poll_interval)).await;
                None
            }
            _ => Some(WorkerStopped {
                key: format!("the queue of {shop_id}"),
                job_id: None,
                attempts: 1,
                error,
            }),
        }
    }

    /// Whether the loop has reached its end.
    async fn is_over(&self, until: &RunUntil) -> bool {
        match until {
            RunUntil::Cancelled => false,
            // If that cannot be found out, the loop goes on and asks again.
            RunUntil::JobEnds(id) => self.stores.jobs.has_ended(id).await.unwrap_or(false),
        }
    }
}
