//! Where plug-ins come from and whether they may be run: pinned digests, signatures, registries.

use crate::{
    registry::{BUNDLE, Registry, Rules, digest},
    support::{RunOutput, SHOP, TestDir, guest},
};
use base64::{Engine, prelude::BASE64_STANDARD};
use ring::{
    rand::SystemRandom,
    signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair},
};
use serde_json::json;
use std::{fs, path::PathBuf, sync::LazyLock};

static EVIL: LazyLock<PathBuf> = LazyLock::new(|| guest("guest-evil"));

/// The evil plug-in (a guest of the tests), and a component with another digest that does the same.
fn versions() -> (Vec<u8>, Vec<u8>) {
    let old = fs::read(&*EVIL).unwrap();
    let new = [old.as_slice(), b"\x00\x03\x01xy"].concat();
    (old, new)
}

fn test_dir() -> TestDir {
    let test_dir = TestDir::new();
    test_dir.write("export.jsonl", "{\"id\":\"p1\",\"title\":\"Mug\"}\n");
    test_dir
}

fn run(test_dir: &TestDir, plugin: &str, more: &[&str]) -> RunOutput {
    let arguments =
        ["run", "--plugin", plugin, "export.jsonl", "--shop", SHOP, "--data-dir", "data", "--output", "json"];
    test_dir.host(&[&arguments[..], more].concat())
}

/// The digest of the plug-in that a run used.
fn used(test_dir: &TestDir, plugin: &str, more: &[&str]) -> String {
    let output = run(test_dir, plugin, more);
    assert_eq!(output.code, Some(0), "{output:?}");
    output.json()["plugin"]["digest"].as_str().unwrap().to_owned()
}

/// stderr of a run whose plug-in is refused. The run must not write anything.
#[track_caller]
fn refused(test_dir: &TestDir, plugin: &str, more: &[&str]) -> String {
    let output = run(test_dir, plugin, more);
    assert_eq!((output.code, output.stdout.as_str()), (Some(2), ""), "{output:?}");
    assert!(!test_dir.path("data").exists(), "something was written");
    output.stderr
}

/// The text without digests and ports, which change with the compiler and from run to run.
fn steady(said: &str, registry: Option<&Registry>) -> String {
    let mut said = said.to_owned();
    if let Some(registry) = registry {
        said = said.replace(&registry.host, "REGISTRY");
    }
    let mut words: Vec<String> = Vec::new();
    for word in said.split(' ') {
        let at = word.find("sha256:").or(word.find("sha256-"));
        words.push(match at {
            Some(at) => {
                // 7 bytes: `sha256:` or `sha256-`.
                let rest = word[at + 7..].trim_start_matches(|character: char| character.is_ascii_hexdigit());
                format!("{}DIGEST{rest}", &word[..at])
            }
            None => word.to_owned(),
        });
    }
    words.join(" ")
}

#[test]
fn a_lock_holds_a_file_to_its_digest() {
    let (test_dir, (old, new)) = (test_dir(), versions());
    test_dir.write("evil.wasm", &old);
    test_dir.write("other.wasm", &old);
    let locked = test_dir.host(&["plugin", "lock", "evil.wasm"]);
    assert_eq!((locked.code, locked.stdout), (Some(0), format!("{}  evil.wasm\n", digest(&old))));

    test_dir.write("evil.wasm", &new);
    let mut said = refused(&test_dir, "evil.wasm", &[]);
    test_dir.write("host.toml", "[plugin]\nfiles = [\"./evil.wasm\"]\n");
    let from_settings = test_dir.host(&["run", "export.jsonl", "--shop", SHOP, "--data-dir", "data"]);
    assert!(
        from_settings.code == Some(2) && from_settings.stderr.contains("has the digest"),
        "{from_settings:?}"
    );
    said += &refused(&test_dir, "other.wasm", &[]);
    insta::assert_snapshot!(steady(&said, None));

    test_dir.write("evil.wasm", &old);
    assert_eq!(used(&test_dir, "./evil.wasm", &[]), digest(&old));
    test_dir.write("evil.wasm", &new);
    assert_eq!(test_dir.host(&["plugin", "lock"]).code, Some(0), "those of the settings");
    assert_eq!(used(&test_dir, "evil.wasm", &[]), digest(&new));
    test_dir.write("plugin.lock", "[[plug-in]]");
    let damaged = run(&test_dir, "evil.wasm", &[]);
    assert!(damaged.code == Some(2) && damaged.stderr.contains("plugin.lock cannot be used"), "{damaged:?}");
}

