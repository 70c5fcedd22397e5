//! Sources that are no files: read once, from their first byte to their last.

use std::io::{self, Read};

/// Opens sources by their names. What it gives is read to its end at once and kept on disk.
pub trait Remote: std::fmt::Debug + Send + Sync {
    /// Opens a source; none if its name is of another kind. An error of kind `NotFound` means that there is none of this name.
    fn open(&self, name: &str) -> Option<io::Result<Box<dyn Read>>>;
}
