//! Signatures as cosign makes them with a key pair: ECDSA over P-256 and SHA-256, in ASN.1, written in base64.

use super::SupplyError;
use base64::{Engine, prelude::BASE64_STANDARD};
use ring::signature::{ECDSA_P256_SHA256_ASN1, UnparsedPublicKey};
use rustls::pki_types::{SubjectPublicKeyInfoDer, pem::PemObject};
use serde::Deserialize;
use std::{
    fs, io,
    path::{Path, PathBuf},
};

/// What DER puts before the point of a public key of this kind, which has one form only.
const P256_PREFIX: [u8; 26] = [
    0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a, 0x86,
    0x48, 0xce, 0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00,
];

/// The public half of a key pair.
#[derive(Clone, Debug)]
pub struct Key {
    path: PathBuf,
    point: Vec<u8>,
}

/// What a signature in a registry is of.
#[derive(Deserialize)]
struct SimpleSigning {
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

impl Key {
    /// Reads a public key in PEM.
    pub fn read(path: &Path) -> Result<Self, SupplyError> {
        let failed = |cause: String| SupplyError::Key { path: path.to_owned(), cause };
        let pem = fs::read(path).map_err(|error| failed(error.to_string()))?;
        let der = SubjectPublicKeyInfoDer::from_pem_slice(&pem)
            .map_err(|_| failed("it is no public key in PEM".to_owned()))?;
        match der.as_ref().strip_prefix(&P256_PREFIX) {
            Some(point) => Ok(Self { path: path.to_owned(), point: point.to_vec() }),
            None => Err(failed("it is no key for ECDSA over P-256".to_owned())),
        }
    }

    /// Whether a signature is this key's, of these bytes.
    fn is_of(&self, signature: &str, bytes: &[u8]) -> bool {
        let key = UnparsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, &self.point);
        // As `base64` breaks it into lines.
        let signature: String = signature.split_ascii_whitespace().collect();
        BASE64_STANDARD.decode(signature).is_ok_and(|signature| key.verify(bytes, &signature).is_ok())
    }

    /// Checks the signature that lies beside a file as `FILE.sig`.
    pub(super) fn verify_file(&self, path: &Path, wasm: &[u8]) -> Result<(), SupplyError> {
        let mut beside = path.as_os_str().to_owned();
        beside.push(".sig");
        let name = path.display().to_string();
        let signature = fs::read_to_string(&beside).map_err(|error| {
            let beside = Path::new(&beside).display();
            let cause = match error.kind() {
                io::ErrorKind::NotFound => format!("there is no {beside}"),
                io::ErrorKind::InvalidData => format!("{beside} is no base64"),
                _ => format!("{beside} cannot be read: {error}"),
            };
            let command = format!("sign-blob --key cosign.key --output-signature {beside} {name}");
            SupplyError::Unsigned { name: name.clone(), cause, command }
        })?;
        if self.is_of(&signature, wasm) { Ok(()) } else { Err(self.forged(name)) }
    }

    /// Whether a signature is this key's, of a payload that names this manifest.
    pub(super) fn is_of_manifest(&self, signature: &str, payload: &[u8], manifest: &str) -> bool {
        let names_it = |said: SimpleSigning| {
            said.critical.image.digest == manifest && said.critical.kind == "cosign container image signature"
        };
        self.is_of(signature, payload) && serde_json::from_slice(payload).is_ok_and(names_it)
    }

    pub(super) fn forged(&self, name: String) -> SupplyError {
        SupplyError::Forged { name, key: self.path.clone() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Made by `openssl`: a key pair of this kind, and a signature of `host` by it.
    const KEY: &str = "-----BEGIN PUBLIC KEY-----\n\
        MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAErbi7p3QQF80WmHshFvODc+TvAeB/\n\
        TDrzRaYAe1zUUWmVBETLHhrENfYcDIXrJq7Kolio1f/RMIuK5uRYHjavTA==\n\
        -----END PUBLIC KEY-----\n";
    const SIGNATURE: &str =
        "MEYCIQDcgmV/wsbMcY6e/hgGRHpsrEjN4GJ1uGPgm2HWjC37wwIhAOmkd25nhm7fD/d+pko59v21Gy+GwkRdU2Dk0P8YMXs9";

    fn key(text: &str) -> Result<Key, SupplyError> {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), text).unwrap();
        Key::read(file.path())
    }

    #[test]
    fn a_signature_by_another_program_is_verified_and_no_other() {
        let key = key(KEY).unwrap();
        assert!(key.is_of(SIGNATURE, b"host"));
        assert!(!key.is_of(SIGNATURE, b"hosT"));
        assert!(!key.is_of(&SIGNATURE.replacen('M', "N", 1), b"host"));
        assert!(!key.is_of("", b"host") && !key.is_of("no base64!", b"host"));
    }

    #[test]
    fn only_public_keys_of_the_kind_are_taken() {
        let private = KEY.replace("PUBLIC", "PRIVATE");
        let cut = KEY.replacen("MFkw", "MFk", 1);
        for text in ["", "not PEM", &private, &cut] {
            assert!(matches!(key(text), Err(SupplyError::Key { .. })), "{text}");
        }
    }
}
