//! Fetching plug-ins from an OCI registry: the requests, their credentials, the checks of the answers, and signatures.

#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests fail as tests do")]

mod registry;

use base64::{Engine, prelude::BASE64_STANDARD};
use host_plugin_source::{Credentials, FetchError, FetchedPlugin, Key, PluginSource, Rejection};
use registry::{BUNDLE, Registry, Rules, digest};
use ring::{
    rand::SystemRandom,
    signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair},
};
use serde_json::json;
use std::path::{Path, PathBuf};

const WASM: &str = "application/wasm";
/// What [`logged_in`] logs in with.
const LOGIN: &str = "me:secret";

fn source() -> PluginSource {
    PluginSource { limit: 1 << 20, ..PluginSource::default() }
}

/// A source with credentials for one registry.
fn logged_in(registry: &str) -> PluginSource {
    let credentials = Credentials::from_variables(|name| match name {
        "HOST_OCI_REGISTRY" => Some(registry.into()),
        "HOST_OCI_USERNAME" => Some("me".into()),
        "HOST_OCI_PASSWORD" => Some("secret".into()),
        _ => None,
    });
    PluginSource { credentials, ..source() }
}

fn fetch(source: &PluginSource, name: &str) -> Result<FetchedPlugin, FetchError> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(source.fetch(Path::new(name)))
}

#[track_caller]
fn pulls(source: &PluginSource, name: &str, wasm: &[u8]) {
    assert_eq!(fetch(source, name).unwrap().component.wasm, wasm);
}

#[track_caller]
fn rejects(source: &PluginSource, name: &str, cause: &str) {
    let error = fetch(source, name).unwrap_err();
    assert!(matches!(error, FetchError::Rejected { .. }) && error.to_string().contains(cause), "{error}");
}

#[test]
fn a_token_may_have_either_name_or_both_and_the_challenge_either_case() {
    for (scheme, token) in [
        ("Bearer", json!({ "token": "t0ken" })),
        ("bearer", json!({ "access_token": "t0ken", "expires_in": 300 })),
        ("BEARER", json!({ "token": "t0ken", "access_token": "t0ken" })),
    ] {
        let registry = Registry::start(Rules { login: Some(LOGIN), scheme, token, ..Rules::default() });
        registry.push("shop", "1", WASM, b"component");
        let name = format!("oci://{}/shop:1", registry.host);
        pulls(&logged_in(&registry.host), &name, b"component");
        rejects(&source(), &name, "docker login");
    }
    let token = json!({ "token": "t0\nken" });
    let registry = Registry::start(Rules { login: Some(LOGIN), token, ..Rules::default() });
    rejects(&logged_in(&registry.host), &format!("oci://{}/shop:1", registry.host), "cannot be sent");
}

#[test]
fn credentials_go_to_their_registry_alone() {
    let (public, other) = (Registry::start(Rules::default()), "127.0.0.1:9");
    public.push("shop", "1", WASM, b"component");
    pulls(&logged_in(other), &format!("oci://{}/shop:1", public.host), b"component");
    let (login, token) = (Some(LOGIN), json!({ "token": "t0ken" }));
    let private = Registry::start(Rules { login, token, ..Rules::default() });
    private.push("shop", "1", WASM, b"component");
    rejects(&logged_in(other), &format!("oci://{}/shop:1", private.host), "docker login");
    for (path, authorization) in public.requests().into_iter().chain(private.requests()) {
        assert_eq!(authorization, "", "{path}");
    }
    let without_registry =
        Credentials::from_variables(|name| (name != "HOST_OCI_REGISTRY").then(|| "x".into()));
    let error = fetch(
        &PluginSource { credentials: without_registry, ..source() },
        &format!("oci://{}/shop:1", private.host),
    );
    assert!(matches!(error, Err(FetchError::Credentials { .. })), "{error:?}");
}

#[test]
fn credentials_are_never_sent_in_the_clear() {
    let realm = Some("http://auth.example/token".to_owned());
    let registry = Registry::start(Rules { login: Some(LOGIN), realm, ..Rules::default() });
    rejects(&logged_in(&registry.host), &format!("oci://{}/shop:1", registry.host), "has no TLS");
}

