//! The lock file `plugin.lock`, which pins the digest of each plug-in.

use super::{FetchError, file};
use host_core::model::Digest;
use serde::{Deserialize, Serialize};
use std::{
    fs,
    io::{self, Write},
    path::{Component, Path, PathBuf},
};

/// The digest that a plug-in must have.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pin {
    /// The plug-in as `--plugin` or the settings name it; in the lock, a path is relative to the lock's folder.
    pub source: String,
    /// Digest of the component.
    pub digest: Digest,
    /// Digest of the manifest or image index that the reference named in its registry; `None` for a file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub manifest: Option<Digest>,
}

/// Pinned digests of plug-ins, in a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lockfile {
    path: PathBuf,
    pins: Vec<Pin>,
}

/// The content of the file: a table `[[plugin]]` for each pin.
#[derive(Serialize, Deserialize, Default)]
#[serde(deny_unknown_fields)]
struct Toml {
    #[serde(default)]
    plugin: Vec<Pin>,
}

const HEADER: &str =
    "# The digests of plug-ins, written by `host plugin lock`. Keep this file with the settings.\n\n";

/// Most bytes of a lock: enough for thousands of plug-ins.
const MAX_BYTES: u64 = 1 << 20;

impl Lockfile {
    /// Name of the lock that is used, if it exists, where neither a flag nor the settings name one.
    pub const DEFAULT: &str = "plugin.lock";

    /// Reads a lock that a flag or the settings name, which must exist.
    pub fn read_named(path: &Path) -> Result<Self, FetchError> {
        Self::read(path)?.ok_or_else(|| FetchError::LockMissing { path: path.to_owned() })
    }

    /// Reads a lock; `None` if there is nothing at the path. A dangling symbolic link is an error: it shows that
    /// plug-ins were meant to be pinned.
    pub fn read(path: &Path) -> Result<Option<Self>, FetchError> {
        let failed = |cause: String| FetchError::Lock { path: path.to_owned(), cause };
        let bytes = match file::read(path, MAX_BYTES) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound && !path.is_symlink() => return Ok(None),
            Err(error) => return Err(failed(error.to_string())),
        };
        let text = String::from_utf8(bytes).map_err(|_| failed("it is not UTF-8".to_owned()))?;
        let Toml { plugin } = toml::from_str(&text).map_err(|error| failed(error.message().to_owned()))?;
        Ok(Some(Self { path: path.to_owned(), pins: plugin }))
    }

    /// An empty lock, not written yet.
    pub fn empty(path: &Path) -> Self {
        Self { path: path.to_owned(), pins: Vec::new() }
    }

    /// The path of the file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The pin of a plug-in, whichever way its path is written; an error if there is none.
    pub fn pin(&self, source: &Path) -> Result<&Pin, FetchError> {
        let normalized = normalize(source);
        self.pins
            .iter()
            .find(|pin| self.resolve(pin) == normalized)
            .ok_or_else(|| FetchError::NotLocked { source_name: source.to_owned(), lock: self.path.clone() })
    }

    /// The absolute path of a pinned file, or the reference into a registry.
    fn resolve(&self, pin: &Pin) -> PathBuf {
        let source = Path::new(&pin.source);
        if is_remote(source) { source.to_owned() } else { normalize(&self.folder().join(source)) }
    }

    fn folder(&self) -> &Path {
        self.path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
    }

    /// Pins a plug-in, in place of its earlier pin.
    pub fn set(&mut self, mut pin: Pin) {
        let named = Path::new(&pin.source);
        let source = normalize(named);
        // The path of the pin is relative to the working directory, and is stored relative to the lock's folder. It
        // stays as it was written where both are the same.
        if !is_remote(named) && normalize(&self.folder().join(named)) != source {
            let relative = source.strip_prefix(normalize(self.folder())).unwrap_or(&source);
            pin.source = relative.to_string_lossy().into_owned();
        }
        match self.pins.iter().position(|other| self.resolve(other) == source) {
            Some(position) => self.pins[position] = pin,
            None => self.pins.push(pin),
        }
    }

    /// Writes the file, as a whole or not at all.
    pub fn write(&self) -> Result<(), FetchError> {
        let failed = |cause: String| FetchError::Lock { path: self.path.clone(), cause };
        let text = toml::to_string(&Toml { plugin: self.pins.clone() })
            .map_err(|error| failed(error.to_string()))?;
        let folder = self.folder();
        let write = || {
            let mut file = tempfile::Builder::new().permissions(permissions()).tempfile_in(folder)?;
            file.write_all(HEADER.as_bytes())?;
            file.write_all(text.as_bytes())?;
            file.persist(&self.path).map_err(|error| error.error)
        };
        write().map(drop).map_err(|error| failed(error.to_string()))
    }
}

