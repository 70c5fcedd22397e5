//! `cargo xtask test`: all checks that must pass before a change is merged, cheapest first. Stops at the first failure.

use crate::command::{Step, headline};
use crate::requirements::{Requirement, present_and_absent};
use crate::toolchain::{WASI_TARGET, ensure_component, ensure_postgres, ensure_target, has_subcommand};
use crate::workspace::{root, target_dir};
use crate::{boundaries, build, features, hygiene};
use anyhow::Result;
use xtask::cargo_deny;

/// Arguments of `cargo xtask test`.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Skip plug-ins in JavaScript and Python: their toolchains are large, and compiling the plug-ins takes minutes
    #[arg(long)]
    skip_toolchains: bool,
}

pub(crate) fn run(options: &Options) -> Result<()> {
    headline("formatting");
    ensure_component("rustfmt")?;
    Step::cargo("checking the formatting").words("fmt --all --check").help("run `cargo fmt --all`").run()?;

    hygiene::run()?;

    features::run()?;

    boundaries::run()?;

    headline("lints");
    ensure_component("clippy")?;
    // The release profile, here and below: a second profile would build wasmtime a second time.
    Step::cargo("linting").words("clippy --workspace --all-targets --release -- -D warnings").run()?;

    build::plugins()?;

    headline("tests");
    ensure_postgres()?;
    ensure_target(WASI_TARGET)?;
    let mut counts = Counts::default();
    let tested = run_tests(options, &mut counts);
    tested.inspect_err(|_| eprintln!("{}", counts.sentence()))?;

    crash_test()?;
    authors(options)?;
    licences()?;

    eprintln!("\nall checks passed");
    println!("{}", counts.sentence());
    Ok(())
}

/// Runs unit and integration tests, then doc tests, and builds the documentation.
fn run_tests(options: &Options, counts: &mut Counts) -> Result<()> {
    let (present, absent) = present_and_absent(options.skip_toolchains);
    let has_nextest = has_subcommand("nextest");
    if has_nextest {
        Step::cargo("testing")
            .words("nextest run --workspace --release --no-fail-fast")
            .run_watching(|line| counts.read(line))?;
    } else {
        eprintln!("cargo-nextest is not installed; using `cargo test`, which is slower");
        Step::cargo("testing")
            .words("test --workspace --release --lib --bins --tests --no-fail-fast")
            .run_watching(|line| counts.read(line))?;
    }
    // Tests that need something which not every machine has.
    for Requirement { module, .. } in present {
        headline(module);
        let words = if has_nextest {
            format!("nextest run --workspace --release --no-fail-fast --run-ignored ignored-only {module}::")
        } else {
            format!("test --workspace --release --tests --no-fail-fast -- --ignored {module}::")
        };
        let mut module_counts = Counts::default();
        Step::cargo("testing").words(&words).run_watching(|line| module_counts.read(line))?;
        counts.add_ignored(module_counts);
    }
    for Requirement { module, help, .. } in absent {
        headline(&format!("skipped: {module}"));
        eprintln!("{help}");
        if has_nextest {
            Step::cargo("listing what is skipped")
                .words(
                    "nextest list --workspace --release --run-ignored ignored-only --message-format oneline",
                )
                .words(module)
                .run()?;
        }
    }

    headline("documentation");
    Step::cargo("testing the examples in the documentation")
        .words("test --workspace --release --doc --no-fail-fast")
        .run_watching(|line| counts.read(line))?;
    Step::cargo("building the documentation")
        .words("doc --workspace --release --no-deps")
        .env("RUSTDOCFLAGS", "-D warnings")
        .run()
}

/// Kills the real binary at each step and restarts it. Without `--short`, the script tests more.
fn crash_test() -> Result<()> {
    if !root().join("tests/crash.sh").is_file() {
        return Ok(());
    }
    headline("crash test");
    Step::new("the crash test", "bash").words("tests/crash.sh --short").run()
}

/// Tests the steps of `docs/plugins.md` in each language; reports the languages that are skipped.
fn authors(options: &Options) -> Result<()> {
    headline("plug-ins in all languages");
    let mut step = Step::new("the test of the tools for plug-in authors", "bash")
        .words("tests/authors.sh")
        .help("`cargo xtask test --skip-toolchains` tests Rust only");
    if options.skip_toolchains {
        step = step.env("HOST_SKIP_TOOLCHAINS", "1");
    }
    step.run()
}

