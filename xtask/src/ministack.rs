//! ministack: a server that stands in for S3, SQS, DynamoDB, Lambda and CloudWatch, in a Python environment of its own.

use crate::python;
use anyhow::{Context, Result, bail};
use std::{
    fs::{self, File},
    io::{Read, Write},
    net::{TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

/// What is installed.
const PACKAGE: &str = "ministack==1.5.33";

/// The program that starts it.
const SCRIPT: &str = include_str!("ministack.py");

/// How long it may take to answer: a busy machine needs some seconds.
const PATIENCE: Duration = Duration::from_secs(60);

/// A running server; it ends when this is dropped.
#[derive(Debug)]
pub struct Ministack {
    process: Child,
    python: PathBuf,
    url: String,
    clock: PathBuf,
}

impl Ministack {
    /// Starts a server on a free port, its files in `folder`. Installs it below `target` first if it is not there yet.
    pub fn start(target: &Path, folder: &Path) -> Result<Self> {
        let python = python::install(target, "ministack", PACKAGE)?.join("bin/python");
        let clock = folder.join("ministack-clock");
        fs::write(&clock, "0").context("the clock cannot be written")?;
        let port = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr())?.port();
        let log = File::create(folder.join("ministack.log")).context("the log cannot be made")?;
        let process = Command::new(&python)
            .args(["-c", SCRIPT])
            .env("BIND_HOST", "127.0.0.1")
            .env("MINISTACK_HOST", "127.0.0.1")
            .env("GATEWAY_PORT", port.to_string())
            .env("CLOCK_FILE", &clock)
            // Where it unpacks functions, and where they may write.
            .env("TMPDIR", folder)
            .current_dir(folder)
            .stdin(Stdio::piped())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()
            .context("ministack cannot be started")?;
        let mut server = Self { process, python, url: format!("http://127.0.0.1:{port}"), clock };
        server.wait(port)?;
        Ok(server)
    }

    /// Where it answers.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The Python that it runs in, which has AWS's own `botocore`.
    pub fn python(&self) -> &Path {
        &self.python
    }

    /// Moves its clock: so many seconds before the real time.
    pub fn set_clock(&self, seconds: f64) {
        // Written beside it first: a reader must not find half a number.
        let new = self.clock.with_extension("new");
        let written = fs::write(&new, seconds.to_string()).and_then(|()| fs::rename(&new, &self.clock));
        written.expect("the folder of a running server takes files");
    }

    fn wait(&mut self, port: u16) -> Result<()> {
        let started = Instant::now();
        while started.elapsed() < PATIENCE {
            if let Some(status) = self.process.try_wait()? {
                bail!("ministack ended with {status}; its log says why");
            }
            if is_ready(port) {
                return Ok(());
            }
            thread::sleep(Duration::from_millis(50));
        }
        bail!("ministack does not answer")
    }
}

impl Drop for Ministack {
    fn drop(&mut self) {
        // It has no state that matters.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn is_ready(port: u16) -> bool {
    let Ok(mut stream) = TcpStream::connect(("127.0.0.1", port)) else { return false };
    let mut answer = [0; 12];
    let asked = stream.write_all(b"GET /_ministack/health HTTP/1.0\r\nHost: localhost\r\n\r\n");
    asked.and_then(|()| stream.read_exact(&mut answer)).is_ok() && answer.ends_with(b"200")
}
