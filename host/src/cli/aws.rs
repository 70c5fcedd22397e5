//! `host aws`: what the stores in AWS need before the first job, and now and then.

use super::{
    Ended, Global, backend,
    context::{config, print, print_json, runtime, store_failure},
    failure::Exit,
    output::OutputFormat,
};
use crate::config::Config;
use clap::Subcommand;
use host_core::{clock::SharedEnv, error::chain};
use host_storage_aws::{Sweeper, Swept};
use std::{fmt::Write, time::Duration};

/// Commands about the stores in AWS.
#[derive(Debug, Subcommand)]
pub(super) enum AwsCommand {
    /// Make bucket and tables where they are missing; queues are made with the first message of a shop
    Bootstrap {
        /// First part of all names [default: dev]
        #[arg(long, value_name = "ENV")]
        env: Option<String>,
    },
    /// Mend what dead processes have left, as `host work` does by itself: for where only Lambda functions work
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
                let swept = aws.sweeper(config.aws.resend()).sweep().await.map_err(store_failure)?;
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
    let Swept { sent, settled, ended, abandoned } = swept;
    let mut text = String::new();
    for (count, what) in [(sent, "messages sent again"), (settled, "settled chunks counted")] {
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
            "job {id} was never sealed, and nobody ingests for it: run its `host ingest` again"
        );
    }
    if swept.is_empty() {
        text.push_str("nothing was out of order\n");
    }
    text
}

/// Sweeps at an interval, for as long as it is polled; of many processes one at a time.
pub(super) async fn sweep_now_and_then(sweeper: &Sweeper, interval: Duration, env: &SharedEnv) {
    if interval.is_zero() {
        return;
    }
    loop {
        env.sleep(interval).await;
        let swept = async {
            match sweeper.is_due(interval).await? {
                true => sweeper.sweep().await,
                false => Ok(Swept::default()),
            }
        };
        match swept.await {
            Ok(swept) if swept.is_empty() => {}
            Ok(Swept { sent, settled, ended, abandoned }) => {
                tracing::warn!(sent, settled, ?ended, ?abandoned, "what dead processes have left was mended");
            }
            Err(error) => tracing::warn!(cause = chain(&error), "could not sweep"),
        }
    }
}
