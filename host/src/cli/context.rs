//! What commands share: settings, the data directory, the runtime, printing.

use super::{Global, failure::Failure, plugin_source::plugin_source};
use crate::config::{Config, Effective, Origin, Overrides, load, place};
use host_core::{
    clock::{SharedClock, SystemClock},
    storage::{Settings as IndexSettingsStore, StoreError},
};
use host_export::Remote;
use host_index_catalog::Catalog;
use host_index_marqo::Marqo;
use host_net::RetryProfile;
use host_plugin_host::{Cache, Compiler, Component, EngineProfile, LoadError, OpenError, Plugins, Settings};
use host_sqlite::Database;
use host_storage_sqlite::SqliteStorage;
use serde::Serialize;
use std::{
    io::{self, Write},
    path::Path,
    sync::Arc,
};

/// The settings in force.
pub(super) fn effective(global: &Global, overrides: &Overrides) -> Result<Effective, Failure> {
    load(global.config.as_deref(), overrides).map_err(|error| {
        Failure::usage(error).help("`host config show` prints every setting and where it comes from")
    })
}

/// The settings in force, for commands none of whose own flags is a setting.
pub(super) fn config(global: &Global) -> Result<Config, Failure> {
    Ok(effective(global, &global.overrides())?.config)
}

/// The clock of the system; tests of the libraries use a virtual one.
pub(super) fn clock() -> SharedClock {
    Arc::new(SystemClock)
}

/// The runtime for everything that waits. Plug-ins compute on threads of their own.
pub(super) fn runtime() -> Result<tokio::runtime::Runtime, Failure> {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .map_err(Failure::runtime)
}

/// The reader of sources in S3; `None` if no source is there. It blocks, so do not call it on a thread of the runtime.
pub(super) async fn remote(config: &Config, sources: &[String]) -> Result<Option<Arc<dyn Remote>>, Failure> {
    use host_storage_aws::{Clients, S3Objects};
    if !sources.iter().any(|source| source.starts_with("s3://")) {
        return Ok(None);
    }
    let clients = Clients::connect(&config.aws).await;
    if clients.s3.config().region().is_none() {
        return Err(Failure::usage("the source is in S3, and no region is set").help(
            "set `aws.region` in host.toml, or AWS_REGION, or a region in the profile that AWS_PROFILE names",
        ));
    }
    Ok(Some(Arc::new(S3Objects::new(clients.s3))))
}

/// Opens the data directory; `create` makes one that does not exist yet.
pub(super) fn open(dir: &Path, create: bool) -> Result<SqliteStorage, Failure> {
    let database = dir.join("host.db");
    if !create && let Some(failure) = absent(dir, database.try_exists()) {
        return Err(failure);
    }
    SqliteStorage::open(dir, clock()).map_err(store_failure)
}

/// The failure for a data directory that does not exist or may not be read; `None` if all is well. `exists` says
/// whether its database was found.
fn absent(dir: &Path, exists: io::Result<bool>) -> Option<Failure> {
    let dir = dir.display();
    match exists {
        Ok(true) => None,
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => Some(
            Failure::usage(format!("permission to look into the data directory {dir} is denied"))
                .help("run this as the user whose it is, or name another one with --data-dir"),
        ),
        _ => Some(
            Failure::usage(format!("there is no data directory at {dir}"))
                .help("name the one that `host run` used with --data-dir"),
        ),
    }
}

/// Loads the plug-ins that the settings name. If one refuses its configuration, the failure says where that is set.
pub(super) fn plugins(config: &Config, origins: &[Origin]) -> Result<Plugins, Failure> {
    let settings = Settings {
        threads: config.plugin.threads(),
        limits: config.plugin.limits.clone(),
        cache: Cache::of_user(),
        compiler: compiler()?,
        profile: EngineProfile::Production,
    };
    let fetched = plugin_source(config)?.fetch(&config.plugin.files)?;
    let components: Vec<Component> = fetched.into_iter().map(|fetched| fetched.component).collect();
    Plugins::of(&settings, &components, &config.plugin.config).map_err(|error| {
        let help = refused_settings(&error, origins);
        let failure = plugin_failure(error);
        match help {
            Some(help) => failure.help(help),
            None => failure,
        }
    })
}

