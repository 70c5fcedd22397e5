//! Whether a plug-in is signed with a key: beside a file, or in its registry, by cosign 3 or cosign 2.
//!
//! | | cosign 3 ([`bundle`]) | cosign 2 ([`cosign2`]) |
//! | --- | --- | --- |
//! | `cosign sign-blob` | `FILE.sigstore.json` | `FILE.sig` |
//! | `cosign sign` | referrers of the manifest | tag `sha256-….sig` |
//!
//! One valid signature is enough; others may be for other keys.

mod bundle;
mod cosign2;
mod key;

pub use key::Key;

use crate::{FetchError, reference::Version, registry::Registry};
use host_core::model::Digest;
use std::{
    fs::File,
    io::{self, Read},
    path::Path,
};

/// Most bytes of a signature, or of a bundle with all that is in it.
const SIGNATURE_LIMIT: u64 = 1 << 20;

/// Most signatures of one kind that are looked at.
const MAX_SIGNATURES: usize = 20;

/// Checks that some bytes are a signature, with a key, of the content that comes last.
type Verify = fn(&Key, &[u8], &[u8]) -> Result<(), Rejection>;

/// Why something is not a signature of a plug-in with a key.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Rejection {
    /// It does not have the form of a signature.
    #[error("is not a signature: {0}")]
    Malformed(String),
    /// The key does not verify it: the key or the content is another one.
    #[error("was made with another key, or for other content")]
    OtherKey,
    /// The key verifies it, for other content.
    #[error("is a signature of other content")]
    OtherContent,
    /// The key verifies it, and it is a statement about the content that does not approve it.
    #[error("is a statement of another kind, not a signature")]
    OtherStatement,
}

/// Checks the signatures beside a file: `FILE.sigstore.json` and `FILE.sig`.
pub(crate) fn verify_file(key: &Key, path: &Path, wasm: &[u8]) -> Result<(), FetchError> {
    let name = path.display().to_string();
    let kinds: [(&str, Verify); 2] = [("sigstore.json", bundle::verify), ("sig", cosign2::verify_blob)];
    let mut rejected = None;
    for (extension, verify) in kinds {
        let mut beside = path.as_os_str().to_owned();
        beside.push(format!(".{extension}"));
        let signature = match read(Path::new(&beside)) {
            Ok(signature) => signature,
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => {
                let cause = format!("{} cannot be read: {error}", Path::new(&beside).display());
                return Err(unsigned_file(name, cause));
            }
        };
        match verify(key, &signature, wasm) {
            Ok(()) => return Ok(()),
            Err(rejection) => rejected.get_or_insert((format!("{name}.{extension}"), rejection)),
        };
    }
    Err(match rejected {
        Some(rejected) => mismatch(key, name, rejected),
        None => {
            let cause = format!("there is neither {name}.sigstore.json nor {name}.sig");
            unsigned_file(name, cause)
        }
    })
}

/// Checks the signatures in the registry against the bytes of a manifest.
pub(crate) async fn verify_in_registry(
    key: &Key,
    registry: &Registry<'_>,
    manifest: &[u8],
) -> Result<(), FetchError> {
    let digest = Digest::of(manifest);
    let mut rejected = None;
    for referrer in registry.referrers(digest, bundle::MEDIA_TYPE).await?.into_iter().take(MAX_SIGNATURES) {
        let Some(image) = registry.image(&Version::Digest(referrer)).await? else { continue };
        for layer in image.layers.iter().filter(|layer| layer.media_type == bundle::MEDIA_TYPE).take(1) {
            let Ok(layer) = Digest::try_from(layer.digest.clone()) else { continue };
            let signature = registry.blob(layer, SIGNATURE_LIMIT).await?;
            match bundle::verify(key, &signature, manifest) {
                Ok(()) => return Ok(()),
                Err(rejection) => rejected.get_or_insert((format!("the bundle {referrer}"), rejection)),
            };
        }
    }
    let tag = format!("sha256-{}.sig", digest.hex());
    if let Some(image) = registry.image(&Version::Tag(tag.clone())).await? {
        for layer in cosign2::signatures(&image).take(MAX_SIGNATURES) {
            let payload = registry.blob(layer.payload, SIGNATURE_LIMIT).await?;
            match cosign2::verify_manifest(key, layer.signature, &payload, digest) {
                Ok(()) => return Ok(()),
                Err(rejection) => rejected.get_or_insert((format!("the tag {tag}"), rejection)),
            };
        }
    }
    let name = registry.reference.name.clone();
    Err(match rejected {
        Some(rejected) => mismatch(key, name, rejected),
        None => FetchError::Unsigned {
            name,
            cause: format!("its repository has neither a Sigstore bundle for {digest} nor the tag {tag}"),
            command: format!("sign --key cosign.key {}@{digest}", registry.reference.repository()),
        },
    })
}

fn read(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(SIGNATURE_LIMIT + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > SIGNATURE_LIMIT {
        return Err(io::Error::new(
            io::ErrorKind::FileTooLarge,
            format!("it is larger than {SIGNATURE_LIMIT} bytes"),
        ));
    }
    Ok(bytes)
}

fn unsigned_file(name: String, cause: String) -> FetchError {
    let command = format!("sign-blob --key cosign.key --bundle {name}.sigstore.json {name}");
    FetchError::Unsigned { name, cause, command }
}

fn mismatch(key: &Key, name: String, (signature, rejection): (String, Rejection)) -> FetchError {
    FetchError::SignatureMismatch { name, key: key.path().to_owned(), signature, rejection }
}