/// A key pair, whose public key is written to the file `name` in PEM.
fn key_pair(test_dir: &TestDir, name: &str) -> EcdsaKeyPair {
    let random = SystemRandom::new();
    let pkcs8 = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, &random).unwrap();
    let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, pkcs8.as_ref(), &random).unwrap();
    // The DER of a public key on the curve P-256, up to the key itself.
    let prefix = "3059301306072a8648ce3d020106082a8648ce3d030107034200";
    let mut der = hex::decode(prefix).unwrap();
    der.extend_from_slice(pair.public_key().as_ref());
    let pem =
        format!("-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n", BASE64_STANDARD.encode(der));
    test_dir.write(name, pem);
    pair
}

fn sign(pair: &EcdsaKeyPair, bytes: &[u8]) -> String {
    BASE64_STANDARD.encode(pair.sign(&SystemRandom::new(), bytes).unwrap())
}

#[test]
fn an_unsigned_or_forged_file_is_refused() {
    let (test_dir, (old, new)) = (test_dir(), versions());
    let (mine, theirs) = (key_pair(&test_dir, "mine.pub"), key_pair(&test_dir, "theirs.pub"));
    test_dir.write("evil.wasm", &old);
    let wanted = ["--require-signature", "mine.pub"];
    let mut said = refused(&test_dir, "evil.wasm", &wanted);
    test_dir.write("evil.wasm.sig", sign(&theirs, &old));
    said += &refused(&test_dir, "evil.wasm", &wanted);
    test_dir.write("evil.wasm.sig", sign(&mine, &new));
    refused(&test_dir, "evil.wasm", &wanted);
    said += &refused(&test_dir, "evil.wasm", &["--require-signature", "absent.pub"]);
    insta::assert_snapshot!(said);

    test_dir.write("evil.wasm.sig", sign(&mine, &old) + "\n");
    assert_eq!(used(&test_dir, "evil.wasm", &wanted), digest(&old));
    // A bundle, as `cosign sign-blob --bundle` of cosign 3 writes it.
    fs::remove_file(test_dir.path("evil.wasm.sig")).unwrap();
    let hash = ring::digest::digest(&ring::digest::SHA256, &old);
    let bundle = json!({
        "mediaType": BUNDLE,
        "messageSignature": {
            "messageDigest": { "algorithm": "SHA2_256", "digest": BASE64_STANDARD.encode(hash) },
            "signature": sign(&mine, &old),
        },
    });
    test_dir.write("evil.wasm.sigstore.json", bundle.to_string());
    test_dir.write("host.toml", "[plugin]\nrequire_signature = \"mine.pub\"\n");
    assert_eq!(used(&test_dir, "evil.wasm", &[]), digest(&old));
    let other = run(&test_dir, "evil.wasm", &["--require-signature", "theirs.pub"]);
    assert_eq!(other.code, Some(2), "{other:?}");
}

#[test]
fn a_shadow_is_trusted_no_more_than_a_plugin() {
    let (test_dir, (old, new)) = (test_dir(), versions());
    let key = key_pair(&test_dir, "mine.pub");
    for (name, wasm) in [("live.wasm", &old), ("new.wasm", &old)] {
        test_dir.write(name, wasm);
        test_dir.write(&format!("{name}.sig"), sign(&key, wasm));
    }
    let shadow = ["--shadow", "new.wasm"];
    let signed = ["--shadow", "new.wasm", "--require-signature", "mine.pub"];
    assert_eq!(test_dir.host(&["plugin", "lock", "live.wasm"]).code, Some(0));
    let unlocked = refused(&test_dir, "live.wasm", &shadow);
    assert!(unlocked.contains("new.wasm") && unlocked.contains("plugin.lock"), "{unlocked}");
    assert_eq!(test_dir.host(&["plugin", "lock", "new.wasm"]).code, Some(0));
    test_dir.write("new.wasm", &new);
    let changed = refused(&test_dir, "live.wasm", &shadow);
    assert!(changed.contains("has the digest"), "{changed}");
    fs::remove_file(test_dir.path("plugin.lock")).unwrap();
    let forged = refused(&test_dir, "live.wasm", &signed);
    assert!(forged.contains("new.wasm"), "{forged}");
    test_dir.write("new.wasm.sig", sign(&key, &new));
    let output = run(&test_dir, "live.wasm", &signed);
    assert_eq!(output.code, Some(0), "{output:?}");
}

