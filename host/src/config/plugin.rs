use crate::plugin::{Configs, Limits};
use serde::{Deserialize, Serialize};
use std::{num::NonZeroUsize, path::PathBuf, thread::available_parallelism};

/// How plug-ins run, and what they are told.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PluginConfig {
    /// Plug-in files; where several have a role, the later one takes it.
    pub files: Vec<PathBuf>,
    /// Threads that run plug-ins; 0 for one a core.
    pub threads: usize,
    /// What each plug-in may use.
    pub limits: Limits,
    /// Configuration of each plug-in under its name, handed to it as JSON.
    pub config: Configs,
}

impl PluginConfig {
    /// Number of threads that run plug-ins.
    pub fn threads(&self) -> NonZeroUsize {
        NonZeroUsize::new(self.threads).or_else(|| available_parallelism().ok()).unwrap_or(NonZeroUsize::MIN)
    }
}
