//! Which crates know what: rules that a dependency in a `Cargo.toml` would break.

use crate::command::{Failure, Step, headline};
use anyhow::Result;
use std::collections::BTreeSet;

/// Kinds of dependencies, as `cargo tree` calls them.
const ALL: &str = "normal,build,dev";
const NOT_OF_TESTS: &str = "normal";

/// Beginnings of crates' names, the members of this workspace that alone may use them, and in which kinds of dependencies.
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

/// Checks the direct dependencies of all members, and all dependencies of the light ones, those of their tests among them.
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

/// What breaks [`USERS`] of these kinds, in lines such as `0host v0.1.0` and, for each dependency, `1clap v4.5.0`.
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
    // Otherwise a rule for crates that have been renamed would pass forever.
    for (prefix, users, _) in rules() {
        let unused = users.iter().filter(|user| !allowed.contains(&(prefix, **user)));
        violations
            .extend(unused.map(|user| format!("{user} uses no {prefix} any more: the rule is out of date")));
    }
    violations
}

fn heavy_crates(tree: &str) -> BTreeSet<&str> {
    tree.lines().map(name).filter(|name| HEAVY.iter().any(|prefix| name.starts_with(prefix))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_one_member_owns_no_other_may_use() {
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
