//! From documents into Marqo, without embedding: against the Python client, and how busy a slow server is kept.

use super::{figures, median, sample};
use crate::build;
use crate::command::{Failure, Step, headline};
use crate::workspace::{host_binary, plugins_dir, root, target_dir};
use anyhow::{Context, Result};
use clap::Args;
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// How much is measured.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Size of the export whose documents are written, in MB
    #[arg(long, default_value_t = 60, value_name = "MB")]
    size: u64,
    /// Size of the export that keeps a slow server busy, in MB
    #[arg(long, default_value_t = 150, value_name = "MB")]
    busy_size: u64,
    /// Rounds of each measurement
    #[arg(long, default_value_t = 5, value_name = "N")]
    rounds: usize,
}

/// One round: the processor seconds of the client, its seconds, its documents, the server's processor seconds.
type Round = [f64; 4];

const SIDES: &str = "\
    Both write the same documents, read before the clock starts, into an empty index of a server of their own, at most
    128 documents a request, and look at the answer for each document. The Python client makes one request after the
    other. The host adds its own fields, takes out what no server keeps, measures each document as the server will, and
    makes up to 8 requests at once. The server is the stand-in: it checks and keeps documents, and embeds nothing.
";

pub(super) fn run(options: &Options) -> Result<()> {
    build::run()?;
    Step::cargo("building the stand-in").words("build --release -p marqo-stand-in").run()?;
    headline("bench marqo");
    let folder = target_dir()?.join("bench");
    let documents = documents(options, &folder)?;
    let python = python(&folder)?;
    host_bench().words("nothing").run()?;
    let ours = || host_bench().words("write");
    let theirs = || {
        Step::new("measuring the Python client", &python)
            .path(&root().join("xtask/src/bench/marqo_client.py"))
    };
    print!("{SIDES}");
    compare(options.rounds, 0, &documents, ours, theirs)?;
    println!("The same, and the server takes 200 ms a request, as if it embedded:");
    compare(1, 200, &documents, ours, theirs)?;

    let export = folder.join("busy.jsonl");
    sample(options.busy_size * 1_000_000, true, &export)?;
    println!(
        "`host run --target marqo` with its defaults, on a server that takes 200 ms a request and 8 at once:"
    );
    for (name, more) in [("as it comes", ""), ("16 lanes", "--lanes 16")] {
        let mut busy = Vec::new();
        for _ in 0..options.rounds.min(3) {
            let plugin = plugins_dir()?.join("shopify.wasm");
            let bench = host_bench().words("busy").path(&export).path(&plugin).words(more);
            busy.push(figures::<3>(bench)?);
        }
        let [share, requests, refused] = median(busy);
        println!(
            "{name:<14} {:.1} % of 8 requests at once, {requests} requests, {refused} refused with 429",
            share * 100.0
        );
    }
    Ok(())
}

/// Measures both, each round on an empty index of a server of its own.
fn compare(
    rounds: usize,
    latency: u64,
    documents: &Path,
    ours: impl Fn() -> Step,
    theirs: impl Fn() -> Step,
) -> Result<()> {
    let measured = |client: Step| -> Result<Round> {
        let server = Server::start(latency)?;
        let [seconds, processor, written] = figures(client.words(&server.url).path(documents))?;
        Ok([processor, seconds, written, server.processor_seconds().unwrap_or(f64::NAN)])
    };
    let (mut one, mut other) = (Vec::new(), Vec::new());
    for _ in 0..rounds {
        one.push(measured(ours())?);
        other.push(measured(theirs())?);
    }
    let (ours, theirs) = (median(one), median(other));
    println!("host           {}", speed(ours));
    println!("Python client  {}", speed(theirs));
    let rate = |[_, seconds, documents, _]: Round| documents / seconds;
    println!(
        "host / Python  {:.1} times less processor time of the client, {:.1} times the documents/s",
        (theirs[0] / theirs[2]) / (ours[0] / ours[2]),
        rate(ours) / rate(theirs)
    );
    Ok(())
}

fn speed([processor, seconds, documents, server]: Round) -> String {
    let micros = |seconds: f64| seconds / documents * 1e6;
    format!(
        "{:>5.1} µs of a core a document, the server {:>5.1} µs; {:>6.0} documents/s",
        micros(processor),
        micros(server),
        documents / seconds
    )
}

