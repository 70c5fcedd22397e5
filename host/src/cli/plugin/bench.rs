//! `host plugin bench`.

use super::{
    batch_failure, counted, load,
    run::{RoleName, read_failure, role},
    runner, workbench,
};
use crate::cli::{
    Ended, Global,
    context::{config, print, print_json, remote, runtime},
    failure::{Exit, Failure},
    output::OutputFormat,
};
use clap::Args;
use host_core::text::{bytes, count};
use host_plugin_dev::{bench, items};
use host_plugin_host::{Profile, Role, bounded};
use std::{path::PathBuf, time::Duration};

/// Arguments of `host plugin bench`.
#[derive(Debug, Args)]
pub(in crate::cli) struct BenchArgs {
    /// The component, or the folder of a project
    plugin: PathBuf,
    /// Exports, also as s3://bucket/key, or - for standard input
    #[arg(value_name = "SOURCE", required = true)]
    sources: Vec<String>,
    /// The role to measure [default: the first of transform, validate, version that the plug-in has]
    #[arg(long, value_enum)]
    role: Option<RoleName>,
    /// How many items are read; they are held in memory
    #[arg(long, default_value_t = 5_000, value_name = "N")]
    limit: usize,
    /// For how long batches are run
    #[arg(long, default_value_t = 3, value_name = "N")]
    seconds: u64,
}

pub(super) fn run(global: &Global, args: &BenchArgs) -> Ended {
    let config = config(global)?;
    let production = load(&workbench(&config, Profile::Production)?, &args.plugin, &config)?;
    let deterministic = load(&workbench(&config, Profile::Deterministic)?, &args.plugin, &config)?;
    let role = role(&production, args.role.map(Role::from))?;
    let runtime = runtime()?;
    let remote = runtime.block_on(remote(&config, &args.sources));
    let read = items::read(role, &production.manifest().grouping, &args.sources, args.limit, remote)
        .map_err(read_failure)?;
    if read.items.is_empty() {
        return Err(Failure::usage(format!("{} has nothing to measure with", args.sources.join(", "))));
    }
    let (production, deterministic) = (runner(&production)?, runner(&deterministic)?);
    let time = Duration::from_secs(args.seconds);
    let figures = runtime
        .block_on(bench::bench(&production, &deterministic, &read.items, time))
        .map_err(batch_failure)?;
    match global.output {
        OutputFormat::Json => print_json(&figures)?,
        OutputFormat::Text => print(&text(&figures))?,
    }
    Ok(Exit::Completed)
}

fn text(figures: &bench::Figures) -> String {
    let bench::Figures { plugin, noun, items, bytes: input, passes, accepted, .. } = figures;
    let (slowest, slowest_us) = &figures.slowest;
    let refused = items - accepted;
    let refused =
        if refused > 0 { format!(", {} of them refused", count(refused as u64)) } else { String::new() };
    format!(
        "{}@{} on {}{refused}, {}, {passes} times over, on one core\n  \
         speed         {} {noun}s/s, {}/s\n  \
         instructions  {} a {noun}, in batches\n  \
         alone         p50 {}, p99 {}; the slowest, {}, {}\n  \
         memory        {}\n",
        plugin.name,
        plugin.version,
        counted(*items as u64, noun),
        bytes(*input as u64),
        count(figures.items_per_second as u64),
        bytes(figures.bytes_per_second as u64),
        count(figures.instructions_per_item),
        time(figures.p50_us),
        time(figures.p99_us),
        bounded(slowest, 80),
        time(*slowest_us),
        bytes(figures.memory_bytes as u64),
    )
}

/// `12 µs`, `1.5 ms`.
fn time(microseconds: f64) -> String {
    match microseconds {
        ..100.0 => format!("{microseconds:.1} µs"),
        100.0..1_000.0 => format!("{microseconds:.0} µs"),
        _ => format!("{:.1} ms", microseconds / 1e3),
    }
}
