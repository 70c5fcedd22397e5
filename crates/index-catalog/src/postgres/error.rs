//! Turns what PostgreSQL says into what a person can do about it, and says when a transaction is tried again.

use crate::dialect::Failed;
use deadpool_postgres::PoolError;
use host_core::clock::SharedEnv;
use std::{error::Error as _, io, time::Duration};
use tokio_postgres::{Error, error::SqlState};

/// A call to the database failed; the message names the database and what helps.
#[derive(Debug, thiserror::Error)]
pub(super) enum PostgresError {
    #[error("{name} cannot be reached; check that the server runs and that `catalog.url` is right")]
    Unreachable { name: String, source: Error },
    #[error("{name} does not let us in; check user, password and database of `catalog.url`")]
    Refused { name: String, source: Error },
    #[error("{name} has no catalog yet; `host catalog migrate` makes it")]
    NoCatalog { name: String },
    #[error("the catalog of {name} is older than this host; `host catalog migrate` brings it up to date")]
    Older { name: String },
    #[error(
        "the catalog of {name} has schema {found}, this host knows schemas up to {known}; use the newer host"
    )]
    Newer { name: String, found: i32, known: i32 },
    #[error("{name} could not do it now; this goes by itself unless the server is in trouble")]
    Passing { name: String, source: Error },
    #[error("{name} refused a statement; look into the server's log if the reason below does not say enough")]
    Statement { name: String, source: Error },
    #[error("{name} has no free connection")]
    Pool { name: String, source: PoolError },
    #[error("{name} holds what this host cannot read")]
    Unreadable { name: String, source: serde_json::Error },
    #[error("{name}: {what}")]
    Other { name: String, what: String },
}

/// What went wrong, before it is known with which database.
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
    /// Whether the same transaction may succeed at once: somebody else was faster, and what he wrote is there now.
    fn was_overtaken(&self) -> bool {
        let Self::Statement(error) = self else { return false };
        [
            SqlState::T_R_DEADLOCK_DETECTED,
            SqlState::T_R_SERIALIZATION_FAILURE,
            // Of two who add the same product.
            SqlState::UNIQUE_VIOLATION,
            // Of one who adds to a product that the other removes.
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
                // The schema, or a table in it.
                Some("3F000" | "42P01") => PostgresError::NoCatalog { name },
                // The database.
                Some("3D000") => PostgresError::Refused { name, source },
                Some(code) => match code.get(..2) {
                    Some("28") => PostgresError::Refused { name, source },
                    Some("08") => PostgresError::Unreachable { name, source },
                    // Rolled back, no resources, stopped by somebody, waits too long for a lock.
                    Some("40" | "53" | "57" | "55") => PostgresError::Passing { name, source },
                    _ => PostgresError::Statement { name, source },
                },
            },
        };
        let transient = matches!(
            error,
            PostgresError::Unreachable { .. } | PostgresError::Passing { .. } | PostgresError::Pool { .. }
        );
        Failed { transient, source: Box::new(error) }
    }
}

fn is_of_network(error: &Error) -> bool {
    let mut cause = error.source();
    while let Some(error) = cause {
        if error.is::<io::Error>() {
            return true;
        }
        cause = error.source();
    }
    // Of several addresses none could be connected to.
    error.to_string().contains("connect")
}

/// Most attempts at one transaction.
const MOST_ATTEMPTS: u32 = 20;

/// Attempts at one transaction.
pub(super) struct Attempts<'a> {
    env: &'a SharedEnv,
    made: u32,
}

impl<'a> Attempts<'a> {
    pub(super) fn new(env: &'a SharedEnv) -> Self {
        Self { env, made: 0 }
    }

    /// Whether to try again after a failure; waits first, so that others come to their end.
    pub(super) async fn again(&mut self, cause: &Cause) -> bool {
        self.made += 1;
        if !cause.was_overtaken() || self.made == MOST_ATTEMPTS {
            return false;
        }
        tracing::debug!(attempt = self.made, ?cause, "a catalog transaction is tried again");
        let longest = 5_u64 << self.made.min(6);
        self.env.sleep(Duration::from_millis(self.env.random() % (longest + 1))).await;
        true
    }
}
