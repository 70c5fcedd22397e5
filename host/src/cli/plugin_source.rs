//! Which plug-ins a command runs, and how they are had.

use super::failure::Failure;
use crate::config::{Config, Overrides};
use clap::Args;
use host_core::error::chain;
use host_plugin_host::Cache;
use host_plugin_source::{Key, Lock, Supplied, Supply, SupplyError};
use std::path::{Path, PathBuf};

/// Arguments of commands that run plug-ins.
#[derive(Debug, Args)]
pub(super) struct PluginArgs {
    /// Plug-in: a file, or oci://registry/repository:tag or @sha256:…; may be repeated, the later one wins a role
    #[arg(long = "plugin", value_name = "PLUGIN")]
    plugins: Vec<PathBuf>,
    /// Run only plug-ins that are signed with this key pair: its public half, in PEM
    #[arg(long, value_name = "KEY")]
    require_signature: Option<PathBuf>,
}

impl PluginArgs {
    /// The flags that are settings.
    pub(super) fn set(&self, overrides: &mut Overrides) {
        overrides.set("--plugin", "plugin.files", (!self.plugins.is_empty()).then_some(&self.plugins)).set(
            "--require-signature",
            "plugin.require_signature",
            self.require_signature.as_ref(),
        );
    }
}

/// Gets plug-ins as the settings say.
pub(super) struct Supplier(Supply);

/// The supply of plug-ins that the settings describe.
pub(super) fn supply(config: &Config) -> Result<Supplier, Failure> {
    let lock = Lock::read(&config.plugin.lock).map_err(supply_failure)?;
    Ok(Supplier(Supply { lock, ..unlocked(config)? }))
}

/// The same, whatever the lock says.
pub(super) fn unlocked_supply(config: &Config) -> Result<Supplier, Failure> {
    unlocked(config).map(Supplier)
}

fn unlocked(config: &Config) -> Result<Supply, Failure> {
    let key =
        config.plugin.require_signature.as_deref().map(Key::read).transpose().map_err(supply_failure)?;
    // Beside the compiled plug-ins, whose folder nobody else may write to.
    let kept = Cache::of_user().and_then(|cache| Some(cache.directory().parent()?.join("registry")));
    Ok(Supply { limit: config.plugin.limits.component_bytes, lock: None, key, kept })
}

impl Supplier {
    /// Gets plug-ins in their order. Waits on a thread of its own, so that it can be called inside a runtime and outside of one.
    pub(super) fn get(&self, sources: &[PathBuf]) -> Result<Vec<Supplied>, Failure> {
        let all = async {
            let mut supplied = Vec::with_capacity(sources.len());
            for source in sources {
                supplied.push(self.0.get(source).await?);
            }
            Ok(supplied)
        };
        let waiting = || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            Ok::<_, Failure>(runtime.map_err(Failure::broke)?.block_on(all))
        };
        let waited = std::thread::scope(|scope| scope.spawn(waiting).join());
        let supplied =
            waited.map_err(|_| Failure::broke("host itself failed while it got the plug-ins"))??;
        supplied.map_err(supply_failure)
    }

    /// Gets one plug-in.
    pub(super) fn get_one(&self, source: &Path) -> Result<Supplied, Failure> {
        let mut supplied = self.get(&[source.to_owned()])?;
        supplied.pop().ok_or_else(|| Failure::broke("host itself lost a plug-in"))
    }
}

pub(super) fn supply_failure(error: SupplyError) -> Failure {
    match error {
        // Without the chain: its sentence says all.
        SupplyError::File(error) => Failure::usage(error),
        error if error.is_transient() => {
            Failure::broke(chain(&error)).help("run the same command again when the registry answers")
        }
        error => Failure::usage(error.to_string()),
    }
}
