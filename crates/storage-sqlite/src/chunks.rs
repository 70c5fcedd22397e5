//! Stored objects (chunks, reports) as files below the data directory: an object's key is its path. A file appears
//! under its key only as a whole, and survives a power cut once it was stored.

use async_trait::async_trait;
use host_core::{
    model::Digest,
    storage::{Chunks, Put, StoreError, StoreErrorKind},
};
use jiff::{SignedDuration, Timestamp};
use std::{
    collections::HashSet,
    fs::{self, File},
    io::{self, ErrorKind, Write},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};
use tempfile::NamedTempFile;

/// Folder in which files are written before they are moved to their keys. No key leads into it, because parts of keys
/// do not start with a dot.
const INCOMING: &str = ".incoming";

/// Age from which an unfinished file counts as left by a crash: no write of a chunk takes an hour.
const ABANDONED: SignedDuration = SignedDuration::from_hours(1);

/// Most folders that a process remembers to be on the disk. It works on few jobs at a time, each with one folder.
const MAX_DURABLE: usize = 1_000;

/// Longest part of a key between its slashes, in bytes: file systems allow no longer names.
const MAX_NAME_BYTES: usize = 255;
/// Longest key, in bytes: the limit of S3, where the same keys are used.
const MAX_KEY_BYTES: usize = 1_024;
/// Characters of an invalid key that an error shows.
const MAX_SHOWN_CHARACTERS: usize = 200;

/// A folder of objects; an object's key is its path in it.
#[derive(Clone)]
pub(super) struct Folder {
    root: PathBuf,
    // Folders that this process has synced to the disk, so that it need not do that again for each object.
    durable: Arc<Mutex<HashSet<PathBuf>>>,
}

/// Why a file could not be stored or read.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error("`{0}` is not a valid key; keys are names joined by `/` that do not start with a dot")]
    Key(String),
    #[error("{path} failed; check free space, owner and permissions")]
    Io { path: PathBuf, source: io::Error },
    #[error("{path} has the digest {found} instead of {expected}; move it away and ingest again")]
    Digest { path: PathBuf, expected: Digest, found: Digest },
    #[error("the program is ending")]
    Ending,
}

impl Failure {
    fn during(self, action: String) -> StoreError {
        let kind = match &self {
            Self::Ending => StoreErrorKind::Transient,
            Self::Io { source, .. } if source.kind() == ErrorKind::Interrupted => StoreErrorKind::Transient,
            Self::Io { .. } | Self::Key(_) => StoreErrorKind::Permanent,
            Self::Digest { .. } => StoreErrorKind::Corrupt,
        };
        StoreError { action, kind, source: Box::new(self) }
    }
}

/// Adds the path to an error.
fn at<T>(path: &Path, result: io::Result<T>) -> Result<T, Failure> {
    result.map_err(|source| Failure::Io { path: path.to_owned(), source })
}

impl Folder {
    /// Opens the folder, creates it if it is missing, and removes unfinished files that crashes left.
    pub(super) fn open(root: &Path, now: Timestamp) -> Result<Self, StoreError> {
        let folder = Self { root: root.to_owned(), durable: Arc::default() };
        folder
            .remove_stale_uploads(now)
            .map_err(|failure| failure.during(format!("opening the chunk folder {}", root.display())))?;
        Ok(folder)
    }

    /// Removes unfinished files that are older than [`ABANDONED`].
    fn remove_stale_uploads(&self, now: Timestamp) -> Result<(), Failure> {
        let incoming = self.root.join(INCOMING);
        at(&incoming, fs::create_dir_all(&incoming))?;
        for entry in at(&incoming, fs::read_dir(&incoming))? {
            let path = at(&incoming, entry)?.path();
            // A file may be gone, because another process has finished or removed it meanwhile.
            let Ok(modified) = fs::metadata(&path).and_then(|metadata| metadata.modified()) else { continue };
            let Ok(modified) = Timestamp::try_from(modified) else { continue };
            if now.duration_since(modified) > ABANDONED {
                match fs::remove_file(&path) {
                    Err(error) if error.kind() != ErrorKind::NotFound => at(&path, Err(error))?,
                    _ => {}
                }
            }
        }
        Ok(())
    }

