//! Carries out what the failure policy decides, unless a circuit breaker, the number of deliveries or a lost lease say otherwise.

use super::{
    FailureAction, Worker, WorkerStopped,
    breaker::{Probe, is_near_receive_limit},
    chunk,
    chunk_error::ChunkError,
    failure_policy::{MAX_UNFINISHED_DELIVERIES, failure_action, max_attempts, requeue_delay},
    handle::{AttemptDeadline, Handled, StopPolicy},
};
use host_core::{
    error::chain,
    index::WriteTarget,
    metrics as names,
    storage::{AttemptError, Breaker, ChunkLease, Delivery, FailureContext, QuarantineReason, Release},
};
use std::time::Duration;

impl Worker {
    /// Handles the failure of a delivery; without a lease, its claim had failed. Fails only if the loop is to end.
    pub(super) async fn handle_failure(
        &self,
        delivery: &Delivery,
        lease: Option<ChunkLease>,
        probe: Option<Probe>,
        mut error: ChunkError,
        deadline: &AttemptDeadline,
        stop_policy: &StopPolicy,
    ) -> Result<Handled, Box<WorkerStopped>> {
        let key = &delivery.chunk.key;
        let receive_count = delivery.receive_count;
        let attempts = lease.as_ref().map_or(receive_count, |lease| lease.attempts);
        // A function is invoked again, a worker that stops is not.
        let is_invoked_again = matches!(deadline, AttemptDeadline::At(_));
        let is_of_worker = error.is_of_worker();
        let mut action = match failure_action(&error, attempts, self.clock.random()) {
            // One failure shows that what has stopped work is still there.
            FailureAction::Retry(_) if probe.is_some() && error.is_of_backend() && stop_policy.is_wait() => {
                FailureAction::Stop
            }
            // Left to the workers that can, for as long as there are deliveries.
            FailureAction::Stop if is_of_worker && stop_policy.is_wait() => {
                if is_near_receive_limit(self.stores.queue.receive_limit(), receive_count) {
                    FailureAction::Quarantine
                } else {
                    FailureAction::RequeueUncounted
                }
            }
            // No operator sees a function that never has enough time.
            FailureAction::RequeueUncounted
                if is_invoked_again && receive_count >= MAX_UNFINISHED_DELIVERIES =>
            {
                FailureAction::Quarantine
            }
            action => action,
        };
        let mut wait = requeue_delay(receive_count);
        if action == FailureAction::Stop {
            if let StopPolicy::End(stopping) = stop_policy {
                // Before the message is released. The caller reports what stops the worker.
                stopping.cancel();
            }
            // What ends this loop alone stops no other worker.
            let breaker = match is_of_worker {
                true => None,
                false => self.stop_index(delivery, probe.as_ref(), &error, stop_policy).await,
            };
            if let Some(breaker) = breaker {
                wait = breaker.wait(self.clock.now());
                if stop_policy.is_wait() && self.is_given_up(delivery, &breaker) {
                    action = FailureAction::Quarantine;
                    error = ChunkError::StoppedTooLong { breaker: Box::new(breaker) };
                }
            }
        }
        // Only a claimed chunk can be counted.
        if action == FailureAction::Quarantine && lease.is_none() {
            action = FailureAction::Retry(wait);
        }
        if action != FailureAction::Stop || stop_policy.is_wait() {
            tracing::warn!(
                key,
                attempts,
                code = error.code(),
                cause = chain(&error),
                "could not handle a chunk; {action}"
            );
        }
        metrics::counter!(names::CHUNK_FAULTS, "disposition" => action.label()).increment(1);
        let now = self.clock.now();
        let attempt = AttemptError::new(error.code(), &error, attempts, now);
        let attempt = match action {
            FailureAction::Retry(after) => AttemptError {
                max_attempts: max_attempts(&error),
                retry_at: now.saturating_add(after).ok(),
                ..attempt
            },
            _ => attempt,
        };
        let lease = lease.as_ref();
        let delay = match action {
            FailureAction::Retry(after) => after,
            FailureAction::Stop if stop_policy.is_wait() => wait,
            FailureAction::RequeueUncounted if is_invoked_again || is_of_worker => wait,
            FailureAction::RequeueUncounted | FailureAction::Stop => Duration::ZERO,
            // The message is left as it is.
            FailureAction::Drop | FailureAction::Quarantine => self.lease(),
        };
        let mut is_removed = false;
        let done = match action {
            FailureAction::Drop => Ok(()),
            FailureAction::Retry(_) => {
                let release = match &error {
                    ChunkError::Store(error) if error.is_unsupported() => Release::ResetAttempts,
                    _ => Release::CountAttempt(Some(&attempt)),
                };
                self.requeue(delivery, lease, release, delay).await
            }
            FailureAction::RequeueUncounted | FailureAction::Stop => {
                self.requeue(delivery, lease, Release::ResetAttempts, delay).await
            }
            FailureAction::Quarantine => {
                let quarantined = self.quarantine(delivery, lease, attempt.clone(), &error).await;
                quarantined.map(|handled| is_removed = handled == Handled::Acked)
            }
        };
        if let Err(error) = &done {
            // The lease expires, and the chunk is redelivered.
            tracing::warn!(key, cause = chain(error), "could not release a chunk");
        }
        // A worker that shuts down requeues what is not done; a function that has no time left does so again and again.
        let is_worth_recording = match action {
            FailureAction::Retry(_) | FailureAction::Stop => true,
            FailureAction::RequeueUncounted => is_invoked_again || is_of_worker,
            FailureAction::Quarantine | FailureAction::Drop => false,
        };
        if lease.is_some() && is_worth_recording {
            self.record_error(delivery, &attempt).await;
        }
        if action == FailureAction::Stop && !stop_policy.is_wait() {
            let job_id = Some(delivery.chunk.job_id.clone());
            return Err(Box::new(WorkerStopped { key: key.clone(), job_id, attempts, error }));
        }
        // The worker that has a dropped chunk may still need the message.
        Ok(match action {
            FailureAction::Quarantine if is_removed => Handled::Acked,
            _ => Handled::Requeued(delay),
        })
    }

