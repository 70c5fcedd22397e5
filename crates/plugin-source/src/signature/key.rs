//! The public key that plug-ins must be signed with: ECDSA over P-256 with SHA-256, the only kind that cosign
//! generates.

use crate::FetchError;
use ring::signature::{ECDSA_P256_SHA256_ASN1, UnparsedPublicKey};
use rustls::pki_types::{SubjectPublicKeyInfoDer, pem::PemObject};
use std::{
    fs,
    path::{Path, PathBuf},
};

/// The beginning of the DER encoding of every public key of this kind; the key itself, a point on the curve, follows.
const P256_PREFIX: [u8; 26] = [
    0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a, 0x86,
    0x48, 0xce, 0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00,
];

/// The public half of a key pair.
#[derive(Clone, Debug)]
pub struct Key {
    path: PathBuf,
    /// The key as a point on the curve.
    point: Vec<u8>,
}

impl Key {
    /// Reads a public key in PEM.
    pub fn read(path: &Path) -> Result<Self, FetchError> {
        let failed = |cause: String| FetchError::Key { path: path.to_owned(), cause };
        let pem = fs::read(path).map_err(|error| failed(error.to_string()))?;
        let der = SubjectPublicKeyInfoDer::from_pem_slice(&pem)
            .map_err(|_| failed("it is not a public key in PEM".to_owned()))?;
        match der.as_ref().strip_prefix(&P256_PREFIX) {
            Some(point) => Ok(Self { path: path.to_owned(), point: point.to_vec() }),
            None => Err(failed("it is not a key for ECDSA over P-256".to_owned())),
        }
    }

    /// The key's file.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Whether a signature in ASN.1 was made with this key for these bytes.
    pub(super) fn verifies(&self, signature: &[u8], bytes: &[u8]) -> bool {
        UnparsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, &self.point).verify(bytes, signature).is_ok()
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use base64::{Engine, prelude::BASE64_STANDARD};
    use ring::{
        rand::SystemRandom,
        signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair},
    };

    /// Made by `openssl`: the public half of a key pair, and a signature of the text `host` with it.
    const KEY: &str = "-----BEGIN PUBLIC KEY-----\n\
        MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAErbi7p3QQF80WmHshFvODc+TvAeB/\n\
        TDrzRaYAe1zUUWmVBETLHhrENfYcDIXrJq7Kolio1f/RMIuK5uRYHjavTA==\n\
        -----END PUBLIC KEY-----\n";
    const SIGNATURE: &str =
        "MEYCIQDcgmV/wsbMcY6e/hgGRHpsrEjN4GJ1uGPgm2HWjC37wwIhAOmkd25nhm7fD/d+pko59v21Gy+GwkRdU2Dk0P8YMXs9";

    /// A key pair that a test signs with.
    pub(in crate::signature) struct Signer(EcdsaKeyPair);

    impl Signer {
        pub(in crate::signature) fn new() -> Self {
            let random = SystemRandom::new();
            let pkcs8 = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, &random).unwrap();
            Self(EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, pkcs8.as_ref(), &random).unwrap())
        }

        pub(in crate::signature) fn key(&self) -> Key {
            Key { path: "cosign.pub".into(), point: self.0.public_key().as_ref().to_vec() }
        }

        /// A signature in base64.
        pub(in crate::signature) fn sign(&self, bytes: &[u8]) -> String {
            BASE64_STANDARD.encode(self.0.sign(&SystemRandom::new(), bytes).unwrap())
        }
    }

    /// Reads a key in PEM from a file.
    pub(in crate::signature) fn key(text: &str) -> Result<Key, FetchError> {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), text).unwrap();
        Key::read(file.path())
    }

    #[test]
    fn a_signature_by_another_program_is_verified_and_no_other() {
        let key = key(KEY).unwrap();
        let signature = BASE64_STANDARD.decode(SIGNATURE).unwrap();
        assert!(key.verifies(&signature, b"host"));
        assert!(!key.verifies(&signature, b"hosT"));
        let mut damaged = signature;
        damaged[10] ^= 1;
        assert!(!key.verifies(&damaged, b"host"));
        assert!(!key.verifies(b"", b"host"));
    }

    #[test]
    fn only_public_keys_in_pem_are_accepted() {
        let private = KEY.replace("PUBLIC", "PRIVATE");
        let truncated = KEY.replacen("MFkw", "MFk", 1);
        for text in ["", "not PEM", &private, &truncated] {
            assert!(matches!(key(text), Err(FetchError::Key { .. })), "{text}");
        }
    }
}
