//! Builds the plug-in `plugins/default-validator` to WebAssembly. The host contains it (`src/bundled.rs`), so that it
//! can validate documents without a plug-in file.

use std::{
    env,
    error::Error,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

const TARGET: &str = "wasm32-unknown-unknown";

/// Environment variables of the host's build that would break the build of the plug-in (the guest): flags for another
/// target, clippy as the compiler.
const NOT_FOR_GUESTS: [&str; 7] = [
    "CARGO_ENCODED_RUSTFLAGS",
    "CARGO_BUILD_RUSTFLAGS",
    "CARGO_BUILD_TARGET",
    "CARGO_TARGET_DIR",
    "RUSTC_WORKSPACE_WRAPPER",
    "RUSTFLAGS",
    "CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_RUSTFLAGS",
];

fn main() -> Result<(), Box<dyn Error>> {
    let out_dir = PathBuf::from(env::var("OUT_DIR")?);
    let workspace = PathBuf::from(env::var("CARGO_MANIFEST_DIR")?).join("../..");
    for input in
        ["plugins/default-validator", "crates/index-rules", "wit", "Cargo.toml", "Cargo.lock", ".cargo"]
    {
        println!("cargo::rerun-if-changed={}", workspace.join(input).display());
    }
    println!("cargo::rerun-if-changed=build.rs");

    let wasm = build_guest(&workspace, &out_dir.join("guest"))?;
    fs::copy(&wasm, out_dir.join("default_validator.wasm"))?;
    Ok(())
}

/// Runs cargo for the guest. A separate target directory, because the outer cargo has locked its own.
fn build_guest(workspace: &Path, target_dir: &Path) -> Result<PathBuf, Box<dyn Error>> {
    let mut cargo = Command::new(env::var("CARGO")?);
    cargo
        .current_dir(workspace)
        .args([
            "build",
            "--quiet",
            "--package",
            "default-validator",
            "--profile",
            "guest",
            "--target",
            TARGET,
        ])
        .arg("--target-dir")
        .arg(target_dir);
    for name in NOT_FOR_GUESTS {
        cargo.env_remove(name);
    }
    let output = cargo.output()?;
    if !output.status.success() {
        let stderr = String::from_utf8_lossy(&output.stderr);
        let is_target_missing =
            stderr.contains("can't find crate for") || stderr.contains("may not be installed");
        let help = if is_target_missing {
            format!("\n\nhelp: run `rustup target add {TARGET}`")
        } else {
            String::new()
        };
        return Err(format!("the bundled plug-in default-validator does not build:\n{stderr}{help}").into());
    }
    Ok(target_dir.join(TARGET).join("guest").join("default_validator.wasm"))
}
