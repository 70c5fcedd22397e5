//! `host aws`: what the stores in AWS need before the first job.

use super::{
    Ended, Global, backend,
    context::{config, print, print_json, runtime, store_failure},
    failure::Exit,
    output::OutputFormat,
};
use crate::config::Config;
use clap::Subcommand;

/// Commands about the stores in AWS.
#[derive(Debug, Subcommand)]
pub(super) enum AwsCommand {
    /// Make bucket and tables where they are missing; queues are made with the first message of a shop
    Bootstrap {
        /// First part of all names [default: dev]
        #[arg(long, value_name = "ENV")]
        env: Option<String>,
    },
}

pub(super) fn run(global: &Global, command: &AwsCommand) -> Ended {
    let AwsCommand::Bootstrap { env } = command;
    let mut config: Config = config(global)?;
    if let Some(env) = env {
        config.aws.env.clone_from(env);
    }
    runtime()?.block_on(async {
        let made = backend::aws(&config).await.bootstrap().await.map_err(store_failure)?;
        match global.output {
            OutputFormat::Text => print(&made.iter().map(|name| format!("{name}\n")).collect::<String>())?,
            OutputFormat::Json => print_json(&made)?,
        }
        Ok(Exit::Completed)
    })
}