#[test]
fn credentials_do_not_go_to_the_realm_of_a_later_challenge() {
    let listener = Registry::start(Rules { login: Some(LOGIN), ..Rules::default() });
    let later_realm = Some(format!("http://{}/token", listener.host));
    let registry = Registry::start(Rules { login: Some(LOGIN), later_realm, ..Rules::default() });
    registry.push("shop", "1", WASM, b"component");
    pulls(&logged_in(&registry.host), &format!("oci://{}/shop:1", registry.host), b"component");
    assert_eq!(listener.requests(), []);
}

#[test]
fn without_a_realm_in_the_first_challenge_no_token_is_fetched() {
    let listener = Registry::start(Rules { login: Some(LOGIN), ..Rules::default() });
    let later_realm = Some(format!("http://{}/token", listener.host));
    let first_challenge = Some("Basic realm=\"tests\"");
    let rules = Rules { login: Some(LOGIN), later_realm, first_challenge, ..Rules::default() };
    let registry = Registry::start(rules);
    registry.push("shop", "1", WASM, b"component");
    // The registry wants a token after all. None is fetched: the first challenge, which was checked, names no realm.
    rejects(&logged_in(&registry.host), &format!("oci://{}/shop:1", registry.host), "docker login");
    assert_eq!(listener.requests(), []);
}

#[test]
fn a_token_that_is_no_longer_accepted_is_fetched_again() {
    let registry = Registry::start(Rules { login: Some(LOGIN), expires_once: true, ..Rules::default() });
    registry.push("shop", "1", WASM, b"component");
    pulls(&logged_in(&registry.host), &format!("oci://{}/shop:1", registry.host), b"component");
}

#[test]
fn no_answer_is_read_further_than_its_limit() {
    let signer = Signer::new();
    for (part, status, expected) in [
        ("/manifests/1", "200 OK", "larger than 4194304 bytes"),
        ("/manifests/1", "400 Bad Request", "status 400"),
        ("/token", "200 OK", "larger than 1048576 bytes"),
        ("/token", "403 Forbidden", "docker login"),
        ("/blobs/", "200 OK", "larger than 1048576 bytes"),
        ("/blobs/", "400 Bad Request", "status 400"),
        ("/referrers/", "200 OK", "larger than 4194304 bytes"),
    ] {
        let login = part.contains("token").then_some(LOGIN);
        let registry = Registry::start(Rules { login, flooded: Some((part, status)), ..Rules::default() });
        registry.push("shop", "1", WASM, b"component");
        let source = PluginSource { key: Some(signer.key.clone()), ..logged_in(&registry.host) };
        let error = fetch(&source, &format!("oci://{}/shop:1", registry.host)).unwrap_err();
        assert!(error.to_string().contains(expected), "{part} {status}: {error}");
        let sent = registry.flood();
        registry.stop();
        // Socket buffers take more than what is read.
        assert!(sent < registry::FLOOD / 2, "{part} {status}: {sent} bytes");
    }
}

#[test]
fn answers_are_not_decompressed() {
    let manifest = {
        let registry = Registry::start(Rules::default());
        registry.push("shop", "1", WASM, b"component");
        registry.object("shop/manifests/1")
    };
    let reply = ("200 OK", "Content-Encoding: gzip\r\n".to_owned(), manifest);
    let replaced = Some(("/manifests/1", reply));
    let registry = Registry::start(Rules { replaced, ..Rules::default() });
    registry.push("shop", "1", WASM, b"component");
    pulls(&source(), &format!("oci://{}/shop:1", registry.host), b"component");
}

