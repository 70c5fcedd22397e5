//! Loads a plug-in (a WebAssembly component): reads the file, checks that it is a component, scans it, compiles it or
//! takes it from the cache, asks it for its manifest and configures it. An error says in one sentence what is wrong and
//! what to do.

use crate::{
    Cache, Compiler, Engine, EngineProfile, Limits, LoadError, Role,
    cache::Draft,
    circuit_breaker::CircuitBreaker,
    code,
    compile::{CompileError, compile, temp_dir_unwritable},
    contract::Contract,
    contract_v0_1::Prepared,
    engine::DETERMINISTIC_TIME,
    instance::{DescribeError, Instance},
    manifest,
    scan::{Refused, scan},
    untrusted_text::{self, truncate},
    wasi,
};
use host_core::{
    model::{Digest, PluginManifest, job::PluginRef},
    plugin::BatchFailure,
};
use rustix::fs::OFlags;
use std::{
    fs::File,
    io::{self, Read},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    process::Command,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};
use wasmtime::component::Component;

/// The first bytes of every WebAssembly binary.
const WASM_MAGIC: &[u8] = b"\0asm";

/// The layer field of a component's header, which follows the magic and two bytes of version; a core module has 0
/// there.
const COMPONENT_LAYER: [u8; 2] = [1, 0];

/// The most characters of an error of the compiler or the sandbox that go into a message.
const CAUSE_CHARACTERS: usize = 600;

/// The configuration of a plug-in: a JSON object that the plug-in interprets.
pub type Config = serde_json::Map<String, serde_json::Value>;

/// The configuration of each plug-in under its name.
pub type Configs = std::collections::BTreeMap<String, Config>;

/// Loads plug-ins for one engine.
#[derive(Clone, Debug)]
pub struct Loader {
    engine: Engine,
    limits: Limits,
    cache: Option<Cache>,
    compiler: Compiler,
}

/// A plug-in that is compiled, described and configured; cheap to clone. It runs on a [`Pool`](crate::Pool).
#[derive(Clone)]
pub struct Plugin(Arc<Loaded>);

/// Everything that the instances of a plug-in are made of and share.
pub(super) struct Loaded {
    /// Differs for all plug-ins of this process, also for two of the same file with different configurations.
    pub(super) id: u64,
    pub(super) engine: Engine,
    pub(super) limits: Limits,
    pub(super) prepared: Prepared,
    pub(super) manifest: PluginManifest,
    /// `name@version`.
    pub(super) reference: Arc<str>,
    /// Its configuration, the JSON text of an object.
    pub(super) config: String,
    pub(super) circuit_breaker: CircuitBreaker,
    roles: Vec<Role>,
    /// SHA-256 of the component.
    digest: Digest,
}

/// A compiled component, the contract that it implements, and how it was compiled.
pub(super) struct Compiled {
    pub(super) prepared: Prepared,
    pub(super) contract: Contract,
    /// SHA-256 of the component.
    pub(super) digest: Digest,
    /// Size of the component.
    pub(super) bytes: usize,
    pub(super) from_cache: bool,
    /// Time to compile it or to take it from the cache.
    pub(super) time: Duration,
    /// Its new entry in the cache; `None` if it came from there or there is no cache. It is kept only when the manifest
    /// has been accepted, so that a component that is refused evicts no other.
    draft: Option<Draft>,
}

impl Loader {
    /// A loader for an engine. It compiles in this process; without a cache it compiles at each load. The limits may
    /// allow no more memory than those that the engine was made with.
    pub fn new(engine: Engine, limits: Limits, cache: Option<Cache>) -> Self {
        let call_ms = match engine.profile() {
            EngineProfile::Production => limits.call_ms,
            EngineProfile::Deterministic => limits.call_ms.saturating_mul(DETERMINISTIC_TIME),
        };
        let limits = Limits { call_ms, ..limits };
        Self { engine, limits, cache, compiler: Compiler::InProcess }
    }

