//! Paths of the workspace.

use crate::command::{Failure, Step};
use anyhow::Result;
use std::path::{Path, PathBuf};

/// The root of the repository.
pub(crate) fn root() -> &'static Path {
    let member = Path::new(env!("CARGO_MANIFEST_DIR"));
    member.parent().unwrap_or(member)
}

/// The target directory, as the environment or cargo's configuration sets it.
pub(crate) fn target_dir() -> Result<PathBuf> {
    let metadata = Step::cargo("looking for the target directory")
        .words("metadata --no-deps --format-version 1 --offline")
        .output()?;
    let directory = string_field(&metadata, "target_directory").ok_or_else(|| {
        Failure::new(
            "`cargo metadata` does not contain the target directory",
            "use the toolchain named in CONTRIBUTING.md",
        )
    })?;
    Ok(PathBuf::from(directory))
}

/// The folder of the built plug-ins.
pub(crate) fn plugins_dir() -> Result<PathBuf> {
    Ok(target_dir()?.join("plugins"))
}

/// The built host binary.
pub(crate) fn host_binary() -> Result<PathBuf> {
    Ok(target_dir()?.join("release").join(format!("host{}", std::env::consts::EXE_SUFFIX)))
}

/// The value of a string field in a JSON text. A JSON parser would be the largest dependency of this crate.
fn string_field(json: &str, name: &str) -> Option<String> {
    let (_, rest) = json.split_once(&format!("\"{name}\":\""))?;
    let mut value = String::new();
    let mut characters = rest.chars();
    loop {
        match characters.next()? {
            '"' => return Some(value),
            '\\' => value.push(characters.next()?),
            other => value.push(other),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_is_found_and_unescaped() {
        let json = r#"{"packages":[],"target_directory":"C:\\work\\target","version":1}"#;
        assert_eq!(string_field(json, "target_directory").as_deref(), Some(r"C:\work\target"));
        assert_eq!(string_field(json, "missing"), None);
    }

    #[test]
    fn the_root_contains_the_contract() {
        assert!(root().join("wit/world.wit").is_file());
    }
}
