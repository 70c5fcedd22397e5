//! Sources that are not files.

use std::io::{self, Read};

/// Opens sources by name, such as objects in S3. The reader reads each source once, to its end, into a temporary file.
pub trait Remote: std::fmt::Debug + Send + Sync {
    /// Opens a source. Returns `None` if this implementation does not handle the name, and an error of kind `NotFound`
    /// if it does but there is no such source.
    fn open(&self, name: &str) -> Option<io::Result<Box<dyn Read>>>;
}
