//! Builds the guests (plug-ins written for the tests) that the tests load, once a test run.

use std::{
    path::{Path, PathBuf},
    process::Command,
    sync::LazyLock,
};

/// `tests/guests/evil`, which misbehaves in the way that its configuration names.
pub(crate) static EVIL: LazyLock<PathBuf> = LazyLock::new(|| build("guest-evil", "wasm32-unknown-unknown"));

/// `plugins/shopify`, the bundled plug-in for Shopify's exports.
pub(crate) static TRANSFORM: LazyLock<PathBuf> =
    LazyLock::new(|| build("shopify-plugin", "wasm32-unknown-unknown"));

/// `tests/guests/probe`, which uses WASI through Rust's standard library: the clock, random numbers, files and more.
pub(crate) static PROBE: LazyLock<PathBuf> = LazyLock::new(|| build("guest-probe", "wasm32-wasip2"));

/// A plug-in that was built for version 0.1.0 of the contract (the WIT package in `wit/`) and is kept as a file.
pub(crate) fn fixture(name: &str) -> Vec<u8> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/contract-0.1.0").join(name);
    let bytes = std::fs::read(path).unwrap();
    if name.ends_with(".zst") { zstd::decode_all(&*bytes).unwrap() } else { bytes }
}

/// The bytes of the evil guest.
pub(crate) fn evil_bytes() -> Vec<u8> {
    std::fs::read(&*EVIL).unwrap()
}

fn build(package: &str, target: &str) -> PathBuf {
    let target_dir = Path::new(env!("CARGO_TARGET_TMPDIR")).with_file_name("guests");
    let status = Command::new(env!("CARGO"))
        .current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."))
        .args(["build", "--quiet", "--package", package, "--profile", "guest"])
        .args(["--target", target, "--target-dir"])
        .arg(&target_dir)
        // Flags for the host's processor and for coverage would break the build of the guest.
        .env_remove("RUSTFLAGS")
        .env_remove("CARGO_ENCODED_RUSTFLAGS")
        .status()
        .unwrap();
    assert!(status.success(), "{package} does not build; is {target} installed?");
    target_dir.join(target).join("guest").join(format!("{}.wasm", package.replace('-', "_")))
}
