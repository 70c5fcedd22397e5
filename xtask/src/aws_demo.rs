//! The pipeline end to end on stand-ins for AWS and Marqo: several shops with an ingest each, and workers beside them. Then a
//! separate program, written with AWS's Python library, checks queues, tables, objects and indexes.

use crate::{
    ministack::Ministack,
    sample::{self, SampleOptions, Shape},
};
use anyhow::{Context, Result, bail, ensure};
use std::{
    fs::{self, File},
    io::BufWriter,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Instant,
};

/// The Python program that checks the result.
const CHECK: &str = include_str!("aws_check.py");

/// Configuration of a demo.
#[derive(Clone, Debug)]
pub struct AwsDemo<'a> {
    /// The host binary.
    pub host: &'a Path,
    /// The Shopify plug-in.
    pub plugin: &'a Path,
    /// The target folder; the stand-in for AWS is installed below it.
    pub target: &'a Path,
    /// An empty folder for exports, data and logs.
    pub folder: &'a Path,
    /// Address of a Marqo server with an index per shop, named by [`index_name`].
    pub marqo_url: &'a str,
    /// Number of shops.
    pub shops: u64,
    /// Number of products of all shops together.
    pub products: u64,
    /// Number of `host work` processes.
    pub workers: usize,
}

/// Name of the index of a shop, by its number.
pub fn index_name(number: u64) -> String {
    format!("shopify-demo-{number}")
}

struct Shop {
    id: String,
    index: String,
    /// Number of products.
    products: u64,
    export: PathBuf,
}

/// A `host work` process, killed on drop.
struct Worker(Child);

impl Drop for Worker {
    fn drop(&mut self) {
        // It has ended already, unless the demo failed.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl AwsDemo<'_> {
    /// Runs the demo; returns the findings of the check, a line per shop.
    ///
    /// # Errors
    /// A program cannot be started or fails, or the check finds a difference.
    pub fn run(&self) -> Result<String> {
        let shops = self.exports()?;
        let aws = Ministack::start(self.target, self.folder)?;
        eprintln!("the stand-in for AWS is at {}, the one for Marqo at {}", aws.url(), self.marqo_url);
        self.host(&aws, &["aws", "bootstrap", "--env", "dev"])?;
        for shop in &shops {
            let endpoint = ["--endpoint", self.marqo_url, "--tensor-field", "title"];
            self.host(&aws, &[&["settings", "put", &shop.index], &endpoint[..]].concat())?;
        }
        // The first shop is checked before any worker runs.
        let (first, others) = shops.split_at(1);
        self.ingest(&aws, first)?;
        self.check("published", &aws, first)?;

        let started = Instant::now();
        let mut workers =
            (0..self.workers).map(|number| self.worker(&aws, number)).collect::<Result<Vec<_>>>()?;
        eprintln!("{} workers are running", self.workers);
        self.ingest(&aws, others)?;
        let findings = self.check("ended", &aws, &shops)?;
        let seconds = started.elapsed().as_secs_f64();
        for worker in &mut workers {
            stop(&mut worker.0)?;
        }
        eprintln!(
            "{} products of {} shops in {seconds:.1} s with {} workers",
            self.products, self.shops, self.workers
        );
        Ok(findings)
    }

    /// Writes an export for each shop.
    fn exports(&self) -> Result<Vec<Shop>> {
        let shop = |number| {
            let export = self.folder.join(format!("shop-{number}.jsonl"));
            let file =
                File::create(&export).with_context(|| format!("cannot create {}", export.display()))?;
            let share = self.products / self.shops + u64::from(number < self.products % self.shops);
            let options = SampleOptions {
                seed: number,
                shape: Shape::Real,
                grouped: true,
                products: share,
                bytes: u64::MAX,
                bad_lines: 0.0,
            };
            let written = sample::write(&options, &mut BufWriter::new(file))?;
            eprintln!("{}: {share} products, {:.1} MB", export.display(), written.bytes as f64 / 1e6);
            let id = format!("demo-{number}.myshopify.com");
            Ok(Shop { id, index: index_name(number), products: share, export })
        };
        (0..self.shops).map(shop).collect()
    }

    /// A command of the host, without `HOST_` variables of the caller.
    fn command(&self, aws: &Ministack, arguments: &[&str]) -> Command {
        let mut command = Command::new(self.host);
        let inherited = std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("HOST_"));
        for (name, _) in inherited {
            command.env_remove(name);
        }
        with_credentials(&mut command)
            .args(arguments)
            .current_dir(self.folder)
            .env("HOST_STORE", "aws")
            .env("HOST_TARGET", "marqo")
            .env("HOST_AWS__ENDPOINT_URL", aws.url())
            // The check compares chunks with the index; by default, they are removed once a job has ended.
            .env("HOST_RETENTION__KEEP_CHUNKS", "true")
            .stdin(Stdio::null())
            .stdout(Stdio::null());
        command
    }

