//! Why a call to the index failed as a whole. Refusals of single documents are outcomes, not errors.

use super::settings::SettingsError;
use host_core::{
    index::IndexError,
    storage::{StoreError, StoreErrorKind},
};
use std::borrow::Cow;

/// No connection to any endpoint of an index.
#[derive(Clone, Debug)]
pub(super) struct Unreachable {
    pub(super) endpoint: String,
    pub(super) detail: String,
    /// A clause about the fallback endpoint, for the end of the message; empty if the index has none.
    pub(super) fallback: String,
}

impl From<Unreachable> for Failure {
    fn from(Unreachable { endpoint, detail, fallback }: Unreachable) -> Self {
        Self::Unreachable { endpoint, detail, fallback }
    }
}

/// A failure of the whole call. None of them reveals a secret.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failure {
    /// The index has no settings.
    #[error("index {index} has no settings; say where it is: `host settings put {index} --endpoint URL`")]
    NoSettings { index: String },
    /// The store failed, or holds settings that this version cannot read.
    #[error("the settings of index {index} could not be read")]
    Settings { index: String, source: SettingsError },
    /// Nothing can be written before an operator follows the advice, which names the index `INDEX` until it is known
    /// which one that is.
    #[error("{endpoint} answered {operation} with {detail}; {advice}")]
    Misconfigured { endpoint: String, operation: &'static str, detail: String, advice: Cow<'static, str> },
    /// No connection to any endpoint.
    #[error(
        "{endpoint} cannot be reached ({detail}){fallback}; make sure that the server runs and the address is right"
    )]
    Unreachable { endpoint: String, detail: String, fallback: String },
    /// Every attempt at a request failed, and no document is at fault.
    #[error("{endpoint} kept failing: {operation} was tried {attempts} times, last with {detail}")]
    Failing { endpoint: String, operation: &'static str, attempts: u32, detail: String },
    /// The schema of the index was being changed at every attempt. Not transient: the attempts took minutes, and
    /// another delivery of the chunk would repeat them.
    #[error(
        "{endpoint} was busy each of the {attempts} times that {operation} was tried, last with {detail}; see what changes \
         the schema of the index, and run the same command again"
    )]
    Busy { endpoint: String, operation: &'static str, attempts: u32, detail: String },
    /// The server throttled for longer than `throttle_timeout_seconds`, or at all where a user waits for the answer.
    #[error("{endpoint} throttled every {operation} for {seconds} s, last with {detail}")]
    Throttled { endpoint: String, operation: &'static str, seconds: u64, detail: String },
    /// The server refused a request that holds no documents.
    #[error("{endpoint} refused {operation}: {detail}")]
    Refused { endpoint: String, operation: &'static str, detail: String },
    /// Not sent because another request of the same call failed; that failure is reported.
    #[error("it was not sent, because another request of the same call failed")]
    Aborted,
    /// Marqo Cloud does not have the index, or is still creating it: then `status` says so and the failure is
    /// transient.
    #[error("{endpoint} knows no index {index}{status}; create it, or name another one")]
    NotInCloud { endpoint: String, index: String, status: String, transient: bool },
    /// Settings that the index does not accept.
    #[error("{contradiction}")]
    SettingsMismatch { contradiction: String },
    /// The index has more documents than Marqo's searches reach.
    #[error("index {index} has {documents} documents; a Marqo server lists {limit} at most")]
    TooManyToList { index: String, documents: u64, limit: usize },
}

impl Failure {
    fn is_transient(&self) -> bool {
        match self {
            Self::Settings { source: SettingsError::Store(StoreError { kind, .. }), .. } => {
                *kind == StoreErrorKind::Transient
            }
            Self::Settings { source: SettingsError::Unknown { .. }, .. } => false,
            Self::Unreachable { .. } | Self::Failing { .. } | Self::Throttled { .. } | Self::Aborted => true,
            Self::NotInCloud { transient, .. } => *transient,
            Self::NoSettings { .. }
            | Self::Misconfigured { .. }
            | Self::Busy { .. }
            | Self::Refused { .. }
            | Self::SettingsMismatch { .. }
            | Self::TooManyToList { .. } => false,
        }
    }

    /// The error that the `Index` port reports. The action is a participle such as `writing to`.
    pub(super) fn during(mut self, action: &str, index: &str) -> IndexError {
        if let Self::Misconfigured { advice, .. } = &mut self {
            *advice = advice.replace("INDEX", index).into();
        }
        IndexError {
            action: format!("{action} Marqo index {index}"),
            transient: self.is_transient(),
            source: Box::new(self),
        }
    }
}
