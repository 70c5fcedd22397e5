//! Turns what PostgreSQL reports into messages that say what to do, and decides when a transaction is retried.

use crate::dialect::Failed;
use deadpool_postgres::PoolError;
use host_core::clock::SharedClock;
use host_net::{Retry, RetryPolicy};
use std::{error::Error as _, io};
use tokio_postgres::{Error, error::SqlState};

/// A call to the database failed; the message names the database and says what to do.
#[derive(Debug, thiserror::Error)]
pub(super) enum PostgresError {
    #[error("{name} cannot be reached; check that the server runs and that `catalog.url` is right")]
    Unreachable { name: String, source: Error },
    #[error("{name} authentication failed; check user, password and database of `catalog.url`")]
    Refused { name: String, source: Error },
    #[error("{name} has no catalog yet; `host catalog migrate` creates it")]
    NoCatalog { name: String },
    #[error("the catalog of {name} is older than this host; `host catalog migrate` brings it up to date")]
    Older { name: String },
    #[error(
        "the catalog of {name} has schema {found}, this host knows schemas up to {known}; use the newer host"
    )]
    Newer { name: String, found: i32, known: i32 },
    #[error("{name} is temporarily unavailable; retrying")]
    TemporarilyUnavailable { name: String, source: Error },
    #[error("{name} refused a statement; see the server's log if the reason below is not enough")]
    Statement { name: String, source: Error },
    #[error("{name} has no free connection")]
    Pool { name: String, source: PoolError },
    #[error("{name} holds what this host cannot read")]
    Unreadable { name: String, source: serde_json::Error },
    #[error("{name}: {what}")]
    Other { name: String, what: String },
}

/// What went wrong, without the name of the database.
#[derive(Debug)]
pub(super) enum Cause {
    Pool(PoolError),
    Statement(Error),
    Unreadable(serde_json::Error),
    Other(String),
    NoCatalog,
    Older,
    Newer { found: i32, known: i32 },
}

impl From<Error> for Cause {
    fn from(error: Error) -> Self {
        Self::Statement(error)
    }
}

impl From<PoolError> for Cause {
    fn from(error: PoolError) -> Self {
        match error {
            PoolError::Backend(error) => Self::Statement(error),
            error => Self::Pool(error),
        }
    }
}

impl From<serde_json::Error> for Cause {
    fn from(error: serde_json::Error) -> Self {
        Self::Unreadable(error)
    }
}

impl Cause {
    /// Whether the same transaction may succeed immediately, because it failed only at what another transaction did at
    /// the same time.
    fn is_conflict(&self) -> bool {
        let Self::Statement(error) = self else { return false };
        [
            SqlState::T_R_DEADLOCK_DETECTED,
            SqlState::T_R_SERIALIZATION_FAILURE,
            // Two transactions add the same product.
            SqlState::UNIQUE_VIOLATION,
            // One transaction adds a row to a product that the other one deletes.
            SqlState::FOREIGN_KEY_VIOLATION,
        ]
        .iter()
        .any(|state| error.code() == Some(state))
    }

    /// The failure of a call to the database of this name.
    pub(super) fn of(self, name: &str) -> Failed {
        let name = name.to_owned();
        let error = match self {
            Self::Pool(source) => PostgresError::Pool { name, source },
            Self::Unreadable(source) => PostgresError::Unreadable { name, source },
            Self::Other(what) => PostgresError::Other { name, what },
            Self::NoCatalog => PostgresError::NoCatalog { name },
            Self::Older => PostgresError::Older { name },
            Self::Newer { found, known } => PostgresError::Newer { name, found, known },
            Self::Statement(source) => match source.code().map(SqlState::code) {
                None if source.is_closed() || is_of_network(&source) => {
                    PostgresError::Unreachable { name, source }
                }
                None => PostgresError::Statement { name, source },
                // The schema `catalog`, or a table in it, does not exist.
                Some("3F000" | "42P01") => PostgresError::NoCatalog { name },
                // The database does not exist.
                Some("3D000") => PostgresError::Refused { name, source },
                // The first two characters are the class of the error.
                Some(code) => match code.get(..2) {
                    // Authentication failed.
                    Some("28") => PostgresError::Refused { name, source },
                    // The connection failed.
                    Some("08") => PostgresError::Unreachable { name, source },
                    // Rolled back; out of resources; an operator intervened; an object is locked.
                    Some("40" | "53" | "57" | "55") => PostgresError::TemporarilyUnavailable { name, source },
                    _ => PostgresError::Statement { name, source },
                },
            },
        };
        let transient = matches!(
            error,
            PostgresError::Unreachable { .. }
                | PostgresError::TemporarilyUnavailable { .. }
                | PostgresError::Pool { .. }
        );
        Failed { transient, source: Box::new(error) }
    }
}

/// Whether the network caused the error.
fn is_of_network(error: &Error) -> bool {
    let mut cause = error.source();
    while let Some(error) = cause {
        if error.is::<io::Error>() {
            return true;
        }
        cause = error.source();
    }
    // If a server has several addresses and none could be connected to, only the message tells.
    error.to_string().contains("connect")
}

/// The attempts at one transaction, which is retried as long as it conflicts with other ones.
pub(super) struct Attempts<'a>(Retry<'a>);

impl<'a> Attempts<'a> {
    pub(super) fn new(clock: &'a SharedClock) -> Self {
        Self(Retry::new(RetryPolicy::TRANSACTION_CONFLICT, clock.as_ref()))
    }

    /// Whether to retry after a failure. If so, it waits first, so that the other transaction can end.
    pub(super) async fn should_retry(&mut self, cause: &Cause) -> bool {
        if !cause.is_conflict() {
            return false;
        }
        tracing::debug!(
            failed = self.0.failed() + 1,
            ?cause,
            "a catalog transaction conflicts with another one"
        );
        self.0.wait(None).await
    }
}
