//! `host config`: prints the settings in force, or checks them.

use super::{
    CliResult, Global,
    context::{effective, plugins, print, print_json},
    failure::Exit,
    output::OutputFormat,
};
use clap::Subcommand;
use std::fmt::Write;

/// Commands about the settings.
#[derive(Debug, Subcommand)]
pub(super) enum ConfigCommand {
    /// Print each setting in force and where it comes from
    Show,
    /// Check the settings, and load the plug-ins with theirs, without doing anything else
    Check,
}

pub(super) fn run(global: &Global, command: ConfigCommand) -> CliResult {
    let effective = effective(global, &global.overrides())?;
    if let ConfigCommand::Check = command {
        plugins(&effective.config, &effective.origins)?;
    }
    match (command, global.output) {
        (ConfigCommand::Check, OutputFormat::Text) => print("the settings are good\n")?,
        (ConfigCommand::Check, OutputFormat::Json) => print_json(&serde_json::json!({ "valid": true }))?,
        (ConfigCommand::Show, OutputFormat::Json) => print_json(&effective.origins)?,
        (ConfigCommand::Show, OutputFormat::Text) => {
            let widest = effective.origins.iter().map(|origin| origin.key.len()).max().unwrap_or(0);
            let mut text = String::new();
            for origin in &effective.origins {
                let _ = writeln!(text, "{:widest$}  {}  ({})", origin.key, origin.value, origin.origin);
            }
            print(&text)?;
        }
    }
    Ok(Exit::Completed)
}