    /// Stores that work on the chunk's index is stopped; none if that cannot be stored.
    async fn stop_index(
        &self,
        delivery: &Delivery,
        probe: Option<&Probe>,
        error: &ChunkError,
        stop_policy: &StopPolicy,
    ) -> Option<Breaker> {
        self.trip(delivery, probe, error, stop_policy).await.unwrap_or_else(|cause| {
            let key = &delivery.chunk.key;
            tracing::warn!(key, cause = chain(&cause), "could not store that work on an index is stopped");
            None
        })
    }

    /// Whether a chunk waits no longer for its breaker.
    pub(super) fn is_given_up(&self, delivery: &Delivery, breaker: &Breaker) -> bool {
        breaker.has_expired(self.settings.stopped_after, self.clock.now())
            || is_near_receive_limit(self.stores.queue.receive_limit(), delivery.receive_count)
    }

    pub(super) async fn record_error(&self, delivery: &Delivery, error: &AttemptError) {
        if let Err(error) = self.stores.jobs.record_error(&delivery.chunk.job_id, error).await {
            tracing::warn!(
                key = delivery.chunk.key,
                cause = chain(&error),
                "could not record the error with the job"
            );
        }
    }

    /// Releases a chunk and has its message redelivered after `delay`.
    async fn requeue(
        &self,
        delivery: &Delivery,
        lease: Option<&ChunkLease>,
        release: Release<'_>,
        delay: Duration,
    ) -> Result<(), ChunkError> {
        if let Some(lease) = lease
            && !self.stores.jobs.release(lease, release).await?
        {
            return Err(ChunkError::LeaseLost { key: delivery.chunk.key.clone() });
        }
        self.stores.queue.release(&delivery.receipt, delay).await?;
        Ok(())
    }

    async fn quarantine(
        &self,
        delivery: &Delivery,
        lease: Option<&ChunkLease>,
        error: AttemptError,
        cause: &ChunkError,
    ) -> Result<Handled, ChunkError> {
        let Some(lease) = lease else {
            self.requeue(delivery, None, Release::CountAttempt(None), Duration::ZERO).await?;
            return Ok(Handled::Requeued(Duration::ZERO));
        };
        let chunk = &delivery.chunk;
        // Where it was to be written is worth knowing, but not worth failing for.
        let job = self.job(&chunk.job_id).await.ok();
        let endpoint = match &job {
            Some(job) => self.index.server(&WriteTarget::of(job)).await,
            None => None,
        };
        let context = FailureContext {
            attempts: lease.attempts,
            first_error: lease.first_error.clone().or_else(|| Some(error.clone())),
            endpoint,
            plugin_digest: job.map(|job| job.plugin.digest),
            backtrace: match cause {
                ChunkError::Panicked { backtrace, .. } => backtrace.clone(),
                _ => None,
            },
            ..FailureContext::default()
        };
        let reason = QuarantineReason {
            context: FailureContext { last_error: Some(error.clone()), ..context },
            ..QuarantineReason::new(error.code, chain(cause))
        };
        let outcome = chunk::quarantine(self.stores.chunks.as_ref(), chunk, lease, reason).await?;
        self.complete(delivery, lease, &outcome).await
    }
}
