//! Compiled components on disk. Compiling takes from 60 ms (Rust) to seconds (Python, JavaScript), reading the result
//! back one millisecond.

use crate::Engine;
use host_core::model::Digest;
use rustix::process::geteuid;
use sha2::Digest as _;
use std::{
    fmt,
    fs::{self, DirBuilder, OpenOptions},
    io::{self, BufRead, BufReader, Read, Write},
    os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt},
    path::{Path, PathBuf},
    sync::{Arc, Once},
};
use wasmtime::component::Component;

/// SHA-256 of the code, behind it: the file begins as wasmtime wants it, so that it can be mapped instead of copied.
const DIGEST_BYTES: usize = 32;

/// Read at once when an entry is checked: few calls, and small enough for the processor's cache.
const READ_BYTES: usize = 64 << 10;

/// Rights of group and others to write.
const FOREIGN_WRITE: u32 = 0o022;

/// A directory with compiled components, which belongs to the user alone.
///
/// Machine code from this directory is run unchecked, so whoever can write here runs code as the user. Hence: the
/// directory and each entry must be owned by the user and writable by nobody else, links are not followed, entries are
/// replaced and never changed, and a digest finds what a broken disk or a crash left behind. The digest is no protection
/// against somebody who can write the file; the rights are.
///
/// Code is run where it lies, so a file system that is mounted `noexec` is told of at each start, which then compiles.
#[derive(Clone, Debug)]
pub struct Cache {
    directory: PathBuf,
    /// What is wrong with the directory concerns all plug-ins, and is told of one.
    warned: Arc<Once>,
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
    #[error("{} is no directory or no regular file", .0.display())]
    Kind(PathBuf),
    #[error("{} is damaged", .0.display())]
    Damaged(PathBuf),
}

impl Cache {
    /// A cache in a directory, which is made when it is first written to.
    pub fn new(directory: impl Into<PathBuf>) -> Self {
        Self { directory: directory.into(), warned: Arc::new(Once::new()) }
    }

    /// The user's cache: `$XDG_CACHE_HOME/host/plugins` or `~/.cache/host/plugins`; none without a home directory.
    pub fn of_user() -> Option<Self> {
        // The standard asks to ignore relative paths.
        let absolute =
            |name: &str| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
        let base = absolute("XDG_CACHE_HOME").or_else(|| Some(absolute("HOME")?.join(".cache")))?;
        Some(Self::new(base.join("host/plugins")))
    }

    /// Where the entries are.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// The compiled form of a component, if a sound one is there.
    pub(super) fn get(&self, engine: &Engine, wasm: &Digest) -> Option<Component> {
        let path = self.path(engine, wasm);
        match self.check(&path) {
            Ok(()) => deserialize(engine, &path)
                .inspect_err(|error| {
                    self.warn(format_args!(
                        "the compiled plug-in {} does not load: {error:#}",
                        path.display()
                    ));
                })
                .ok(),
            Err(CacheFault::Io(error)) if error.kind() == io::ErrorKind::NotFound => None,
            Err(fault) => {
                self.warn(format_args!("compiled plug-ins are not taken from the cache: {fault}"));
                None
            }
        }
    }

    /// Keeps the compiled form of a component. A cache that cannot be written is no reason to stop.
    pub(super) fn put(&self, engine: &Engine, wasm: &Digest, component: &Component) {
        let path = self.path(engine, wasm);
        let written = component.serialize().map_err(io::Error::other).map_err(CacheFault::from);
        if let Err(fault) = written.and_then(|code| self.write(&path, &code)) {
            let directory = self.directory.display();
            self.warn(format_args!("compiled plug-ins are not kept in {directory}: {fault}"));
        }
    }

    fn warn(&self, what: fmt::Arguments<'_>) {
        self.warned.call_once(|| tracing::warn!("{what}"));
    }

    fn path(&self, engine: &Engine, wasm: &Digest) -> PathBuf {
        let wasm = wasm.hex();
        let key = Digest::of_parts([wasm.as_bytes(), &engine.fingerprint()]);
        self.directory.join(format!("{}.cwasm", key.hex()))
    }

    /// Whether an entry is there, nobody else's, and whole.
    fn check(&self, path: &Path) -> Result<(), CacheFault> {
        self.check_directory()?;
        // O_NOFOLLOW: a link could lead to a file of the user that somebody else has the right to write.
        let file = OpenOptions::new()
            .read(true)
            .custom_flags(rustix::fs::OFlags::NOFOLLOW.bits().cast_signed())
            .open(path)?;
        let metadata = file.metadata()?;
        check_rights(path, &metadata, fs::Metadata::is_file)?;
        let damaged = || CacheFault::Damaged(path.to_owned());
        let code_bytes = metadata.len().checked_sub(DIGEST_BYTES as u64).ok_or_else(damaged)?;
        let mut hasher = sha2::Sha256::new();
        let mut code = BufReader::with_capacity(READ_BYTES, file).take(code_bytes);
        while let some @ [_, ..] = code.fill_buf()? {
            hasher.update(some);
            let taken = some.len();
            code.consume(taken);
        }
        let mut digest = [0; DIGEST_BYTES];
        code.into_inner().read_exact(&mut digest)?;
        if hasher.finalize().as_slice() == digest { Ok(()) } else { Err(damaged()) }
    }

    fn write(&self, path: &Path, code: &[u8]) -> Result<(), CacheFault> {
        DirBuilder::new().recursive(true).mode(0o700).create(&self.directory)?;
        self.check_directory()?;
        // Made with mode 0600 and a name that nobody can guess; the rename makes the entry visible as a whole.
        let mut file = tempfile::NamedTempFile::new_in(&self.directory)?;
        file.write_all(code)?;
        file.write_all(&sha2::Sha256::digest(code))?;
        file.persist(path).map_err(|error| error.error)?;
        Ok(())
    }

    fn check_directory(&self) -> Result<(), CacheFault> {
        check_rights(&self.directory, &fs::symlink_metadata(&self.directory)?, fs::Metadata::is_dir)
    }
}

fn check_rights(
    path: &Path,
    metadata: &fs::Metadata,
    is_right_kind: impl Fn(&fs::Metadata) -> bool,
) -> Result<(), CacheFault> {
    if !is_right_kind(metadata) {
        return Err(CacheFault::Kind(path.to_owned()));
    }
    if metadata.uid() != geteuid().as_raw() {
        return Err(CacheFault::Foreign(path.to_owned()));
    }
    if metadata.mode() & FOREIGN_WRITE != 0 {
        return Err(CacheFault::Writable(path.to_owned()));
    }
    Ok(())
}

#[allow(unsafe_code, reason = "compiled code can only be trusted, never checked")]
fn deserialize(engine: &Engine, path: &Path) -> wasmtime::Result<Component> {
    // SAFETY: `deserialize_file` asks for what `serialize` has made, and that the file does not change while it is
    // mapped. `Cache::check` has seen that only this user can write the file and the directory, that its name holds the
    // fingerprint of this engine, and that its digest is the one that `Cache::write` put behind the output of
    // `serialize`. `Cache::write` gives an entry another file and never writes to the one that is there.
    unsafe { Component::deserialize_file(engine.wasmtime(), path) }
}
