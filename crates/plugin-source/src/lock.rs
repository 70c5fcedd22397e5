//! `plugin.lock`: which component each name means.

use super::SupplyError;
use host_core::model::Digest;
use serde::{Deserialize, Serialize};
use std::{
    fs,
    io::{self, Write},
    path::{Component, Path, PathBuf},
};

/// What a name means.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pin {
    /// What `--plugin` or the settings call the plug-in; in the lock, a path is as seen from the lock's folder.
    pub source: String,
    /// Digest of the component.
    pub digest: Digest,
    /// In a registry, the digest of the manifest that named the component.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub manifest: Option<Digest>,
}

/// Pinned digests of plug-ins, in a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lock {
    path: PathBuf,
    pins: Vec<Pin>,
}

#[derive(Serialize, Deserialize, Default)]
#[serde(deny_unknown_fields)]
struct Toml {
    #[serde(default)]
    plugin: Vec<Pin>,
}

const HEAD: &str =
    "# Which components host runs. Written by `host plugin lock`, to be kept with the settings.\n\n";

impl Lock {
    /// Reads a lock; none if there is no such file.
    pub fn read(path: &Path) -> Result<Option<Self>, SupplyError> {
        let failed = |cause: String| SupplyError::Lock { path: path.to_owned(), cause };
        let text = match fs::read_to_string(path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(failed(error.to_string())),
        };
        let Toml { plugin } = toml::from_str(&text).map_err(|error| failed(error.message().to_owned()))?;
        Ok(Some(Self { path: path.to_owned(), pins: plugin }))
    }

    /// A lock with nothing in it, not written yet.
    pub fn empty(path: &Path) -> Self {
        Self { path: path.to_owned(), pins: Vec::new() }
    }

    /// Its file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What is pinned for a name; paths may be spelled in other ways that mean the same.
    pub fn pin(&self, source: &Path) -> Option<&Pin> {
        let source = spelled(source);
        self.pins.iter().find(|pin| self.means(pin) == source)
    }

    /// The absolute path of a pinned file, or the address in a registry.
    fn means(&self, pin: &Pin) -> PathBuf {
        let source = Path::new(&pin.source);
        if is_remote(source) { source.to_owned() } else { spelled(&self.folder().join(source)) }
    }

    fn folder(&self) -> &Path {
        self.path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
    }

    /// Pins a plug-in, in place of what was pinned for its name.
    pub fn set(&mut self, mut pin: Pin) {
        let named = Path::new(&pin.source);
        let source = spelled(named);
        // Where both are seen from the same folder, the name stays as it was written.
        if !is_remote(named) && spelled(&self.folder().join(named)) != source {
            let seen = source.strip_prefix(spelled(self.folder())).unwrap_or(&source);
            pin.source = seen.to_string_lossy().into_owned();
        }
        match self.pins.iter().position(|other| self.means(other) == source) {
            Some(position) => self.pins[position] = pin,
            None => self.pins.push(pin),
        }
    }

    /// Writes the file, as a whole or not at all.
    pub fn write(&self) -> Result<(), SupplyError> {
        let failed = |cause: String| SupplyError::Lock { path: self.path.clone(), cause };
        let text = toml::to_string(&Toml { plugin: self.pins.clone() })
            .map_err(|error| failed(error.to_string()))?;
        let folder = self.folder();
        let write = || {
            let mut file = tempfile::Builder::new().permissions(rights()).tempfile_in(folder)?;
            file.write_all(HEAD.as_bytes())?;
            file.write_all(text.as_bytes())?;
            file.persist(&self.path).map_err(|error| error.error)
        };
        write().map(drop).map_err(|error| failed(error.to_string()))
    }
}

/// Others may read it: it is no secret, and kept with the settings.
fn rights() -> fs::Permissions {
    std::os::unix::fs::PermissionsExt::from_mode(0o644)
}

fn is_remote(source: &Path) -> bool {
    source.to_string_lossy().starts_with(super::reference::SCHEME)
}

/// A path without `./`, so that the same file is found by all its spellings.
fn spelled(source: &Path) -> PathBuf {
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
    fn what_is_written_is_read_and_a_name_has_one_pin() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("plugin.lock");
        assert_eq!(Lock::read(&path).unwrap(), None);
        let mut lock = Lock::empty(&path);
        lock.set(pin("a.wasm", "one"));
        lock.set(Pin { manifest: Some(Digest::of(b"m")), ..pin("oci://r.example/a:1", "two") });
        lock.set(pin("./a.wasm", "three"));
        lock.write().unwrap();
        let read = Lock::read(&path).unwrap().unwrap();
        assert_eq!(read, lock);
        let digest = |name: &str| read.pin(Path::new(name)).map(|pin| pin.digest);
        assert_eq!(digest("./a.wasm"), Some(Digest::of(b"three")));
        assert_eq!(digest("a.wasm"), Some(Digest::of(b"three")));
        assert_eq!(digest("oci://r.example/a:1"), Some(Digest::of(b"two")));
        assert_eq!((digest("b.wasm"), digest("oci://r.example/a:2")), (None, None));
    }

    #[test]
    fn a_damaged_lock_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("plugin.lock");
        for text in [
            "[[plugin]]\nsource = \"a\"\n",
            "[[plugins]]\n",
            "[[plugin]]\nsource = \"a\"\ndigest = \"md5:1\"\n",
        ] {
            fs::write(&path, text).unwrap();
            assert!(matches!(Lock::read(&path), Err(SupplyError::Lock { .. })), "{text}");
        }
    }
}
