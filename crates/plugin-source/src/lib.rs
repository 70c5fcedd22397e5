//! Where plug-ins come from, and whether they may be run: files and registries, pinned digests, signatures. What comes out is the
//! bytes of a component that all of it was checked for; nothing here looks into them.

mod credentials;
mod error;
mod lock;
mod reference;
mod registry;
mod signature;

pub use error::SupplyError;
pub use lock::{Lock, Pin};
pub use signature::Key;

use host_core::model::Digest;
use host_plugin_host::{Component, read_component};
use reference::Reference;
use registry::{Pulled, Registry};
use std::path::{Path, PathBuf};

/// Gets plug-ins by what `--plugin` calls them.
#[derive(Clone, Debug, Default)]
pub struct Supply {
    /// Most bytes of a component.
    pub limit: u64,
    /// The digests that are expected; without them, any.
    pub lock: Option<Lock>,
    /// Whose signature is wanted; without one, nobody's.
    pub key: Option<Key>,
    /// Where what registries gave is kept by digest; nowhere, if there is no such folder.
    pub kept: Option<PathBuf>,
}

/// A component that passed all checks.
#[derive(Clone, Debug)]
pub struct Supplied {
    /// The component, under the name that it was asked for by.
    pub component: Component,
    /// What pins it.
    pub pin: Pin,
}

impl Supply {
    /// Gets a plug-in: a file, or `oci://registry/repository:tag` or `@sha256:…`. With a lock, a tag means what it meant when it was
    /// locked, wherever it has moved.
    pub async fn get(&self, source: &Path) -> Result<Supplied, SupplyError> {
        let pinned = match &self.lock {
            Some(lock) => Some(lock.pin(source).ok_or_else(|| SupplyError::Unlocked {
                source_name: source.to_owned(),
                lock: lock.path().to_owned(),
            })?),
            None => None,
        };
        let name = source.to_string_lossy();
        let (wasm, manifest) = match Reference::parse(&name)? {
            Some(reference) => {
                let wanted = pinned.and_then(|pin| pin.manifest);
                let registry = Registry::new(&reference, self.limit, self.kept.as_deref())?;
                let Pulled { wasm, manifest } = registry.pull(wanted).await?;
                if let Some(key) = &self.key {
                    registry.verify(key, manifest).await?;
                }
                (wasm, Some(manifest))
            }
            None => {
                let wasm = read_component(source, self.limit)?;
                if let Some(key) = &self.key {
                    key.verify_file(source, &wasm)?;
                }
                (wasm, None)
            }
        };
        let digest = Digest::of(&wasm);
        if let (Some(pin), Some(lock)) = (pinned, &self.lock)
            && pin.digest != digest
        {
            return Err(SupplyError::Changed {
                source_name: source.to_owned(),
                lock: lock.path().to_owned(),
                locked: pin.digest,
                found: digest,
            });
        }
        let pin = Pin { source: name.into_owned(), digest, manifest };
        Ok(Supplied { component: Component { path: source.to_owned(), wasm }, pin })
    }
}
