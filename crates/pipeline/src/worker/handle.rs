//! Handles one delivery (a message that a worker has received), from the claim of its chunk to the acknowledgement.

use super::{
    Worker, WorkerStopped,
    backtrace::take_backtrace,
    breaker::{Admission, Probe},
    chunk,
    chunk_error::ChunkError,
    failure_policy::max_attempts,
    heartbeat::{Heartbeat, LeaseTerm},
};
use crate::retention::remove_chunks_at_end;
use futures::FutureExt;
use host_core::{
    error::chain,
    index::WriteTarget,
    metrics as names,
    model::{ChunkRef, JobId},
    storage::{
        AttemptError, ChunkLease, ChunkOutcome, Claim, Completion, Delivery, QuarantineReason, StoreError,
    },
};
use jiff::Timestamp;
use std::{any::Any, convert::Infallible, future::pending, panic::AssertUnwindSafe, time::Duration};
use tokio_util::sync::CancellationToken;

/// Claims after which a chunk is assumed to crash its workers. More than twice the attempts that the failure policy
/// allows for any other failure, so that it never cuts these short.
const MAX_CLAIMS: u32 = 20;

/// What became of the message of a delivery.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Handled {
    /// The chunk is counted, or no job knows it. The message is removed from the queue, or another worker has it and
    /// will remove it.
    Acked,
    /// The message stays in the queue and is redelivered after this time.
    Requeued(Duration),
}

/// What a worker's loop does at a failure that a person must fix.
#[derive(Clone, Debug)]
pub(super) enum StopPolicy {
    /// The loop ends, since it runs in the foreground and its user sees the error. Chunks are tried even while work
    /// on their index is stopped. The token is cancelled before the message is released, so that this loop does not
    /// receive the message again.
    End(CancellationToken),
    /// The loop continues with other indexes, and the chunks of this one wait.
    Wait,
}

impl StopPolicy {
    pub(super) fn is_wait(&self) -> bool {
        matches!(self, Self::Wait)
    }
}

/// When to requeue an unfinished chunk without counting the attempt. Documents already written are recognised as
/// unchanged on redelivery.
#[derive(Clone, Debug)]
pub(super) enum AttemptDeadline {
    /// At this instant, because the process ends soon after, as a Lambda function does.
    At(Timestamp),
    /// When the worker's shutdown timeout has passed since this token was cancelled.
    AfterShutdown(CancellationToken),
}

impl Worker {
    /// Handles one delivery. Fails only if the loop is to end.
    pub(super) async fn handle(
        &self,
        delivery: Delivery,
        deadline: &AttemptDeadline,
        stop_policy: &StopPolicy,
    ) -> Result<Handled, Box<WorkerStopped>> {
        let (mut lease, mut probe) = (None, None);
        // A panic concerns this chunk alone; the loop and the other chunks continue.
        let result = self.process(&delivery, deadline, stop_policy, &mut lease, &mut probe);
        let result = AssertUnwindSafe(result).catch_unwind().await;
        let result = result.unwrap_or_else(|panic| {
            let (key, message) = (delivery.chunk.key.clone(), panic_message(panic.as_ref()));
            Err(ChunkError::Panicked { key, message, backtrace: take_backtrace() })
        });
        match result {
            Ok(handled) => Ok(handled),
            Err(error) => self.handle_failure(&delivery, lease, probe, error, deadline, stop_policy).await,
        }
    }

