//! The cache of compiled components (a component is the WebAssembly of a plug-in) on disk. Compiling takes from 60 ms
//! (a plug-in in Rust) to seconds (Python, JavaScript), reading the result back one millisecond.

use crate::{
    Engine,
    code::{self, CodeError},
};
use host_core::model::Digest;
use rustix::{
    fs::{AtFlags, Dir, FileType, Mode, OFlags, RawMode, Stat, fstat, openat, renameat, statat, unlinkat},
    io::Errno,
    process::geteuid,
};
use std::{
    ffi::{CStr, CString},
    fmt,
    fs::{DirBuilder, File},
    io,
    os::{fd::OwnedFd, unix::fs::DirBuilderExt},
    path::{Path, PathBuf},
    sync::{Arc, Once},
    time::{Duration, SystemTime},
};
use tempfile::NamedTempFile;
use wasmtime::component::Component;

/// The permission bits that let the group or others write.
const FOREIGN_WRITE: RawMode = 0o022;

/// The most bytes of all entries together, unless set otherwise: room for dozens of plug-ins that contain an
/// interpreter (JavaScript, Python), or for hundreds of others.
const MAX_BYTES: u64 = 1 << 30;

/// How the file names of entries begin while they are being written.
const DRAFT: &str = ".draft-";

/// A draft (an entry that is being written) of this age was left by a process that died: compiling takes minutes at
/// most.
const DRAFT_AGE: Duration = Duration::from_secs(60 * 60);

/// A directory with compiled components, which belongs to the user alone.
///
/// Machine code from this directory is run unchecked, so anyone who can write here can run code as this user. Hence:
/// the directory and each entry must be owned by the user and writable by no other, links are not followed, each is
/// opened once and what was opened is what is checked and run, entries are replaced and never changed, and a digest
/// detects what a broken disk or a crash left. The digest does not protect against another user who can write the file;
/// the file permissions do.
///
/// When the entries take more than 1 GiB, those that were used least recently are removed.
#[derive(Clone, Debug)]
pub struct Cache {
    directory: PathBuf,
    max_bytes: u64,
    /// Set once a problem is logged: it concerns the directory and thus all plug-ins, so that one line is enough.
    warned: Arc<Once>,
}

/// An entry that is being written. Dropping it removes its file, unless `keep` has given the file its final name.
#[derive(Debug)]
pub(super) struct Draft {
    cache: Cache,
    key: Digest,
    directory: OwnedFd,
    file: NamedTempFile,
}

/// Why the cache could not be used; never a reason to stop.
#[derive(Debug, thiserror::Error)]
enum CacheFault {
    #[error("{0}")]
    Io(#[from] io::Error),
    #[error("{} is owned by another user", .0.display())]
    Foreign(PathBuf),
    #[error("{} can be written by other users", .0.display())]
    Writable(PathBuf),
    #[error("{} is not a directory or not a regular file", .0.display())]
    Kind(PathBuf),
    #[error("{} cannot be used: {error}", path.display())]
    Code { path: PathBuf, error: CodeError },
}

impl From<Errno> for CacheFault {
    fn from(error: Errno) -> Self {
        Self::Io(error.into())
    }
}

impl Cache {
    /// A cache in a directory, which is made when it is first written to.
    pub fn new(directory: impl Into<PathBuf>) -> Self {
        Self { directory: directory.into(), max_bytes: MAX_BYTES, warned: Arc::new(Once::new()) }
    }

    /// Sets how many bytes all entries may take.
    pub fn with_max_bytes(mut self, bytes: u64) -> Self {
        self.max_bytes = bytes;
        self
    }

    /// The user's cache: `$XDG_CACHE_HOME/host/plugins` or `~/.cache/host/plugins`; `None` without a home directory.
    pub fn of_user() -> Option<Self> {
        // The XDG Base Directory Specification says to ignore relative paths.
        let absolute =
            |name: &str| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
        let base = absolute("XDG_CACHE_HOME").or_else(|| Some(absolute("HOME")?.join(".cache")))?;
        Some(Self::new(base.join("host/plugins")))
    }

    /// Where the entries are.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// The compiled form of the component with this key; `None` if there is no entry for it, or one that is damaged or unsafe.
    pub(super) fn get(&self, engine: &Engine, key: &Digest) -> Option<Component> {
        match self.open(engine, key) {
            Ok(component) => Some(component),
            Err(CacheFault::Io(error)) if error.kind() == io::ErrorKind::NotFound => None,
            Err(fault) => {
                self.warn(format_args!("compiled plug-ins are not taken from the cache: {fault}"));
                None
            }
        }
    }

    fn open(&self, engine: &Engine, key: &Digest) -> Result<Component, CacheFault> {
        let directory = self.open_directory()?;
        let (entry, path) = (entry(key), self.directory.join(entry(key)));
        // A link could lead to a file of this user that another user may write (hence NOFOLLOW); opening a pipe would
        // wait for its writer (hence NONBLOCK).
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let file = match openat(&directory, entry, flags, Mode::empty()) {
            Err(Errno::LOOP) => return Err(CacheFault::Kind(path)),
            opened => File::from(opened?),
        };
        check_rights(&path, &fstat(&file)?, FileType::RegularFile)?;
        let component = code::load(engine, &file, key).map_err(|error| CacheFault::Code { path, error })?;
        // The modification time is the time of the last use. A failure only makes the order of removal inexact.
        let _ = file.set_modified(SystemTime::now());
        Ok(component)
    }

    /// Begins an entry; `None` if the cache cannot be written, which is not an error.
    pub(super) fn draft(&self, key: &Digest) -> Option<Draft> {
        self.try_draft(*key).inspect_err(|fault| self.warn_unwritable(fault)).ok()
    }

