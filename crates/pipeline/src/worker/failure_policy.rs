//! Decides what a failure means for the chunk it happened to, by the error and the number of attempts alone.
//! `on_failure` carries the decision out; it also knows of circuit breakers and deadlines, and may decide otherwise
//! because of them.

use super::chunk_error::ChunkError;
use host_core::{
    backoff::Backoff,
    storage::{StoreError, StoreErrorKind, UNREADABLE_VISIBILITY},
};
use std::time::Duration;

/// What is done with a chunk after a failure. An attempt counts unless the chunk is not at fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FailureAction {
    /// The message is released and redelivered after this time.
    Retry(Duration),
    /// The chunk is counted as failed and its message moved to the dead letters.
    Quarantine,
    /// The message is released, and the attempt does not count: the chunk is not at fault.
    RequeueUncounted,
    /// Nothing: another worker has the chunk.
    Drop,
    /// Work on the chunk's index stops without using up attempts: a person must act first.
    Stop,
}

impl FailureAction {
    /// The value of the label `disposition` of the metric that counts failures.
    pub(super) fn label(self) -> &'static str {
        match self {
            Self::Retry(_) => "retry",
            Self::Quarantine => "quarantine",
            Self::RequeueUncounted => "defer",
            Self::Drop => "abandon",
            Self::Stop => "stop",
        }
    }
}

impl std::fmt::Display for FailureAction {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Retry(after) => write!(f, "retrying in {:.1} s", after.as_secs_f64()),
            Self::Quarantine => f.write_str("it is quarantined and counted as failed"),
            Self::RequeueUncounted => f.write_str("it is requeued"),
            Self::Drop => f.write_str("it is left to the worker that has it"),
            Self::Stop => f.write_str("work on its index is stopped"),
        }
    }
}

/// Attempts at a chunk after which a temporary failure counts as lasting.
const MAX_ATTEMPTS: u32 = 9;
/// Reads of a chunk that is missing: an object store may show an object late.
const MAX_READS: u32 = 3;
/// Attempts at a chunk on which host panicked: the cause may be another one, such as a lack of memory.
const MAX_PANICS: u32 = 2;
/// The wait before the next attempt; the waits of nine attempts together outlast the restart of a server.
const BACKOFF: Backoff = Backoff { base: Duration::from_secs(1), cap: Duration::from_secs(40) };

/// The wait of a message whose chunk is not at fault, where no circuit breaker says how long. With at most 55 s, and
/// the seconds that queues and event sources take, work goes on within a minute after the cause is gone.
const REQUEUE_BACKOFF: Backoff = Backoff { base: Duration::from_secs(15), cap: Duration::from_secs(55) };
/// Number of deliveries with such short waits, which take ten hours; SQS allows 1,000 deliveries of a message in all.
const FREQUENT_DELIVERIES: u32 = 660;
/// The wait after each later delivery.
const MAX_REQUEUE_DELAY: Duration = Duration::from_secs(600);

/// Deliveries to a Lambda function after which a chunk is quarantined that was never done before the function's
/// deadline.
pub(super) const MAX_UNFINISHED_DELIVERIES: u32 = 300;

/// How long a message that cannot be handled now waits after its `receive_count`-th delivery; never 0.
pub(super) fn requeue_delay(receive_count: u32) -> Duration {
    if receive_count < FREQUENT_DELIVERIES {
        REQUEUE_BACKOFF.ceiling(receive_count)
    } else {
        MAX_REQUEUE_DELAY
    }
}

/// How many attempts an error may take before an operator is needed; `None` if the first one decides, or if attempts
/// do not count.
pub(super) fn max_attempts(error: &ChunkError) -> Option<u32> {
    match error {
        ChunkError::ChunkObjectMissing { .. } => Some(MAX_READS),
        ChunkError::Panicked { .. } => Some(MAX_PANICS),
        ChunkError::Store(StoreError { kind: StoreErrorKind::Transient, .. }) => Some(MAX_ATTEMPTS),
        ChunkError::Index(error) if error.transient => Some(MAX_ATTEMPTS),
        _ => None,
    }
}

