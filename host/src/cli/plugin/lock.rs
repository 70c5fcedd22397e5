//! `host plugin lock`: pins plug-in digests in `plugin.lock`.

use crate::cli::{
    CliResult, Global,
    context::{effective, print, print_json},
    failure::{Exit, Failure},
    output::OutputFormat,
    plugin_source::{PluginArgs, fetch_failure, plugin_source_without_lock},
};
use clap::Args;
use host_plugin_host::ensure_is_component;
use host_plugin_source::{FetchedPlugin, Lockfile};
use std::{fmt::Write, path::Path};

/// Arguments of `host plugin lock`.
#[derive(Debug, Args)]
pub(in crate::cli) struct LockArgs {
    #[command(flatten)]
    plugins: PluginArgs,
    /// Plug-ins to pin: files, or oci://registry/repository:tag [default: those in the settings]
    #[arg(value_name = "PLUGIN", conflicts_with = "plugins")]
    sources: Vec<std::path::PathBuf>,
}

pub(super) fn run(global: &Global, args: &LockArgs) -> CliResult {
    let mut overrides = global.overrides();
    args.plugins.set(&mut overrides);
    let config = effective(global, &overrides)?.config;
    let sources = if args.sources.is_empty() { &config.plugin.files } else { &args.sources };
    if sources.is_empty() {
        return Err(Failure::usage("neither the command line nor the settings name a plug-in")
            .help("host plugin lock shop.wasm"));
    }
    let path = config.plugin.lock.as_deref().unwrap_or(Path::new(Lockfile::DEFAULT));
    let mut lock = Lockfile::read(path).map_err(fetch_failure)?.unwrap_or_else(|| Lockfile::empty(path));
    let fetched = plugin_source_without_lock(&config)?.fetch(sources)?;
    for FetchedPlugin { component, .. } in &fetched {
        ensure_is_component(&component.path, &component.wasm).map_err(Failure::usage)?;
    }
    let pins: Vec<_> = fetched.into_iter().map(|FetchedPlugin { pin, .. }| pin).collect();
    pins.iter().for_each(|pin| lock.set(pin.clone()));
    lock.write().map_err(fetch_failure)?;
    match global.output {
        OutputFormat::Json => print_json(&pins)?,
        OutputFormat::Text => {
            let mut text = String::new();
            for pin in &pins {
                let _ = writeln!(text, "{}  {}", pin.digest, pin.source);
            }
            print(&text)?;
        }
    }
    Ok(Exit::Completed)
}