    /// Sets where it compiles components that are not in the cache.
    pub fn with_compiler(mut self, compiler: Compiler) -> Self {
        self.compiler = compiler;
        self
    }

    /// The engine that runs the plug-ins.
    pub fn engine(&self) -> &Engine {
        &self.engine
    }

    /// Whether the compiled form of a component is in the cache and can be trusted.
    pub fn is_cached(&self, wasm: &[u8]) -> bool {
        self.cache.as_ref().is_some_and(|cache| {
            cache.get(&self.engine, &code::key(&self.engine, &Digest::of(wasm))).is_some()
        })
    }

    /// Loads a plug-in from a file and configures it with the configuration for its name, `{}` if there is none.
    pub fn load(&self, path: &Path, configs: &Configs) -> Result<Plugin, LoadError> {
        self.load_bytes(path, &self.read(path)?, configs)
    }

    /// The same for the bytes of a component; messages name `path`.
    pub fn load_bytes(&self, path: &Path, wasm: &[u8], configs: &Configs) -> Result<Plugin, LoadError> {
        self.load_with(path, wasm, |name| configs.get(name))
    }

    /// The same with one configuration, whatever the plug-in's name is.
    pub fn load_configured(&self, path: &Path, wasm: &[u8], config: &Config) -> Result<Plugin, LoadError> {
        self.load_with(path, wasm, |_name| Some(config))
    }

