//! The one place that decides what a failure means for the chunk it happened to.

use host_core::{
    backoff::Backoff,
    index::{IndexError, TargetId},
    plugin::BatchFailure,
    storage::{StoreError, StoreErrorKind},
};
use std::time::Duration;

/// What can go wrong with a chunk as a whole.
#[derive(Debug, thiserror::Error)]
pub enum Fault {
    /// A store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The index failed.
    #[error(transparent)]
    Index(#[from] IndexError),
    /// A plug-in refused a whole batch.
    #[error(transparent)]
    Plugin(#[from] BatchFailure),
    /// The chunk object is gone.
    #[error("chunk {key} is gone from the chunk store")]
    LostInput {
        /// The chunk's key.
        key: String,
    },
    /// Another worker holds the chunk now.
    #[error("the lease of chunk {key} was lost to another worker")]
    LeaseLost {
        /// The chunk's key.
        key: String,
    },
    /// The time of this process is over before the chunk is done.
    #[error("chunk {key} was not done in the time that was left")]
    OutOfTime {
        /// The chunk's key.
        key: String,
    },
    /// The chunk is meant for another kind of index than this worker writes.
    #[error(
        "chunk {key} is meant for the target `{wanted}`, and this is `{ours}`; run `host run` with its target first (`--target`, \
         and `catalog.url` for a catalog)"
    )]
    OtherTarget {
        /// The chunk's key.
        key: String,
        /// What its job names.
        wanted: TargetId,
        /// What this worker has.
        ours: TargetId,
    },
    /// Workers died again and again while they held the chunk.
    #[error("chunk {key} was tried {attempts} times, and no attempt came to an end")]
    TooManyAttempts {
        /// The chunk's key.
        key: String,
        /// How often.
        attempts: u32,
    },
    /// The worker's own code panicked.
    #[error("host itself failed on chunk {key}: {message}")]
    Bug {
        /// The chunk's key.
        key: String,
        /// The panic's message.
        message: String,
    },
}

impl Fault {
    /// Stable name, by which dead letters are chosen.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Store(StoreError { kind, .. }) => match kind {
                StoreErrorKind::Corrupt => "corrupt-chunk",
                StoreErrorKind::Permanent => "store-refused",
                StoreErrorKind::Transient => "store-unavailable",
            },
            Self::Index(error) if error.transient => "index-unavailable",
            Self::Index(_) => "index-refused",
            Self::Plugin(_) => "plugin-failure",
            Self::LostInput { .. } => "lost-input",
            Self::LeaseLost { .. } => "lease-lost",
            Self::OutOfTime { .. } => "out-of-time",
            Self::OtherTarget { .. } => "other-target",
            Self::TooManyAttempts { .. } => "too-many-attempts",
            Self::Bug { .. } => "internal-error",
        }
    }
}

/// What is done with a chunk after a failure.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Disposition {
    /// The message is released and delivered again after this time.
    Retry(Duration),
    /// The chunk is counted as failed and its message buried.
    Quarantine,
    /// The message is released at once, and the attempt is forgotten: nothing is wrong with the chunk.
    Defer,
    /// Nothing more is done: the chunk is somebody else's.
    Abandon,
    /// The worker stops consuming, burning no messages: somebody must act first.
    Stop,
}

impl std::fmt::Display for Disposition {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Retry(after) => write!(f, "it is tried again in {:.1} s", after.as_secs_f64()),
            Self::Quarantine => f.write_str("it is given up and counted as failed"),
            Self::Defer => f.write_str("it is given back for later"),
            Self::Abandon => f.write_str("it is left to another worker"),
            Self::Stop => f.write_str("the worker stops"),
        }
    }
}

/// Most attempts at a chunk whose failure may go away by itself.
const ATTEMPTS: u32 = 9;
/// The wait before another attempt; nine of them outlast the restart of a server.
const BACKOFF: Backoff = Backoff { base: Duration::from_secs(1), cap: Duration::from_secs(40) };

