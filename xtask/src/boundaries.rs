//! Checks which crates know what: a dependency in a `Cargo.toml` must not break the rules below.

use crate::command::{Failure, Step, headline};
use anyhow::Result;
use std::collections::BTreeSet;

/// All kinds of dependencies, as `cargo tree` calls them.
const ALL: &str = "normal,build,dev";
/// Dependencies of the product, without those of tests.
const NOT_OF_TESTS: &str = "normal";

/// Beginnings of the names of crates, the only members of this workspace that may use these crates, and the kinds of
/// dependencies that the rule is about.
const USERS: [(&str, &[&str], &str); 4] = [
    ("wasmtime", &["host-plugin-host"], ALL),
    ("aws-sdk-", &["host-storage-aws"], ALL),
    ("host-testing", &["host-simulation"], NOT_OF_TESTS),
    ("host-simulation", &[], NOT_OF_TESTS),
];

/// Members that can be built and tested without [`HEAVY`].
const LIGHT: [&str; 3] = ["host-pipeline", "host-simulation", "host-testing"];

/// Beginnings of the names of engines, backends and clients.
const HEAVY: [&str; 4] = ["aws-sdk-", "reqwest", "rusqlite", "wasmtime"];

/// Checks the direct dependencies of all members, and all dependencies of the members in [`LIGHT`], including those of
/// their tests.
pub(crate) fn run() -> Result<()> {
    headline("boundaries");
    let mut violations = Vec::new();
    for edges in [ALL, NOT_OF_TESTS] {
        let members = Step::cargo("listing the dependencies")
            .words("tree --workspace --quiet --depth 1 --no-dedupe --prefix depth --format {p} --edges")
            .words(edges)
            .output()?;
        violations.extend(forbidden_uses(edges, &members));
    }
    for member in LIGHT {
        let tree = Step::cargo("listing the crates")
            .words("tree --quiet --edges normal,build,dev --prefix none --format {p} -p")
            .words(member)
            .output()?;
        violations
            .extend(heavy_crates(&tree).iter().map(|name| format!("{member} and its tests need {name}")));
    }
    if violations.is_empty() {
        eprintln!("{} rules hold", USERS.len() + LIGHT.len());
        return Ok(());
    }
    violations.iter().for_each(|violation| eprintln!("{violation}"));
    Err(Failure::new(
        format!("{} dependencies cross a boundary between crates", violations.len()),
        "use the port in crates/core; docs/architecture.md says what each crate may know",
    )
    .into())
}

/// The first word of a line.
fn name(line: &str) -> &str {
    line.split(' ').next().unwrap_or_default()
}

/// Violations of the rules in [`USERS`] that are about these kinds. The tree has lines such as `0host v0.1.0` for a
/// member, and after it `1clap v4.5.0` for each of its dependencies.
fn forbidden_uses(edges: &str, tree: &str) -> Vec<String> {
    let rules = || USERS.iter().filter(|(_, _, kinds)| *kinds == edges);
    let (mut member, mut violations) = ("", Vec::new());
    let mut allowed = BTreeSet::new();
    for line in tree.lines() {
        if let Some(root) = line.strip_prefix('0') {
            member = name(root);
        } else if let Some(used) = line.strip_prefix('1').map(name) {
            for (prefix, users, _) in rules().filter(|(prefix, ..)| used.starts_with(prefix)) {
                if users.contains(&member) {
                    allowed.insert((prefix, member));
                } else {
                    violations.push(format!("{member} uses {used}"));
                }
            }
        }
    }
    // A rule whose crates have been renamed would pass forever, so unused ones are violations, too.
    for (prefix, users, _) in rules() {
        let unused = users.iter().filter(|user| !allowed.contains(&(prefix, **user)));
        violations
            .extend(unused.map(|user| format!("{user} uses no {prefix} any more: the rule is out of date")));
    }
    violations
}

/// The names in [`HEAVY`] that a tree contains.
fn heavy_crates(tree: &str) -> BTreeSet<&str> {
    tree.lines().map(name).filter(|name| HEAVY.iter().any(|prefix| name.starts_with(prefix))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_crate_that_one_member_owns_may_not_be_used_by_another() {
        let tree = "0host-plugin-host v0.1.0 (/w)\n1wasmtime v48.0.0\n1wasmtime-wasi v48.0.0\n\n\
                    0host-storage-aws v0.1.0 (/w)\n1aws-sdk-s3 v1.1.0\n1host-core v0.1.0 (/w) (*)\n\n\
                    0host v0.1.0 (/w)\n1wasmtime v48.0.0 (*)\n1host-testing v0.1.0 (/w)\n1aws-config v1.0.0\n\n\
                    0host-simulation v0.1.0 (/w)\n1host-testing v0.1.0 (/w)\n";
        assert_eq!(forbidden_uses(ALL, tree), ["host uses wasmtime"]);
        assert_eq!(forbidden_uses(NOT_OF_TESTS, tree), ["host uses host-testing"]);
        let without_sdk = tree.replace("aws-sdk-s3", "boto");
        assert!(
            forbidden_uses(ALL, &without_sdk).iter().any(|violation| violation.contains("host-storage-aws"))
        );
    }

    #[test]
    fn heavy_crates_are_found_at_any_depth() {
        let tree = "host-pipeline v0.1.0 (/w)\nrusqlite v0.41.0\ntokio v1.0.0\nrusqlite v0.41.0 (*)\naws-sdk-sqs v1.0.0\n";
        assert_eq!(heavy_crates(tree), BTreeSet::from(["aws-sdk-sqs", "rusqlite"]));
    }
}
