//! Why a chunk as a whole could not be handled. Errors of its single items are in the chunk's report instead.

use host_core::{
    index::{IndexError, TargetId},
    plugin::BatchFailure,
    storage::{Breaker, StoreError, StoreErrorKind},
};

/// Why a chunk could not be handled.
#[derive(Debug, thiserror::Error)]
pub enum ChunkError {
    /// A store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The index failed.
    #[error(transparent)]
    Index(#[from] IndexError),
    /// The plug-in that validates documents or compares their versions failed on a whole batch of them, so no single
    /// document is to blame.
    #[error(transparent)]
    Plugin(#[from] BatchFailure),
    /// The object with the chunk's lines is missing, or the record of its job.
    #[error("{key} is missing from the store")]
    ChunkObjectMissing {
        /// The chunk's key.
        key: String,
    },
    /// Another worker has the chunk now.
    #[error("the lease of chunk {key} was lost to another worker")]
    LeaseLost {
        /// The chunk's key.
        key: String,
    },
    /// This process must end before the chunk is done.
    #[error("chunk {key} was not done within the time that was left")]
    DeadlineExceeded {
        /// The chunk's key.
        key: String,
    },
    /// The chunk is meant for another kind of index than this worker writes.
    #[error(
        "chunk {key} is meant for the target `{wanted}`, and this worker writes `{ours}`; run `host run` with its target first \
         (`--target`, and `catalog.url` for a catalog)"
    )]
    TargetMismatch {
        /// The chunk's key.
        key: String,
        /// The target that its job names.
        wanted: TargetId,
        /// The target that this worker writes.
        ours: TargetId,
    },
    /// Work on the chunk's index has been stopped for longer than a chunk may wait.
    #[error("{} has been stopped since {:.0}: {}", .breaker.scope, .breaker.since, .breaker.message)]
    StoppedTooLong {
        /// The circuit breaker of its index, with the reason.
        breaker: Box<Breaker>,
    },
    /// Workers crashed repeatedly while they held the chunk.
    #[error("chunk {key} was tried {attempts} times, and no attempt ended")]
    TooManyAttempts {
        /// The chunk's key.
        key: String,
        /// How often a worker has claimed it.
        attempts: u32,
    },
    /// The worker's own code panicked.
    #[error("host panicked on chunk {key}: {message}")]
    Panicked {
        /// The chunk's key.
        key: String,
        /// The panic's message.
        message: String,
        /// Where it happened; `None` unless [`record_backtraces`](super::record_backtraces) was called at the start.
        backtrace: Option<String>,
    },
}

impl ChunkError {
    /// Whether a call to a store or to the index failed. The call may have failed because of the chunk, as with
    /// `corrupt-chunk`.
    pub(super) fn is_of_backend(&self) -> bool {
        matches!(self, Self::Store(_) | Self::Index(_))
    }

    /// Whether this worker can never handle the chunk, but a worker that writes another target can.
    pub(super) fn is_of_worker(&self) -> bool {
        matches!(self, Self::TargetMismatch { .. })
    }

    /// The code of this error in reports, dead letters and breakers, in kebab case; it never changes.
    pub fn code(&self) -> &str {
        match self {
            Self::Store(StoreError { kind, .. }) => match kind {
                StoreErrorKind::Corrupt => "corrupt-chunk",
                StoreErrorKind::Permanent => "store-refused",
                StoreErrorKind::Transient => "store-unavailable",
                StoreErrorKind::Unsupported => "unreadable-record",
            },
            Self::Index(error) if error.transient => "index-unavailable",
            Self::Index(_) => "index-refused",
            Self::Plugin(_) => "plugin-failure",
            Self::ChunkObjectMissing { .. } => "lost-input",
            Self::LeaseLost { .. } => "lease-lost",
            Self::DeadlineExceeded { .. } => "out-of-time",
            Self::TargetMismatch { .. } => "other-target",
            // The code of the failure that opened the breaker.
            Self::StoppedTooLong { breaker } => &breaker.code,
            Self::TooManyAttempts { .. } => "too-many-attempts",
            Self::Panicked { .. } => "internal-error",
        }
    }
}