    /// Claims the chunk if its index may be written to, and writes it. Leaves in `lease` and `probe` what a failure
    /// must give up.
    async fn process(
        &self,
        delivery: &Delivery,
        deadline: &AttemptDeadline,
        stop_policy: &StopPolicy,
        lease: &mut Option<ChunkLease>,
        probe: &mut Option<Probe>,
    ) -> Result<Handled, ChunkError> {
        let Delivery { chunk, receipt, .. } = delivery;
        let mismatch = self.target_mismatch(chunk).await?;
        let mut expired = None;
        // A chunk for another index skips the breaker: its failure says nothing about this index.
        let admission =
            if mismatch.is_some() { Admission::Granted } else { self.admit(delivery, stop_policy).await? };
        match admission {
            Admission::Granted => {}
            Admission::Probe(begun) => *probe = Some(begun),
            Admission::Wait(wait) => {
                self.stores.queue.release(receipt, wait).await?;
                tracing::debug!(key = chunk.key, ?wait, "a chunk waits: work on its index is stopped");
                return Ok(Handled::Requeued(wait));
            }
            Admission::Expired(breaker) => expired = Some(Box::new(breaker)),
        }
        let term = LeaseTerm { claimed_at: self.clock.now(), duration: self.settings.lease };
        let claim = self.stores.jobs.claim(&chunk.job_id, chunk.seq, term.duration).await?;
        log_delivery(delivery, &claim);
        match claim {
            Claim::Acquired(acquired) => {
                let lease = &*lease.insert(acquired);
                if let Some(mismatch) = mismatch {
                    return Err(mismatch);
                }
                if let Some(breaker) = expired {
                    return Err(ChunkError::StoppedTooLong { breaker });
                }
                let handled = self.write_and_complete(delivery, lease, term, deadline).await?;
                if let Some(probe) = probe {
                    self.close_breaker(probe).await;
                }
                return Ok(handled);
            }
            Claim::Done { quarantined } => self.remove_message(delivery, quarantined.as_ref()).await?,
            Claim::Held { until } => {
                let wait = self.clock.now().duration_until(until).unsigned_abs();
                self.stores.queue.release(receipt, wait).await?;
                return Ok(Handled::Requeued(wait));
            }
            Claim::Unknown => {
                tracing::warn!(key = chunk.key, "dropped the message of a chunk that no job knows");
                self.remove_message(delivery, None).await?;
            }
        }
        Ok(Handled::Acked)
    }

    /// Writes a claimed chunk under a heartbeat, and completes it.
    async fn write_and_complete(
        &self,
        delivery: &Delivery,
        lease: &ChunkLease,
        term: LeaseTerm,
        deadline: &AttemptDeadline,
    ) -> Result<Handled, ChunkError> {
        let Delivery { chunk, receipt, .. } = delivery;
        let key = || chunk.key.clone();
        if lease.attempts > MAX_CLAIMS {
            return Err(ChunkError::TooManyAttempts { key: key(), attempts: lease.attempts });
        }
        let lost = CancellationToken::new();
        let heartbeat = Heartbeat::start(&self.stores, &self.clock, lease, receipt, term, lost.clone());
        let began = self.clock.now();
        let outcome = tokio::select! {
            // Checked first: another worker has the chunk by now, and nothing of this attempt may be recorded.
            biased;
            () = lost.cancelled() => return Err(ChunkError::LeaseLost { key: key() }),
            outcome = self.outcome(chunk, lease) => outcome?,
            never = self.record_unreachable(delivery, lease) => match never {},
            () = self.deadline_elapsed(chunk, deadline) => return Err(ChunkError::DeadlineExceeded { key: key() }),
        };
        drop(heartbeat);
        let handled = self.complete(delivery, lease, &outcome).await?;
        let took = self.clock.now().duration_since(began);
        metrics::histogram!(names::CHUNK_SECONDS).record(took.as_secs_f64());
        Ok(handled)
    }

    /// Returns when the attempt has to end.
    async fn deadline_elapsed(&self, chunk: &ChunkRef, deadline: &AttemptDeadline) {
        match deadline {
            AttemptDeadline::At(instant) => {
                let left = Duration::try_from(self.clock.now().duration_until(*instant)).unwrap_or_default();
                self.clock.sleep(left).await;
            }
            AttemptDeadline::AfterShutdown(cancel) => {
                cancel.cancelled().await;
                // A chunk that waits for an unreachable server would not be done within the timeout.
                tokio::select! {
                    () = self.clock.sleep(self.settings.shutdown_timeout) => {}
                    _ = self.unreachable(chunk) => {}
                }
            }
        }
    }

    /// Returns, with the index's error, when the chunk waits for a server that cannot be reached.
    async fn unreachable(&self, chunk: &ChunkRef) -> ChunkError {
        let Ok(job) = self.job(&chunk.job_id).await else { return pending().await };
        ChunkError::Index(self.index.unreachable(&WriteTarget::of(&job)).await)
    }

    /// Says in the job's record, once, that the chunk waits for a server: its attempt takes minutes, and an operator
    /// looks earlier.
    async fn record_unreachable(&self, delivery: &Delivery, lease: &ChunkLease) -> Infallible {
        let error = self.unreachable(&delivery.chunk).await;
        let attempt = AttemptError::new(error.code(), &error, lease.attempts, self.clock.now());
        let error = AttemptError { max_attempts: max_attempts(&error), ..attempt };
        self.record_error(delivery, &error).await;
        pending().await
    }

