//! The pipeline on servers that stand in for AWS and Marqo, from end to end: exports of several shops, an ingest each, workers
//! beside them; then a program that is not the host looks whether everything is where AWS's own tools would look for it.

use crate::{
    ministack::Ministack,
    sample::{self, Recipe, Shape},
};
use anyhow::{Context, Result, bail, ensure};
use std::{
    fs::{self, File},
    io::BufWriter,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Instant,
};

/// The program that looks.
const CHECK: &str = include_str!("aws_check.py");

/// What runs, and how much of it.
#[derive(Clone, Debug)]
pub struct AwsDemo<'a> {
    /// The host's binary.
    pub host: &'a Path,
    /// The Shopify plug-in.
    pub plugin: &'a Path,
    /// The target folder, below which the stand-in is installed.
    pub target: &'a Path,
    /// An empty folder for exports, data and logs.
    pub folder: &'a Path,
    /// A Marqo server that has the indexes [`index_name`] of all shops.
    pub marqo_url: &'a str,
    /// Number of shops.
    pub shops: u64,
    /// Products of all shops together.
    pub products: u64,
    /// Number of `host work` processes.
    pub workers: usize,
}

/// The index of a shop, by its number.
pub fn index_name(number: u64) -> String {
    format!("shopify-demo-{number}")
}

struct Shop {
    id: String,
    index: String,
    products: u64,
    export: PathBuf,
}

/// Ends with its value.
struct Worker(Child);

impl Drop for Worker {
    fn drop(&mut self) {
        // Gone already, if all went well.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl AwsDemo<'_> {
    /// Runs it all; gives a line a shop.
    ///
    /// # Errors
    /// What could not be started, or what is not as it should be.
    pub fn run(&self) -> Result<String> {
        let shops = self.exports()?;
        let aws = Ministack::start(self.target, self.folder)?;
        say(&format!("AWS stands at {}, Marqo at {}", aws.url(), self.marqo_url));
        self.host(&aws, &["aws", "bootstrap", "--env", "dev"])?;
        for shop in &shops {
            let endpoint = ["--endpoint", self.marqo_url, "--tensor-field", "title"];
            self.host(&aws, &[&["settings", "put", &shop.index], &endpoint[..]].concat())?;
        }
        // The first shop is looked at before anybody works for it.
        let (first, others) = shops.split_at(1);
        self.ingest(&aws, first)?;
        self.check("published", &aws, first)?;

        let started = Instant::now();
        let mut workers = (0..self.workers).map(|n| self.worker(&aws, n)).collect::<Result<Vec<_>>>()?;
        say(&format!("{} workers are running", self.workers));
        self.ingest(&aws, others)?;
        let found = self.check("ended", &aws, &shops)?;
        let seconds = started.elapsed().as_secs_f64();
        for worker in &mut workers {
            end(&mut worker.0)?;
        }
        say(&format!(
            "{} products of {} shops in {seconds:.1} s with {} workers",
            self.products, self.shops, self.workers
        ));
        Ok(found)
    }

    fn exports(&self) -> Result<Vec<Shop>> {
        let shop = |number| {
            let export = self.folder.join(format!("shop-{number}.jsonl"));
            let file =
                File::create(&export).with_context(|| format!("{} cannot be made", export.display()))?;
            let share = self.products / self.shops + u64::from(number < self.products % self.shops);
            let recipe = Recipe {
                seed: number,
                shape: Shape::Real,
                grouped: true,
                products: share,
                bytes: u64::MAX,
                bad_lines: 0.0,
            };
            let written = sample::write(&recipe, &mut BufWriter::new(file))?;
            say(&format!("{}: {share} products, {:.1} MB", export.display(), written.bytes as f64 / 1e6));
            let id = format!("demo-{number}.myshopify.com");
            Ok(Shop { id, index: index_name(number), products: share, export })
        };
        (0..self.shops).map(shop).collect()
    }

    /// A command of the host, in this environment and none other.
    fn command(&self, aws: &Ministack, arguments: &[&str]) -> Command {
        let mut command = Command::new(self.host);
        let ours = std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("HOST_"));
        for (name, _) in ours {
            command.env_remove(name);
        }
        with_credentials(&mut command)
            .args(arguments)
            .current_dir(self.folder)
            .env("HOST_STORE", "aws")
            .env("HOST_TARGET", "marqo")
            .env("HOST_AWS__ENDPOINT_URL", aws.url())
            .stdin(Stdio::null())
            .stdout(Stdio::null());
        command
    }

