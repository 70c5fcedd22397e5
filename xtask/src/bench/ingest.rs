//! Ingests an export: compares the plug-in with the same transform as native code, and measures throughput, memory and
//! start-up.

use super::{median, numbers, sample};
use crate::build;
use crate::command::{Step, headline};
use crate::workspace::{host_binary, plugins_dir, target_dir};
use anyhow::{Context, Result};
use clap::Args;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

const MEGABYTE: u64 = 1_000_000;

/// Size of the benchmark.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Size in MB of the export for throughput
    #[arg(long, default_value_t = 500, value_name = "MB")]
    size: u64,
    /// Sizes in MB of the exports for memory
    #[arg(long, value_delimiter = ',', default_values_t = [100, 500, 2000], value_name = "MB,…")]
    memory: Vec<u64>,
    /// Rounds per measurement
    #[arg(long, default_value_t = 9, value_name = "N")]
    rounds: usize,
}

pub(super) fn run(options: &Options) -> Result<()> {
    build::run()?;
    headline("bench ingest");
    let bench = Setup::prepare(options)?;
    bench.start_up()?;
    bench.sandbox_tax()?;
    bench.whole_ingest()?;
    bench.memory()
}

/// The inputs of all measurements.
struct Setup<'a> {
    options: &'a Options,
    folder: PathBuf,
    host: PathBuf,
    export: PathBuf,
    plugin: PathBuf,
    /// Size of the export.
    bytes: u64,
}

/// One round: seconds and number of products.
type Round = [f64; 2];

impl<'a> Setup<'a> {
    fn prepare(options: &'a Options) -> Result<Self> {
        let folder = target_dir()?.join("bench");
        let export = folder.join("export.jsonl");
        let bytes = sample(options.size * MEGABYTE, true, &export)?;
        let plugin = plugins_dir()?.join("shopify.wasm");
        // Builds the benchmarks before any measurement.
        host_bench().words("nothing").run()?;
        native_bench().path(&export).run()?;
        Ok(Self { options, folder, host: host_binary()?, export, plugin, bytes })
    }

    /// Measures the same transform as a component and as native code, alternating, on one core.
    fn sandbox_tax(&self) -> Result<()> {
        let (mut native, mut component) = (Vec::new(), Vec::new());
        for _ in 0..self.options.rounds {
            native.push(numbers(native_bench().path(&self.export).cores(1))?);
            let step = host_bench().words("transform").path(&self.export).path(&self.plugin);
            component.push(numbers(step.cores(1))?);
        }
        // A ratio per pair: other load on the machine slows down both for a while.
        let ratios =
            native.iter().zip(&component).map(|(native, component)| [native[0] / component[0]]).collect();
        let (native, component) = (median(native), median(component));
        println!("transform, native     {}", self.speed(native));
        println!("transform, component  {}", self.speed(component));
        println!("component / native    {:.2}", median(ratios)[0]);
        Ok(())
    }

    /// Measures an ingest from the file to the published chunks.
    fn whole_ingest(&self) -> Result<()> {
        for cores in [1, 2] {
            let mut rounds = Vec::new();
            for _ in 0..self.options.rounds {
                let step = host_bench().words("ingest").path(&self.export).path(&self.plugin);
                rounds.push(numbers(step.words(&cores.to_string()).cores(cores))?);
            }
            println!(
                "whole ingest, {cores} core{} {}",
                if cores == 1 { " " } else { "s" },
                self.speed(median(rounds))
            );
        }
        Ok(())
    }

    /// Measures the whole program on an empty export, with cached plug-ins.
    fn start_up(&self) -> Result<()> {
        let export = self.folder.join("empty.jsonl");
        fs::write(&export, "").with_context(|| format!("cannot write {}", export.display()))?;
        // Flushes earlier writes to the disk: otherwise, the program would wait for them.
        Step::new("writing to disk", "sync").run()?;
        let mut rounds = Vec::new();
        for _ in 0..21 {
            let mut host = self.host(&export, "start-up")?;
            let started = Instant::now();
            host.spawn().context("cannot start the host")?.wait().context("cannot wait for the host")?;
            rounds.push([started.elapsed().as_secs_f64()]);
        }
        println!("start-up to end of an empty sync, cached plug-ins  {:.1} ms", median(rounds)[0] * 1e3);
        Ok(())
    }

    /// Measures the peak resident memory of `host run`, including indexing.
    fn memory(&self) -> Result<()> {
        for grouped in [true, false] {
            for &size in &self.options.memory {
                let export = self.folder.join("memory.jsonl");
                let bytes = sample(size * MEGABYTE, grouped, &export)?;
                let started = Instant::now();
                let mut child = self.host(&export, "memory")?.spawn().context("cannot start the host")?;
                let mut peak = 0;
                while child.try_wait().context("cannot wait for the host")?.is_none() {
                    peak = peak.max(peak_memory(child.id()));
                    sleep(Duration::from_millis(20));
                }
                println!(
                    "peak memory, {:>9} {:>5} MB  {:>4} MB  ({:.0} s, {:.0} MB/s, including indexing)",
                    if grouped { "grouped" } else { "ungrouped" },
                    size,
                    peak / 1000,
                    started.elapsed().as_secs_f64(),
                    bytes as f64 / 1e6 / started.elapsed().as_secs_f64(),
                );
                fs::remove_file(&export).with_context(|| format!("cannot remove {}", export.display()))?;
            }
        }
        Ok(())
    }

    /// The command `host run` with an empty data directory.
    fn host(&self, export: &Path, name: &str) -> Result<Command> {
        let data = self.folder.join(name);
        if data.exists() {
            fs::remove_dir_all(&data).with_context(|| format!("cannot remove {}", data.display()))?;
        }
        let mut command = Command::new(&self.host);
        command.args(["run", "--quiet", "--shop", "bench.myshopify.com", "--plugin"]).arg(&self.plugin);
        command.arg("--data-dir").arg(&data).arg(export);
        command.stdin(Stdio::null()).stdout(Stdio::null());
        Ok(command)
    }

    fn speed(&self, [seconds, products]: Round) -> String {
        format!("{:>6.0} MB/s  {:>7.0} products/s", self.bytes as f64 / 1e6 / seconds, products / seconds)
    }
}

fn host_bench() -> Step {
    Step::cargo("measuring the host").words("bench --quiet -p host --bench ingest --profile release --")
}

fn native_bench() -> Step {
    Step::cargo("measuring the native transform")
        .words("bench --quiet -p shopify-plugin --bench native --profile guest --")
}

/// Peak resident memory of a process in kB; 0 once it has ended.
fn peak_memory(process: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.and_then(|line| line.split_whitespace().next()?.parse().ok()).unwrap_or(0)
}
