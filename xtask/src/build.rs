//! `cargo xtask build`: builds the plug-ins and the host.

use crate::command::{Step, headline};
use crate::toolchain::{WASM_TARGET, ensure_target};
use crate::workspace::{plugins_dir, target_dir};
use anyhow::{Context, Result};
use std::fs;
use std::path::Path;

/// Package and file name of each plug-in.
const PLUGINS: [(&str, &str); 2] =
    [("shopify-plugin", "shopify.wasm"), ("default-validator", "validate.wasm")];

pub(crate) fn run() -> Result<()> {
    plugins()?;
    host()
}

/// Builds the plug-ins into `target/plugins/`.
pub(crate) fn plugins() -> Result<()> {
    headline("plug-ins");
    ensure_target(WASM_TARGET)?;
    let mut step =
        Step::cargo("building the plug-ins").words("build --profile guest --target").words(WASM_TARGET);
    for (package, _) in PLUGINS {
        step = step.words("-p").words(package);
    }
    step.run()?;
    let built = target_dir()?.join(WASM_TARGET).join("guest");
    let plugins = plugins_dir()?;
    fs::create_dir_all(&plugins).with_context(|| format!("cannot create {}", plugins.display()))?;
    for (package, file) in PLUGINS {
        let from = built.join(package.replace('-', "_")).with_extension("wasm");
        let bytes = copy_atomically(&from, &plugins.join(file))?;
        eprintln!("{} ({} KB)", plugins.join(file).display(), bytes / 1_000);
    }
    Ok(())
}

/// Builds the host.
pub(crate) fn host() -> Result<()> {
    headline("host");
    Step::cargo("building the host").words("build --release -p host").run()
}

/// Copies atomically, so that a host that loads the plug-in meanwhile gets the old file or the new one. An identical file
/// is not touched, so that crates that depend on it are not rebuilt. Returns the size in bytes.
fn copy_atomically(from: &Path, to: &Path) -> Result<usize> {
    let bytes = fs::read(from).with_context(|| format!("cannot read {}", from.display()))?;
    if fs::read(to).is_ok_and(|existing| existing == bytes) {
        return Ok(bytes.len());
    }
    let temp = to.with_extension(format!("{}.tmp", std::process::id()));
    fs::write(&temp, &bytes).with_context(|| format!("cannot write {}", temp.display()))?;
    fs::rename(&temp, to).with_context(|| format!("cannot replace {}", to.display()))?;
    Ok(bytes.len())
}
