//! Why a plug-in is not supplied: one sentence each, with what to do.

use host_core::model::Digest;
use host_plugin_host::LoadError;
use std::path::PathBuf;

/// Why a plug-in is not supplied.
#[derive(Debug, thiserror::Error)]
pub enum SupplyError {
    /// The file cannot be read.
    #[error(transparent)]
    File(#[from] LoadError),
    /// There is a lock, and the plug-in is not in it.
    #[error(
        "the plug-in {} is not in {}, so its digest is unknown; `host plugin lock {0}` adds the one that is there now",
        source_name.display(), lock.display()
    )]
    Unlocked {
        /// What the plug-in is called.
        source_name: PathBuf,
        /// The lock.
        lock: PathBuf,
    },
    /// The component is another one than the lock says.
    #[error(
        "the plug-in {} has the digest {found} and {} says {locked}; put the locked one back, or take the new one with \
         `host plugin lock {0}`", source_name.display(), lock.display()
    )]
    Changed {
        /// What the plug-in is called.
        source_name: PathBuf,
        /// The lock.
        lock: PathBuf,
        /// The digest in the lock.
        locked: Digest,
        /// The component's.
        found: Digest,
    },
    /// The lock cannot be used.
    #[error("{} cannot be used: {cause}; mend it, or make it anew with `host plugin lock`", path.display())]
    Lock {
        /// The lock.
        path: PathBuf,
        /// What is wrong.
        cause: String,
    },
    /// The key cannot be used.
    #[error("the key {} cannot be used: {cause}; name the public half of a key pair as `cosign generate-key-pair` makes it", path.display())]
    Key {
        /// The key's file.
        path: PathBuf,
        /// What is wrong.
        cause: String,
    },
    /// No signature is there.
    #[error(
        "the plug-in {name} is not signed: {cause}; have it signed with `cosign {command}`, or leave --require-signature out"
    )]
    Unsigned {
        /// What the plug-in is called.
        name: String,
        /// Where one was looked for.
        cause: String,
        /// What signs it.
        command: String,
    },
    /// There is a signature, of something else or by somebody else.
    #[error("the signature of the plug-in {name} is not by the key {}: do not run it before you know why", key.display())]
    Forged {
        /// What the plug-in is called.
        name: String,
        /// The key's file.
        key: PathBuf,
    },
    /// The name is no reference.
    #[error(
        "`{name}` names nothing in a registry: {cause}; write oci://registry/repository:tag or oci://registry/repository@sha256:…"
    )]
    Reference {
        /// The name.
        name: String,
        /// What is wrong.
        cause: String,
    },
    /// The registry has it and it is no plug-in, or it has something else, or nothing.
    #[error("the registry has no plug-in {name}: {cause}")]
    Refused {
        /// What the plug-in is called.
        name: String,
        /// What is wrong.
        cause: String,
    },
    /// The registry could not be reached, or failed.
    #[error("the plug-in {name} could not be had from its registry: {cause}")]
    Registry {
        /// What the plug-in is called.
        name: String,
        /// What happened.
        cause: String,
    },
}

impl SupplyError {
    /// Whether it may go away by itself.
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::Registry { .. })
    }
}
