//! Starts the binary in a folder of its own and reads what it prints; builds plug-ins and makes small exports of
//! Shopify products.

use serde_json::Value;
use std::{
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    sync::LazyLock,
};
use tempfile::TempDir;

pub(crate) const SHOP: &str = "tests.myshopify.com";

/// The Shopify plug-in, built once.
pub(crate) static SHOPIFY: LazyLock<PathBuf> = LazyLock::new(|| guest("shopify-plugin"));

/// Builds a guest, a crate of the workspace that is a plug-in, and returns its WebAssembly component.
pub(crate) fn guest(package: &str) -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let target = Path::new(env!("CARGO_BIN_EXE_host")).ancestors().nth(2).unwrap().join("guests");
    let status = Command::new(env!("CARGO"))
        .current_dir(root)
        .args([
            "build",
            "--quiet",
            "--profile",
            "guest",
            "--target",
            "wasm32-unknown-unknown",
            "--package",
            package,
        ])
        .arg("--target-dir")
        .arg(&target)
        .env_remove("RUSTFLAGS")
        .env_remove("CARGO_ENCODED_RUSTFLAGS")
        .status()
        .unwrap();
    assert!(status.success(), "building {package} failed");
    target.join("wasm32-unknown-unknown/guest").join(package.replace('-', "_")).with_extension("wasm")
}

/// Real exports that are not part of the repository.
pub(crate) fn shared_sample(name: &str) -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared");
    let path = std::env::var_os("HOST_TEST_SHARED").map_or(root, PathBuf::from).join("samples").join(name);
    assert!(path.is_file(), "there is no sample {}; name the folder in HOST_TEST_SHARED", path.display());
    path
}

/// Interrupts a process, as Ctrl-C does.
pub(crate) fn interrupt(process: u32) {
    assert!(Command::new("kill").args(["-INT", &process.to_string()]).status().unwrap().success());
}

/// A number from the environment, for the long forms of tests.
pub(crate) fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |text| text.parse().unwrap())
}

/// The random generator SplitMix64. With the seed that it prints, a test repeats its random choices.
pub(crate) struct Random(u64);

impl Random {
    /// Seeded by the variable HOST_TEST_SEED, or else by the id of this process.
    pub(crate) fn new() -> Self {
        let seed = setting("HOST_TEST_SEED", u64::from(std::process::id()) ^ 0x5eed);
        eprintln!("HOST_TEST_SEED={seed}");
        Self(seed)
    }

    /// A number from 0 to `bound` - 1.
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = self.0;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (bits ^ (bits >> 31)) % bound
    }
}

/// A folder with an export and a data directory.
pub(crate) struct TestDir {
    pub(crate) dir: TempDir,
}

/// Exit code and output of a run of the binary. The code is `None` if a signal ended it.
#[derive(Debug)]
pub(crate) struct RunOutput {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl RunOutput {
    /// The JSON value on stdout.
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }
}

