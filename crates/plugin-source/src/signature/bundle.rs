//! Signatures of cosign 3: Sigstore bundles (JSON), version 0.3, made with a plain key. `cosign sign-blob` signs the
//! content itself; `cosign sign` signs a statement in the in-toto format, which names a manifest's digest, in a DSSE
//! envelope (signed payload with its type).
//!
//! Only the key counts. What else a bundle has (certificates, entries of the transparency log, timestamps) is neither
//! needed nor read.
//!
//! - <https://github.com/sigstore/protobuf-specs/blob/main/protos/sigstore_bundle.proto>
//! - <https://github.com/sigstore/cosign/blob/main/specs/BUNDLE_SPEC.md>
//! - <https://github.com/secure-systems-lab/dsse/blob/master/protocol.md>
//! - <https://github.com/in-toto/attestation/blob/main/spec/v1/statement.md>

use super::{Key, Rejection};
use base64::{Engine, prelude::BASE64_STANDARD};
use host_core::model::Digest;
use ring::digest::{self, SHA256};
use serde::Deserialize;
use std::collections::BTreeMap;

/// Media type of bundles: stated in each, and that of their layer in a registry.
pub(super) const MEDIA_TYPE: &str = "application/vnd.dev.sigstore.bundle.v0.3+json";

/// The name of SHA-256 in bundles, the hash that these keys (ECDSA over P-256) are used with.
const HASH: &str = "SHA2_256";

const PAYLOAD_TYPE: &str = "application/vnd.in-toto+json";
const STATEMENT_TYPE: &str = "https://in-toto.io/Statement/v1";
/// The type of statements that are signatures; others say how something was built, or list its vulnerabilities.
const PREDICATE_TYPE: &str = "https://sigstore.dev/cosign/sign/v1";

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Bundle {
    media_type: String,
    message_signature: Option<MessageSignature>,
    dsse_envelope: Option<Envelope>,
}

/// A signature of the content itself.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct MessageSignature {
    message_digest: MessageDigest,
    signature: String,
}

#[derive(Deserialize)]
struct MessageDigest {
    algorithm: String,
    digest: String,
}

/// A DSSE envelope: a statement in base64, and its signatures.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Envelope {
    payload: String,
    payload_type: String,
    signatures: Vec<EnvelopeSignature>,
}

#[derive(Deserialize)]
struct EnvelopeSignature {
    sig: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Statement {
    #[serde(rename = "_type")]
    kind: String,
    predicate_type: String,
    subject: Vec<Subject>,
}

#[derive(Deserialize)]
struct Subject {
    digest: BTreeMap<String, String>,
}

/// Checks that a bundle is a signature of some content with a key.
pub(super) fn verify(key: &Key, bundle: &[u8], content: &[u8]) -> Result<(), Rejection> {
    let Bundle { media_type, message_signature, dsse_envelope } = serde_json::from_slice(bundle)
        .map_err(|error| malformed(format!("not a Sigstore bundle: {error}")))?;
    if media_type != MEDIA_TYPE {
        return Err(malformed(format!("its media type is not {MEDIA_TYPE}")));
    }
    match (message_signature, dsse_envelope) {
        (Some(signature), None) => verify_message(key, &signature, content),
        (None, Some(envelope)) => verify_envelope(key, &envelope, content),
        _ => Err(malformed("it has not exactly one of messageSignature and dsseEnvelope".to_owned())),
    }
}

fn verify_message(key: &Key, message: &MessageSignature, content: &[u8]) -> Result<(), Rejection> {
    let MessageDigest { algorithm, digest: claimed } = &message.message_digest;
    if algorithm != HASH {
        return Err(malformed(format!("its hash is not {HASH}, the one of the key")));
    }
    // The signature below decides. The digest only tells a wrong file from a wrong key.
    if decode(claimed)? != digest::digest(&SHA256, content).as_ref() {
        return Err(Rejection::OtherContent);
    }
    if key.verifies(&decode(&message.signature)?, content) { Ok(()) } else { Err(Rejection::OtherKey) }
}

fn verify_envelope(key: &Key, envelope: &Envelope, content: &[u8]) -> Result<(), Rejection> {
    if envelope.payload_type != PAYLOAD_TYPE {
        return Err(malformed(format!("its payload is not of type {PAYLOAD_TYPE}")));
    }
    let [signature] = &envelope.signatures[..] else {
        return Err(malformed("its envelope has not exactly one signature".to_owned()));
    };
    let payload = decode(&envelope.payload)?;
    if !key.verifies(&decode(&signature.sig)?, &pre_authentication_encoding(&envelope.payload_type, &payload))
    {
        return Err(Rejection::OtherKey);
    }
    // The payload is trusted from here on: the owner of the key wrote it.
    let statement: Statement = serde_json::from_slice(&payload)
        .map_err(|error| malformed(format!("it has no statement: {error}")))?;
    if statement.kind != STATEMENT_TYPE || statement.predicate_type != PREDICATE_TYPE {
        return Err(Rejection::OtherStatement);
    }
    let digest = Digest::of(content).hex();
    let is_subject = |subject: &Subject| subject.digest.get("sha256") == Some(&digest);
    if statement.subject.iter().any(is_subject) { Ok(()) } else { Err(Rejection::OtherContent) }
}

/// The bytes that a DSSE signature covers. The type is among them, so that no payload can pass for one of another type.
fn pre_authentication_encoding(payload_type: &str, payload: &[u8]) -> Vec<u8> {
    let head = format!("DSSEv1 {} {payload_type} {} ", payload_type.len(), payload.len());
    [head.as_bytes(), payload].concat()
}

fn decode(base64: &str) -> Result<Vec<u8>, Rejection> {
    BASE64_STANDARD.decode(base64).map_err(|_| malformed("it has a field that is not base64".to_owned()))
}

fn malformed(cause: String) -> Rejection {
    Rejection::Malformed(cause)
}

#[cfg(test)]
mod tests {
    use super::{
        super::key::tests::{Signer, key},
        *,
    };
    use serde_json::{Value, json};

