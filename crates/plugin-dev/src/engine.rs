//! Loads plug-ins for the tools of their authors: one component (the WebAssembly of a plug-in) with several
//! configurations, and on instances that have not been called before.

use host_plugin_host::{
    Cache, Compiler, Component, Config, Configs, Engine, EngineError, EngineProfile, Limits, LoadError,
    Loader, Plugin, Pool, Runner, bundled,
};
use std::{
    io,
    num::NonZeroUsize,
    path::{Path, PathBuf},
};

/// A plug-in engine for development. Unlike the one in production, it never stops a plug-in that fails often.
#[derive(Clone, Debug)]
pub struct DevEngine {
    loader: Loader,
}

/// The bytes of a component file, which can be loaded any number of times.
#[derive(Clone, Debug)]
pub struct ComponentFile {
    loader: Loader,
    path: PathBuf,
    wasm: Vec<u8>,
}

impl DevEngine {
    /// Creates an engine for at most `instances` plug-in instances at a time.
    ///
    /// # Errors
    /// wasmtime rejects the limits, or the memory for the instances cannot be reserved.
    pub fn new(
        profile: EngineProfile,
        limits: &Limits,
        cache: Option<Cache>,
        compiler: Compiler,
        instances: usize,
    ) -> Result<Self, EngineError> {
        let engine = Engine::new(profile, limits, instances)?;
        // 100 % disables the circuit breaker: the author wants to see every failure.
        let limits = Limits { fault_percent: 100, ..limits.clone() };
        Ok(Self { loader: Loader::new(engine, limits, cache).with_compiler(compiler) })
    }

    /// Loads a plug-in from a file, with the configuration under its name in `configs`.
    ///
    /// # Errors
    /// The file is missing, is not a component of this contract, or refuses its configuration.
    pub fn load(&self, path: &Path, configs: &Configs) -> Result<Plugin, LoadError> {
        self.loader.load(path, configs)
    }

    /// Loads a plug-in that was fetched already, from a registry for example.
    ///
    /// # Errors
    /// As [`load`](Self::load).
    pub fn load_component(&self, component: &Component, configs: &Configs) -> Result<Plugin, LoadError> {
        self.loader.load_bytes(&component.path, &component.wasm, configs)
    }

    /// Like [`load_component`](Self::load_component), with this configuration.
    ///
    /// # Errors
    /// As [`load`](Self::load).
    pub fn load_component_with(&self, component: &Component, config: &Config) -> Result<Plugin, LoadError> {
        self.loader.load_configured(&component.path, &component.wasm, config)
    }

    /// Loads the plug-in that is bundled with the host.
    ///
    /// # Errors
    /// It refuses its configuration.
    pub fn bundled(&self, configs: &Configs) -> Result<Plugin, LoadError> {
        bundled::load(&self.loader, configs)
    }

    /// Reads a component file without loading it.
    ///
    /// # Errors
    /// The file is missing, cannot be read or is too large.
    pub fn read(&self, path: &Path) -> Result<ComponentFile, LoadError> {
        let wasm = self.loader.read(path)?;
        Ok(ComponentFile { loader: self.loader.clone(), path: path.to_owned(), wasm })
    }
}

impl ComponentFile {
    /// Loads the plug-in with a configuration.
    ///
    /// # Errors
    /// It is not a component of this contract, or it refuses the configuration.
    pub fn load(&self, config: &Config) -> Result<Plugin, LoadError> {
        self.loader.load_configured(&self.path, &self.wasm, config)
    }

    /// Size of the component in bytes.
    pub fn bytes(&self) -> u64 {
        self.wasm.len() as u64
    }
}

/// A runner with its own single thread, hence with a new instance that has seen no item yet.
///
/// # Errors
/// The thread cannot be started.
pub fn fresh_runner(plugin: &Plugin) -> io::Result<Runner> {
    Ok(Runner::new(plugin.clone(), Pool::new(NonZeroUsize::MIN)?))
}