    /// The error if the chunk's job is for another target (the kind of index, or which one) than this worker writes;
    /// `None` if it is for this one.
    async fn target_mismatch(&self, chunk: &ChunkRef) -> Result<Option<ChunkError>, ChunkError> {
        let Some(job) = self.find_job(&chunk.job_id).await? else { return Ok(None) };
        let ours = self.index.id();
        Ok((!job.target.includes(&ours)).then(|| ChunkError::TargetMismatch {
            key: chunk.key.clone(),
            wanted: job.target.clone(),
            ours,
        }))
    }

    async fn outcome(&self, chunk: &ChunkRef, lease: &ChunkLease) -> Result<ChunkOutcome, ChunkError> {
        let job = self.job(&chunk.job_id).await?;
        chunk::handle(self, &job, chunk, lease).await
    }

    /// Completes the chunk, then removes its message as the last act. If that fails, nothing is wrong with the chunk:
    /// the next delivery finds it done and removes the message.
    pub(super) async fn complete(
        &self,
        delivery: &Delivery,
        lease: &ChunkLease,
        outcome: &ChunkOutcome,
    ) -> Result<Handled, ChunkError> {
        let completion = self.stores.jobs.complete(lease, outcome).await?;
        if !completion.is_counted() {
            return Err(ChunkError::LeaseLost { key: delivery.chunk.key.clone() });
        }
        measure(outcome);
        if let Some(observer) = &self.observer {
            observer.chunk_completed(&outcome.counts);
        }
        let removed = self.remove_message(delivery, outcome.quarantined.as_ref()).await;
        if completion == Completion::JobEnded {
            self.end_job(&lease.job_id).await;
        }
        match removed {
            Ok(()) => Ok(Handled::Acked),
            Err(error) => {
                let (key, cause) = (&delivery.chunk.key, chain(&error));
                tracing::warn!(
                    key,
                    cause,
                    "could not remove the message of a chunk that is done; it is redelivered"
                );
                Ok(Handled::Requeued(self.lease()))
            }
        }
    }

    /// Tells the observer of a job that has ended, and removes the job's chunks. Those that a failure or a crash left are
    /// removed when retention removes the job.
    async fn end_job(&self, id: &JobId) {
        if self.observer.is_none() && self.settings.keep_chunks {
            return;
        }
        let ended = async {
            let Some(job) = self.stores.jobs.get(id).await? else { return Ok(()) };
            if let Some(observer) = &self.observer {
                observer.job_ended(&job);
            }
            match self.settings.keep_chunks {
                true => Ok(()),
                false => remove_chunks_at_end(self.stores.chunks.as_ref(), &job).await,
            }
        };
        if let Err::<(), StoreError>(error) = ended.await {
            tracing::warn!(cause = chain(&error), "could not remove the chunks of a job that has ended");
        }
    }

    /// Takes the message of a counted chunk off the queue, or makes it a dead letter if the chunk was quarantined. If
    /// the receipt is no longer valid, another worker has the message and will find the chunk done.
    async fn remove_message(
        &self,
        delivery: &Delivery,
        quarantined: Option<&QuarantineReason>,
    ) -> Result<(), StoreError> {
        let queue = self.stores.queue.as_ref();
        let _was_ours = match quarantined {
            Some(reason) => queue.dead_letter(&delivery.receipt, reason).await?,
            None => queue.ack(&delivery.receipt).await?,
        };
        Ok(())
    }
}

fn panic_message(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_default()
}

/// Logs and counts what a delivery found its chunk to be (label `found` of the metric): `first`, never claimed
/// before; `again`, claimed before; `held` by another worker; `done`; or `unknown` to any job. The log of one chunk's
/// key is its history.
fn log_delivery(delivery: &Delivery, claim: &Claim) {
    let found = match claim {
        Claim::Acquired(ChunkLease { fencing_token: 1, .. }) => "first",
        Claim::Acquired(_) => "again",
        Claim::Held { .. } => "held",
        Claim::Done { .. } => "done",
        Claim::Unknown => "unknown",
    };
    metrics::counter!(names::CLAIMS, "found" => found).increment(1);
    let Delivery { chunk, receive_count, .. } = delivery;
    tracing::debug!(key = chunk.key, receive_count, found, "a chunk was delivered");
}

/// Adds a chunk that this worker has completed to the metrics; label `outcome`: `done` or `quarantined`.
fn measure(outcome: &ChunkOutcome) {
    let completed = if outcome.quarantined.is_some() { "quarantined" } else { "done" };
    metrics::counter!(names::CHUNKS, "outcome" => completed).increment(1);
    names::count_items(&outcome.counts);
}
