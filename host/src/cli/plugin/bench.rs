//! `host plugin bench`: measures speed, instructions and memory of a plug-in on real items.

use super::{
    batch_failure, dev_engine, load, new_runner, pluralize,
    run::{RoleName, read_failure, role},
};
use crate::cli::{
    CliResult, Global,
    context::{config, print, print_json, remote, runtime},
    failure::{Exit, Failure},
    output::OutputFormat,
};
use clap::Args;
use host_core::format::{bytes, count};
use host_plugin_dev::{bench, items};
use host_plugin_host::{EngineProfile, Role, truncate};
use std::{path::PathBuf, time::Duration};

/// Arguments of `host plugin bench`.
#[derive(Debug, Args)]
pub(in crate::cli) struct BenchArgs {
    /// Component file or project folder
    plugin: PathBuf,
    /// Exports: files, s3://bucket/key, or - for standard input
    #[arg(value_name = "SOURCE", required = true)]
    sources: Vec<String>,
    /// Role to measure [default: the plug-in's first of transform, validate, version]
    #[arg(long, value_enum)]
    role: Option<RoleName>,
    /// Most items to read; they are kept in memory
    #[arg(long, default_value_t = 5_000, value_name = "N")]
    limit: usize,
    /// Seconds to run batches for
    #[arg(long, default_value_t = 3, value_name = "SECONDS")]
    seconds: u64,
}

pub(super) fn run(global: &Global, args: &BenchArgs) -> CliResult {
    let config = config(global)?;
    let production = load(&dev_engine(&config, EngineProfile::Production)?, &args.plugin, &config)?;
    let deterministic = load(&dev_engine(&config, EngineProfile::Deterministic)?, &args.plugin, &config)?;
    let role = role(&production, args.role.map(Role::from))?;
    let runtime = runtime()?;
    let remote = runtime.block_on(remote(&config, &args.sources))?;
    let read = items::read(role, &production.manifest().grouping, &args.sources, args.limit, remote)
        .map_err(read_failure)?;
    if read.items.is_empty() {
        return Err(Failure::usage(format!("{} has no items to measure with", args.sources.join(", "))));
    }
    let (production, deterministic) = (new_runner(&production)?, new_runner(&deterministic)?);
    let time = Duration::from_secs(args.seconds);
    let report = runtime
        .block_on(bench::bench(&production, &deterministic, &read.items, time))
        .map_err(batch_failure)?;
    match global.output {
        OutputFormat::Json => print_json(&report)?,
        OutputFormat::Text => print(&text(&report))?,
    }
    Ok(Exit::Completed)
}

fn text(report: &bench::BenchReport) -> String {
    let bench::BenchReport { plugin, noun, items, bytes: input, passes, accepted, .. } = report;
    let (slowest, slowest_us) = &report.slowest;
    let refused = items - accepted;
    let refused = if refused > 0 { format!(", {} refused", count(refused as u64)) } else { String::new() };
    format!(
        "{}@{} on {}{refused}, {}, {passes} {}, on one core\n  \
         speed         {} {noun}s/s, {}/s\n  \
         instructions  {} per {noun}, in batches\n  \
         latency       p50 {}, p99 {}, max {} ({})\n  \
         memory        {}\n",
        plugin.name,
        plugin.version,
        pluralize(*items as u64, noun),
        bytes(*input as u64),
        if *passes == 1 { "pass" } else { "passes" },
        count(report.items_per_second as u64),
        bytes(report.bytes_per_second as u64),
        count(report.instructions_per_item),
        time(report.p50_us),
        time(report.p99_us),
        time(*slowest_us),
        truncate(slowest, 80),
        bytes(report.memory_bytes as u64),
    )
}

/// A time in a readable unit: `12.0 µs`, `120 µs`, `1.5 ms`.
fn time(microseconds: f64) -> String {
    match microseconds {
        ..100.0 => format!("{microseconds:.1} µs"),
        100.0..1_000.0 => format!("{microseconds:.0} µs"),
        _ => format!("{:.1} ms", microseconds / 1e3),
    }
}
