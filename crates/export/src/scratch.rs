//! Temporary files.

use super::ExportError;
use std::{fs::File, io, path::PathBuf};

/// A folder for temporary files. They have no name, so they are gone with the process, however it ends.
#[derive(Clone, Debug)]
pub struct Scratch {
    dir: PathBuf,
}

impl Scratch {
    /// In this folder.
    pub fn new(dir: PathBuf) -> Self {
        Self { dir }
    }

    /// A file that is deleted when it is closed, whatever ends the process.
    pub fn create(&self) -> Result<File, ExportError> {
        std::fs::create_dir_all(&self.dir).map_err(|error| self.failed("making the folder of", error))?;
        tempfile::tempfile_in(&self.dir).map_err(|error| self.failed("creating", error))
    }

    /// What a failed operation on a temporary file means; `action` reads on with "a temporary file".
    pub fn failed(&self, action: &'static str, source: io::Error) -> ExportError {
        let dir = self.dir.clone();
        match source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => ExportError::DiskFull { dir },
            _ => ExportError::Scratch { action, dir, source },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write as _;

    #[cfg(target_os = "linux")]
    #[test]
    fn a_full_disk_is_told_from_other_failures() {
        let scratch = Scratch::new(PathBuf::from("/some/folder"));
        let full = std::fs::OpenOptions::new()
            .write(true)
            .open("/dev/full")
            .and_then(|mut file| file.write_all(b"x"));
        let error = scratch.failed("writing", full.unwrap_err());
        insta::assert_snapshot!(error, @"no space left for temporary files in `/some/folder`: free some, or name another folder with `--data-dir`");
        let error = Scratch::new(PathBuf::from("/dev/null/folder")).create().unwrap_err();
        insta::assert_snapshot!(error, @"making the folder of a temporary file in `/dev/null/folder` failed");
    }
}
