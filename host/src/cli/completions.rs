//! `host completions`: prints a completion script for a shell.

use super::{Cli, CliResult, failure::Exit};
use clap::{Args, CommandFactory};
use clap_complete::Shell;

/// Arguments of `host completions`.
#[derive(Debug, Args)]
pub(super) struct CompletionsArgs {
    /// The shell
    shell: Shell,
}

pub(super) fn run(args: &CompletionsArgs) -> CliResult {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "host", &mut script);
    super::context::print(&String::from_utf8_lossy(&script))?;
    Ok(Exit::Completed)
}