/// Decides. `attempts` counts this one; `jitter` is any random number.
pub fn disposition(fault: &Fault, attempts: u32, jitter: u64) -> Disposition {
    let retry_or = |exhausted| {
        if attempts < ATTEMPTS { Disposition::Retry(BACKOFF.delay(attempts, jitter)) } else { exhausted }
    };
    match fault {
        Fault::LeaseLost { .. } => Disposition::Abandon,
        Fault::OutOfTime { .. } => Disposition::Defer,
        // Its lane waits for it: what comes behind it may change the same documents.
        Fault::OtherTarget { .. } => Disposition::Stop,
        Fault::TooManyAttempts { .. } => Disposition::Quarantine,
        Fault::LostInput { .. } if attempts >= 3 => Disposition::Quarantine,
        // An object store may show an object late; a crash of ours may come from its surroundings.
        Fault::LostInput { .. } => Disposition::Retry(BACKOFF.delay(attempts, jitter)),
        Fault::Bug { .. } if attempts >= 2 => Disposition::Quarantine,
        Fault::Bug { .. } => Disposition::Retry(BACKOFF.delay(attempts, jitter)),
        // It would fail on every other chunk as well.
        Fault::Plugin(failure) if failure.stopped => Disposition::Stop,
        Fault::Plugin(_) => Disposition::Quarantine,
        Fault::Store(StoreError { kind: StoreErrorKind::Corrupt, .. }) => Disposition::Quarantine,
        Fault::Store(StoreError { kind: StoreErrorKind::Permanent, .. }) => Disposition::Stop,
        Fault::Store(_) => retry_or(Disposition::Stop),
        Fault::Index(error) if error.transient => retry_or(Disposition::Stop),
        Fault::Index(_) => Disposition::Stop,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn store(kind: StoreErrorKind) -> Fault {
        Fault::Store(StoreError { action: "x".into(), kind, source: "y".into() })
    }

    fn index(transient: bool) -> Fault {
        Fault::Index(IndexError { action: "x".into(), transient, source: "y".into() })
    }

    #[test]
    fn the_table_of_dispositions() {
        let key = || "k".to_owned();
        let plugin = |stopped| {
            let (plugin, code, message) = ("p@1".into(), "c".into(), "m".into());
            BatchFailure { plugin, code, message, stopped, before: Vec::new() }
        };
        for (fault, attempts, expected) in [
            (Fault::LeaseLost { key: key() }, 1, Disposition::Abandon),
            (Fault::OutOfTime { key: key() }, 9, Disposition::Defer),
            (
                Fault::OtherTarget { key: key(), wanted: "marqo".into(), ours: "catalog".into() },
                1,
                Disposition::Stop,
            ),
            (Fault::TooManyAttempts { key: key(), attempts: 21 }, 21, Disposition::Quarantine),
            (Fault::LostInput { key: key() }, 2, Disposition::Retry(Duration::ZERO)),
            (Fault::LostInput { key: key() }, 3, Disposition::Quarantine),
            (Fault::Bug { key: key(), message: key() }, 1, Disposition::Retry(Duration::ZERO)),
            (Fault::Bug { key: key(), message: key() }, 2, Disposition::Quarantine),
            (Fault::Plugin(plugin(false)), 1, Disposition::Quarantine),
            (Fault::Plugin(plugin(true)), 1, Disposition::Stop),
            (store(StoreErrorKind::Corrupt), 1, Disposition::Quarantine),
            (store(StoreErrorKind::Permanent), 1, Disposition::Stop),
            (store(StoreErrorKind::Transient), 8, Disposition::Retry(Duration::ZERO)),
            (store(StoreErrorKind::Transient), 9, Disposition::Stop),
            (index(true), 8, Disposition::Retry(Duration::ZERO)),
            (index(true), 9, Disposition::Stop),
            (index(false), 1, Disposition::Stop),
        ] {
            assert_eq!(disposition(&fault, attempts, 0), expected, "{fault:?}, attempt {attempts}");
        }
    }
}
