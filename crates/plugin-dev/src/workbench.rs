//! Plug-ins loaded for their authors: one file under several configurations, and instances that have seen nothing yet.

use host_plugin_host::{
    Cache, Compiler, Component, Config, Configs, Engine, EngineError, Limits, LoadError, Loader, Plugin, Pool, Profile,
    Runner, bundled,
};
use std::{
    io,
    num::NonZeroUsize,
    path::{Path, PathBuf},
};

/// An engine and how it loads.
#[derive(Clone, Debug)]
pub struct Workbench {
    loader: Loader,
}

/// A component file that was read and can be loaded any number of times.
#[derive(Clone, Debug)]
pub struct Candidate {
    loader: Loader,
    path: PathBuf,
    wasm: Vec<u8>,
}

impl Workbench {
    /// A workbench with room for a number of instances at a time.
    pub fn new(
        profile: Profile,
        limits: &Limits,
        cache: Option<Cache>,
        compiler: Compiler,
        instances: usize,
    ) -> Result<Self, EngineError> {
        let engine = Engine::new(profile, limits, instances)?;
        // However often it fails, its author wants to see where.
        let limits = Limits { fault_percent: 100, ..limits.clone() };
        Ok(Self { loader: Loader::new(engine, limits, cache).with_compiler(compiler) })
    }

    /// Loads a plug-in and configures it with what is there under its name.
    pub fn load(&self, path: &Path, configs: &Configs) -> Result<Plugin, LoadError> {
        self.loader.load(path, configs)
    }

    /// Loads a plug-in that is no file of this machine.
    pub fn load_component(&self, component: &Component, configs: &Configs) -> Result<Plugin, LoadError> {
        self.loader.load_bytes(&component.path, &component.wasm, configs)
    }

    /// The same, with a configuration of its own.
    pub fn load_as(&self, component: &Component, config: &Config) -> Result<Plugin, LoadError> {
        self.loader.load_configured(&component.path, &component.wasm, config)
    }

    /// The plug-in that the host brings along.
    pub fn bundled(&self, configs: &Configs) -> Result<Plugin, LoadError> {
        bundled::load(&self.loader, configs)
    }

    /// Reads a component file.
    pub fn read(&self, path: &Path) -> Result<Candidate, LoadError> {
        let wasm = self.loader.read(path)?;
        Ok(Candidate { loader: self.loader.clone(), path: path.to_owned(), wasm })
    }
}

impl Candidate {
    /// Loads the plug-in with a configuration.
    pub fn configured(&self, config: &Config) -> Result<Plugin, LoadError> {
        self.loader.load_configured(&self.path, &self.wasm, config)
    }

    /// Size of the component.
    pub fn bytes(&self) -> u64 {
        self.wasm.len() as u64
    }
}

/// A plug-in on a thread of its own, hence on an instance that has seen nothing.
pub fn fresh(plugin: &Plugin) -> io::Result<Runner> {
    Ok(Runner::new(plugin.clone(), Pool::new(NonZeroUsize::MIN)?))
}