    fn try_draft(&self, key: Digest) -> Result<Draft, CacheFault> {
        DirBuilder::new().recursive(true).mode(0o700).create(&self.directory)?;
        let directory = self.open_directory()?;
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let open = |path: &Path| {
            let name = path.file_name().ok_or(Errno::INVAL)?;
            Ok(File::from(openat(&directory, name, flags, Mode::RUSR | Mode::WUSR)?))
        };
        sweep(&directory)?;
        let file = tempfile::Builder::new().prefix(DRAFT).make_in(&self.directory, open)?;
        Ok(Draft { cache: self.clone(), key, directory, file })
    }

    /// Opens the directory, if it is the user's alone.
    fn open_directory(&self) -> Result<OwnedFd, CacheFault> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let directory = match rustix::fs::open(&self.directory, flags, Mode::empty()) {
            Err(Errno::NOTDIR | Errno::LOOP) => return Err(CacheFault::Kind(self.directory.clone())),
            opened => opened?,
        };
        check_rights(&self.directory, &fstat(&directory)?, FileType::Directory)?;
        Ok(directory)
    }

    /// Removes the entries that were used least recently until the rest fits.
    fn evict(&self, directory: &OwnedFd) -> Result<(), CacheFault> {
        // As tuples that sort by the time of the last use.
        let mut entries: Vec<_> = files(directory)?
            .into_iter()
            .filter(|(name, _)| !is_draft(name))
            .map(|(name, stat)| {
                ((stat.st_mtime, stat.st_mtime_nsec), u64::try_from(stat.st_size).unwrap_or(0), name)
            })
            .collect();
        entries.sort_unstable();
        let mut total: u64 = entries.iter().map(|(_, bytes, _)| bytes).sum();
        // The entry that was used last stays, however large it is.
        entries.pop();
        for (_, bytes, name) in entries {
            if total <= self.max_bytes {
                break;
            }
            remove(directory, &name)?;
            total -= bytes;
        }
        Ok(())
    }

    fn warn(&self, what: fmt::Arguments<'_>) {
        self.warned.call_once(|| tracing::warn!("{what}"));
    }

    /// Logs that the cache cannot be written, unless a problem was logged before.
    pub(super) fn warn_unwritable(&self, fault: &dyn fmt::Display) {
        self.warn(format_args!("compiled plug-ins are not kept in {}: {fault}", self.directory.display()));
    }
}

impl Draft {
    /// The file that the compiled code is written to.
    pub(super) fn file(&self) -> &File {
        self.file.as_file()
    }

    /// Writes the code; `None` and a warning if the cache cannot be written, which is not an error.
    pub(super) fn written(self, code: &[u8]) -> Option<Self> {
        match code::write(self.file(), &self.key, code) {
            Ok(()) => Some(self),
            Err(error) => {
                self.give_up(&error);
                None
            }
        }
    }

    /// Removes the draft and logs why the cache cannot be written, which is not an error.
    pub(super) fn give_up(self, cause: &io::Error) {
        self.cache.warn_unwritable(cause);
    }

    /// Makes the entry visible atomically. Failure to store it is not an error.
    pub(super) fn keep(self) {
        if let Err(fault) = self.try_keep() {
            self.cache.warn_unwritable(&fault);
        }
    }

    fn try_keep(&self) -> Result<(), CacheFault> {
        self.file().set_modified(SystemTime::now())?;
        let name = self.file.path().file_name().ok_or(Errno::INVAL)?;
        // The draft's own file name is gone afterwards, so that dropping the draft removes nothing.
        renameat(&self.directory, name, &self.directory, entry(&self.key))?;
        self.cache.evict(&self.directory)
    }
}

/// The file name of the entry with a key.
fn entry(key: &Digest) -> String {
    format!("{}.cwasm", key.hex())
}

/// The names of a directory's regular files, with their size, times and owner.
fn files(directory: &OwnedFd) -> Result<Vec<(CString, Stat)>, CacheFault> {
    let mut files = Vec::new();
    for entry in Dir::read_from(directory)? {
        let name = entry?.file_name().to_owned();
        // Another process may have removed it.
        let Ok(stat) = statat(directory, &name, AtFlags::SYMLINK_NOFOLLOW) else { continue };
        if FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile {
            files.push((name, stat));
        }
    }
    Ok(files)
}

fn is_draft(name: &CStr) -> bool {
    // The names of earlier releases' drafts begin with `.tmp`.
    name.to_bytes().starts_with(DRAFT.as_bytes()) || name.to_bytes().starts_with(b".tmp")
}

/// Removes the drafts that processes left when they died.
fn sweep(directory: &OwnedFd) -> Result<(), CacheFault> {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let oldest = now.saturating_sub(DRAFT_AGE).as_secs();
    for (name, stat) in files(directory)? {
        if is_draft(&name) && u64::try_from(stat.st_mtime).unwrap_or(0) < oldest {
            remove(directory, &name)?;
        }
    }
    Ok(())
}

fn remove(directory: &OwnedFd, name: &CStr) -> Result<(), CacheFault> {
    match unlinkat(directory, name, AtFlags::empty()) {
        Ok(()) | Err(Errno::NOENT) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// Checks that a file or directory is of the expected kind, belongs to this user, and can be written by no other.
fn check_rights(path: &Path, stat: &Stat, kind: FileType) -> Result<(), CacheFault> {
    if FileType::from_raw_mode(stat.st_mode) != kind {
        return Err(CacheFault::Kind(path.to_owned()));
    }
    if stat.st_uid != geteuid().as_raw() {
        return Err(CacheFault::Foreign(path.to_owned()));
    }
    if stat.st_mode & FOREIGN_WRITE != 0 {
        return Err(CacheFault::Writable(path.to_owned()));
    }
    Ok(())
}
