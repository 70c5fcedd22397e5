//! Signatures of cosign 2. That of a file is a bare signature in base64 (`openssl dgst -sign` makes the same). In a
//! registry, it is of a payload (JSON) that names a manifest's digest; the payload is a layer, and the signature an
//! annotation of it:
//! <https://github.com/sigstore/cosign/blob/main/specs/SIGNATURE_SPEC.md>.

use super::{Key, Rejection};
use base64::{Engine, prelude::BASE64_STANDARD};
use host_core::model::Digest;
use oci_client::manifest::OciImageManifest;
use serde::Deserialize;

/// Media type of the layers that are payloads.
const MEDIA_TYPE: &str = "application/vnd.dev.cosign.simplesigning.v1+json";
/// The layer's annotation that is its signature.
const ANNOTATION: &str = "dev.cosignproject.cosign/signature";
/// The type of a payload that is a signature of an image.
const KIND: &str = "cosign container image signature";

/// A signature in a manifest of signatures.
pub(super) struct Signature<'a> {
    /// In base64.
    pub(super) signature: &'a str,
    /// Digest of the payload that it signs.
    pub(super) payload: Digest,
}

#[derive(Deserialize)]
struct Payload {
    critical: Critical,
}

#[derive(Deserialize)]
struct Critical {
    image: Image,
    #[serde(rename = "type")]
    kind: String,
}

#[derive(Deserialize)]
struct Image {
    #[serde(rename = "docker-manifest-digest")]
    digest: String,
}

/// The signatures in a manifest of signatures.
pub(super) fn signatures(manifest: &OciImageManifest) -> impl Iterator<Item = Signature<'_>> {
    manifest.layers.iter().filter(|layer| layer.media_type == MEDIA_TYPE).filter_map(|layer| {
        let signature = layer.annotations.as_ref()?.get(ANNOTATION)?;
        Some(Signature { signature, payload: Digest::try_from(layer.digest.clone()).ok()? })
    })
}

/// Checks a signature of a payload, and that the payload names the manifest.
pub(super) fn verify_manifest(
    key: &Key,
    signature: &str,
    payload: &[u8],
    manifest: Digest,
) -> Result<(), Rejection> {
    verify_blob(key, signature.as_bytes(), payload)?;
    let Payload { critical } =
        serde_json::from_slice(payload).map_err(|error| Rejection::Malformed(error.to_string()))?;
    if critical.kind != KIND {
        return Err(Rejection::OtherStatement);
    }
    if critical.image.digest == manifest.to_string() { Ok(()) } else { Err(Rejection::OtherContent) }
}

/// Checks a signature of some content. Its base64 may be broken into lines, as the program `base64` does.
pub(super) fn verify_blob(key: &Key, signature: &[u8], content: &[u8]) -> Result<(), Rejection> {
    let signature: Vec<u8> = signature.iter().copied().filter(|byte| !byte.is_ascii_whitespace()).collect();
    let signature =
        BASE64_STANDARD.decode(signature).map_err(|_| Rejection::Malformed("it is not base64".to_owned()))?;
    if key.verifies(&signature, content) { Ok(()) } else { Err(Rejection::OtherKey) }
}

#[cfg(test)]
mod tests {
    use super::{super::key::tests::Signer, *};
    use serde_json::json;

    #[test]
    fn a_payload_must_name_the_manifest() {
        let (signer, manifest) = (Signer::new(), Digest::of(b"manifest"));
        let payload = |kind: &str, digest: Digest| {
            let image = json!({ "docker-manifest-digest": digest.to_string() });
            json!({ "critical": { "image": image, "type": kind }, "optional": null }).to_string()
        };
        let verify = |payload: &str, signature: &str| {
            verify_manifest(&signer.key(), signature, payload.as_bytes(), manifest)
        };
        let (good, other) = (payload(KIND, manifest), payload(KIND, Digest::of(b"other")));
        let attestation = payload("an attestation", manifest);
        assert_eq!(verify(&good, &signer.sign(good.as_bytes())), Ok(()));
        assert_eq!(verify(&good, &signer.sign(other.as_bytes())), Err(Rejection::OtherKey));
        assert_eq!(verify(&good, &Signer::new().sign(good.as_bytes())), Err(Rejection::OtherKey));
        assert_eq!(verify(&other, &signer.sign(other.as_bytes())), Err(Rejection::OtherContent));
        assert_eq!(
            verify(&attestation, &signer.sign(attestation.as_bytes())),
            Err(Rejection::OtherStatement)
        );
        for malformed in [("{}", signer.sign(b"{}")), (good.as_str(), "no base64!".to_owned())] {
            assert!(
                matches!(verify(malformed.0, &malformed.1), Err(Rejection::Malformed(_))),
                "{malformed:?}"
            );
        }
    }

    #[test]
    fn a_blobs_signature_may_be_broken_into_lines() {
        let signer = Signer::new();
        let mut signature = signer.sign(b"component");
        signature.insert(40, '\n');
        signature.push('\n');
        assert_eq!(verify_blob(&signer.key(), signature.as_bytes(), b"component"), Ok(()));
        assert_eq!(verify_blob(&signer.key(), signature.as_bytes(), b"componenT"), Err(Rejection::OtherKey));
    }
}
