//! Runs ministack, a stand-in for S3, SQS, DynamoDB, Lambda and CloudWatch, in its own Python environment.

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

/// The Python package of ministack.
const PACKAGE: &str = "ministack==1.5.33";

/// The Python program that starts the server, with a clock that tests can set.
const SCRIPT: &str = include_str!("ministack.py");

/// How long to wait until the server is ready; a busy machine takes some seconds.
const START_TIMEOUT: Duration = Duration::from_secs(60);

/// A running server, killed on drop.
#[derive(Debug)]
pub struct Ministack {
    process: Child,
    python: PathBuf,
    url: String,
    /// The file from which the server reads how many seconds its clock is ahead.
    clock: PathBuf,
}

impl Ministack {
    /// Starts a server on a free port, with its files in `folder`; installs it below `target` first if necessary.
    ///
    /// # Errors
    /// It cannot be installed or started, or is not ready after 60 seconds.
    pub fn start(target: &Path, folder: &Path) -> Result<Self> {
        let python = python::install(target, "ministack", PACKAGE)?.join("bin/python");
        let clock = folder.join("ministack-clock");
        fs::write(&clock, "0").context("cannot write the clock")?;
        let port = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr())?.port();
        let log = File::create(folder.join("ministack.log")).context("cannot create the log")?;
        let process = Command::new(&python)
            .args(["-c", SCRIPT])
            .env("BIND_HOST", "127.0.0.1")
            .env("MINISTACK_HOST", "127.0.0.1")
            .env("GATEWAY_PORT", port.to_string())
            .env("CLOCK_FILE", &clock)
            // The server unpacks Lambda functions here, and the functions write here.
            .env("TMPDIR", folder)
            .current_dir(folder)
            // Never written to: the server ends when it closes, also if this process is killed.
            .stdin(Stdio::piped())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()
            .context("cannot start ministack")?;
        let mut server = Self { process, python, url: format!("http://127.0.0.1:{port}"), clock };
        server.wait(port)?;
        Ok(server)
    }

    /// The address of the server.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The Python interpreter that runs it; AWS's `botocore` is installed there.
    pub fn python(&self) -> &Path {
        &self.python
    }

    /// Sets the clock of the server to so many seconds ahead of the real time.
    pub fn set_clock(&self, seconds: f64) {
        // Replaced atomically, so that the server never reads half a number.
        let new = self.clock.with_extension("new");
        let written = fs::write(&new, seconds.to_string()).and_then(|()| fs::rename(&new, &self.clock));
        written.expect("the folder of a running server is writable");
    }

    fn wait(&mut self, port: u16) -> Result<()> {
        let started = Instant::now();
        while started.elapsed() < START_TIMEOUT {
            if let Some(status) = self.process.try_wait()? {
                bail!("ministack ended with {status}; see its log");
            }
            if is_ready(port) {
                return Ok(());
            }
            thread::sleep(Duration::from_millis(50));
        }
        bail!("ministack is not ready after {START_TIMEOUT:?}; see its log")
    }
}

impl Drop for Ministack {
    fn drop(&mut self) {
        // It has no state to save.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Whether the server answers its health check with status 200.
fn is_ready(port: u16) -> bool {
    let Ok(mut stream) = TcpStream::connect(("127.0.0.1", port)) else { return false };
    // `HTTP/1.0 200`.
    let mut answer = [0; 12];
    let sent = stream.write_all(b"GET /_ministack/health HTTP/1.0\r\nHost: localhost\r\n\r\n");
    sent.and_then(|()| stream.read_exact(&mut answer)).is_ok() && answer.ends_with(b"200")
}