    /// The path of a key. Keys may come from outside, such as from a message, so it is checked that the path stays in
    /// the folder.
    fn path(&self, key: &str) -> Result<PathBuf, Failure> {
        let is_name = |part: &str| {
            !part.is_empty()
                && part.len() <= MAX_NAME_BYTES
                && !part.starts_with('.')
                && !part.contains(|char: char| char.is_control() || "\\:".contains(char))
        };
        if key.len() > MAX_KEY_BYTES || !key.split('/').all(is_name) {
            return Err(Failure::Key(key.chars().take(MAX_SHOWN_CHARACTERS).collect()));
        }
        Ok(self.root.join(key))
    }

    /// Creates the folder of an object if it is missing, and syncs it to the disk, so that it survives a crash.
    fn make_parent(&self, path: &Path) -> Result<PathBuf, Failure> {
        let parent = path.parent().unwrap_or(&self.root).to_owned();
        if self.durable.lock().unwrap_or_else(PoisonError::into_inner).contains(&parent) && parent.is_dir() {
            return Ok(parent);
        }
        at(&parent, fs::create_dir_all(&parent))?;
        // Also if the folders exist: an earlier process may have crashed after it created them and before it synced
        // them.
        for folder in parent.ancestors().take_while(|folder| folder.starts_with(&self.root)) {
            sync(folder)?;
        }
        let mut durable = self.durable.lock().unwrap_or_else(PoisonError::into_inner);
        if durable.len() >= MAX_DURABLE {
            durable.clear();
        }
        durable.insert(parent.clone());
        Ok(parent)
    }

    /// Writes the bytes to a file that no key leads to, and syncs it to the disk.
    fn write_incoming(&self, bytes: &[u8]) -> Result<NamedTempFile, Failure> {
        let incoming = self.root.join(INCOMING);
        let written = NamedTempFile::new_in(&incoming).and_then(|mut file| {
            file.write_all(bytes)?;
            file.as_file().sync_all()?;
            Ok(file)
        });
        at(&incoming, written)
    }

    fn put_if_absent(&self, path: &Path, bytes: &[u8]) -> Result<Put, Failure> {
        let parent = self.make_parent(path)?;
        if let Some(put) = compare(path, bytes)? {
            // The process that wrote the file may have crashed before it synced the folder.
            sync(&parent)?;
            return Ok(put);
        }
        let file = self.write_incoming(bytes)?;
        let put = match file.persist_noclobber(path) {
            Ok(_) => Put::Created,
            Err(failed) if failed.error.kind() == ErrorKind::AlreadyExists => match compare(path, bytes)? {
                Some(put) => put,
                // Another process has stored the object and removed it again, or the path is a folder.
                None => return at(path, Err(failed.error)),
            },
            Err(failed) => return at(path, Err(failed.error)),
        };
        sync(&parent)?;
        Ok(put)
    }

    /// Removes all objects whose keys begin with this one and a slash.
    pub(super) async fn remove_all(&self, key: &str) -> Result<(), StoreError> {
        let remove = |folder: &Self, path: &Path| {
            folder.durable.lock().unwrap_or_else(PoisonError::into_inner).remove(path);
            match fs::remove_dir_all(path) {
                Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
                result => at(path, result),
            }
        };
        self.run("removing", key, remove).await
    }

    /// The first parts of all keys, which are the platforms of shops: `shopify`.
    async fn platforms(&self) -> Result<Vec<String>, StoreError> {
        // Here the key is only a word for the error message: the folder itself has no key.
        self.run("looking for", "platforms", |folder, _| {
            let names = entries(&folder.root)?.into_iter().filter_map(|path| {
                let name = path.file_name()?.to_str()?;
                (path.is_dir() && !name.starts_with('.')).then(|| name.to_owned())
            });
            Ok(names.collect())
        })
        .await
    }

    fn put(&self, path: &Path, bytes: &[u8]) -> Result<(), Failure> {
        let parent = self.make_parent(path)?;
        let file = self.write_incoming(bytes)?;
        at(path, file.persist(path).map_err(|failed| failed.error))?;
        sync(&parent)
    }

    /// Runs `work` on the path of a key, on a thread for blocking calls. `action` and key describe the call in an
    /// error.
    async fn run<T: Send + 'static>(
        &self,
        action: &str,
        key: &str,
        work: impl FnOnce(&Self, &Path) -> Result<T, Failure> + Send + 'static,
    ) -> Result<T, StoreError> {
        let during = || format!("{action} {}", key.chars().take(MAX_KEY_BYTES).collect::<String>());
        let path = self.path(key).map_err(|failure| failure.during(during()))?;
        let folder = self.clone();
        let done = match tokio::task::spawn_blocking(move || work(&folder, &path)).await {
            Ok(done) => done,
            Err(ended) if ended.is_panic() => std::panic::resume_unwind(ended.into_panic()),
            Err(_) => Err(Failure::Ending),
        };
        done.map_err(|failure| failure.during(during()))
    }
}