    fn load_with<'a>(
        &self,
        path: &Path,
        wasm: &[u8],
        config: impl FnOnce(&str) -> Option<&'a Config>,
    ) -> Result<Plugin, LoadError> {
        let mut compiled = self.compile(path, wasm)?;
        let manifest = self.describe(path, &mut compiled)?;
        let none = Config::new();
        let config = serde_json::to_string(config(&manifest.name).unwrap_or(&none))
            .expect("JSON values always serialize");
        let loaded = Loaded {
            id: next_id(),
            engine: self.engine.clone(),
            limits: self.limits.clone(),
            reference: manifest.reference().into(),
            manifest,
            config,
            circuit_breaker: CircuitBreaker::default(),
            roles: compiled.contract.roles,
            digest: compiled.digest,
            prepared: compiled.prepared,
        };
        // Configured here once, so that a wrong configuration is reported before anything is read.
        match run_guest(&loaded.prepared, || Instance::new(&loaded).map(drop)) {
            Ok(()) => Ok(Plugin(Arc::new(loaded))),
            Err(BatchFailure { plugin, code, message, .. }) => {
                Err(LoadError::Configure { path: path.to_owned(), plugin, code, message })
            }
        }
    }

    /// Reads a component file; fails if it is larger than `component_bytes` allows.
    pub fn read(&self, path: &Path) -> Result<Vec<u8>, LoadError> {
        read_component(path, self.limits.component_bytes)
    }

    /// Compiles a component, or takes it from the cache, and finds the contract that it implements.
    pub(super) fn compile(&self, path: &Path, wasm: &[u8]) -> Result<Compiled, LoadError> {
        ensure_is_component(path, wasm)?;
        // Cached components too: whether a component is refused must not depend on an earlier run under other limits.
        let names = scan(wasm, &self.limits).map_err(|refused| match refused {
            Refused::Malformed(error) => {
                LoadError::Invalid { path: path.to_owned(), cause: error.to_string() }
            }
            Refused::Limit(breach) => LoadError::of_breach(path, breach),
        })?;
        let contract = Contract::of(names, self.limits.wasi)
            .map_err(|mismatch| LoadError::of_mismatch(path, mismatch))?;
        let started = Instant::now();
        let digest = Digest::of(wasm);
        let key = code::key(&self.engine, &digest);
        let cached = self.cache.as_ref().and_then(|cache| cache.get(&self.engine, &key));
        let from_cache = cached.is_some();
        let (component, draft) = match cached {
            Some(component) => (component, None),
            None => self.compile_uncached(path, wasm, &key)?,
        };
        let time = started.elapsed();
        contract.check_functions(&component).map_err(|mismatch| LoadError::of_mismatch(path, mismatch))?;
        let prepared = Prepared::new(&component, &contract).map_err(|error| {
            let (path, cause) = (path.to_owned(), one_line(&error));
            match contract.is_later() {
                true => LoadError::LaterContract { path, found: contract.version.clone(), why: cause },
                false => LoadError::Link { path, cause },
            }
        })?;
        Ok(Compiled { prepared, contract, digest, bytes: wasm.len(), from_cache, time, draft })
    }

    /// Compiles a component and writes the code to a new entry of the cache; `None` if it could not be written there.
    fn compile_uncached(
        &self,
        path: &Path,
        wasm: &[u8],
        key: &Digest,
    ) -> Result<(Component, Option<Draft>), LoadError> {
        let invalid = |cause| LoadError::Invalid { path: path.to_owned(), cause };
        let draft = self.cache.as_ref().and_then(|cache| cache.draft(key));
        let Compiler::Child { program, args } = &self.compiler else {
            let component = compile_here(&self.engine, wasm).map_err(invalid)?;
            let draft = match draft {
                Some(draft) => {
                    draft.written(&component.serialize().map_err(|error| invalid(one_line(&error)))?)
                }
                None => None,
            };
            return Ok((component, draft));
        };
        let compile_to = |file: &File| {
            let mut command = Command::new(program);
            command.args(args);
            compile(command, &self.engine, &self.limits, wasm, key, file)
        };
        let failed = |error| match error {
            CompileError::Invalid(cause) => invalid(cause),
            CompileError::Limit(breach) => LoadError::of_breach(path, breach),
            // A draft that cannot be written is handled below, so the file is the temporary one.
            CompileError::Unwritable(cause) => {
                LoadError::Compiler { path: path.to_owned(), cause: temp_dir_unwritable(&cause) }
            }
            CompileError::Failed(cause) => LoadError::Compiler { path: path.to_owned(), cause },
        };
        let load =
            |file: &File| code::load(&self.engine, file, key).map_err(|error| invalid(error.to_string()));
        if let Some(draft) = draft {
            match compile_to(draft.file()) {
                Ok(()) => return Ok((load(draft.file())?, Some(draft))),
                // The disk of the cache may be full: use a temporary file instead.
                Err(CompileError::Unwritable(error)) => draft.give_up(&error),
                Err(error) => return Err(failed(error)),
            }
        }
        let file = tempfile::tempfile().map_err(|error| failed(CompileError::Unwritable(error)))?;
        compile_to(&file).map_err(failed)?;
        Ok((load(&file)?, None))
    }

    /// Asks a component for its manifest, checks it, and keeps the component's code in the cache.
    pub(super) fn describe(&self, path: &Path, compiled: &mut Compiled) -> Result<PluginManifest, LoadError> {
        let describe = || Instance::describe(&self.engine, &self.limits, &compiled.prepared);
        let description = run_guest(&compiled.prepared, describe).map_err(|error| {
            let path = path.to_owned();
            match error {
                DescribeError::Start(cause) => LoadError::Start { path, cause },
                DescribeError::Fault(fault) => {
                    LoadError::Describe { path, cause: fault.verb_phrase(&self.limits) }
                }
            }
        })?;
        let manifest = manifest::check(description, &compiled.contract.roles)
            .map_err(|problem| LoadError::Manifest { path: path.to_owned(), problem })?;
        if let Some(draft) = compiled.draft.take() {
            draft.keep();
        }
        Ok(manifest)
    }
}

/// Calls into a guest (the plug-in's code) from a thread on which tokio may be running: WASI needs a runtime of its
/// own.
fn run_guest<T: Send>(prepared: &Prepared, run: impl FnOnce() -> T + Send) -> T {
    if prepared.imports_wasi() { wasi::outside_of_runtimes(run) } else { run() }
}

impl Plugin {
    /// What the plug-in says of itself: name, version, platform and more.
    pub fn manifest(&self) -> &PluginManifest {
        &self.0.manifest
    }

    /// What it can do.
    pub fn roles(&self) -> &[Role] {
        &self.0.roles
    }