#[test]
fn a_hostile_answer_makes_one_short_printable_error() {
    let hostile = format!("\u{1b}[31m\u{202e}\r\n\u{7}{}", "x".repeat(50_000));
    let escaped = |text: &str| serde_json::to_string(text).unwrap();
    let challenge = format!("WWW-Authenticate: Bearer realm=\"http://{}\"\r\n", "x".repeat(5000));
    for (part, reply) in [
        ("/manifests/", ("400 Bad Request", String::new(), hostile.clone().into_bytes())),
        ("/manifests/", ("200 OK", String::new(), format!("{{\"mediaType\":{}", escaped(&hostile)).into())),
        (
            "/manifests/",
            ("302 Found", format!("Location: http://127.0.0.1:1/{}\r\n", "x".repeat(5000)), vec![]),
        ),
        ("/v2/", ("401 Unauthorized", challenge, vec![])),
    ] {
        let registry = Registry::start(Rules { replaced: Some((part, reply)), ..Rules::default() });
        let error = fetch(&source(), &format!("oci://{}/shop:1", registry.host)).unwrap_err().to_string();
        let is_printable = !error.contains(|c: char| c.is_control() || c == '\u{202e}');
        assert!(is_printable && error.chars().count() < 600, "{error:?}");
    }
}

#[test]
fn a_blob_store_does_not_get_the_token() {
    let store = Registry::start(Rules::default());
    let blob_store = Some(store.host.clone());
    let registry = Registry::start(Rules { login: Some(LOGIN), blob_store, ..Rules::default() });
    registry.push("shop", "1", WASM, b"component");
    store.blob("shop", WASM, b"component");
    pulls(&logged_in(&registry.host), &format!("oci://{}/shop:1", registry.host), b"component");
    let blob = format!("/v2/shop/blobs/{}", digest(b"component"));
    assert_eq!(store.requests(), [(blob.clone(), String::new())]);
    assert!(registry.requests().contains(&(blob, "Bearer t0ken".to_owned())));
}

#[test]
fn an_image_index_leads_to_its_component() {
    let registry = Registry::start(Rules::default());
    let component = registry.push("shop", "wasm", WASM, b"component");
    let image = registry.push("shop", "linux", "application/vnd.oci.image.layer.v1.tar", b"layer");
    let index =
        registry.push_index("shop", "1", &[(&image, "linux", "amd64"), (&component, "wasip2", "wasm")]);
    registry.push_index("shop", "2", &[(&image, "linux", "amd64")]);
    let name = |tag: &str| format!("oci://{}/shop:{tag}", registry.host);
    let fetched = fetch(&source(), &name("1")).unwrap();
    assert_eq!(fetched.component.wasm, b"component");
    assert_eq!(fetched.pin.manifest.unwrap().to_string(), index);
    rejects(&source(), &name("2"), "image index");
    rejects(&source(), &name("linux"), "exactly one layer");
    rejects(&source(), &name("3"), "no tag 3");
    pulls(&source(), &format!("oci://{}/shop@{component}", registry.host), b"component");
}

#[test]
fn bytes_are_bounded_and_have_their_digest() {
    let registry = Registry::start(Rules::default());
    registry.push("shop", "large", WASM, &[0; 1001]);
    registry.push("shop", "swapped", WASM, b"component");
    registry.replace("shop", b"component", b"componenT");
    let source = PluginSource { limit: 1000, ..source() };
    rejects(&source, &format!("oci://{}/shop:large", registry.host), "larger than 1000 bytes");
    rejects(&source, &format!("oci://{}/shop:swapped", registry.host), "other bytes");
    let host = registry.host.clone();
    registry.stop();
    let error = fetch(&source, &format!("oci://{host}/shop:large")).unwrap_err();
    assert!(error.is_transient(), "{error}");
}

/// A key pair that tests sign with.
struct Signer {
    pair: EcdsaKeyPair,
    key: Key,
}