    fn host(&self, aws: &Ministack, arguments: &[&str]) -> Result<()> {
        finished(self.command(aws, arguments).spawn()?, &format!("host {}", arguments.join(" ")))
    }

    /// An ingest a shop, all at once.
    fn ingest(&self, aws: &Ministack, shops: &[Shop]) -> Result<()> {
        let start = |shop: &Shop| {
            let data = format!("data-{}", shop.id);
            let mut command =
                self.command(aws, &["ingest", "--quiet", "--shop", &shop.id, "--index", &shop.index]);
            command.args(["--data-dir", &data, "--plugin"]).arg(self.plugin).arg(&shop.export);
            Ok((command.spawn()?, format!("the ingest of {}", shop.id)))
        };
        let running = shops.iter().map(start).collect::<Result<Vec<_>>>()?;
        running.into_iter().try_for_each(|(ingest, name)| finished(ingest, &name))
    }

    fn worker(&self, aws: &Ministack, number: usize) -> Result<Worker> {
        let log = self.folder.join(format!("worker-{number}.log"));
        let log = File::create(&log).with_context(|| format!("{} cannot be made", log.display()))?;
        let data = format!("data-worker-{number}");
        let mut command = self.command(aws, &["work", "--data-dir", &data]);
        Ok(Worker(command.stderr(log).spawn()?))
    }

    /// Has the other program look; gives what it found.
    fn check(&self, moment: &str, aws: &Ministack, shops: &[Shop]) -> Result<String> {
        let mut command = Command::new(aws.python());
        with_credentials(&mut command).args(["-c", CHECK, moment, aws.url(), self.marqo_url]);
        for Shop { id, index, products, .. } in shops {
            command.arg(format!("{id}={index}={products}"));
        }
        let found = command.stdin(Stdio::null()).output().context("the check cannot be run")?;
        let said = String::from_utf8_lossy(&found.stdout).into_owned();
        eprint!("{said}");
        ensure!(
            found.status.success(),
            "not everything is where it should be: {}; logs and data are in {}",
            String::from_utf8_lossy(&found.stderr).trim(),
            self.folder.display()
        );
        Ok(said)
    }
}

/// Credentials that the stand-in takes; its account is the key.
fn with_credentials(command: &mut Command) -> &mut Command {
    command
        .env("AWS_ACCESS_KEY_ID", "123456789012")
        .env("AWS_SECRET_ACCESS_KEY", "secret")
        .env("AWS_REGION", "eu-central-1")
        .env("AWS_DEFAULT_REGION", "eu-central-1")
        .env_remove("AWS_PROFILE")
        .env_remove("AWS_SESSION_TOKEN")
}

fn finished(mut child: Child, name: &str) -> Result<()> {
    let status = child.wait()?;
    ensure!(status.success(), "{name} ended with {status}");
    Ok(())
}

/// Asks a worker to end, which it does when its chunks are done.
fn end(worker: &mut Child) -> Result<()> {
    let asked = Command::new("kill").args(["-TERM", &worker.id().to_string()]).status()?;
    ensure!(asked.success(), "a worker has ended before its time; its log says why");
    match worker.wait()?.code() {
        Some(130) => Ok(()),
        other => bail!("a worker ended with {other:?} when it was asked to end"),
    }
}

fn say(text: &str) {
    eprintln!("{text}");
}

/// Makes the folder, empty.
///
/// # Errors
/// Those of the file system.
pub fn empty_folder(folder: &Path) -> Result<()> {
    if folder.exists() {
        fs::remove_dir_all(folder).with_context(|| format!("{} cannot be removed", folder.display()))?;
    }
    fs::create_dir_all(folder).with_context(|| format!("{} cannot be made", folder.display()))
}
