//! Builds the guests that the tests load, once a test run.

use std::{
    path::{Path, PathBuf},
    process::Command,
    sync::LazyLock,
};

/// The guest that misbehaves as its configuration says.
pub(crate) static EVIL: LazyLock<PathBuf> = LazyLock::new(|| build("guest-evil", "wasm32-unknown-unknown"));

/// The guest for Shopify's exports.
pub(crate) static TRANSFORM: LazyLock<PathBuf> =
    LazyLock::new(|| build("shopify-plugin", "wasm32-unknown-unknown"));

/// The guest that tries what WASI has, by the standard library.
pub(crate) static PROBE: LazyLock<PathBuf> = LazyLock::new(|| build("guest-probe", "wasm32-wasip2"));

/// A guest that was built for the first release of the contract; the folder's README says how.
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
        // Flags for the host's processor and for coverage are not the guest's.
        .env_remove("RUSTFLAGS")
        .env_remove("CARGO_ENCODED_RUSTFLAGS")
        .status()
        .unwrap();
    assert!(status.success(), "{package} does not build; is {target} installed?");
    target_dir.join(target).join("guest").join(format!("{}.wasm", package.replace('-', "_")))
}
