//! Builds the guests that the tests load, once a test run.

use std::{
    path::{Path, PathBuf},
    process::Command,
    sync::LazyLock,
};

/// The guest that misbehaves as its configuration says.
pub static EVIL: LazyLock<PathBuf> = LazyLock::new(|| build("guest-evil"));

/// The guest for Shopify's exports.
pub static TRANSFORM: LazyLock<PathBuf> = LazyLock::new(|| build("guest-transform"));

/// The bytes of the evil guest.
pub fn evil_bytes() -> Vec<u8> {
    std::fs::read(&*EVIL).unwrap()
}

fn build(package: &str) -> PathBuf {
    let target_dir = Path::new(env!("CARGO_TARGET_TMPDIR")).with_file_name("guests");
    let status = Command::new(env!("CARGO"))
        .current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
        .args(["build", "--quiet", "--package", package, "--profile", "guest"])
        .args(["--target", "wasm32-unknown-unknown", "--target-dir"])
        .arg(&target_dir)
        // Flags for the host's processor and for coverage are not the guest's.
        .env_remove("RUSTFLAGS")
        .env_remove("CARGO_ENCODED_RUSTFLAGS")
        .status()
        .unwrap();
    assert!(status.success(), "{package} does not build; is wasm32-unknown-unknown installed?");
    target_dir.join("wasm32-unknown-unknown/guest").join(format!("{}.wasm", package.replace('-', "_")))
}