impl Signer {
    fn new() -> Self {
        let random = SystemRandom::new();
        let pkcs8 = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, &random).unwrap();
        let pair =
            EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, pkcs8.as_ref(), &random).unwrap();
        // The beginning of the DER encoding of every public key for ECDSA over P-256.
        let mut der = Vec::from(*b"\x30\x59\x30\x13\x06\x07\x2a\x86\x48\xce\x3d\x02\x01\x06\x08\x2a\x86\x48\xce\x3d\x03\x01\x07\x03\x42\x00");
        der.extend_from_slice(pair.public_key().as_ref());
        let file = tempfile::NamedTempFile::new().unwrap();
        let pem = BASE64_STANDARD.encode(der);
        std::fs::write(file.path(), format!("-----BEGIN PUBLIC KEY-----\n{pem}\n-----END PUBLIC KEY-----\n"))
            .unwrap();
        let key = Key::read(file.path()).unwrap();
        Self { pair, key }
    }

    fn sign(&self, bytes: &[u8]) -> String {
        BASE64_STANDARD.encode(self.pair.sign(&SystemRandom::new(), bytes).unwrap())
    }

    /// A bundle as `cosign sign` of cosign 3 makes it.
    fn bundle(&self, manifest: &str) -> String {
        let statement = json!({
            "_type": "https://in-toto.io/Statement/v1",
            "subject": [{ "digest": { "sha256": manifest.trim_start_matches("sha256:") } }],
            "predicateType": "https://sigstore.dev/cosign/sign/v1",
            "predicate": {},
        });
        let (kind, payload) = ("application/vnd.in-toto+json", statement.to_string());
        let signed = format!("DSSEv1 {} {kind} {} {payload}", kind.len(), payload.len());
        let envelope = json!({
            "payload": BASE64_STANDARD.encode(&payload),
            "payloadType": kind,
            "signatures": [{ "sig": self.sign(signed.as_bytes()) }],
        });
        json!({ "mediaType": BUNDLE, "verificationMaterial": {}, "dsseEnvelope": envelope }).to_string()
    }

    /// A payload as `cosign sign` of cosign 2 signs it.
    fn payload(manifest: &str) -> String {
        let image = json!({ "docker-manifest-digest": manifest });
        json!({ "critical": { "image": image, "type": "cosign container image signature" } }).to_string()
    }

    fn source(&self) -> PluginSource {
        PluginSource { key: Some(self.key.clone()), ..source() }
    }
}

#[test]
fn signatures_of_cosign_3_are_found_by_the_referrers_api_and_by_the_tag() {
    for has_referrers_api in [true, false] {
        let (mine, theirs) = (Signer::new(), Signer::new());
        let registry = Registry::start(Rules { has_referrers_api, ..Rules::default() });
        let manifest = registry.push("shop", "1", WASM, b"component");
        let other = registry.push("shop", "2", WASM, b"componenT");
        let name = format!("oci://{}/shop:1", registry.host);
        let error = fetch(&mine.source(), &name).unwrap_err();
        assert!(matches!(error, FetchError::Unsigned { .. }), "{error}");
        let refused = |expected: Rejection| match fetch(&mine.source(), &name).unwrap_err() {
            FetchError::SignatureMismatch { rejection, .. } => assert_eq!(rejection, expected),
            error => panic!("{error}"),
        };
        // Referrers of another type, more than signatures that are checked: a registry need not filter by type (section
        // "Listing Referrers" of the specification).
        for number in 0..30 {
            registry.refer("shop", &manifest, &digest(&[number]), "application/spdx+json");
        }
        // A signature of another version, attached to this one.
        registry.attach("shop", &manifest, &mine.bundle(&other));
        refused(Rejection::OtherContent);
        registry.attach("shop", &manifest, &theirs.bundle(&manifest));
        refused(Rejection::OtherContent);
        registry.attach("shop", &manifest, &mine.bundle(&manifest));
        pulls(&mine.source(), &name, b"component");
        pulls(&theirs.source(), &name, b"component");
    }
}

#[test]
fn a_bad_bundle_does_not_hide_a_good_one() {
    let signer = Signer::new();
    for bad in ["{}".to_owned(), " ".repeat((1 << 20) + 1)] {
        let registry = Registry::start(Rules::default());
        let manifest = registry.push("shop", "1", WASM, b"component");
        let name = format!("oci://{}/shop:1", registry.host);
        registry.refer("shop", &manifest, &digest(b"none"), BUNDLE);
        registry.attach("shop", &manifest, &bad);
        let error = fetch(&signer.source(), &name).unwrap_err();
        assert!(matches!(error, FetchError::SignatureMismatch { .. }), "{error}");
        assert!(error.to_string().contains("the bundle sha256:"), "{error}");
        registry.attach("shop", &manifest, &signer.bundle(&manifest));
        pulls(&signer.source(), &name, b"component");
    }
}

