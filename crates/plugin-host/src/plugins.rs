//! Loads the plug-ins of a process and decides which of them has which role: transform (products to documents),
//! validate (judge documents) and version (compare versions of a document).

use crate::{
    Cache, Compiler, Configs, Engine, EngineError, EngineProfile, Limits, LoadError, Loader, Plugin, Pool,
    Role, bundled, load::read_component, roles::Runner,
};
use host_core::{
    model::job::PluginRef,
    plugin::{Transform, Validate, Version},
};
use std::{io, num::NonZeroUsize, path::PathBuf, sync::Arc, thread::available_parallelism};

/// How plug-ins are run.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Threads that plug-ins run on; each holds one instance of each plug-in.
    pub threads: NonZeroUsize,
    /// What a plug-in may use.
    pub limits: Limits,
    /// Where compiled plug-ins are kept; with `None` they are compiled at each start.
    pub cache: Option<Cache>,
    /// Where plug-ins are compiled.
    pub compiler: Compiler,
    /// Which engine runs them.
    pub profile: EngineProfile,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            threads: available_parallelism().unwrap_or(NonZeroUsize::MIN),
            limits: Limits::default(),
            cache: Cache::of_user(),
            compiler: Compiler::InProcess,
            profile: EngineProfile::Production,
        }
    }
}

/// Why plug-ins could not be started.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// A plug-in file or its configuration cannot be used.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// There is a configuration for a plug-in that is not loaded.
    #[error(
        "there is a configuration for a plug-in `{name}`, but no plug-in of this name; the plug-ins are {}",
        known.join(", ")
    )]
    UnknownConfig {
        /// The name that the configuration is for.
        name: String,
        /// The names of the loaded plug-ins.
        known: Vec<String>,
    },
    /// The WebAssembly engine does not start.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// The threads do not start.
    #[error("the threads for plug-ins cannot be started: {0}")]
    Threads(#[source] io::Error),
}

/// Refuses a configuration for a plug-in that is not loaded, which is probably misspelt.
pub fn check_configs<'a>(
    plugins: impl IntoIterator<Item = &'a Plugin>,
    configs: &Configs,
) -> Result<(), OpenError> {
    let known: Vec<String> = plugins.into_iter().map(|plugin| plugin.manifest().name.clone()).collect();
    match configs.keys().find(|name| !known.contains(name)) {
        Some(name) => Err(OpenError::UnknownConfig { name: name.clone(), known }),
        None => Ok(()),
    }
}

/// The WebAssembly of a plug-in, and where it comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Component {
    /// Its file, or its name in a registry; messages name it.
    pub path: PathBuf,
    /// The bytes.
    pub wasm: Vec<u8>,
}

/// The plug-in of each role, on the threads that the plug-ins share. The threads end when all of them are dropped.
#[derive(Clone)]
pub struct Plugins {
    transform: Option<Runner>,
    validate: Runner,
    version: Runner,
}

impl Plugins {
    /// Loads plug-ins from files, as [`Self::of`] does.
    pub fn open(settings: &Settings, files: &[PathBuf], configs: &Configs) -> Result<Self, OpenError> {
        let read = |path: &PathBuf| {
            Ok(Component { path: path.clone(), wasm: read_component(path, settings.limits.component_bytes)? })
        };
        let components = files.iter().map(read).collect::<Result<Vec<_>, LoadError>>()?;
        Self::of(settings, &components, configs)
    }

    /// Loads plug-ins and assigns the roles. The last plug-in that has a role gets it; the bundled plug-in (`bundled`)
    /// gets the roles validate and version if no other plug-in has them.
    pub fn of(settings: &Settings, components: &[Component], configs: &Configs) -> Result<Self, OpenError> {
        let instances = settings.threads.get().saturating_mul(components.len() + 1);
        let engine = Engine::new(settings.profile, &settings.limits, instances)?;
        let loader = Loader::new(engine, settings.limits.clone(), settings.cache.clone())
            .with_compiler(settings.compiler.clone());
        let load = |component: &Component| loader.load_bytes(&component.path, &component.wasm, configs);
        let plugins = components.iter().map(load).collect::<Result<Vec<_>, _>>()?;
        let bundled = bundled::load(&loader, configs)?;
        check_configs(plugins.iter().chain([&bundled]), configs)?;
        let pool = Pool::new(settings.threads).map_err(OpenError::Threads)?;
        Ok(Self::choose(&plugins, &bundled, &pool))
    }

    /// Assigns the roles, as [`Self::of`] does, to plug-ins that are loaded already.
    pub fn choose(plugins: &[Plugin], bundled: &Plugin, pool: &Arc<Pool>) -> Self {
        let last_with = |role: Role| plugins.iter().rev().find(|plugin| plugin.roles().contains(&role));
        let runner = |plugin: &Plugin| Runner::new(plugin.clone(), pool.clone());
        Self {
            transform: last_with(Role::Transform).map(runner),
            validate: runner(last_with(Role::Validate).unwrap_or(bundled)),
            version: runner(last_with(Role::Version).unwrap_or(bundled)),
        }
    }

    /// The transform role, which reading an export needs; `None` if no plug-in has it.
    pub fn transform(&self) -> Option<Arc<dyn Transform>> {
        self.transform.clone().map(|runner| Arc::new(runner) as _)
    }

    /// The validate role.
    pub fn validate(&self) -> Arc<dyn Validate> {
        Arc::new(self.validate.clone())
    }

    /// The version role.
    pub fn version(&self) -> Arc<dyn Version> {
        Arc::new(self.version.clone())
    }

    /// The plug-in that has a role; `None` if none has it.
    pub fn plugin(&self, role: Role) -> Option<&Plugin> {
        match role {
            Role::Transform => self.transform.as_ref().map(Runner::plugin),
            Role::Validate => Some(self.validate.plugin()),
            Role::Version => Some(self.version.plugin()),
        }
    }

    /// Name, version and digest of the plug-in that has a role; `None` if none has it.
    pub fn plugin_ref(&self, role: Role) -> Option<PluginRef> {
        self.plugin(role).map(Plugin::plugin_ref)
    }
}
