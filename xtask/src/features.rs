//! Checks that the product and its tests share one build of their dependencies.

use crate::command::{Failure, Step, headline};
use anyhow::Result;
use std::collections::BTreeSet;

/// Compares the features of each crate that the product uses with those that the crate has when the whole workspace is
/// built. If they differ, cargo builds the crate twice, and with it everything that uses it: for wasmtime and the AWS
/// SDKs about fifteen minutes.
pub(crate) fn run() -> Result<()> {
    headline("features");
    let product = crates("-p host --edges normal,build,no-proc-macro")?;
    let tests = crates("--workspace --edges normal,build,dev,no-proc-macro")?;
    let differing: Vec<&String> = product.difference(&tests).collect();
    if differing.is_empty() {
        eprintln!("{} crates are built once for the product and its tests", product.len());
        return Ok(());
    }
    for name in &differing {
        eprintln!("the tests ask for more features than the product: {name}");
    }
    Err(Failure::new(
        format!("{} crates would be built twice", differing.len()),
        "ask for the same features in the workspace's Cargo.toml and host/Cargo.toml, or for fewer in the tests' dependency",
    )
    .into())
}

/// Name, version and features of each crate.
fn crates(words: &str) -> Result<BTreeSet<String>> {
    let tree = Step::cargo("listing the crates")
        .words("tree --quiet --prefix none --no-dedupe --format {p}|{f}")
        .words(words)
        .output()?;
    Ok(tree.lines().filter(|line| !line.is_empty()).map(|line| line.replace('|', ", features ")).collect())
}
