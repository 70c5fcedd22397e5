//! `cargo xtask bench`: figures, each the median of several rounds, as ratios to a baseline of the same run.

use crate::build;
use crate::command::{Step, headline};
use crate::make_sample::to_file;
use crate::workspace::{host_binary, plugins_dir, target_dir};
use anyhow::{Context, Result};
use clap::{Args, Subcommand};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};
use xtask::sample::{Recipe, Shape};

/// What is measured.
#[derive(Debug, Subcommand)]
pub(crate) enum Bench {
    /// From an export to chunks: plug-in against native, whole ingest, memory, start-up.
    Ingest(Options),
}

/// How much is measured.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Size of the export for speed, in MB
    #[arg(long, default_value_t = 500, value_name = "MB")]
    size: u64,
    /// Sizes of the exports for memory, in MB
    #[arg(long, value_delimiter = ',', default_values_t = [100, 500, 2000], value_name = "MB,…")]
    memory: Vec<u64>,
    /// Rounds of each measurement
    #[arg(long, default_value_t = 5, value_name = "N")]
    rounds: usize,
}

pub(crate) fn run(bench: &Bench) -> Result<()> {
    let Bench::Ingest(options) = bench;
    build::run()?;
    headline("bench ingest");
    let bench = Measured::prepare(options)?;
    bench.sandbox_tax()?;
    bench.whole_ingest()?;
    bench.start_up()?;
    bench.memory()
}

/// What all measurements need.
struct Measured<'a> {
    options: &'a Options,
    folder: PathBuf,
    export: PathBuf,
    plugin: PathBuf,
    bytes: u64,
}

/// One round: its seconds, and how many products it took.
#[derive(Clone, Copy, Debug)]
struct Round {
    seconds: f64,
    products: f64,
}

impl<'a> Measured<'a> {
    fn prepare(options: &'a Options) -> Result<Self> {
        let folder = target_dir()?.join("bench");
        let export = folder.join("export.jsonl");
        let bytes = sample(options.size, true, &export)?;
        let plugin = plugins_dir()?.join("shopify.wasm");
        // Built before the clock runs.
        host_bench().words("nothing").run()?;
        native_bench().path(&export).run()?;
        Ok(Self { options, folder, export, plugin, bytes })
    }

    /// The same transform through the component and compiled natively, in turns, each on one core.
    fn sandbox_tax(&self) -> Result<()> {
        let (mut native, mut component) = (Vec::new(), Vec::new());
        for _ in 0..self.options.rounds {
            native.push(round(native_bench().path(&self.export))?);
            component.push(round(host_bench().words("transform").path(&self.export).path(&self.plugin))?);
        }
        let (native, component) = (median(native), median(component));
        println!("transform, native     {}", self.speed(native));
        println!("transform, component  {}", self.speed(component));
        println!("component / native    {:.2}", native.seconds / component.seconds);
        Ok(())
    }

    /// From the file to published chunks.
    fn whole_ingest(&self) -> Result<()> {
        for cores in [1, 2] {
            let mut rounds = Vec::new();
            for _ in 0..self.options.rounds {
                let step = host_bench().words("ingest").path(&self.export).path(&self.plugin);
                rounds.push(round(step.words(&cores.to_string()).cores(cores))?);
            }
            println!(
                "whole ingest, {cores} core{} {}",
                if cores == 1 { " " } else { "s" },
                self.speed(median(rounds))
            );
        }
        Ok(())
    }

    /// The whole program on an empty export, its plug-ins compiled before.
    fn start_up(&self) -> Result<()> {
        let export = self.folder.join("empty.jsonl");
        fs::write(&export, "").with_context(|| format!("{} cannot be written", export.display()))?;
        let mut rounds = Vec::new();
        for _ in 0..21 {
            let started = Instant::now();
            self.host(&export, "start-up")?.wait().context("the host cannot be waited for")?;
            rounds.push(Round { seconds: started.elapsed().as_secs_f64(), products: 0.0 });
        }
        println!("start-up to end of an empty sync, cached plug-ins  {:.1} ms", median(rounds).seconds * 1e3);
        Ok(())
    }

    /// Peak resident memory of `host run`, indexing included.
    fn memory(&self) -> Result<()> {
        for grouped in [true, false] {
            for &size in &self.options.memory {
                let export = self.folder.join("memory.jsonl");
                let bytes = sample(size, grouped, &export)?;
                let started = Instant::now();
                let mut child = self.host(&export, "memory")?;
                let mut peak = 0;
                while child.try_wait().context("the host cannot be waited for")?.is_none() {
                    peak = peak.max(peak_memory(child.id()));
                    sleep(Duration::from_millis(20));
                }
                println!(
                    "peak memory, {:>9} {:>5} MB  {:>4} MB  ({:.0} s, {:.0} MB/s, indexing included)",
                    if grouped { "grouped" } else { "ungrouped" },
                    size,
                    peak / 1000,
                    started.elapsed().as_secs_f64(),
                    bytes as f64 / 1e6 / started.elapsed().as_secs_f64(),
                );
                fs::remove_file(&export)
                    .with_context(|| format!("{} cannot be removed", export.display()))?;
            }
        }
        Ok(())
    }

    /// Starts `host run` with a fresh data directory.
    fn host(&self, export: &Path, name: &str) -> Result<std::process::Child> {
        let data = self.folder.join(name);
        if data.exists() {
            fs::remove_dir_all(&data).with_context(|| format!("{} cannot be removed", data.display()))?;
        }
        let mut command = Command::new(host_binary()?);
        command.args(["run", "--quiet", "--shop", "bench.myshopify.com", "--plugin"]).arg(&self.plugin);
        command.arg("--data-dir").arg(&data).arg(export);
        command.stdin(Stdio::null()).stdout(Stdio::null()).spawn().context("the host cannot be started")
    }

    fn speed(&self, round: Round) -> String {
        format!(
            "{:>6.0} MB/s  {:>7.0} products/s",
            self.bytes as f64 / 1e6 / round.seconds,
            round.products / round.seconds
        )
    }
}

/// Realistic products, `size` MB of them.
fn sample(size: u64, grouped: bool, path: &Path) -> Result<u64> {
    let bytes = size * 1_000_000;
    let recipe = Recipe { seed: 7, shape: Shape::Real, grouped, products: u64::MAX, bytes, bad_lines: 0.0 };
    Ok(to_file(&recipe, path)?.bytes)
}

fn host_bench() -> Step {
    Step::cargo("measuring the host").words("bench --quiet -p host --bench ingest --profile release --")
}

fn native_bench() -> Step {
    Step::cargo("measuring the native transform")
        .words("bench --quiet -p guest-transform --bench native --profile guest --")
}

fn round(step: Step) -> Result<Round> {
    let said = step.output()?;
    let mut words = said.split_whitespace().map(str::parse::<f64>);
    match (words.next(), words.next()) {
        (Some(Ok(seconds)), Some(Ok(products))) => Ok(Round { seconds, products }),
        _ => anyhow::bail!("a measurement said `{}` instead of its figures", said.trim()),
    }
}

fn median(mut rounds: Vec<Round>) -> Round {
    rounds.sort_by(|a, b| a.seconds.total_cmp(&b.seconds));
    rounds[rounds.len() / 2]
}

/// High-water mark of a process's resident memory in kB; 0 once it is gone.
fn peak_memory(process: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.and_then(|line| line.split_whitespace().next()?.parse().ok()).unwrap_or(0)
}