/// Checks licences and banned crates, and advisories if their database can be reached.
fn licences() -> Result<()> {
    headline("licences and bans");
    let deny = cargo_deny::install(&target_dir()?)?;
    Step::new("checking licences and bans", &deny).words("check bans licenses sources").run()?;
    headline("advisories");
    let fetched = Step::new("fetching the advisories", &deny).words("fetch db").succeeds();
    if !fetched {
        eprintln!("skipped: advisories, because their database on GitHub cannot be reached");
        return Ok(());
    }
    Step::new("checking advisories", &deny).words("check advisories").run()
}

/// Counts from the summary lines of `cargo nextest` and `cargo test`.
#[derive(Debug, Default, PartialEq, Eq)]
struct Counts {
    passed: u64,
    failed: u64,
    skipped: u64,
}

impl Counts {
    /// Adds up lines such as `Summary [ 1.2s] 30 tests run: 29 passed, 1 failed, 2 skipped` and
    /// `test result: ok. 12 passed; 0 failed; 1 ignored; …`.
    fn read(&mut self, line: &str) {
        let plain = without_colours(line);
        let Some((_, counts)) = plain
            .split_once("tests run:")
            .or_else(|| plain.split_once("test run:"))
            // Only at the beginning of a line: nextest repeats such lines, indented, from the output of failed tests.
            .or_else(|| plain.strip_prefix("test result:").and_then(|result| result.split_once('.')))
        else {
            return;
        };
        let words: Vec<&str> =
            counts.split([' ', ',', ';', '(', ')']).filter(|word| !word.is_empty()).collect();
        for pair in words.windows(2) {
            let Ok(number) = pair[0].parse::<u64>() else { continue };
            match pair[1] {
                "passed" => self.passed += number,
                "failed" | "timed" => self.failed += number,
                "skipped" | "ignored" => self.skipped += number,
                _ => {}
            }
        }
    }

    /// Adds a run of tests that an earlier run counted as skipped.
    fn add_ignored(&mut self, run: Self) {
        self.passed += run.passed;
        self.failed += run.failed;
        self.skipped = self.skipped.saturating_sub(run.passed + run.failed);
    }

    fn sentence(&self) -> String {
        format!("tests: {} passed, {} failed, {} skipped", self.passed, self.failed, self.skipped)
    }
}

/// The line without ANSI escape sequences.
fn without_colours(line: &str) -> String {
    let mut plain = String::with_capacity(line.len());
    let mut characters = line.chars();
    while let Some(character) = characters.next() {
        if character == '\u{1b}' {
            let _ = characters.by_ref().find(char::is_ascii_alphabetic);
        } else {
            plain.push(character);
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ignored_tests_that_ran_later_are_not_skipped() {
        let mut counts = Counts { passed: 10, failed: 0, skipped: 5 };
        counts.add_ignored(Counts { passed: 2, failed: 1, skipped: 12 });
        assert_eq!(counts, Counts { passed: 12, failed: 1, skipped: 2 });
    }

    #[test]
    fn summary_lines_are_added_up() {
        let mut counts = Counts::default();
        counts.read("     Summary [   0.512s] 30 tests run: 29 passed (1 slow), 1 failed, 2 skipped");
        counts.read("\u{1b}[32;1m     Summary\u{1b}[0m [ 0.1s] \u{1b}[1m1\u{1b}[0m test run: \u{1b}[1m1\u{1b}[0m \u{1b}[32;1mpassed\u{1b}[0m, 0 skipped");
        counts.read(
            "test result: ok. 12 passed; 0 failed; 3 ignored; 0 measured; 0 filtered out; finished in 0.01s",
        );
        counts.read("test result: FAILED. 0 passed; 2 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.01s");
        counts.read("    test result: FAILED. 0 passed; 1 failed; 0 ignored; 0 measured; 4 filtered out; finished in 0.12s");
        counts.read("running 7 tests, 5 passed yesterday");
        assert_eq!(counts, Counts { passed: 42, failed: 3, skipped: 5 });
    }
}