/// Decides what is done after a failure. `attempts` includes the one that failed; `random` is any number, which
/// varies the wait.
pub fn failure_action(error: &ChunkError, attempts: u32, random: u64) -> FailureAction {
    let retry = || FailureAction::Retry(BACKOFF.delay(attempts, random));
    let is_exhausted = max_attempts(error).is_none_or(|most| attempts >= most);
    let retry_or = |exhausted| if is_exhausted { exhausted } else { retry() };
    match error {
        ChunkError::LeaseLost { .. } => FailureAction::Drop,
        ChunkError::DeadlineExceeded { .. } => FailureAction::RequeueUncounted,
        // The chunk's lane has to wait, since later chunks may change the same documents. (`on_failure` leaves the
        // chunk to workers of its target if this worker's loop does not end.)
        ChunkError::TargetMismatch { .. } => FailureAction::Stop,
        ChunkError::TooManyAttempts { .. } | ChunkError::StoppedTooLong { .. } => FailureAction::Quarantine,
        ChunkError::ChunkObjectMissing { .. } | ChunkError::Panicked { .. } => {
            retry_or(FailureAction::Quarantine)
        }
        // The host has stopped the plug-in, so every other chunk would fail as well.
        ChunkError::Plugin(failure) if failure.stopped => FailureAction::Stop,
        ChunkError::Plugin(_) => FailureAction::Quarantine,
        ChunkError::Store(StoreError { kind: StoreErrorKind::Corrupt, .. }) => FailureAction::Quarantine,
        ChunkError::Store(StoreError { kind: StoreErrorKind::Permanent, .. }) => FailureAction::Stop,
        // A newer version of the host wrote a record, and has to handle the chunk; this worker goes on with other
        // lanes.
        ChunkError::Store(error) if error.is_unsupported() => FailureAction::Retry(UNREADABLE_VISIBILITY),
        ChunkError::Store(_) | ChunkError::Index(_) => retry_or(FailureAction::Stop),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use host_core::{index::IndexError, plugin::BatchFailure};

    fn store(kind: StoreErrorKind) -> ChunkError {
        ChunkError::Store(StoreError { action: "x".into(), kind, source: "y".into() })
    }

    fn index(transient: bool) -> ChunkError {
        ChunkError::Index(IndexError { action: "x".into(), transient, source: "y".into() })
    }

    #[test]
    fn a_waiting_message_is_delivered_each_minute_for_ten_hours_and_lasts_58_hours_within_950_deliveries() {
        let hours = |deliveries: std::ops::Range<u32>| {
            deliveries.map(requeue_delay).sum::<Duration>().as_secs() / 3_600
        };
        assert_eq!([1, 2, 3, 4].map(|count| requeue_delay(count).as_secs()), [15, 30, 55, 55]);
        assert_eq!((hours(1..FREQUENT_DELIVERIES), hours(1..950)), (10, 58));
    }

    #[test]
    fn the_table_of_failures() {
        let key = || "k".to_owned();
        let plugin = |stopped| {
            let (plugin, code, message) = ("p@1".into(), "c".into(), "m".into());
            BatchFailure { plugin, code, message, stopped, before: Vec::new() }
        };
        for (error, attempts, expected) in [
            (ChunkError::LeaseLost { key: key() }, 1, FailureAction::Drop),
            (ChunkError::DeadlineExceeded { key: key() }, 9, FailureAction::RequeueUncounted),
            (
                ChunkError::TargetMismatch { key: key(), wanted: "marqo".into(), ours: "catalog".into() },
                1,
                FailureAction::Stop,
            ),
            (ChunkError::TooManyAttempts { key: key(), attempts: 21 }, 21, FailureAction::Quarantine),
            (ChunkError::ChunkObjectMissing { key: key() }, 2, FailureAction::Retry(Duration::ZERO)),
            (ChunkError::ChunkObjectMissing { key: key() }, 3, FailureAction::Quarantine),
            (
                ChunkError::Panicked { key: key(), message: key(), backtrace: None },
                1,
                FailureAction::Retry(Duration::ZERO),
            ),
            (
                ChunkError::Panicked { key: key(), message: key(), backtrace: None },
                2,
                FailureAction::Quarantine,
            ),
            (ChunkError::Plugin(plugin(false)), 1, FailureAction::Quarantine),
            (ChunkError::Plugin(plugin(true)), 1, FailureAction::Stop),
            (store(StoreErrorKind::Corrupt), 1, FailureAction::Quarantine),
            (store(StoreErrorKind::Permanent), 1, FailureAction::Stop),
            (store(StoreErrorKind::Unsupported), 99, FailureAction::Retry(UNREADABLE_VISIBILITY)),
            (store(StoreErrorKind::Transient), 8, FailureAction::Retry(Duration::ZERO)),
            (store(StoreErrorKind::Transient), 9, FailureAction::Stop),
            (index(true), 8, FailureAction::Retry(Duration::ZERO)),
            (index(true), 9, FailureAction::Stop),
            (index(false), 1, FailureAction::Stop),
        ] {
            assert_eq!(failure_action(&error, attempts, 0), expected, "{error:?}, attempt {attempts}");
        }
    }
}