#[test]
fn a_bad_list_of_bundles_does_not_hide_a_signature_of_cosign_2() {
    let signer = Signer::new();
    let replaced = Some(("/referrers/", ("200 OK", String::new(), b"[]".to_vec())));
    let registry = Registry::start(Rules { replaced, ..Rules::default() });
    let manifest = registry.push("shop", "1", WASM, b"component");
    let name = format!("oci://{}/shop:1", registry.host);
    let error = fetch(&signer.source(), &name).unwrap_err();
    assert!(error.to_string().contains("the list of its bundles cannot be used"), "{error}");
    let payload = Signer::payload(&manifest);
    registry.sign("shop", &manifest, &payload, &signer.sign(payload.as_bytes()));
    pulls(&signer.source(), &name, b"component");
}

#[test]
fn signatures_of_cosign_2_are_found_by_their_tag() {
    let (mine, theirs) = (Signer::new(), Signer::new());
    let registry = Registry::start(Rules::default());
    let manifest = registry.push("shop", "1", WASM, b"component");
    let name = format!("oci://{}/shop:1", registry.host);
    let payload = Signer::payload(&manifest);
    registry.sign("shop", &manifest, &payload, &theirs.sign(payload.as_bytes()));
    let error = fetch(&mine.source(), &name).unwrap_err();
    assert!(matches!(error, FetchError::SignatureMismatch { rejection: Rejection::OtherKey, .. }), "{error}");
    registry.sign("shop", &manifest, &payload, &mine.sign(payload.as_bytes()));
    pulls(&mine.source(), &name, b"component");
}

#[test]
fn signatures_beside_a_file_are_of_cosign_3_or_cosign_2() {
    let signer = Signer::new();
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, content: &str| {
        let path: PathBuf = folder.path().join(name);
        std::fs::write(&path, content).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let plugin = file("shop.wasm", "component");
    let error = fetch(&signer.source(), &plugin).unwrap_err();
    assert!(error.to_string().contains("cosign sign-blob --key cosign.key --bundle"), "{error}");
    let hash = ring::digest::digest(&ring::digest::SHA256, b"component");
    let message_digest = json!({ "algorithm": "SHA2_256", "digest": BASE64_STANDARD.encode(hash) });
    let bundle = |signature: String| {
        let message = json!({ "messageDigest": message_digest, "signature": signature });
        json!({ "mediaType": BUNDLE, "messageSignature": message }).to_string()
    };
    file("shop.wasm.sigstore.json", &bundle(signer.sign(b"other")));
    let error = fetch(&signer.source(), &plugin).unwrap_err();
    assert!(matches!(error, FetchError::SignatureMismatch { rejection: Rejection::OtherKey, .. }), "{error}");
    // One valid signature is enough.
    file("shop.wasm.sig", &signer.sign(b"component"));
    pulls(&signer.source(), &plugin, b"component");
    std::fs::remove_file(folder.path().join("shop.wasm.sig")).unwrap();
    file("shop.wasm.sigstore.json", &bundle(signer.sign(b"component")));
    pulls(&signer.source(), &plugin, b"component");
    let pipe = folder.path().join("shop.wasm.sig");
    rustix::fs::mkfifoat(rustix::fs::CWD, &pipe, rustix::fs::Mode::RUSR).unwrap();
    file("shop.wasm.sigstore.json", "{}");
    let error = fetch(&signer.source(), &plugin).unwrap_err();
    assert!(error.to_string().contains("it is not a regular file"), "{error}");
    std::fs::remove_file(pipe).unwrap();
    file("shop.wasm.sigstore.json", &" ".repeat((1 << 20) + 1));
    let error = fetch(&signer.source(), &plugin).unwrap_err();
    assert!(error.to_string().contains("larger than 1048576 bytes"), "{error}");
}
