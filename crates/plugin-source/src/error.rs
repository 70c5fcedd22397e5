//! Why a plug-in cannot be fetched: one sentence each, with what to do.

use crate::signature::Rejection;
use host_core::model::Digest;
use host_plugin_host::{LoadError, truncate};
use std::path::PathBuf;

/// Most characters that a message quotes of what another party wrote.
const EXCERPT: usize = 200;

/// Most characters of a cause with its advice, the part of a message that may quote registries, signatures and lock
/// files.
const CAUSE: usize = 1000;

/// The beginning of what another party wrote, printable and on one line.
pub(crate) fn excerpt(text: &str) -> String {
    truncate(text, EXCERPT)
}

/// Why a plug-in cannot be fetched.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// The file cannot be read.
    #[error(transparent)]
    File(#[from] LoadError),
    /// The lock (`plugin.lock`, which pins the digests of plug-ins) that a flag or the settings name does not exist.
    #[error(
        "there is no lock {}, which the settings or --lock name; write it with `host plugin lock PLUGIN`, or name none",
        path.display()
    )]
    LockMissing {
        /// The lock.
        path: PathBuf,
    },
    /// The lock cannot be read or written.
    #[error(
        "the lock {} cannot be used: {}; repair it, or write a new one with `host plugin lock`",
        path.display(), excerpt(cause)
    )]
    Lock {
        /// The lock.
        path: PathBuf,
        /// What is wrong.
        cause: String,
    },
    /// There is a lock, and the plug-in is not in it.
    #[error(
        "the plug-in {} is not in {}, so its digest is unknown; `host plugin lock {0}` adds the current one",
        source_name.display(), lock.display()
    )]
    NotLocked {
        /// The plug-in as the user names it.
        source_name: PathBuf,
        /// The lock.
        lock: PathBuf,
    },
    /// The component is not the one in the lock.
    #[error(
        "the plug-in {} has the digest {found}, but {} has {locked}; restore the locked one, or accept the new one with \
         `host plugin lock {0}`", source_name.display(), lock.display()
    )]
    DigestMismatch {
        /// The plug-in as the user names it.
        source_name: PathBuf,
        /// The lock.
        lock: PathBuf,
        /// The digest in the lock.
        locked: Digest,
        /// The digest of the component that was fetched.
        found: Digest,
    },
    /// The key cannot be used.
    #[error(
        "the key {} cannot be used: {cause}; name the public half of a key pair as `cosign generate-key-pair` makes it",
        path.display()
    )]
    Key {
        /// The key's file.
        path: PathBuf,
        /// What is wrong.
        cause: String,
    },
    /// There is no signature.
    #[error(
        "the plug-in {name} is not signed: {cause}; sign it with `cosign {command}`, or run without --require-signature"
    )]
    Unsigned {
        /// The plug-in as the user names it.
        name: String,
        /// Where a signature was looked for.
        cause: String,
        /// The command that signs it.
        command: String,
    },
    /// There are signatures, but none of them is of this plug-in with this key.
    #[error(
        "the plug-in {name} is not signed with the key {}: {signature} {rejection}; do not run it before you know why",
        key.display()
    )]
    SignatureMismatch {
        /// The plug-in as the user names it.
        name: String,
        /// The key's file.
        key: PathBuf,
        /// Where the signature was found.
        signature: String,
        /// Why it does not count.
        rejection: Rejection,
    },
    /// The name begins like a reference into a registry and is none.
    #[error(
        "`{name}` is not a reference: {cause}; write oci://registry/repository:tag or oci://registry/repository@sha256:…"
    )]
    Reference {
        /// The name.
        name: String,
        /// What is wrong.
        cause: String,
    },
    /// The credentials for a registry are incomplete or cannot be read.
    #[error("no credentials for the registry {registry}: {}", truncate(cause, CAUSE))]
    Credentials {
        /// The registry.
        registry: String,
        /// What is wrong, and what to do.
        cause: String,
    },
    /// The registry answered, and trying again does not help.
    #[error("the plug-in {name} cannot be pulled: {}", truncate(cause, CAUSE))]
    Rejected {
        /// The plug-in as the user names it.
        name: String,
        /// What is wrong.
        cause: String,
    },
    /// The registry cannot be reached, or is temporarily unavailable.
    #[error("the registry of the plug-in {name} is unavailable: {}", truncate(cause, CAUSE))]
    Unavailable {
        /// The plug-in as the user names it.
        name: String,
        /// What happened.
        cause: String,
    },
}

impl FetchError {
    /// Whether trying again later may help.
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::Unavailable { .. })
    }
}
