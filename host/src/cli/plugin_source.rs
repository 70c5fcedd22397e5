//! Which plug-ins a command runs, and how they are fetched from files and OCI registries.

use super::{failure::Failure, plugin::component};
use crate::config::{Config, Overrides};
use clap::Args;
use host_core::error::chain;
use host_plugin_host::Cache;
use host_plugin_source::{Credentials, FetchError, FetchedPlugin, Key, Lockfile, PluginSource};
use std::path::{Path, PathBuf};

/// Arguments of commands that run plug-ins.
#[derive(Debug, Args)]
pub(super) struct PluginArgs {
    /// Plug-in: a file, the folder of a project that is built, or oci://registry/repository:tag or @sha256:…; may be
    /// repeated, the later one wins a role
    #[arg(long = "plugin", value_name = "PLUGIN")]
    plugins: Vec<PathBuf>,
    /// File with the digests that plug-ins must have [default: plugin.lock, if there is one]
    #[arg(long, value_name = "FILE")]
    lock: Option<PathBuf>,
    /// Run only plug-ins that are signed with this key (the public one, in PEM), by cosign 3 or 2
    #[arg(long, value_name = "KEY")]
    require_signature: Option<PathBuf>,
}

impl PluginArgs {
    /// The flags that are settings.
    pub(super) fn set(&self, overrides: &mut Overrides) {
        overrides
            .set("--plugin", "plugin.files", (!self.plugins.is_empty()).then_some(&self.plugins))
            .set("--lock", "plugin.lock", self.lock.as_ref())
            .set("--require-signature", "plugin.require_signature", self.require_signature.as_ref());
    }
}

/// Fetches plug-ins and checks their digests and signatures as far as the settings ask for it.
pub(super) struct Fetcher(PluginSource);

/// The fetcher that the settings describe, which compares digests with `plugin.lock` if there is one.
pub(super) fn plugin_source(config: &Config) -> Result<Fetcher, Failure> {
    let lock = match &config.plugin.lock {
        Some(path) => Lockfile::read_named(path).map(Some),
        None => Lockfile::read(Path::new(Lockfile::DEFAULT)),
    };
    let lock = lock.map_err(fetch_failure)?;
    Ok(Fetcher(PluginSource { lock, ..unlocked(config)? }))
}

/// The fetcher that the settings describe, without comparing digests.
pub(super) fn plugin_source_without_lock(config: &Config) -> Result<Fetcher, Failure> {
    unlocked(config).map(Fetcher)
}

fn unlocked(config: &Config) -> Result<PluginSource, Failure> {
    let key = config.plugin.require_signature.as_deref().map(Key::read).transpose().map_err(fetch_failure)?;
    // The cache of registries is beside that of compiled plug-ins, in a folder that only this user may write to.
    let cache = Cache::of_user().and_then(|cache| Some(cache.directory().parent()?.join("registry")));
    let credentials = Credentials::from_variables(|name| std::env::var_os(name));
    Ok(PluginSource { limit: config.plugin.limits.component_bytes, lock: None, key, credentials, cache })
}

impl Fetcher {
    /// Fetches plug-ins in order. It blocks, and uses a runtime on a thread of its own, so that callers with and
    /// without a runtime can call it.
    pub(super) fn fetch(&self, sources: &[PathBuf]) -> Result<Vec<FetchedPlugin>, Failure> {
        let sources = sources.iter().map(|source| component(source)).collect::<Result<Vec<_>, _>>()?;
        let fetch_all = async {
            let mut fetched = Vec::with_capacity(sources.len());
            for source in &sources {
                fetched.push(self.0.fetch(source).await?);
            }
            Ok(fetched)
        };
        let block_on_all = || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            Ok::<_, Failure>(runtime.map_err(Failure::runtime)?.block_on(fetch_all))
        };
        let joined = std::thread::scope(|scope| scope.spawn(block_on_all).join());
        let fetched =
            joined.map_err(|_| Failure::runtime("host itself failed while it fetched the plug-ins"))??;
        fetched.map_err(fetch_failure)
    }

    /// Fetches one plug-in.
    pub(super) fn fetch_one(&self, source: &Path) -> Result<FetchedPlugin, Failure> {
        let mut fetched = self.fetch(&[source.to_owned()])?;
        fetched.pop().ok_or_else(|| Failure::runtime("host itself lost a plug-in"))
    }
}

pub(super) fn fetch_failure(error: FetchError) -> Failure {
    match error {
        // The error's own sentence includes its causes.
        FetchError::File(error) => Failure::usage(error),
        error if error.is_transient() => {
            Failure::runtime(chain(&error)).help("run the same command again when the registry answers")
        }
        error => Failure::usage(error.to_string()),
    }
}