    fn host(&self, aws: &Ministack, arguments: &[&str]) -> Result<()> {
        wait(self.command(aws, arguments).spawn()?, &format!("host {}", arguments.join(" ")))
    }

    /// Runs one ingest per shop, all at the same time.
    fn ingest(&self, aws: &Ministack, shops: &[Shop]) -> Result<()> {
        let start = |shop: &Shop| {
            let data = format!("data-{}", shop.id);
            let mut command =
                self.command(aws, &["ingest", "--quiet", "--shop", &shop.id, "--index", &shop.index]);
            command.args(["--data-dir", &data, "--plugin"]).arg(self.plugin).arg(&shop.export);
            Ok((command.spawn()?, format!("the ingest of {}", shop.id)))
        };
        let running = shops.iter().map(start).collect::<Result<Vec<_>>>()?;
        running.into_iter().try_for_each(|(ingest, name)| wait(ingest, &name))
    }

    /// Starts a worker of all shops, with a log file.
    fn worker(&self, aws: &Ministack, number: usize) -> Result<Worker> {
        let log = self.folder.join(format!("worker-{number}.log"));
        let log = File::create(&log).with_context(|| format!("cannot create {}", log.display()))?;
        let data = format!("data-worker-{number}");
        let mut command = self.command(aws, &["work", "--data-dir", &data]);
        Ok(Worker(command.stderr(log).spawn()?))
    }

    /// Runs the check; returns its findings. The moment is `published` (before any worker runs) or `ended` (waits for
    /// all jobs).
    fn check(&self, moment: &str, aws: &Ministack, shops: &[Shop]) -> Result<String> {
        let mut command = Command::new(aws.python());
        with_credentials(&mut command).args(["-c", CHECK, moment, aws.url(), self.marqo_url]);
        for Shop { id, index, products, .. } in shops {
            command.arg(format!("{id}={index}={products}"));
        }
        let check = command.stdin(Stdio::null()).output().context("cannot run the check")?;
        let findings = String::from_utf8_lossy(&check.stdout).into_owned();
        eprint!("{findings}");
        ensure!(
            check.status.success(),
            "the check failed: {}; logs and data are in {}",
            String::from_utf8_lossy(&check.stderr).trim(),
            self.folder.display()
        );
        Ok(findings)
    }
}

/// Sets credentials for the stand-in, which takes a key of 12 digits for the number of the account.
fn with_credentials(command: &mut Command) -> &mut Command {
    command
        .env("AWS_ACCESS_KEY_ID", "123456789012")
        .env("AWS_SECRET_ACCESS_KEY", "secret")
        .env("AWS_REGION", "eu-central-1")
        .env("AWS_DEFAULT_REGION", "eu-central-1")
        .env_remove("AWS_PROFILE")
        .env_remove("AWS_SESSION_TOKEN")
}

fn wait(mut child: Child, name: &str) -> Result<()> {
    let status = child.wait()?;
    ensure!(status.success(), "{name} ended with {status}");
    Ok(())
}

/// Sends SIGTERM to a worker and waits until it has finished its chunks.
fn stop(worker: &mut Child) -> Result<()> {
    let kill = Command::new("kill").args(["-TERM", &worker.id().to_string()]).status()?;
    ensure!(kill.success(), "a worker ended early; see its log");
    // 130 is the host's exit code after a signal.
    match worker.wait()?.code() {
        Some(130) => Ok(()),
        other => bail!("a worker ended with {other:?} instead of 130 after SIGTERM"),
    }
}

/// Creates an empty folder, in place of any folder of the same name.
///
/// # Errors
/// The folder cannot be removed or created.
pub fn empty_folder(folder: &Path) -> Result<()> {
    if folder.exists() {
        fs::remove_dir_all(folder).with_context(|| format!("cannot remove {}", folder.display()))?;
    }
    fs::create_dir_all(folder).with_context(|| format!("cannot create {}", folder.display()))
}
