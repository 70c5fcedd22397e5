//! Checks that the contract with plug-ins in `wit/` is compatible with the last released one, and that the rules in
//! `wit/VERSIONING.md` agree with the checker, `semver_check` of the crate `wit-component`.
#![allow(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

use std::{
    fs,
    path::{Path, PathBuf},
};
use wit_component::semver_check;
use wit_parser::{Resolve, WorldId};

/// The package declaration, up to the version.
const PACKAGE: &str = "package product-indexer:plugin@";

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../wit")
}

/// All files of a contract as one text, the package first.
fn text(folder: &Path) -> String {
    let mut files: Vec<PathBuf> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "wit"))
        .collect();
    files.sort_by_key(|path| !path.ends_with("world.wit"));
    files.iter().map(|path| fs::read_to_string(path).unwrap() + "\n").collect()
}

fn version(text: &str) -> &str {
    text.split_once(PACKAGE).unwrap().1.split_once(';').unwrap().0
}

/// The newest released contract.
fn released() -> String {
    let number = |path: &Path| -> Vec<u32> {
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        name.split('.').map(|part| part.parse().unwrap()).collect()
    };
    let versions = fs::read_dir(folder().join("released")).unwrap().map(|entry| entry.unwrap().path());
    text(&versions.max_by_key(|path| number(path)).unwrap())
}

/// Whether components and hosts that were built for the old contract still work with the new one, as far as a world is
/// concerned.
fn check(old: &str, new: &str, world: &str) -> Result<(), String> {
    let mut resolve = Resolve::default();
    let mut push = |text: &str, version: &str| -> WorldId {
        // A `Resolve` cannot hold the same version of a package twice.
        let current = self::version(text);
        let renamed = text.replace(&format!("{PACKAGE}{current}"), &format!("{PACKAGE}{version}"));
        let package = resolve.push_str(format!("{version}.wit"), &renamed).unwrap();
        resolve.packages[package].worlds[world]
    };
    let (old, new) = (push(old, "0.0.1"), push(new, "0.0.2"));
    semver_check(resolve, old, new).map_err(|error| format!("{error:#}"))
}

#[test]
fn the_contract_is_compatible_with_the_last_released_one() {
    let (old, new) = (released(), text(&folder()));
    let major = |version: &str| match version.split('.').collect::<Vec<_>>()[..] {
        ["0", minor, ..] => format!("0.{minor}"),
        [major, ..] => major.to_owned(),
        [] => String::new(),
    };
    if major(version(&old)) != major(version(&new)) {
        // A new major version may be incompatible.
        return;
    }
    for world in ["transformer", "validator", "plugin"] {
        check(&old, &new, world).unwrap();
    }
}

#[test]
fn a_released_version_is_not_edited() {
    let plain = |text: &str| -> Vec<String> {
        let lines = text.lines().map(|line| line.split("//").next().unwrap().trim().to_owned());
        lines.filter(|line| !line.is_empty()).collect()
    };
    let (old, new) = (released(), text(&folder()));
    assert!(
        version(&old) != version(&new) || plain(&old) == plain(&new),
        "the contract has changed: give it a new version, and copy it to wit/released/ on release"
    );
}

/// Each row of the table in `wit/VERSIONING.md` that the checker covers.
#[test]
fn the_policy_agrees_with_the_checker() {
    let contract = released();
    // What an edit replaces, by what, and whether the result is compatible.
    let edits = [
        // What the host offers.
        (
            "write: func(level: level, message: string);",
            "write: func(level: level, message: string);\n    flush: func();",
            true,
        ),
        ("        debug,\n", "        trace,\n        debug,\n", false),
        ("write: func(level: level, message: string)", "write: func(level: level, text: string)", false),
        (
            "write: func(level: level, message: string)",
            "write: func(level: level, message: string, at: u64)",
            false,
        ),
        (
            "write: func(level: level, message: string)",
            "write: async func(level: level, message: string)",
            false,
        ),
        // What the plug-in offers.
        ("counts: list<u32>,", "counts: list<u32>,\n        notes: list<string>,", false),
        ("        counts: list<u32>,\n", "", false),
        ("        warning,\n", "        warning,\n        hint,\n", false),
        ("configure: func(config: string)", "configure: func(settings: string)", false),
        ("describe: func() -> description;", "describe: func() -> description;\n    stop: func();", false),
        ("describe: func() -> description;", "describe: func() -> result<description, failure>;", false),
        // Other worlds do not concern existing plug-ins.
        (
            "world plugin {",
            "interface extra { go: func(); }\nworld more { include transformer; export extra; }\nworld plugin {",
            true,
        ),
        ("/// Every role in one component.", "/// All of it.", true),
    ];
    for (before, after, is_compatible) in edits {
        assert!(contract.contains(before), "{before}");
        let edited = contract.replacen(before, after, 1);
        let result = check(&contract, &edited, "plugin");
        assert_eq!(result.is_ok(), is_compatible, "{after}: {result:?}");
    }
}
