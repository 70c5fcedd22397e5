//! `cargo xtask marqo-stand-in`: runs a server that answers as Marqo does and fails on request.

use crate::command::{Failure, Step};
use crate::workspace::target_dir;
use anyhow::{Context, Result};
use std::ffi::OsString;
use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

/// Arguments of `cargo xtask marqo-stand-in`.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Arguments of the stand-in; `-- --help` lists them, `-- --rules` lists its rules. Paths are relative to the root of the repository
    #[arg(last = true, value_name = "ARGUMENTS")]
    arguments: Vec<OsString>,
}

pub(crate) fn run(options: &Options) -> Result<()> {
    let mut step = Step::new("the stand-in", build()?);
    for argument in &options.arguments {
        step = step.argument(argument);
    }
    step.run()
}

/// Builds the stand-in; returns the path of its program.
fn build() -> Result<PathBuf> {
    Step::cargo("building the stand-in").words("build --quiet --release -p marqo-stand-in").run()?;
    Ok(target_dir()?.join("release").join(format!("marqo-stand-in{}", std::env::consts::EXE_SUFFIX)))
}

/// A running stand-in on a free port, killed on drop.
#[derive(Debug)]
pub(crate) struct MarqoStandIn {
    process: Child,
    url: String,
}

impl MarqoStandIn {
    /// Builds the stand-in and starts it with these indexes.
    pub(crate) fn start(indexes: &[String]) -> Result<Self> {
        let mut command = Command::new(build()?);
        command.args(["--listen", "127.0.0.1:0"]).args(indexes.iter().flat_map(|name| ["--index", name]));
        let process = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn();
        let mut process = process.context("cannot start the Marqo stand-in")?;
        let mut line = String::new();
        if let Some(output) = process.stdout.take() {
            BufReader::new(output).read_line(&mut line)?;
        }
        let mut started = Self { process, url: String::new() };
        let url = line.trim_end().strip_prefix("listening on ");
        started.url = url
            .ok_or_else(|| {
                Failure::new(
                    "the Marqo stand-in does not print its address",
                    "run it alone: `cargo xtask marqo-stand-in`",
                )
            })?
            .to_owned();
        Ok(started)
    }

    /// The address of the server.
    pub(crate) fn url(&self) -> &str {
        &self.url
    }
}

impl Drop for MarqoStandIn {
    fn drop(&mut self) {
        // It has no state to save.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
