//! Which plug-in plays which role.

use crate::{
    model::job::PluginRef,
    plugin::{
        Cache, Engine, EngineError, Limits, LoadError, Loader, Plugin, Pool, Profile, Role, Transform,
        Validate, Version, bundled, roles::Runner,
    },
};
use std::{io, num::NonZeroUsize, path::PathBuf, sync::Arc, thread::available_parallelism};

/// How plug-ins are run.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Threads for guests; each holds one instance of each plug-in.
    pub threads: NonZeroUsize,
    /// What a plug-in may use.
    pub limits: Limits,
    /// Where compiled plug-ins are kept; none compiles at each start.
    pub cache: Option<Cache>,
    /// Which engine runs them.
    pub profile: Profile,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            threads: available_parallelism().unwrap_or(NonZeroUsize::MIN),
            limits: Limits::default(),
            cache: Cache::of_user(),
            profile: Profile::Production,
        }
    }
}

/// A plug-in that is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// The component file.
    pub path: PathBuf,
    /// Its configuration: JSON text of an object.
    pub config: String,
}

impl Source {
    /// A plug-in without configuration.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into(), config: "{}".to_owned() }
    }
}

/// Why no plug-ins are running.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// A plug-in cannot be used: wrong usage or configuration.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// The engine does not start.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// The threads do not start.
    #[error("the threads for plug-ins cannot be started: {0}")]
    Threads(#[source] io::Error),
}

/// The plug-in of each role, on the threads that they share. The threads end with the last of them.
#[derive(Clone)]
pub struct Plugins {
    transform: Option<Runner>,
    validate: Runner,
    version: Runner,
}

impl Plugins {
    /// Loads plug-ins and gives out the roles: a later plug-in wins a role over an earlier one, and what none of them
    /// has is the bundled validator's. `bundled_config` is the configuration of the latter.
    pub fn open(settings: &Settings, sources: &[Source], bundled_config: &str) -> Result<Self, OpenError> {
        let instances = settings.threads.get().saturating_mul(sources.len() + 1);
        let engine = Engine::new(settings.profile, &settings.limits, instances)?;
        let loader = Loader::new(engine, settings.limits.clone(), settings.cache.clone());
        let plugins = sources
            .iter()
            .map(|source| loader.load(&source.path, &source.config))
            .collect::<Result<Vec<_>, _>>()?;
        let bundled = bundled::load(&loader, bundled_config)?;
        let pool = Pool::new(settings.threads).map_err(OpenError::Threads)?;
        Ok(Self::choose(&plugins, &bundled, &pool))
    }

    /// Gives out the roles among plug-ins that are loaded already.
    pub fn choose(plugins: &[Plugin], bundled: &Plugin, pool: &Arc<Pool>) -> Self {
        let last_with = |role: Role| plugins.iter().rev().find(|plugin| plugin.roles().contains(&role));
        let runner = |plugin: &Plugin| Runner::new(plugin.clone(), pool.clone());
        Self {
            transform: last_with(Role::Transform).map(runner),
            validate: runner(last_with(Role::Validate).unwrap_or(bundled)),
            version: runner(last_with(Role::Version).unwrap_or(bundled)),
        }
    }

    /// The transform role, which ingest needs; none if no plug-in has it.
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

    /// The plug-in that plays a role.
    pub fn plugin(&self, role: Role) -> Option<&Plugin> {
        match role {
            Role::Transform => self.transform.as_ref().map(Runner::plugin),
            Role::Validate => Some(self.validate.plugin()),
            Role::Version => Some(self.version.plugin()),
        }
    }

    /// Name, version and digest of the plug-in that plays a role.
    pub fn plugin_ref(&self, role: Role) -> Option<PluginRef> {
        self.plugin(role).map(Plugin::plugin_ref)
    }
}