#[test]
fn a_lock_that_is_named_must_exist() {
    let (test_dir, (old, new)) = (test_dir(), versions());
    test_dir.write("evil.wasm", &old);
    assert_eq!(used(&test_dir, "evil.wasm", &[]), digest(&old), "without a lock");
    fs::remove_dir_all(test_dir.path("data")).unwrap();
    let flag = ["--lock", "pins.lock"];
    let missing = refused(&test_dir, "evil.wasm", &flag);
    assert!(missing.contains("there is no lock pins.lock"), "{missing}");
    test_dir.write("host.toml", "[plugin]\nlock = \"pins.lock\"\n");
    assert_eq!(refused(&test_dir, "evil.wasm", &[]), missing);
    assert_eq!(test_dir.host(&["plugin", "lock", "evil.wasm"]).code, Some(0));
    assert_eq!(used(&test_dir, "evil.wasm", &[]), digest(&old));
    fs::remove_file(test_dir.path("host.toml")).unwrap();
    test_dir.write("evil.wasm", &new);
    let changed = run(&test_dir, "evil.wasm", &flag);
    assert!(changed.code == Some(2) && changed.stderr.contains("has the digest"), "{changed:?}");
}

#[test]
fn nothing_but_a_component_is_locked() {
    let test_dir = test_dir();
    let output = test_dir.host(&["plugin", "lock", "export.jsonl"]);
    assert!(output.code == Some(2) && output.stderr.contains("export.jsonl"), "{output:?}");
    assert!(!test_dir.path("plugin.lock").exists());
}

#[test]
fn paths_in_a_settings_file_are_relative_to_its_folder() {
    let (test_dir, (old, new)) = (test_dir(), versions());
    fs::create_dir(test_dir.path("etc")).unwrap();
    let key = key_pair(&test_dir, "etc/mine.pub");
    test_dir.write("etc/evil.wasm", &old);
    test_dir.write("etc/evil.wasm.sig", sign(&key, &old));
    test_dir.write(
        "etc/host.toml",
        "data_dir = \"data\"\n[telemetry]\nprometheus_file = \"metrics.prom\"\n[plugin]\nfiles = [\"evil.wasm\"]\n\
         lock = \"plugin.lock\"\nrequire_signature = \"mine.pub\"\n",
    );
    let settings = ["--config", "etc/host.toml"];
    let locked = test_dir.host(&[&["plugin", "lock"], &settings[..]].concat());
    assert_eq!(locked.code, Some(0), "{locked:?}");
    let run = |more: &[&str]| {
        test_dir.host(&[&["run", "export.jsonl", "--shop", SHOP], &settings[..], more].concat())
    };
    let output = run(&[]);
    assert_eq!(output.code, Some(0), "{output:?}");
    for made in ["etc/data/host.db", "etc/metrics.prom", "etc/plugin.lock"] {
        assert!(test_dir.path(made).exists(), "{made}");
    }
    // The lock names the plug-in relative to its own folder, so that it means the same file from every working folder.
    let lock = fs::read_to_string(test_dir.path("etc/plugin.lock")).unwrap();
    assert!(lock.contains("source = \"evil.wasm\""), "{lock}");
    let mut inside = test_dir.command(&["run", "../export.jsonl", "--shop", SHOP]);
    let inside = inside.current_dir(test_dir.path("etc")).output().unwrap();
    assert!(inside.status.success(), "{inside:?}");
    test_dir.write("etc/evil.wasm", &new);
    test_dir.write("etc/evil.wasm.sig", sign(&key, &new));
    let changed = run(&[]);
    assert!(changed.code == Some(2) && changed.stderr.contains("has the digest"), "{changed:?}");
    // Paths of flags are relative to the working folder.
    assert_eq!(run(&["--require-signature", "mine.pub"]).code, Some(2));
    assert_eq!(run(&["--data-dir", "data", "--plugin", "evil.wasm"]).code, Some(2));
}

