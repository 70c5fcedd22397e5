//! Carries out what the failure policy decides for a chunk, and changes it where the policy cannot know: by the
//! circuit breaker of the chunk's index, the number of deliveries, or because no lease was acquired.

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
    /// Handles the failure of a delivery. `lease` is `None` if the chunk could not be claimed, `probe` is set if it
    /// was tried although its index's breaker is open. Fails only if the worker's loop is to end.
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
        // A Lambda function, whose attempts end at an instant, is invoked again for a message; a worker that shuts
        // down is not.
        let is_invoked_again = matches!(deadline, AttemptDeadline::At(_));
        let is_of_worker = error.is_of_worker();
        let mut action = match failure_action(&error, attempts, self.clock.random()) {
            // One failure of a probe shows that the cause is still there.
            FailureAction::Retry(_) if probe.is_some() && error.is_of_backend() && stop_policy.is_wait() => {
                FailureAction::Stop
            }
            // Other workers write this target: the chunk is left to them until its message has almost used up its
            // deliveries.
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
                // Before the message is released, so that this loop does not receive it again. The loop's caller
                // reports the error.
                stopping.cancel();
            }
            // An error of this worker alone must not stop the others.
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
        // A chunk that was not claimed cannot be counted, so it is tried again.
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
            // Not a release: the message is removed, another worker's, or visible again when its lease expires.
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
            // No harm: the lease expires, and the chunk is redelivered.
            tracing::warn!(key, cause = chain(error), "could not release a chunk");
        }
        // That a worker shuts down is no error worth showing with the job; that a function never has enough time is.
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
        // The message of a dropped chunk stays: the worker that has the chunk may still need it.
        Ok(match action {
            FailureAction::Quarantine if is_removed => Handled::Acked,
            _ => Handled::Requeued(delay),
        })
    }

    /// Opens the breaker of the chunk's index; `None` if it cannot be stored or the chunk's job is unknown.
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

    /// Whether a chunk is given up instead of waiting for its index's breaker any longer.
    pub(super) fn is_given_up(&self, delivery: &Delivery, breaker: &Breaker) -> bool {
        breaker.has_expired(self.settings.stopped_after, self.clock.now())
            || is_near_receive_limit(self.stores.queue.receive_limit(), delivery.receive_count)
    }

    /// Records an error with the chunk's job, where commands show it. Failures are logged.
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

    /// Counts a chunk as failed and makes its message a dead letter. Without a lease it cannot be counted and is
    /// requeued at once.
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
        // The server and the plug-in help the operator who reads the dead letter; if they cannot be found out, it goes without.
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