impl TestDir {
    pub(crate) fn new() -> Self {
        Self { dir: tempfile::tempdir().unwrap() }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub(crate) fn write(&self, name: &str, bytes: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(name);
        std::fs::write(&path, bytes).unwrap();
        path
    }

    /// A command of `host` that runs in this folder, without the environment of the test.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_host"));
        command
            .current_dir(self.dir.path())
            .args(arguments)
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("HOME", self.dir.path())
            // All tests share compiled plug-ins: compiling is not what they test.
            .env("XDG_CACHE_HOME", env!("CARGO_TARGET_TMPDIR"))
            // Tests look into the chunks of jobs that have ended.
            .env("HOST_RETENTION__KEEP_CHUNKS", "true")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    /// Runs `host` with these arguments to its end.
    pub(crate) fn host(&self, arguments: &[&str]) -> RunOutput {
        run_output(self.command(arguments).output().unwrap())
    }

    /// `host run` of an export into the catalog, with the Shopify plug-in and the data directory `data`.
    pub(crate) fn run_command(&self, source: &str, more: &[&str]) -> Command {
        let mut command =
            self.command(&["run", "--output", "json", "--shop", SHOP, "--data-dir", "data", "--plugin"]);
        command.arg(&*SHOPIFY).arg(source).args(more);
        command
    }

    pub(crate) fn run(&self, source: &str, more: &[&str]) -> RunOutput {
        run_output(self.run_command(source, more).output().unwrap())
    }

    pub(crate) fn spawn(&self, source: &str) -> Child {
        self.run_command(source, &[]).spawn().unwrap()
    }

    /// All documents of the relational catalog as `host documents` shows them, without the id of the job that wrote
    /// them.
    pub(crate) fn documents(&self) -> Vec<Value> {
        let listed =
            self.host(&["documents", "list", "--limit", "1000000", "--data-dir", "data", "--output", "json"]);
        let ids: Vec<String> = serde_json::from_str(&listed.stdout).unwrap();
        let get = |id: &String| {
            let mut document =
                self.host(&["documents", "get", id, "--data-dir", "data", "--output", "json"]).json();
            document.as_object_mut().unwrap().remove("_mq_job_id");
            document
        };
        ids.iter().map(get).collect()
    }

    /// The chunks (files of documents that ingest makes) of all jobs: name in the job's folder, and bytes.
    pub(crate) fn chunks(&self) -> Vec<(String, Vec<u8>)> {
        let mut found = Vec::new();
        let mut folders = vec![self.path("data/chunks")];
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                let name = path.file_name().unwrap().to_string_lossy().into_owned();
                if path.is_dir() {
                    folders.push(path);
                } else if name.starts_with("chunk_") {
                    found.push((name, std::fs::read(path).unwrap()));
                }
            }
        }
        found.sort();
        found
    }
}

pub(crate) fn run_output(output: Output) -> RunOutput {
    RunOutput {
        code: output.status.code(),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    }
}

/// The lines of an export for one product with two variants, their stock at a location, and an image.
pub(crate) fn product(number: u32, title: &str, updated_at: &str) -> Vec<String> {
    let gid = format!("gid://shopify/Product/{number}");
    let mut lines = vec![format!(
        r#"{{"id":"{gid}","title":"{title}","handle":"p-{number}","descriptionHtml":"<p>About {title}</p>","vendor":"Acme","productType":"Mug","tags":["a","b"],"status":"ACTIVE","updatedAt":"{updated_at}"}}"#
    )];
    for variant in 1..=2 {
        lines.push(format!(
            r#"{{"id":"gid://shopify/ProductVariant/{number}{variant}","title":"V{variant}","price":"1{variant}.50","position":{variant},"availableForSale":true,"selectedOptions":[{{"name":"Size","value":"S{variant}"}}],"__parentId":"{gid}"}}"#
        ));
        lines.push(format!(
            r#"{{"available":{variant},"location":{{"id":"gid://shopify/Location/1"}},"__parentId":"gid://shopify/ProductVariant/{number}{variant}"}}"#
        ));
    }
    lines.push(format!(
        r#"{{"id":"gid://shopify/MediaImage/{number}9","alt":"{title}","mediaContentType":"IMAGE","status":"READY","image":{{"url":"https://cdn.example.com/{number}.jpg"}},"__parentId":"{gid}"}}"#
    ));
    lines
}

pub(crate) fn lines(lines: &[String]) -> String {
    lines.iter().flat_map(|line| [line.as_str(), "\n"]).collect()
}

/// A port at which no server listens, and which no other program is given while this lives.
pub(crate) struct ClosedPort {
    _socket: tokio::net::TcpSocket,
    url: String,
}

impl ClosedPort {
    pub(crate) fn new() -> Self {
        let socket = tokio::net::TcpSocket::new_v4().unwrap();
        socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let url = format!("http://{}", socket.local_addr().unwrap());
        Self { _socket: socket, url }
    }

    pub(crate) fn url(&self) -> &str {
        &self.url
    }
}
