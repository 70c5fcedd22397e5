//! The settings `[plugin]`: which plug-ins (WebAssembly components) run, their limits and their configuration.

use host_plugin_host::{Configs, Limits};
use serde::{Deserialize, Serialize};
use std::{num::NonZeroUsize, path::PathBuf, thread::available_parallelism};

/// Plug-ins and their configuration.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PluginConfig {
    /// Plug-ins: files, or `oci://registry/repository:tag`; where several have a role, the last one takes it.
    pub files: Vec<PathBuf>,
    /// File with the digests that plug-ins must have, written by `host plugin lock`; it must exist. Without one named,
    /// `plugin.lock` in the working folder, if there is one.
    pub lock: Option<PathBuf>,
    /// Public key, in PEM, with which every plug-in must be signed.
    pub require_signature: Option<PathBuf>,
    /// Threads that run plug-ins; 0 for one per core.
    pub threads: usize,
    /// Limits of each plug-in.
    pub limits: Limits,
    /// Configuration of each plug-in under its name; `host plugin inspect` lists what a plug-in takes.
    pub config: Configs,
}

impl PluginConfig {
    /// Number of threads that run plug-ins.
    pub fn threads(&self) -> NonZeroUsize {
        NonZeroUsize::new(self.threads).or_else(|| available_parallelism().ok()).unwrap_or(NonZeroUsize::MIN)
    }
}
