//! Carries out what the failure policy decides.

use super::{
    FailureAction, Stop, Worker, chunk,
    chunk_error::ChunkError,
    failure_policy::{failure_action, stopped_delay, until_given_up},
    handle::{Handled, StopWhen},
};
use host_core::{
    error::chain,
    index::WriteTarget,
    metrics as names,
    storage::{AttemptError, ChunkLease, Delivery, FailureContext, QuarantineReason, Release},
};
use std::time::Duration;
use tokio_util::sync::CancellationToken;

impl Worker {
    /// Handles the failure of a delivery; without a lease, its claim had failed.
    pub(super) async fn handle_failure(
        &self,
        delivery: &Delivery,
        lease: Option<ChunkLease>,
        error: ChunkError,
        stop_when: &StopWhen,
        stopping: &CancellationToken,
    ) -> Result<Handled, Box<Stop>> {
        let key = &delivery.chunk.key;
        let attempts = lease.as_ref().map_or(delivery.receive_count, |lease| lease.attempts);
        // A function is invoked again, a worker that stops is not.
        let is_invoked_again = matches!(stop_when, StopWhen::At(_));
        let action = match failure_action(&error, attempts, self.clock.random()) {
            action @ (FailureAction::Stop | FailureAction::RequeueUncounted) if is_invoked_again => {
                until_given_up(action, delivery.receive_count)
            }
            action => action,
        };
        let action = match action {
            // Only a claimed chunk can be counted.
            FailureAction::Quarantine if lease.is_none() => {
                FailureAction::Retry(stopped_delay(delivery.receive_count))
            }
            action => action,
        };
        if action == FailureAction::Stop {
            // Before the message is released. The caller reports what stops the worker.
            stopping.cancel();
        } else {
            tracing::warn!(
                key,
                attempts,
                code = error.code(),
                cause = chain(&error),
                "could not handle a chunk; {action}"
            );
        }
        metrics::counter!(names::CHUNK_FAULTS, "disposition" => action.label()).increment(1);
        let attempt = AttemptError::new(error.code(), &error, attempts, self.clock.now());
        let lease = lease.as_ref();
        let mut is_removed = false;
        let done = match action {
            FailureAction::Drop => Ok(()),
            FailureAction::Retry(after) => {
                let release = match &error {
                    ChunkError::Store(error) if error.is_unsupported() => Release::ResetAttempts,
                    _ => Release::CountAttempt(Some(&attempt)),
                };
                self.requeue(delivery, lease, release, after).await
            }
            FailureAction::RequeueUncounted => {
                self.requeue(delivery, lease, Release::ResetAttempts, Duration::ZERO).await
            }
            FailureAction::Stop => {
                let delay =
                    if is_invoked_again { stopped_delay(delivery.receive_count) } else { Duration::ZERO };
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
            FailureAction::RequeueUncounted => is_invoked_again,
            FailureAction::Quarantine | FailureAction::Drop => false,
        };
        if lease.is_some() && is_worth_recording {
            self.record_error(delivery, &attempt).await;
        }
        if action == FailureAction::Stop {
            let job_id = Some(delivery.chunk.job_id.clone());
            return Err(Box::new(Stop { key: key.clone(), job_id, attempts, error }));
        }
        // The worker that has a dropped chunk may still need the message.
        Ok(match action {
            FailureAction::Quarantine if is_removed => Handled::Acked,
            _ => Handled::Requeued,
        })
    }

    async fn record_error(&self, delivery: &Delivery, error: &AttemptError) {
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
            return Ok(Handled::Requeued);
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
            code: error.code.clone(),
            message: chain(cause),
            redrive_count: lease.redrive_count,
            context: FailureContext { last_error: Some(error), ..context },
        };
        let outcome = chunk::quarantine(self.stores.chunks.as_ref(), chunk, reason).await?;
        self.complete(delivery, lease, &outcome).await
    }
}