#[test]
fn a_registry_gives_what_a_tag_or_digest_names() {
    let (test_dir, (old, new)) = (test_dir(), versions());
    let registry = Registry::start(Rules { login: Some("me:secret"), ..Rules::default() });
    let first = registry.push("shop/evil", "1", "application/wasm", &old);
    let name = format!("oci://{}/shop/evil:1", registry.host);
    let denied = run(&test_dir, &name, &[]);
    assert!(denied.code == Some(2) && denied.stderr.contains("docker login"), "{denied:?}");

    // A credential helper, which is asked for this registry alone.
    fs::create_dir(test_dir.path(".docker")).unwrap();
    let helper = test_dir.write(
        "docker-credential-test",
        "#!/bin/sh\ncat >/dev/null\necho '{\"Username\":\"me\",\"Secret\":\"secret\"}'\n",
    );
    fs::set_permissions(helper, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    test_dir.write(
        ".docker/config.json",
        json!({ "credHelpers": { registry.host.as_str(): "test" } }).to_string(),
    );
    let mut helped = test_dir.command(&["plugin", "lock", &name]);
    let path = std::env::join_paths(
        std::iter::once(test_dir.path("."))
            .chain(std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default())),
    );
    let helped = helped.env("PATH", path.unwrap()).output().unwrap();
    assert!(helped.status.success(), "{helped:?}");
    fs::remove_file(test_dir.path("plugin.lock")).unwrap();
    let auth = BASE64_STANDARD.encode("me:secret");
    test_dir.write(
        ".docker/config.json",
        json!({ "auths": { registry.host.as_str(): { "auth": auth } } }).to_string(),
    );
    assert_eq!(used(&test_dir, &name, &[]), digest(&old));
    let inspected = test_dir.host(&["plugin", "run", &name, "export.jsonl"]);
    assert_eq!(inspected.code, Some(0), "{inspected:?}");

    // With a lock, a tag keeps meaning the plug-in that it meant, even when it is moved.
    assert_eq!(test_dir.host(&["plugin", "lock", &name]).code, Some(0));
    registry.push("shop/evil", "1", "application/wasm", &new);
    assert_eq!(used(&test_dir, &name, &[]), digest(&old));
    fs::remove_file(test_dir.path("plugin.lock")).unwrap();
    assert_eq!(used(&test_dir, &name, &[]), digest(&new));
    let pinned = format!("oci://{}/shop/evil@{first}", registry.host);
    assert_eq!(used(&test_dir, &pinned, &[]), digest(&old));

    // A plug-in in the cache needs no registry.
    assert_eq!(test_dir.host(&["plugin", "lock", &name]).code, Some(0));
    assert!(!registry.requests().is_empty());
    registry.stop();
    assert_eq!(used(&test_dir, &name, &[]), digest(&new));
}

#[test]
fn a_registry_that_lies_or_fails_is_refused() {
    let test_dir = test_dir();
    let (old, new) = versions();
    // A component that no other test has pulled, since all share a cache.
    let old = [old.as_slice(), b"\x00\x06\x04lies!"].concat();
    let registry = Registry::start(Rules::default());
    registry.push("evil", "image", "application/vnd.oci.image.layer.v1.tar+gzip", &old);
    registry.push("evil", "swapped", "application/wasm", &old);
    registry.replace("evil", &old, &new);
    let name = |tag: &str| format!("oci://{}/evil:{tag}", registry.host);
    let mut said = String::new();
    for tag in ["nothing", "image", "swapped"] {
        said += &refused(&test_dir, &name(tag), &[]);
    }
    said += &refused(&test_dir, "oci://registry.example", &[]);
    registry.push("evil", "large", "application/wasm", &vec![0; 1 << 20]);
    test_dir.write("host.toml", "[plugin.limits]\ncomponent_bytes = 900000\n");
    said += &refused(&test_dir, &name("large"), &[]);
    insta::assert_snapshot!(steady(&said, Some(&registry)));
    let gone = name("nothing");
    registry.stop();
    let down = run(&test_dir, &gone, &[]);
    assert_eq!(down.code, Some(1), "it may come back: {down:?}");
}

#[test]
fn a_signature_in_a_registry_is_of_the_manifest() {
    let (test_dir, (old, new)) = (test_dir(), versions());
    let (mine, theirs) = (key_pair(&test_dir, "mine.pub"), key_pair(&test_dir, "theirs.pub"));
    let registry = Registry::start(Rules::default());
    let manifest = registry.push("evil", "1", "application/wasm", &old);
    let other = registry.push("evil", "2", "application/wasm", &new);
    let name = format!("oci://{}/evil:1", registry.host);
    let wanted = ["--require-signature", "mine.pub"];
    let payload = |manifest: &str| {
        let image = json!({ "docker-manifest-digest": manifest });
        let identity = json!({ "docker-reference": "evil" });
        let kind = "cosign container image signature";
        json!({ "critical": { "identity": identity, "image": image, "type": kind }, "optional": null })
            .to_string()
    };
    let mut said = refused(&test_dir, &name, &wanted);
    registry.sign("evil", &manifest, &payload(&manifest), &sign(&theirs, payload(&manifest).as_bytes()));
    said += &refused(&test_dir, &name, &wanted);
    // A valid signature of another version is refused for this one.
    registry.sign("evil", &manifest, &payload(&other), &sign(&mine, payload(&other).as_bytes()));
    refused(&test_dir, &name, &wanted);
    insta::assert_snapshot!(steady(&said, Some(&registry)));
    registry.sign("evil", &manifest, &payload(&manifest), &sign(&mine, payload(&manifest).as_bytes()));
    assert_eq!(used(&test_dir, &name, &wanted), digest(&old));
}