/// Syncs a folder's entries to the disk.
fn sync(folder: &Path) -> Result<(), Failure> {
    // Only Unix can open a folder; elsewhere the journal of the file system must suffice.
    if cfg!(unix) { at(folder, File::open(folder).and_then(|folder| folder.sync_all())) } else { Ok(()) }
}

/// The paths of what is in a folder; empty if there is no folder.
fn entries(folder: &Path) -> Result<Vec<PathBuf>, Failure> {
    let listed = match fs::read_dir(folder) {
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
            return Ok(Vec::new());
        }
        listed => at(folder, listed)?,
    };
    at(folder, listed.map(|entry| Ok(entry?.path())).collect())
}

/// Number of files in a folder and all below it.
fn count_files(folder: &Path) -> Result<u64, Failure> {
    let mut files = 0;
    for path in entries(folder)? {
        files += if path.is_dir() { count_files(&path)? } else { 1 };
    }
    Ok(files)
}

/// Reads a file; `None` if there is nothing, or a folder.
fn read(path: &Path) -> Result<Option<Vec<u8>>, Failure> {
    match fs::read(path) {
        Err(error)
            if matches!(
                error.kind(),
                ErrorKind::NotFound | ErrorKind::NotADirectory | ErrorKind::IsADirectory
            ) =>
        {
            Ok(None)
        }
        result => at(path, result).map(Some),
    }
}

/// Removes a file; does nothing if there is none.
fn remove_file(path: &Path) -> Result<(), Failure> {
    match fs::remove_file(path) {
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => Ok(()),
        result => at(path, result),
    }
}

/// Compares a file with the bytes that it should have; `None` if there is no file.
fn compare(path: &Path, bytes: &[u8]) -> Result<Option<Put>, Failure> {
    let stored = read(path)?;
    Ok(stored.map(|stored| if stored == bytes { Put::AlreadyExists } else { Put::ContentMismatch }))
}

#[async_trait]
impl Chunks for Folder {
    async fn put_if_absent(&self, key: &str, bytes: &[u8]) -> Result<Put, StoreError> {
        let bytes = bytes.to_vec();
        self.run("writing", key, move |folder, path| folder.put_if_absent(path, &bytes)).await
    }

    async fn put(&self, key: &str, bytes: &[u8]) -> Result<(), StoreError> {
        let bytes = bytes.to_vec();
        self.run("writing", key, move |folder, path| folder.put(path, &bytes)).await
    }

    async fn get(&self, key: &str, sha256: Option<Digest>) -> Result<Option<Vec<u8>>, StoreError> {
        let get = move |_: &Self, path: &Path| {
            let bytes = read(path)?;
            if let (Some(bytes), Some(expected)) = (&bytes, sha256) {
                let found = Digest::of(bytes);
                if found != expected {
                    return Err(Failure::Digest { path: path.to_owned(), expected, found });
                }
            }
            Ok(bytes)
        };
        self.run("reading", key, get).await
    }

    async fn delete(&self, key: &str) -> Result<(), StoreError> {
        self.run("removing", key, |_, path| remove_file(path)).await
    }

    async fn delete_all(&self, keys: &[String]) -> Result<(), StoreError> {
        let Some(first) = keys.first() else { return Ok(()) };
        let during = |failure: Failure| failure.during(format!("removing {first} and others"));
        let paths: Vec<PathBuf> =
            keys.iter().map(|key| self.path(key)).collect::<Result<_, _>>().map_err(during)?;
        let delete = move |_: &Self, _: &Path| paths.iter().rev().try_for_each(|path| remove_file(path));
        self.run("removing", first, delete).await
    }

    async fn remove_shop(&self, shop_id: &str, dry_run: bool) -> Result<u64, StoreError> {
        let mut objects = 0;
        for platform in self.platforms().await? {
            let key = format!("{platform}/{shop_id}");
            objects += self.run("looking through", &key, |_, path| count_files(path)).await?;
            if !dry_run {
                self.remove_all(&key).await?;
            }
        }
        Ok(objects)
    }
}
