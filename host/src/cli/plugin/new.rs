//! `host plugin new`: creates a plug-in project.

use super::run::RoleName;
use crate::cli::{
    CliResult, Global,
    context::{print, print_json},
    failure::{Exit, Failure},
    output::OutputFormat,
};
use clap::Args;
use host_plugin_dev::{
    project::Language,
    scaffold::{ScaffoldError, scaffold},
};
use host_plugin_host::Role;
use serde_json::json;
use std::{collections::BTreeSet, path::PathBuf};

/// Arguments of `host plugin new`.
#[derive(Debug, Args)]
pub(in crate::cli) struct NewArgs {
    /// Folder to create; its last part becomes the plug-in's name, in kebab-case
    path: PathBuf,
    /// Programming language
    #[arg(long, value_enum)]
    lang: Language,
    /// Role of the plug-in; may be repeated [default: transform]
    #[arg(long = "role", value_enum)]
    roles: Vec<RoleName>,
}

pub(super) fn run(global: &Global, args: &NewArgs) -> CliResult {
    let mut roles: BTreeSet<Role> = args.roles.iter().copied().map(Role::from).collect();
    if roles.is_empty() {
        roles.insert(Role::Transform);
    }
    let created = scaffold(&args.path, args.lang, &roles).map_err(|error| match error {
        ScaffoldError::Write { .. } => Failure::runtime(error),
        other => Failure::usage(other),
    })?;
    let dir = args.path.display();
    match global.output {
        OutputFormat::Json => print_json(&json!({ "project": args.path, "files": created.files }))?,
        OutputFormat::Text => {
            let mut text = format!(
                "{dir}: {} files; README.md explains each\n\nnext:\n  cd {dir}\n",
                created.files.len()
            );
            for step in created.steps {
                text.push_str("  ");
                text.push_str(step);
                text.push('\n');
            }
            print(&text)?;
        }
    }
    Ok(Exit::Completed)
}
