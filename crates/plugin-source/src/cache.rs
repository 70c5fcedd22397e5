//! A cache of what OCI registries sent (manifests, components, signatures), in files named by their SHA-256 digest.

use crate::file;
use host_core::model::Digest;
use std::{
    fs,
    io::{self, Write},
    path::{Path, PathBuf},
    time::SystemTime,
};

/// Most bytes of all files together, 1 GiB.
const MAX_BYTES: u64 = 1 << 30;

/// A folder of files named by digest; without one, nothing is kept. Above its limit, the files that were used least
/// recently are removed.
#[derive(Debug)]
pub(crate) struct Cache {
    folder: Option<PathBuf>,
    max_bytes: u64,
}

impl Cache {
    pub(crate) fn new(folder: Option<&Path>) -> Self {
        Self { folder: folder.map(Path::to_owned), max_bytes: MAX_BYTES }
    }

    /// The bytes with a digest. A file counts as absent if its bytes have another digest (it was damaged or tampered
    /// with) or are more than `limit`.
    pub(crate) fn get(&self, digest: Digest, limit: u64) -> Option<Vec<u8>> {
        let file = file::open(&self.folder.as_ref()?.join(digest.hex())).ok()?;
        let bytes = file::read_open(&file, limit).ok().filter(|bytes| Digest::of(bytes) == digest)?;
        // Records the last use for `evict`. An error is ignored: an inexact order of removal is harmless.
        let _ = file.set_modified(SystemTime::now());
        Some(bytes)
    }

    /// Stores the bytes with a digest. A folder that cannot be written is only warned of.
    pub(crate) fn put(&self, digest: Digest, bytes: &[u8]) {
        if let Some(folder) = &self.folder
            && let Err(error) = write(folder, digest, bytes).and_then(|()| self.evict(folder))
        {
            tracing::warn!("what registries send is not kept in {}: {error}", folder.display());
        }
    }

    /// Removes the files that were used least recently, until the rest fits; among them temporary files that a crash
    /// left.
    fn evict(&self, folder: &Path) -> io::Result<()> {
        let mut files = Vec::new();
        for entry in fs::read_dir(folder)? {
            let entry = entry?;
            // Another process may have removed it.
            let Ok(metadata) = entry.metadata() else { continue };
            if metadata.is_file() {
                files.push((metadata.modified()?, metadata.len(), entry.path()));
            }
        }
        // By the time of the last use, oldest first.
        files.sort_unstable();
        let mut total: u64 = files.iter().map(|(_, bytes, _)| bytes).sum();
        // The most recent one stays, however large it is.
        files.pop();
        for (_, bytes, path) in files {
            if total <= self.max_bytes {
                break;
            }
            match fs::remove_file(path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => total -= bytes,
            }
        }
        Ok(())
    }
}

/// Writes a file as a whole or not at all.
fn write(folder: &Path, digest: Digest, bytes: &[u8]) -> io::Result<()> {
    fs::create_dir_all(folder)?;
    let mut file = tempfile::NamedTempFile::new_in(folder)?;
    file.write_all(bytes)?;
    file.persist(folder.join(digest.hex())).map(drop).map_err(|error| error.error)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn damaged_files_count_as_absent() {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::new(Some(folder.path()));
        let digest = Digest::of(b"component");
        assert_eq!(cache.get(digest, 9), None);
        cache.put(digest, b"component");
        assert_eq!(cache.get(digest, 9).as_deref(), Some(&b"component"[..]));
        assert_eq!(cache.get(digest, 8), None);
        fs::write(folder.path().join(digest.hex()), "componenT").unwrap();
        assert_eq!((cache.get(digest, 9), Cache::new(None).get(digest, 9)), (None, None));
    }

    #[test]
    fn the_least_recently_used_file_is_removed_first() {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache { max_bytes: 6, ..Cache::new(Some(folder.path())) };
        let put = |content: &str, hours: u64| {
            cache.put(Digest::of(content.as_bytes()), content.as_bytes());
            let file = fs::File::open(folder.path().join(Digest::of(content.as_bytes()).hex())).unwrap();
            file.set_modified(SystemTime::now() - Duration::from_secs(hours * 3600)).unwrap();
        };
        let has = |content: &str| cache.get(Digest::of(content.as_bytes()), 99).is_some();
        put("one", 3);
        put("two", 2);
        // This use of the first makes it more recent than the second.
        assert!(has("one"));
        put("six", 0);
        assert_eq!((has("one"), has("two"), has("six")), (true, false, true));
        put("larger than all", 0);
        assert_eq!((has("one"), has("six"), has("larger than all")), (false, false, true));
    }
}
