//! Checks whether a plug-in is signed with a key, by cosign 3 or cosign 2. The signature is beside the plug-in's file,
//! or in its registry:
//!
//! | | cosign 3 ([`bundle`]) | cosign 2 ([`cosign2`]) |
//! | --- | --- | --- |
//! | `cosign sign-blob` | `FILE.sigstore.json` | `FILE.sig` |
//! | `cosign sign` | referrers of the manifest | tag `sha256-….sig` |
//!
//! One valid signature is enough; others may have been made with other keys.

mod bundle;
mod cosign2;
mod key;

pub use key::Key;

use crate::{FetchError, error::excerpt, file, reference::Version, registry::Registry};
use host_core::model::Digest;
use std::{io, path::Path};

/// Most bytes of a signature, or of a bundle with all that is in it.
const SIGNATURE_LIMIT: u64 = 1 << 20;

/// Most signatures of either version of cosign that are checked.
const MAX_SIGNATURES: usize = 20;

/// Checks, with a key, that bytes (second argument) are a signature of some content (third argument).
type Verify = fn(&Key, &[u8], &[u8]) -> Result<(), Rejection>;

/// Why something is not a signature of a plug-in with a key.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Rejection {
    /// It does not have the form of a signature.
    #[error("is not a signature: {}", excerpt(.0))]
    Malformed(String),
    /// It could not be fetched from the registry.
    #[error("cannot be used: {}", excerpt(.0))]
    Unusable(String),
    /// The key does not verify it: it was made with another key, or for other content.
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
        let signature = match file::read(Path::new(&beside), SIGNATURE_LIMIT) {
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
    let bundles = match usable(registry.referrers(digest, bundle::MEDIA_TYPE).await)? {
        Ok(bundles) => bundles,
        Err(rejection) => {
            rejected = Some(("the list of its bundles".to_owned(), rejection));
            Vec::new()
        }
    };
    for referrer in bundles.into_iter().take(MAX_SIGNATURES) {
        match usable(verify_bundle(key, registry, referrer, manifest).await)?.flatten() {
            Ok(()) => return Ok(()),
            Err(rejection) => rejected.get_or_insert((format!("the bundle {referrer}"), rejection)),
        };
    }
    let tag = format!("sha256-{}.sig", digest.hex());
    match usable(registry.image(&Version::Tag(tag.clone())).await)? {
        Ok(Some(image)) => {
            for signature in cosign2::signatures(&image).take(MAX_SIGNATURES) {
                let payload = usable(registry.blob(signature.payload, SIGNATURE_LIMIT).await)?;
                match payload
                    .and_then(|payload| cosign2::verify_manifest(key, signature.signature, &payload, digest))
                {
                    Ok(()) => return Ok(()),
                    Err(rejection) => rejected.get_or_insert((format!("the tag {tag}"), rejection)),
                };
            }
        }
        Ok(None) => {}
        Err(rejection) => rejected = rejected.or(Some((format!("the tag {tag}"), rejection))),
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

/// Checks the bundle in a manifest that refers to another one.
async fn verify_bundle(
    key: &Key,
    registry: &Registry<'_>,
    referrer: Digest,
    manifest: &[u8],
) -> Result<Result<(), Rejection>, FetchError> {
    let image = registry.image(&Version::Digest(referrer)).await?;
    let mut layers = image.iter().flat_map(|image| &image.layers);
    let Some(layer) = layers.find(|layer| layer.media_type == bundle::MEDIA_TYPE) else {
        return Ok(Err(Rejection::Malformed("there is no manifest that names a bundle".to_owned())));
    };
    let Ok(layer) = Digest::try_from(layer.digest.clone()) else {
        return Ok(Err(Rejection::Malformed("its digest is not one of SHA-256".to_owned())));
    };
    let bundle = registry.blob(layer, SIGNATURE_LIMIT).await?;
    Ok(bundle::verify(key, &bundle, manifest))
}

/// Turns the error of one signature into its rejection, so that others can be tried. An error that may pass, such as a
/// registry that is unavailable, stays one.
fn usable<T>(fetched: Result<T, FetchError>) -> Result<Result<T, Rejection>, FetchError> {
    match fetched {
        Ok(fetched) => Ok(Ok(fetched)),
        Err(FetchError::Rejected { cause, .. }) => Ok(Err(Rejection::Unusable(cause))),
        Err(error) => Err(error),
    }
}

fn unsigned_file(name: String, cause: String) -> FetchError {
    let command = format!("sign-blob --key cosign.key --bundle {name}.sigstore.json {name}");
    FetchError::Unsigned { name, cause, command }
}

fn mismatch(key: &Key, name: String, (signature, rejection): (String, Rejection)) -> FetchError {
    FetchError::SignatureMismatch { name, key: key.path().to_owned(), signature, rejection }
}
