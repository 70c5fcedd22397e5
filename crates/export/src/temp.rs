//! Temporary files, for sorting and for streams that must be read twice.

use super::ExportError;
use std::{fs::File, io, path::PathBuf};

/// Creates temporary files in one directory. The files have no name, so the operating system removes them when the
/// process ends, even if it crashes.
#[derive(Clone, Debug)]
pub struct TempFiles {
    dir: PathBuf,
}

impl TempFiles {
    /// Uses this directory; [`create`](Self::create) creates it if it is missing.
    pub fn new(dir: PathBuf) -> Self {
        Self { dir }
    }

    /// Creates an empty file that is removed when it is closed.
    pub fn create(&self) -> Result<File, ExportError> {
        std::fs::create_dir_all(&self.dir)
            .map_err(|error| self.failed("creating the directory of", error))?;
        tempfile::tempfile_in(&self.dir).map_err(|error| self.failed("creating", error))
    }

    /// The error for a failed operation on a temporary file. `action` precedes "a temporary file" in the message.
    pub fn failed(&self, action: &'static str, source: io::Error) -> ExportError {
        let dir = self.dir.clone();
        match source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => ExportError::DiskFull { dir },
            _ => ExportError::TempFile { action, dir, source },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write as _;

    #[cfg(target_os = "linux")]
    #[test]
    fn a_full_disk_has_an_error_of_its_own() {
        let temp = TempFiles::new(PathBuf::from("/some/folder"));
        let full = std::fs::OpenOptions::new()
            .write(true)
            .open("/dev/full")
            .and_then(|mut file| file.write_all(b"x"));
        let error = temp.failed("writing", full.unwrap_err());
        insta::assert_snapshot!(error, @"no space left for temporary files in `/some/folder`; free some space, or choose another directory with `--data-dir`");
        let error = TempFiles::new(PathBuf::from("/dev/null/folder")).create().unwrap_err();
        insta::assert_snapshot!(error, @"creating the directory of a temporary file in `/dev/null/folder` failed");
    }
}
