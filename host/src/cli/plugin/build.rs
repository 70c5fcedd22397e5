//! `host plugin build`: builds the WebAssembly component of a plug-in project.

use super::project;
use crate::cli::{
    CliResult, Global,
    context::{print, print_json},
    failure::{Exit, Failure},
    output::OutputFormat,
};
use clap::Args;
use host_core::format::bytes;
use host_plugin_dev::toolchain::{self, BuildError};
use serde_json::json;
use std::path::PathBuf;

/// Arguments of `host plugin build`.
#[derive(Debug, Args)]
pub(in crate::cli) struct BuildArgs {
    /// Project folder
    #[arg(default_value = ".")]
    dir: PathBuf,
}

pub(super) fn run(global: &Global, args: &BuildArgs) -> CliResult {
    let component = toolchain::build(&project(&args.dir)?).map_err(|error| match error {
        BuildError::Missing { ref help, .. } => {
            let help = help.clone();
            Failure::usage(error).help(help)
        }
        BuildError::Failed { .. } => Failure::usage(error),
        other => Failure::runtime(other),
    })?;
    let size = std::fs::metadata(&component).map_err(Failure::runtime)?.len();
    match global.output {
        OutputFormat::Json => print_json(&json!({ "component": component, "bytes": size }))?,
        OutputFormat::Text => print(&format!("{} ({})\n", component.display(), bytes(size)))?,
    }
    Ok(Exit::Completed)
}