    /// Name, version and digest.
    pub fn plugin_ref(&self) -> PluginRef {
        let PluginManifest { name, version, .. } = self.0.manifest.clone();
        PluginRef { name, version, digest: self.0.digest }
    }

    /// Its configuration, the JSON text of an object.
    pub fn config(&self) -> &str {
        &self.0.config
    }

    pub(super) fn loaded(&self) -> &Loaded {
        &self.0
    }
}

impl std::fmt::Debug for Plugin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Plugin").field(&self.0.reference).finish()
    }
}

impl Loaded {
    /// The failure of a whole batch, from a code and a message that the plug-in may have written.
    pub(super) fn failure(&self, code_text: String, message: &str) -> BatchFailure {
        BatchFailure {
            plugin: self.reference.to_string(),
            code: untrusted_text::code(code_text),
            message: truncate(message, CAUSE_CHARACTERS),
            stopped: false,
            before: Vec::new(),
        }
    }
}

fn next_id() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

/// Reads a component file of at most `limit` bytes.
pub fn read_component(path: &Path, limit: u64) -> Result<Vec<u8>, LoadError> {
    let path = path.to_owned();
    let unreadable = |path: PathBuf, cause: io::Error| match cause.kind() {
        io::ErrorKind::NotFound => LoadError::Missing { path },
        io::ErrorKind::IsADirectory => LoadError::NotAFile { path },
        _ => LoadError::Unreadable { path, cause },
    };
    // Without it, opening a pipe would wait for its writer.
    let nonblocking = OFlags::NONBLOCK.bits().cast_signed();
    let file = match File::options().read(true).custom_flags(nonblocking).open(&path) {
        Ok(file) => file,
        Err(cause) => return Err(unreadable(path, cause)),
    };
    // A pipe or a device may never end.
    match file.metadata() {
        Ok(metadata) if metadata.is_file() => {}
        Ok(_) => return Err(LoadError::NotAFile { path }),
        Err(cause) => return Err(unreadable(path, cause)),
    }
    let mut wasm = Vec::new();
    if let Err(cause) = file.take(limit.saturating_add(1)).read_to_end(&mut wasm) {
        return Err(unreadable(path, cause));
    }
    if wasm.len() as u64 > limit {
        return Err(LoadError::TooLarge { path, limit });
    }
    Ok(wasm)
}

/// Refuses everything but components, by the first bytes of the file.
pub fn ensure_is_component(path: &Path, wasm: &[u8]) -> Result<(), LoadError> {
    let path = path.to_owned();
    if wasm.is_empty() {
        return Err(LoadError::Empty { path });
    }
    if wasmtime::Engine::detect_precompiled(wasm).is_some() {
        return Err(LoadError::Precompiled { path });
    }
    match wasm.strip_prefix(WASM_MAGIC).and_then(|rest| rest.first_chunk::<4>()) {
        None => Err(LoadError::NotWasm { path }),
        Some([_, _, layer @ ..]) if *layer != COMPONENT_LAYER => Err(LoadError::CoreModule { path }),
        Some(_) => Ok(()),
    }
}

/// Compiles a component in this process. A panic of the compiler becomes an error.
fn compile_here(engine: &Engine, wasm: &[u8]) -> Result<Component, String> {
    let compile = || Component::from_binary(engine.wasmtime(), wasm).map_err(|error| one_line(&error));
    match std::panic::catch_unwind(std::panic::AssertUnwindSafe(compile)) {
        Ok(compiled) => compiled,
        Err(_panic) => Err("the compiler failed on it".to_owned()),
    }
}

/// An error of wasmtime without its backtrace, on one line.
pub(super) fn one_line(error: &wasmtime::Error) -> String {
    let causes: Vec<String> = error
        .chain()
        .map(|cause| cause.to_string())
        .filter(|text| !text.starts_with("error while executing"))
        .collect();
    truncate(&causes.join(": ").split_whitespace().collect::<Vec<_>>().join(" "), CAUSE_CHARACTERS)
}