    /// A bundle of the content `test content` that another program made: from `pkg/testing/data` of sigstore-go,
    /// Apache-2.0.
    const FOREIGN: &str = include_str!("../../tests/data/public-key-validity.sigstore.json");
    const FOREIGN_KEY: &str = include_str!("../../tests/data/public-key-validity.pem");

    /// A bundle as `cosign sign-blob --key --bundle` makes it.
    fn blob_bundle(signer: &Signer, content: &[u8]) -> Value {
        let digest = BASE64_STANDARD.encode(digest::digest(&SHA256, content));
        json!({
            "mediaType": MEDIA_TYPE,
            "verificationMaterial": { "publicKey": { "hint": "aGludA==" } },
            "messageSignature": {
                "messageDigest": { "algorithm": HASH, "digest": digest },
                "signature": signer.sign(content),
            },
        })
    }

    fn statement(content: &[u8]) -> Value {
        json!({
            "_type": STATEMENT_TYPE,
            "subject": [{ "digest": { "sha256": Digest::of(content).hex() }, "annotations": {} }],
            "predicateType": PREDICATE_TYPE,
            "predicate": {},
        })
    }

    /// A bundle of a statement, as `cosign sign --key` makes it.
    fn image_bundle(signer: &Signer, statement: &Value) -> Value {
        let payload = statement.to_string();
        let signature = signer.sign(&pre_authentication_encoding(PAYLOAD_TYPE, payload.as_bytes()));
        json!({
            "mediaType": MEDIA_TYPE,
            "verificationMaterial": { "publicKey": { "hint": "aGludA==" }, "tlogEntries": [{}] },
            "dsseEnvelope": {
                "payload": BASE64_STANDARD.encode(payload),
                "payloadType": PAYLOAD_TYPE,
                "signatures": [{ "sig": signature }],
            },
        })
    }

    fn verified(signer: &Signer, bundle: &Value, content: &[u8]) -> Result<(), Rejection> {
        verify(&signer.key(), bundle.to_string().as_bytes(), content)
    }

    #[track_caller]
    fn assert_malformed(signer: &Signer, bundle: &Value) {
        let verified = verified(signer, bundle, b"content");
        assert!(matches!(verified, Err(Rejection::Malformed(_))), "{verified:?}: {bundle}");
    }

    #[test]
    fn a_bundle_of_another_program_is_verified() {
        let key = key(FOREIGN_KEY).unwrap();
        assert_eq!(verify(&key, FOREIGN.as_bytes(), b"test content"), Ok(()));
        assert_eq!(verify(&key, FOREIGN.as_bytes(), b"test contenT"), Err(Rejection::OtherContent));
        assert_eq!(
            verify(&Signer::new().key(), FOREIGN.as_bytes(), b"test content"),
            Err(Rejection::OtherKey)
        );
    }