/// Help that says where the settings are that a plug-in refuses: the one whose key or value the plug-in's message
/// quotes first, or else all that it was given.
fn refused_settings(error: &OpenError, origins: &[Origin]) -> Option<String> {
    let OpenError::Load(LoadError::Configure { plugin, message, .. }) = error else { return None };
    let name = plugin.split('@').next().unwrap_or(plugin);
    let section = format!("plugin.config.{name}.");
    let given: Vec<&Origin> = origins.iter().filter(|origin| origin.key.starts_with(&section)).collect();
    let quoted = message.split(['`', '"']).nth(1).unwrap_or_default();
    let is_quoted = |origin: &&&Origin| {
        let key = origin.key.rsplit('.').next().unwrap_or_default();
        key.replace('_', "-") == quoted.replace('_', "-") || origin.value.as_str() == Some(quoted)
    };
    let refused: Vec<&Origin> = given.iter().filter(is_quoted).copied().collect();
    let named = if refused.is_empty() { given } else { refused };
    let named: Vec<String> = named.iter().map(|origin| place(&origin.key, &origin.origin)).collect();
    (!named.is_empty())
        .then(|| format!("correct {}; `host plugin inspect` lists what the plug-in takes", named.join(", ")))
}

/// A component that cannot be loaded is an error of the user, unless the machine cannot compile, for example with a
/// full disk.
pub(super) fn component_failure(error: LoadError) -> Failure {
    if matches!(error, LoadError::Compiler { .. }) { Failure::runtime(error) } else { Failure::usage(error) }
}

/// The compiler of plug-ins, which runs in a child process of this program.
pub(super) fn compiler() -> Result<Compiler, Failure> {
    Compiler::this_program().map_err(Failure::runtime)
}

/// Wrong plug-ins or configuration are errors of the user; an engine that does not start is one of the machine.
pub(super) fn plugin_failure(error: OpenError) -> Failure {
    match error {
        OpenError::Load(error) if matches!(error, LoadError::Compiler { .. }) => component_failure(error),
        OpenError::Load(_) | OpenError::UnknownConfig { .. } => Failure::usage(error),
        OpenError::Engine(_) | OpenError::Threads(_) => Failure::runtime(error),
    }
}

/// The backend that writes to indexes on Marqo servers.
pub(super) fn marqo(
    config: &Config,
    settings: Arc<dyn IndexSettingsStore>,
    profile: RetryProfile,
) -> Result<Marqo, Failure> {
    Marqo::new(settings, clock(), &config.marqo, profile).map_err(Failure::runtime)
}

/// The relational catalog: at the address in the settings, or else in the data directory, whose `database` is `None` on
/// AWS.
pub(super) fn catalog(config: &Config, database: Option<&Arc<Database>>) -> Result<Catalog, Failure> {
    let settings = &config.catalog;
    match (&settings.url, database) {
        (Some(url), _) => Catalog::postgres(url, settings, clock()).map_err(Failure::usage),
        (None, Some(database)) => Ok(Catalog::sqlite(database.clone(), settings, clock())),
        (None, None) => {
            Err(Failure::usage("the catalog in a data directory cannot be written from many machines")
                .help("with --store aws, write to PostgreSQL (`catalog.url`) or to --target marqo"))
        }
    }
}

/// A storage failure, with what to do.
pub(super) fn store_failure(error: StoreError) -> Failure {
    Failure::runtime(error).help("fix the cause and run the same command again: it resumes where it stopped")
}

/// Prints text on stdout. A reader that has closed the pipe, such as `head`, is not an error.
pub(super) fn print(text: &str) -> Result<(), Failure> {
    let mut stdout = io::stdout().lock();
    match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        written => written.map_err(Failure::runtime),
    }
}

/// Prints one JSON value on a line of stdout.
pub(super) fn print_json(value: &impl Serialize) -> Result<(), Failure> {
    let mut line = serde_json::to_string(value).map_err(Failure::runtime)?;
    line.push('\n');
    print(&line)
}
