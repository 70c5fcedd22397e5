//! Writes documents to a stand-in for Marqo, which computes no vectors: compares the host with Marqo's Python client,
//! and measures how busy the host keeps a slow server.

use super::{documents, median, numbers, sample};
use crate::build;
use crate::command::{Failure, Step, headline};
use crate::workspace::{plugins_dir, root, target_dir};
use anyhow::{Context, Result};
use clap::Args;
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// Size of the benchmark.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Size in MB of the export whose documents are written
    #[arg(long, default_value_t = 60, value_name = "MB")]
    size: u64,
    /// Size in MB of the export for the slow server
    #[arg(long, default_value_t = 150, value_name = "MB")]
    busy_size: u64,
    /// Rounds per measurement
    #[arg(long, default_value_t = 5, value_name = "N")]
    rounds: usize,
}

/// One round: processor seconds of the client, seconds, documents, processor seconds of the server.
type Round = [f64; 4];

const METHOD: &str = "\
    Both clients write the same documents, loaded before the measurement, into an empty index of a separate server, with
    at most 128 documents per request, and check the answer for each document. The Python client sends one request at a
    time. The host adds its own fields, removes fields that the index cannot store, computes the size of each document
    as the server does, and sends up to 8 requests at a time. The server is the stand-in: it validates and stores
    documents without embedding them.
";

pub(super) fn run(options: &Options) -> Result<()> {
    build::run()?;
    Step::cargo("building the stand-in").words("build --release -p marqo-stand-in").run()?;
    headline("bench marqo");
    let folder = target_dir()?.join("bench");
    let documents = documents(options.size, &folder)?;
    let python = python(&folder)?;
    // Builds the benchmark before any measurement.
    host_bench().words("nothing").run()?;
    let ours = || host_bench().words("write");
    let theirs = || {
        Step::new("measuring the Python client", &python)
            .path(&root().join("xtask/src/bench/marqo_client.py"))
    };
    print!("{METHOD}");
    compare(options.rounds, 0, &documents, ours, theirs)?;
    println!("The same with a latency of 200 ms per request, as if the server embedded:");
    compare(1, 200, &documents, ours, theirs)?;

    let export = folder.join("busy.jsonl");
    sample(options.busy_size * 1_000_000, true, &export)?;
    println!(
        "`host run --target marqo` on a server with a latency of 200 ms and at most 8 concurrent requests:"
    );
    for (name, arguments) in [("defaults", ""), ("16 lanes", "--lanes 16")] {
        let mut busy = Vec::new();
        for _ in 0..options.rounds.min(3) {
            let plugin = plugins_dir()?.join("shopify.wasm");
            let bench = host_bench().words("busy").path(&export).path(&plugin).words(arguments);
            busy.push(numbers::<3>(bench)?);
        }
        let [share, requests, refused] = median(busy);
        println!(
            "{name:<14} {:.1} % of 8 concurrent requests, {requests} requests, {refused} rejected with 429",
            share * 100.0
        );
    }
    Ok(())
}

/// Measures both clients; each round has its own server with an empty index. `latency` in milliseconds.
fn compare(
    rounds: usize,
    latency: u64,
    documents: &Path,
    ours: impl Fn() -> Step,
    theirs: impl Fn() -> Step,
) -> Result<()> {
    let measured = |client: Step| -> Result<Round> {
        let server = Server::start(latency)?;
        let [seconds, processor, written] = numbers(client.words(&server.url).path(documents))?;
        Ok([processor, seconds, written, server.processor_seconds().unwrap_or(f64::NAN)])
    };
    let (mut our_rounds, mut their_rounds) = (Vec::new(), Vec::new());
    for _ in 0..rounds {
        our_rounds.push(measured(ours())?);
        their_rounds.push(measured(theirs())?);
    }
    let (ours, theirs) = (median(our_rounds), median(their_rounds));
    println!("host           {}", speed(ours));
    println!("Python client  {}", speed(theirs));
    let rate = |[_, seconds, documents, _]: Round| documents / seconds;
    println!(
        "host / Python  {:.1} times less client processor time, {:.1} times the documents/s",
        (theirs[0] / theirs[2]) / (ours[0] / ours[2]),
        rate(ours) / rate(theirs)
    );
    Ok(())
}

fn speed([processor, seconds, documents, server]: Round) -> String {
    let micros = |seconds: f64| seconds / documents * 1e6;
    format!(
        "{:>5.1} µs of processor time per document, server {:>5.1} µs; {:>6.0} documents/s",
        micros(processor),
        micros(server),
        documents / seconds
    )
}

fn host_bench() -> Step {
    Step::cargo("measuring the host").words("bench --quiet -p host --bench marqo --profile release --")
}

/// Installs Marqo's Python client in a virtual environment; returns the environment's interpreter.
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

/// A stand-in with an empty index, in its own process, so that its processor time is separate.
struct Server {
    process: Child,
    url: String,
}

impl Server {
    /// Starts a stand-in; `latency` is the shortest time of an add, in milliseconds.
    fn start(latency: u64) -> Result<Self> {
        let program =
            target_dir()?.join("release").join(format!("marqo-stand-in{}", std::env::consts::EXE_SUFFIX));
        let mut process = Command::new(program)
            .args(["--index", "bench", "--listen", "127.0.0.1:0"])
            .args(["--latency-ms", &latency.to_string()])
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .context("cannot start the stand-in")?;
        let mut line = String::new();
        if let Some(output) = process.stdout.take() {
            BufReader::new(output).read_line(&mut line).context("cannot read from the stand-in")?;
        }
        match line.trim().strip_prefix("listening on ") {
            Some(url) => Ok(Self { process, url: url.to_owned() }),
            None => {
                let what = format!("the stand-in printed `{}` instead of its address", line.trim());
                Err(Failure::new(what, "run it alone: `cargo xtask marqo-stand-in`").into())
            }
        }
    }
}

impl Server {
    /// Processor time so far in seconds, with a resolution of 10 ms; on Linux only.
    fn processor_seconds(&self) -> Option<f64> {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.process.id())).ok()?;
        // After the name, which may contain blanks: state, ten other fields, user time, system time.
        let times = stat.rsplit_once(')')?.1.split_whitespace().skip(11).take(2);
        times.map(|ticks| ticks.parse::<f64>().ok()).sum::<Option<f64>>().map(|ticks| ticks / 100.0)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It has no state to save.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
