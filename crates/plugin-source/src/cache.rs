//! What registries sent, in files named by digest.

use host_core::model::Digest;
use std::{
    fs,
    io::{self, Write},
    path::{Path, PathBuf},
};

/// A folder of files named by digest, or none.
#[derive(Debug)]
pub(crate) struct Cache(Option<PathBuf>);

impl Cache {
    pub(crate) fn new(folder: Option<&Path>) -> Self {
        Self(folder.map(Path::to_owned))
    }

    /// The bytes with a digest. A file that does not have it, damaged or tampered with, counts as absent.
    pub(crate) fn get(&self, digest: Digest) -> Option<Vec<u8>> {
        let bytes = fs::read(self.0.as_ref()?.join(digest.hex())).ok()?;
        (Digest::of(&bytes) == digest).then_some(bytes)
    }

    /// Stores some bytes. A folder that cannot be written is not an error.
    pub(crate) fn put(&self, digest: Digest, bytes: &[u8]) {
        if let Some(folder) = &self.0
            && let Err(error) = write(folder, digest, bytes)
        {
            tracing::warn!("what registries send is not kept in {}: {error}", folder.display());
        }
    }
}

fn write(folder: &Path, digest: Digest, bytes: &[u8]) -> io::Result<()> {
    fs::create_dir_all(folder)?;
    let mut file = tempfile::NamedTempFile::new_in(folder)?;
    file.write_all(bytes)?;
    file.persist(folder.join(digest.hex())).map(drop).map_err(|error| error.error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn damaged_files_count_as_absent() {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::new(Some(folder.path()));
        let digest = Digest::of(b"component");
        assert_eq!(cache.get(digest), None);
        cache.put(digest, b"component");
        assert_eq!(cache.get(digest).as_deref(), Some(&b"component"[..]));
        fs::write(folder.path().join(digest.hex()), "componenT").unwrap();
        assert_eq!((cache.get(digest), Cache::new(None).get(digest)), (None, None));
    }
}
