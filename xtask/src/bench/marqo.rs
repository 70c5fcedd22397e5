//! From documents into Marqo, without embedding: against the Python client, and how busy a slow server is kept.

use super::{documents, figures, median};
use crate::build;
use crate::command::{Failure, Step, headline};
use crate::workspace::{root, target_dir};
use anyhow::{Context, Result};
use clap::Args;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// How much is measured.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Size of the export whose documents are written, in MB
    #[arg(long, default_value_t = 60, value_name = "MB")]
    size: u64,
    /// Rounds of each measurement
    #[arg(long, default_value_t = 5, value_name = "N")]
    rounds: usize,
}

/// One round: its seconds, its processor seconds, its documents.
type Round = [f64; 3];

pub(super) fn run(options: &Options) -> Result<()> {
    build::run()?;
    Step::cargo("building the stand-in").words("build --release -p marqo-stand-in").run()?;
    headline("bench marqo");
    let folder = target_dir()?.join("bench");
    let documents = documents(options.size, &folder)?;
    let python = python(&folder)?;
    host_bench().words("nothing").run()?;
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for _ in 0..options.rounds {
        // Each writes into an empty index of a server of its own.
        let server = Server::start()?;
        ours.push(figures(host_bench().words("write").words(&server.url).path(&documents))?);
        drop(server);
        let server = Server::start()?;
        let client = Step::new("measuring the Python client", &python);
        let script = root().join("xtask/src/bench/marqo_client.py");
        theirs.push(figures(client.path(&script).words(&server.url).path(&documents))?);
    }
    let (ours, theirs) = (median(ours), median(theirs));
    println!("host           {}", speed(ours));
    println!("Python client  {}", speed(theirs));
    let rate = |[seconds, _, documents]: Round| documents / seconds;
    println!("host / Python  {:.1} times the documents/s, ", rate(ours) / rate(theirs));
    println!("               {:.1} times less processor time", (theirs[1] / theirs[2]) / (ours[1] / ours[2]));
    let mut busy = Vec::new();
    for _ in 0..options.rounds.min(3) {
        busy.push(figures::<3>(host_bench().words("busy").path(&documents))?);
    }
    let [share, requests, refused] = median(busy);
    println!(
        "a server that takes 200 ms a request and 8 at once: {:.1} % busy, {requests} requests, {refused} refused with 429",
        share * 100.0
    );
    Ok(())
}

fn speed([seconds, processor, documents]: Round) -> String {
    format!(
        "{:>7.0} documents/s  {:>6.1} µs of a core a document",
        documents / seconds,
        processor / documents * 1e6
    )
}

fn host_bench() -> Step {
    Step::cargo("measuring the host").words("bench --quiet -p host --bench marqo --profile release --")
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
    fn start() -> Result<Self> {
        let program =
            target_dir()?.join("release").join(format!("marqo-stand-in{}", std::env::consts::EXE_SUFFIX));
        let mut process = Command::new(program)
            .args(["--index", "bench", "--listen", "127.0.0.1:0"])
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

impl Drop for Server {
    fn drop(&mut self) {
        // It has no state that matters.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
