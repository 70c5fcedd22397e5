//! Fetches plug-ins (WebAssembly components), and checks whether they may run.
//!
//! A plug-in is named by the path of a file, or by a reference into an OCI registry: `oci://registry/repository:tag` or
//! `@sha256:…`. [`PluginSource::fetch`] turns the name into the bytes of a component and checks them:
//!
//! 1. **Size.** No more than [`PluginSource::limit`] bytes are read, from a file or from a registry.
//! 2. **Digest.** What a registry sends for a digest has that digest. If there is a [`Lockfile`] (`plugin.lock`), the component has the
//!    digest that the lock names; a tag then keeps the meaning that it had when it was locked.
//! 3. **Signature.** If there is a [`Key`], the plug-in is signed with it, by cosign 3 (a Sigstore bundle) or cosign 2. Everything
//!    about a signature is hostile until the key has verified it.
//!
//! This crate knows nothing of what is inside a component; `host-plugin-host` loads it.
//!
//! # Registries
//!
//! The component is the one layer of type `application/wasm` of an image manifest; an image index must
//! have exactly one manifest for WebAssembly. Credentials come from the environment (`HOST_OCI_REGISTRY`, `HOST_OCI_USERNAME`,
//! `HOST_OCI_PASSWORD`), else from the files and credential helpers of `docker login`; those of one registry are never sent to
//! another. Only registries on this machine are spoken to without TLS. What was pulled is kept by digest, so that a locked plug-in
//! starts without its registry, unless its signature is wanted.
//!
//! Whatever a registry sends is bounded while it is read, and nothing of it is decompressed. Credentials are sent, with
//! TLS, to the address that the registry's checked challenge (`WWW-Authenticate`) names, and nowhere else. The HTTP
//! client of the crate `oci-client` guarantees neither, so only its types for references and manifests are used. A pull
//! ends within 10 minutes.
//!
//! # Example
//!
//! ```
//! use host_plugin_source::{FetchError, Lockfile, PluginSource};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let folder = tempfile::tempdir()?;
//! let plugin = folder.path().join("shop.wasm");
//! std::fs::write(&plugin, "a component")?;
//! let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
//!
//! let mut source = PluginSource { limit: 1 << 20, ..PluginSource::default() };
//! let fetched = runtime.block_on(source.fetch(&plugin))?;
//! assert_eq!(fetched.component.wasm, b"a component");
//!
//! // Locked, the name means these bytes and no others.
//! let mut lock = Lockfile::empty(&folder.path().join("plugin.lock"));
//! lock.set(fetched.pin);
//! source.lock = Some(lock);
//! std::fs::write(&plugin, "another component")?;
//! let refused = runtime.block_on(source.fetch(&plugin));
//! assert!(matches!(refused, Err(FetchError::DigestMismatch { .. })));
//! # Ok(())
//! # }
//! ```

mod cache;
mod credentials;
mod error;
mod file;
mod lock;
mod reference;
mod registry;
mod signature;

pub use credentials::Credentials;
pub use error::FetchError;
pub use lock::{Lockfile, Pin};
pub use signature::{Key, Rejection};

use host_core::model::Digest;
use host_plugin_host::{Component, read_component};
use reference::Reference;
use registry::{Pulled, Registry};
use std::{
    path::{Path, PathBuf},
    time::Duration,
};
use tokio::time::timeout;

/// Time for all requests of one pull together, signatures included: a slow registry could draw out each of them.
const PULL_TIMEOUT: Duration = Duration::from_secs(600);

/// Fetches plug-ins by what `--plugin` calls them.
#[derive(Clone, Debug, Default)]
pub struct PluginSource {
    /// Most bytes of a component.
    pub limit: u64,
    /// The digests that plug-ins must have; without a lock, any.
    pub lock: Option<Lockfile>,
    /// The key that plug-ins must be signed with; without one, they need no signature.
    pub key: Option<Key>,
    /// The credentials for registries.
    pub credentials: Credentials,
    /// Folder that keeps what registries sent, by digest; without one, nothing is kept.
    pub cache: Option<PathBuf>,
}

/// A component that passed all checks.
#[derive(Clone, Debug)]
pub struct FetchedPlugin {
    /// The component, under the name by which it was fetched.
    pub component: Component,
    /// Its entry for a lock.
    pub pin: Pin,
}

impl PluginSource {
    /// Fetches a plug-in and checks it against the lock and the key.
    pub async fn fetch(&self, source: &Path) -> Result<FetchedPlugin, FetchError> {
        let pinned = match &self.lock {
            Some(lock) => Some((lock, lock.pin(source)?)),
            None => None,
        };
        let name = source.to_string_lossy();
        let (wasm, manifest) = match Reference::parse(&name)? {
            Some(reference) => {
                let Pulled { wasm, manifest } =
                    self.pull(&reference, pinned.and_then(|(_, pin)| pin.manifest), PULL_TIMEOUT).await?;
                (wasm, Some(Digest::of(&manifest)))
            }
            None => {
                let wasm = read_component(source, self.limit)?;
                if let Some(key) = &self.key {
                    signature::verify_file(key, source, &wasm)?;
                }
                (wasm, None)
            }
        };
        let digest = Digest::of(&wasm);
        if let Some((lock, pin)) = pinned
            && pin.digest != digest
        {
            return Err(FetchError::DigestMismatch {
                source_name: source.to_owned(),
                lock: lock.path().to_owned(),
                locked: pin.digest,
                found: digest,
            });
        }
        let pin = Pin { source: name.into_owned(), digest, manifest };
        Ok(FetchedPlugin { component: Component { path: source.to_owned(), wasm }, pin })
    }

    /// Pulls a plug-in from its registry, by the manifest that a lock pins if there is one, and checks its signature.
    /// Fails if that takes longer than `time`.
    async fn pull(
        &self,
        reference: &Reference,
        pinned: Option<Digest>,
        time: Duration,
    ) -> Result<Pulled, FetchError> {
        let pull = async {
            let registry = Registry::new(reference, self)?;
            let pulled = registry.pull(pinned).await?;
            if let Some(key) = &self.key {
                signature::verify_in_registry(key, &registry, &pulled.manifest).await?;
            }
            Ok(pulled)
        };
        timeout(time, pull).await.unwrap_or_else(|_| {
            let cause = format!("the pull took longer than {} s", time.as_secs());
            Err(FetchError::Unavailable { name: reference.name.clone(), cause })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;

    #[tokio::test]
    async fn a_pull_from_a_registry_that_never_answers_times_out() {
        // The listener accepts connections and never answers.
        let registry = TcpListener::bind("127.0.0.1:0").unwrap();
        let name = format!("oci://{}/shop:1", registry.local_addr().unwrap());
        let reference = Reference::parse(&name).unwrap().unwrap();
        let pulled = PluginSource::default().pull(&reference, None, Duration::from_secs(1)).await;
        let error = pulled.unwrap_err();
        assert!(error.is_transient() && error.to_string().contains("longer than 1 s"), "{error}");
    }
}
