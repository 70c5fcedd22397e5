//! The errors of the SQLite file: what SQLite reports, which file it is about, and what a person can do about it.

use host_core::storage::{StoreError, StoreErrorKind, UnsupportedFormat};
use rusqlite::ErrorCode;

/// A database call failed; the message names the file and what to do.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub struct DatabaseError(#[from] Problem);

/// What is wrong, and with which file.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Problem {
    #[error("the disk of {path} is full; free some space and start again, nothing is lost")]
    DiskFull { path: String, source: rusqlite::Error },
    #[error("{path} cannot be written; check the owner and permissions of the file and its folder")]
    NotWritable { path: String, source: rusqlite::Error },
    #[error("{path} cannot be read or written; check the disk and that the folder is on a local file system")]
    Io { path: String, source: rusqlite::Error },
    #[error("{path} is not a database, or is corrupt; restore it, or move it away and ingest again")]
    Damaged { path: String, source: rusqlite::Error },
    #[error("{path} is held by another process; this is temporary unless that process hangs")]
    Locked { path: String, source: rusqlite::Error },
    #[error(
        "{path} has schema {found}, this host knows schemas up to {known}; use the newer host that wrote it"
    )]
    NewerSchema { path: String, found: i64, known: i64 },
    #[error("{path} is a database of another program; use a separate data directory for the host")]
    Foreign { path: String },
    #[error("{path} holds what this host cannot read; restore it, or move it away and ingest again")]
    Unreadable { path: String, source: Box<dyn std::error::Error + Send + Sync> },
    #[error("{path} holds a record that this host leaves alone")]
    Unsupported { path: String, source: UnsupportedFormat },
    #[error("{0}")]
    Refused(String),
    #[error("the statement on {path} failed; this is a defect of the host")]
    Defect { path: String, source: rusqlite::Error },
    #[error("the program is ending")]
    Ending,
}

impl DatabaseError {
    /// What SQLite's error means for the file at `path`.
    pub(crate) fn of(path: String, source: rusqlite::Error) -> Self {
        Self(Problem::of(path, source))
    }

    /// What the failure means to the caller.
    pub fn kind(&self) -> StoreErrorKind {
        match &self.0 {
            Problem::Locked { .. } | Problem::Ending => StoreErrorKind::Transient,
            Problem::Damaged { .. } | Problem::Unreadable { .. } => StoreErrorKind::Corrupt,
            Problem::Unsupported { .. } => StoreErrorKind::Unsupported,
            Problem::DiskFull { .. }
            | Problem::NotWritable { .. }
            | Problem::Io { .. }
            | Problem::NewerSchema { .. }
            | Problem::Foreign { .. }
            | Problem::Refused(_)
            | Problem::Defect { .. } => StoreErrorKind::Permanent,
        }
    }

    /// The failure of a storage call that was doing `action`.
    pub fn during(self, action: impl Into<String>) -> StoreError {
        StoreError { action: action.into(), kind: self.kind(), source: Box::new(self) }
    }
}

impl Problem {
    fn of(path: String, source: rusqlite::Error) -> Self {
        match source.sqlite_error_code() {
            Some(ErrorCode::DiskFull) => Self::DiskFull { path, source },
            Some(ErrorCode::ReadOnly | ErrorCode::CannotOpen | ErrorCode::PermissionDenied) => {
                Self::NotWritable { path, source }
            }
            Some(ErrorCode::NotADatabase | ErrorCode::DatabaseCorrupt) => Self::Damaged { path, source },
            Some(
                ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked | ErrorCode::FileLockingProtocolFailed,
            ) => Self::Locked { path, source },
            Some(ErrorCode::SystemIoFailure | ErrorCode::NoLargeFileSupport) => Self::Io { path, source },
            Some(_) => Self::Defect { path, source },
            None => match source {
                rusqlite::Error::FromSqlConversionFailure(..)
                | rusqlite::Error::IntegralValueOutOfRange(..)
                | rusqlite::Error::InvalidColumnType(..)
                | rusqlite::Error::Utf8Error(..) => Self::Unreadable { path, source: Box::new(source) },
                source => Self::Defect { path, source },
            },
        }
    }
}
