//! `host aws`: creates the bucket and tables before the first job, and runs the recovery sweep, which finishes what
//! processes that died have left half done.

use super::{
    CliResult, Global, backend,
    context::{config, print, print_json, runtime, store_failure},
    failure::{Exit, Failure},
    output::OutputFormat,
};
use crate::config::Config;
use clap::{Subcommand, builder::NonEmptyStringValueParser};
use host_storage_aws::{BootstrapOptions, BootstrapPlan, ResourceKind, Swept};
use std::fmt::Write;

/// Commands about the stores in AWS.
#[derive(Debug, Subcommand)]
pub(super) enum AwsCommand {
    /// Create bucket and tables where they are missing; queues are created with the first message of a shop
    Bootstrap {
        /// First part of all names [default: dev]
        #[arg(long, value_name = "ENV")]
        env: Option<String>,
        /// Platform of the plug-ins, whose objects expire; may be repeated
        #[arg(long, value_name = "NAME", default_value = "shopify", value_parser = NonEmptyStringValueParser::new())]
        platform: Vec<String>,
        /// Use a bucket or table that has content and was not made by host
        #[arg(long)]
        adopt: bool,
        /// Print what would change; change nothing
        #[arg(long)]
        dry_run: bool,
    },
    /// Run the recovery sweep, as `host work` does periodically; needed where only Lambda functions work
    Sweep,
}

pub(super) fn run(global: &Global, command: &AwsCommand) -> CliResult {
    let mut config: Config = config(global)?;
    if let AwsCommand::Bootstrap { env: Some(env), .. } = command {
        config.aws.env.clone_from(env);
        config.aws.check_env().map_err(Failure::usage)?;
    }
    runtime()?.block_on(async {
        let aws = backend::aws(&config).await;
        match command {
            AwsCommand::Bootstrap { platform, adopt, dry_run, .. } => {
                let options = BootstrapOptions { platforms: platform.clone(), adopt: *adopt };
                let plan = aws.plan_bootstrap(&options).await.map_err(store_failure)?;
                match global.output {
                    OutputFormat::Text => print(&plan_text(&plan))?,
                    OutputFormat::Json => print_json(&plan)?,
                }
                if !plan.is_possible() {
                    return Err(Failure::usage("nothing was changed: not everything there can be used"));
                }
                if !dry_run {
                    aws.bootstrap(&plan).await.map_err(store_failure)?;
                }
            }
            AwsCommand::Sweep => {
                let swept = aws.sweeper().sweep().await.map_err(store_failure)?;
                match global.output {
                    OutputFormat::Text => print(&swept_text(&swept))?,
                    OutputFormat::Json => print_json(&swept)?,
                }
            }
        }
        Ok(Exit::Completed)
    })
}

/// One line for each bucket and table.
fn plan_text(plan: &BootstrapPlan) -> String {
    let mut text = String::new();
    for resource in &plan.resources {
        let kind = match resource.kind {
            ResourceKind::Bucket => "bucket",
            ResourceKind::Table => "table",
        };
        let changes: Vec<String> = resource.changes.iter().map(ToString::to_string).collect();
        let what = match &resource.refusal {
            Some(refusal) => format!("refused: {refusal}"),
            None if changes.is_empty() => "nothing to change".to_owned(),
            None => changes.join("; "),
        };
        let _ = writeln!(text, "{kind} {}: {what}", resource.name);
    }
    text
}

/// What the recovery sweep did, one line for each kind of repair.
fn swept_text(swept: &Swept) -> String {
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
        text.push_str("nothing to repair\n");
    }
    text
}