/// Readable for all users: a lock is no secret, and a temporary file would be readable for its owner only.
fn permissions() -> fs::Permissions {
    std::os::unix::fs::PermissionsExt::from_mode(0o644)
}

/// Whether it is a reference into a registry, not a path.
fn is_remote(source: &Path) -> bool {
    source.to_string_lossy().starts_with(super::reference::SCHEME)
}

/// The absolute path without `./`, the same whichever way a path is written. References stay as they are.
fn normalize(source: &Path) -> PathBuf {
    let absolute = if is_remote(source) {
        source.to_owned()
    } else {
        std::path::absolute(source).unwrap_or_else(|_| source.to_owned())
    };
    absolute.components().filter(|part| *part != Component::CurDir).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pin(source: &str, content: &str) -> Pin {
        Pin { source: source.to_owned(), digest: Digest::of(content.as_bytes()), manifest: None }
    }

    #[test]
    #[cfg(unix)]
    fn a_dangling_link_does_not_switch_pinning_off() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("plugin.lock");
        std::os::unix::fs::symlink(folder.path().join("gone"), &path).unwrap();
        assert!(matches!(Lockfile::read(&path), Err(FetchError::Lock { .. })));
    }

    #[test]
    fn a_pipe_is_no_lock_and_is_not_waited_for() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("plugin.lock");
        rustix::fs::mkfifoat(rustix::fs::CWD, &path, rustix::fs::Mode::RUSR).unwrap();
        assert!(matches!(Lockfile::read(&path), Err(FetchError::Lock { .. })));
    }

    #[test]
    fn the_error_of_a_hostile_lock_is_one_printable_sentence() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("plugin.lock");
        fs::write(&path, format!("\"\\u001b[31m\\u202e{}\" = 1", "x".repeat(100_000))).unwrap();
        let error = Lockfile::read(&path).unwrap_err().to_string();
        assert!(error.chars().count() < 1000 && !error.contains(['\u{1b}', '\u{202e}', '\n']), "{error:?}");
    }

    #[test]
    fn a_lock_is_read_as_it_was_written_with_one_pin_per_plug_in() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("plugin.lock");
        assert_eq!(Lockfile::read(&path).unwrap(), None);
        assert!(matches!(Lockfile::read_named(&path), Err(FetchError::LockMissing { .. })));
        let mut lock = Lockfile::empty(&path);
        lock.set(pin("a.wasm", "one"));
        lock.set(Pin { manifest: Some(Digest::of(b"m")), ..pin("oci://r.example/a:1", "two") });
        lock.set(pin("./a.wasm", "three"));
        lock.write().unwrap();
        let read = Lockfile::read(&path).unwrap().unwrap();
        assert_eq!(read, lock);
        let digest = |name: &str| read.pin(Path::new(name)).ok().map(|pin| pin.digest);
        assert_eq!(digest("./a.wasm"), Some(Digest::of(b"three")));
        assert_eq!(digest("a.wasm"), Some(Digest::of(b"three")));
        assert_eq!(digest("oci://r.example/a:1"), Some(Digest::of(b"two")));
        for other in ["b.wasm", "oci://r.example/a:2"] {
            assert!(matches!(read.pin(Path::new(other)), Err(FetchError::NotLocked { .. })), "{other}");
        }
    }

    #[test]
    fn a_damaged_lock_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("plugin.lock");
        for text in [
            "[[plugin]]\nsource = \"a\"\n",
            "[[plugins]]\n",
            "[[plugin]]\nsource = \"a\"\ndigest = \"md5:1\"\n",
        ] {
            fs::write(&path, text).unwrap();
            assert!(matches!(Lockfile::read(&path), Err(FetchError::Lock { .. })), "{text}");
        }
    }
}
