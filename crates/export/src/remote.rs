//! The interface for sources that are neither files nor standard input, such as objects in S3; the program that uses
//! this crate implements it.

use std::{
    fmt,
    io::{self, Read},
    time::SystemTime,
};

/// Opens sources by name, such as objects in S3. The reader reads each source once, to its end, into a temporary file.
pub trait Remote: fmt::Debug + Send + Sync {
    /// Opens a source. Returns `None` if this implementation does not handle the name, and an error of kind `NotFound`
    /// if it does but there is no such source.
    fn open(&self, name: &str) -> Option<io::Result<RemoteSource>>;
}

/// An open source that is not a file.
pub struct RemoteSource {
    /// Its bytes.
    pub reader: Box<dyn Read>,
    /// When it was last modified; `None` if that is not known.
    pub modified_at: Option<SystemTime>,
}

impl fmt::Debug for RemoteSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RemoteSource").field("modified_at", &self.modified_at).finish_non_exhaustive()
    }
}
