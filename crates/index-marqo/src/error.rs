//! Why a call to the index failed as a whole.

use host_core::{index::IndexError, storage::StoreError};

/// A failure of the whole call. None of them tells a secret.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failure {
    /// Nobody said where the index is.
    #[error("index {index} has no settings; say where it is with `host settings put {index} …`")]
    NoSettings { index: String },
    /// The settings cannot be read.
    #[error("the settings of index {index} could not be read")]
    Settings { index: String, source: StoreError },
    /// Somebody must act first.
    #[error("{endpoint} answered {operation} with {words}; {advice}")]
    Misconfigured { endpoint: String, operation: &'static str, words: String, advice: &'static str },
    /// No connection to any endpoint.
    #[error(
        "{endpoint} cannot be reached ({words}){fallback}; see that the server runs and the address is right"
    )]
    Unreachable { endpoint: String, words: String, fallback: String },
    /// Too long or too often nothing but failures.
    #[error("{endpoint} kept failing: {operation} was tried {attempts} times, last with {words}")]
    Failing { endpoint: String, operation: &'static str, attempts: u32, words: String },
    /// Busy with something else, as often as is patient. That took minutes: a worker that tried the chunk again would
    /// only multiply them.
    #[error(
        "{endpoint} was busy each of the {attempts} times that {operation} was tried, last with {words}; see what changes \
         the schema of the index, and run the same command again"
    )]
    Busy { endpoint: String, operation: &'static str, attempts: u32, words: String },
    /// Throttled for too long.
    #[error("{endpoint} let no {operation} through for {seconds} s, last with {words}")]
    Throttled { endpoint: String, operation: &'static str, seconds: u64, words: String },
    /// The server refused a request that holds no documents.
    #[error("{endpoint} refused {operation}: {words}")]
    Refused { endpoint: String, operation: &'static str, words: String },
    /// Never sent, because of another failure, which is the one to be told.
    #[error("it was not sent, because another request of the same call failed")]
    GivenUp,
    /// Marqo Cloud does not know the index.
    #[error("{endpoint} knows no index {index}{status}; create it, or name another one")]
    NotInCloud { endpoint: String, index: String, status: String, transient: bool },
    /// Settings that the index does not accept.
    #[error("{contradiction}")]
    Contradiction { contradiction: String },
    /// Marqo lists only so many.
    #[error("index {index} has {documents} documents; a Marqo server lists {limit} at most")]
    TooManyToList { index: String, documents: u64, limit: usize },
}

impl Failure {
    fn is_transient(&self) -> bool {
        match self {
            Self::Settings { source, .. } => source.kind == host_core::storage::StoreErrorKind::Transient,
            Self::Unreachable { .. } | Self::Failing { .. } | Self::Throttled { .. } | Self::GivenUp => true,
            Self::NotInCloud { transient, .. } => *transient,
            Self::NoSettings { .. }
            | Self::Misconfigured { .. }
            | Self::Busy { .. }
            | Self::Refused { .. }
            | Self::Contradiction { .. }
            | Self::TooManyToList { .. } => false,
        }
    }

    /// As the seam tells it.
    pub(super) fn during(self, action: &str, index: &str) -> IndexError {
        IndexError {
            action: format!("{action} Marqo index {index}"),
            transient: self.is_transient(),
            source: Box::new(self),
        }
    }
}
