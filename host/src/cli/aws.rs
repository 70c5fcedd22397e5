//! `host aws`: what the stores in AWS need before the first job, and now and then.

use super::{
    Ended, Global, backend,
    context::{config, print, print_json, runtime, store_failure},
    failure::Exit,
    output::OutputFormat,
};
use crate::config::Config;
use clap::Subcommand;
use host_storage_aws::Swept;
use std::fmt::Write;

/// Commands about the stores in AWS.
#[derive(Debug, Subcommand)]
pub(super) enum AwsCommand {
    /// Create bucket and tables where they are missing; queues are created with the first message of a shop
    Bootstrap {
        /// First part of all names [default: dev]
        #[arg(long, value_name = "ENV")]
        env: Option<String>,
    },
    /// Run the recovery sweep, as `host work` does periodically; needed where only Lambda functions work
    Sweep,
}

pub(super) fn run(global: &Global, command: &AwsCommand) -> Ended {
    let mut config: Config = config(global)?;
    if let AwsCommand::Bootstrap { env: Some(env) } = command {
        config.aws.env.clone_from(env);
    }
    runtime()?.block_on(async {
        let aws = backend::aws(&config).await;
        match command {
            AwsCommand::Bootstrap { .. } => {
                let made = aws.bootstrap().await.map_err(store_failure)?;
                match global.output {
                    OutputFormat::Text => {
                        print(&made.iter().map(|name| format!("{name}\n")).collect::<String>())?;
                    }
                    OutputFormat::Json => print_json(&made)?,
                }
            }
            AwsCommand::Sweep => {
                let swept = aws.sweeper().sweep().await.map_err(store_failure)?;
                match global.output {
                    OutputFormat::Text => print(&text(&swept))?,
                    OutputFormat::Json => print_json(&swept)?,
                }
            }
        }
        Ok(Exit::Completed)
    })
}

fn text(swept: &Swept) -> String {
    let Swept { sent, completed, ended, abandoned } = swept;
    let mut text = String::new();
    for (count, what) in [(sent, "messages sent again"), (completed, "half-completed chunks counted")] {
        if *count > 0 {
            let _ = writeln!(text, "{count} {what}");
        }
    }
    for id in ended {
        let _ = writeln!(text, "job {id} has ended");
    }
    for id in abandoned {
        let _ = writeln!(
            text,
            "job {id} was never sealed, and no process ingests for it: run its `host ingest` again"
        );
    }
    if swept.is_empty() {
        text.push_str("nothing was out of order\n");
    }
    text
}