    #[test]
    fn the_pre_authentication_encoding_is_that_of_the_specifications_example() {
        assert_eq!(
            pre_authentication_encoding("http://example.com/HelloWorld", b"hello world"),
            b"DSSEv1 29 http://example.com/HelloWorld 11 hello world"
        );
    }

    #[test]
    fn a_message_signature_is_of_the_content_with_the_key() {
        let (signer, other) = (Signer::new(), Signer::new());
        let good = blob_bundle(&signer, b"content");
        assert_eq!(verified(&signer, &good, b"content"), Ok(()));
        assert_eq!(verified(&signer, &good, b"other"), Err(Rejection::OtherContent));
        assert_eq!(verified(&other, &good, b"content"), Err(Rejection::OtherKey));
        // The right digest with a signature of other content.
        let mut forged = blob_bundle(&signer, b"content");
        forged["messageSignature"]["signature"] = signer.sign(b"other").into();
        assert_eq!(verified(&signer, &forged, b"content"), Err(Rejection::OtherKey));
    }

    #[test]
    fn an_envelope_is_signed_with_the_key_and_names_the_content() {
        let (signer, other) = (Signer::new(), Signer::new());
        let good = image_bundle(&signer, &statement(b"content"));
        assert_eq!(verified(&signer, &good, b"content"), Ok(()));
        assert_eq!(verified(&signer, &good, b"other"), Err(Rejection::OtherContent));
        assert_eq!(verified(&other, &good, b"content"), Err(Rejection::OtherKey));
        // Another statement, with this one's signature.
        let mut swapped = good.clone();
        swapped["dsseEnvelope"]["payload"] = BASE64_STANDARD.encode(statement(b"other").to_string()).into();
        assert_eq!(verified(&signer, &swapped, b"other"), Err(Rejection::OtherKey));
        // A signature of the payload without its type.
        let mut untyped = good;
        untyped["dsseEnvelope"]["signatures"][0]["sig"] =
            signer.sign(statement(b"content").to_string().as_bytes()).into();
        assert_eq!(verified(&signer, &untyped, b"content"), Err(Rejection::OtherKey));
    }

    #[test]
    fn a_statement_of_another_kind_is_no_signature() {
        let signer = Signer::new();
        for (field, value) in [
            ("predicateType", "https://slsa.dev/provenance/v1"),
            ("_type", "https://in-toto.io/Statement/v0.1"),
        ] {
            let mut statement = statement(b"content");
            statement[field] = value.into();
            let bundle = image_bundle(&signer, &statement);
            assert_eq!(verified(&signer, &bundle, b"content"), Err(Rejection::OtherStatement), "{field}");
        }
        for subject in [json!([]), json!([{ "digest": { "sha512": Digest::of(b"content").hex() } }])] {
            let mut statement = statement(b"content");
            statement["subject"] = subject;
            let bundle = image_bundle(&signer, &statement);
            assert_eq!(verified(&signer, &bundle, b"content"), Err(Rejection::OtherContent));
        }
    }

    #[test]
    fn what_is_no_bundle_with_one_signature_is_malformed() {
        let signer = Signer::new();
        let (blob, image) = (blob_bundle(&signer, b"content"), image_bundle(&signer, &statement(b"content")));
        let broken = |bundle: &Value, pointer: &str, value: Value| {
            let mut bundle = bundle.clone();
            *bundle.pointer_mut(pointer).unwrap() = value;
            assert_malformed(&signer, &bundle);
        };
        broken(&blob, "/mediaType", "application/vnd.dev.sigstore.bundle.v0.4+json".into());
        broken(&blob, "/messageSignature", Value::Null);
        broken(&blob, "/messageSignature/messageDigest/algorithm", "SHA2_512".into());
        broken(&blob, "/messageSignature/messageDigest/digest", "!".into());
        broken(&blob, "/messageSignature/signature", "!".into());
        broken(&image, "/dsseEnvelope/payloadType", "text/plain".into());
        let signature = image["dsseEnvelope"]["signatures"][0].clone();
        broken(&image, "/dsseEnvelope/signatures", json!([]));
        broken(&image, "/dsseEnvelope/signatures", json!([signature, signature]));
        let mut both = blob;
        both["dsseEnvelope"] = image["dsseEnvelope"].clone();
        assert_malformed(&signer, &both);
        assert_malformed(&signer, &json!([]));
        let deep = "[".repeat(100_000);
        assert!(matches!(verify(&signer.key(), deep.as_bytes(), b""), Err(Rejection::Malformed(_))));
    }
}