fn host_bench() -> Step {
    Step::cargo("measuring the host").words("bench --quiet -p host --bench marqo --profile release --")
}

/// What the Shopify plug-in makes of a sample, in one file.
fn documents(options: &Options, folder: &Path) -> Result<PathBuf> {
    let export = folder.join("marqo.jsonl");
    sample(options.size * 1_000_000, true, &export)?;
    let data = folder.join("marqo");
    if data.exists() {
        fs::remove_dir_all(&data).with_context(|| format!("{} cannot be removed", data.display()))?;
    }
    let shop = "run --quiet --shop bench.myshopify.com --plugin";
    Step::new("making documents", host_binary()?)
        .words(shop)
        .path(&plugins_dir()?.join("shopify.wasm"))
        .words("--data-dir")
        .path(&data)
        .path(&export)
        .output()?;
    let mut chunks = Vec::new();
    find_chunks(&data.join("chunks"), &mut chunks)?;
    chunks.sort();
    let documents = folder.join("documents.jsonl");
    let mut text = Vec::new();
    for chunk in chunks {
        let lines = fs::read(&chunk).with_context(|| format!("{} cannot be read", chunk.display()))?;
        // Chunks of removals hold ids alone.
        if lines.split(|byte| *byte == b'\n').next().is_some_and(|line| line.len() > 300) {
            text.extend_from_slice(&lines);
        }
    }
    fs::write(&documents, text).with_context(|| format!("{} cannot be written", documents.display()))?;
    Ok(documents)
}

fn find_chunks(folder: &Path, found: &mut Vec<PathBuf>) -> Result<()> {
    let entries = fs::read_dir(folder).with_context(|| format!("{} cannot be read", folder.display()))?;
    for entry in entries {
        let path = entry.with_context(|| format!("{} cannot be read", folder.display()))?.path();
        if path.is_dir() {
            find_chunks(&path, found)?;
        } else if path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("chunk_")) {
            found.push(path);
        }
    }
    Ok(())
}

/// A Python with the client, in a virtual environment of its own.
fn python(folder: &Path) -> Result<PathBuf> {
    let environment = folder.join("python");
    let python = environment.join("bin/python");
    if !python.exists() {
        Step::new("making a virtual environment", "python3")
            .words("-m venv")
            .path(&environment)
            .help("install Python 3.9 or newer with its venv module")
            .run()?;
    }
    Step::new("installing the client", &python)
        .words("-m pip install --quiet --disable-pip-version-check -r")
        .path(&root().join("xtask/src/bench/requirements.txt"))
        .run()?;
    Ok(python)
}

/// A stand-in with an empty index, in a process of its own so that its work is not counted as the client's.
struct Server {
    process: Child,
    url: String,
}

impl Server {
    /// `latency` milliseconds are what an add takes at least.
    fn start(latency: u64) -> Result<Self> {
        let program =
            target_dir()?.join("release").join(format!("marqo-stand-in{}", std::env::consts::EXE_SUFFIX));
        let mut process = Command::new(program)
            .args(["--index", "bench", "--listen", "127.0.0.1:0"])
            .args(["--latency-ms", &latency.to_string()])
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .context("the stand-in cannot be started")?;
        let mut line = String::new();
        if let Some(output) = process.stdout.take() {
            BufReader::new(output).read_line(&mut line).context("the stand-in says nothing")?;
        }
        match line.trim().strip_prefix("listening on ") {
            Some(url) => Ok(Self { process, url: url.to_owned() }),
            None => {
                Err(Failure::new(format!("the stand-in said `{}`", line.trim()), "see its own tests").into())
            }
        }
    }
}

impl Server {
    /// What it took so far, where the system tells: on Linux, in hundredths of a second.
    fn processor_seconds(&self) -> Option<f64> {
        let told = fs::read_to_string(format!("/proc/{}/stat", self.process.id())).ok()?;
        // Behind the name, which may have blanks: state, ten others, then user and system time.
        let times = told.rsplit_once(')')?.1.split_whitespace().skip(11).take(2);
        times.map(|ticks| ticks.parse::<f64>().ok()).sum::<Option<f64>>().map(|ticks| ticks / 100.0)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It has no state that matters.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
