//! `host plugin verify`: does with a plug-in what precedes the first product: load, link, describe, configure.

use super::load;
use crate::{
    cli::{
        CliResult, Global,
        context::{config, plugin_failure, print, print_json},
        failure::{Exit, Failure},
        output::OutputFormat,
        plugin_source::plugin_source,
    },
    config::Config,
};
use host_plugin_dev::engine::DevEngine;
use host_plugin_host::{EngineProfile, Plugin, check_configs};
use serde_json::json;
use std::path::Path;

/// Refuses, as `host run` does, settings that configure a plug-in which is neither this one nor one that the settings
/// name.
fn check(engine: &DevEngine, plugin: &Plugin, config: &Config) -> Result<(), Failure> {
    let configs = &config.plugin.config;
    let mut plugins = vec![plugin.clone(), engine.bundled(configs).map_err(Failure::usage)?];
    if check_configs(&plugins, configs).is_err() {
        for fetched in plugin_source(config)?.fetch(&config.plugin.files)? {
            plugins.push(engine.load_component(&fetched.component, configs).map_err(Failure::usage)?);
        }
    }
    check_configs(&plugins, configs).map_err(plugin_failure)
}

pub(super) fn run(global: &Global, path: &Path) -> CliResult {
    let config = config(global)?;
    let engine = super::dev_engine(&config, EngineProfile::Production)?;
    let plugin = load(&engine, path, &config)?;
    // A project is configured by its `plugin.toml`, not by the settings.
    if !path.is_dir() {
        check(&engine, &plugin, &config)?;
    }
    let (reference, roles) = (plugin.plugin_ref(), plugin.roles());
    match global.output {
        OutputFormat::Json => print_json(&json!({ "plugin": reference, "roles": roles }))?,
        OutputFormat::Text => {
            let roles: Vec<&str> = roles.iter().map(|role| role.as_str()).collect();
            print(&format!(
                "{}@{} works with this host: it loads, links, describes itself and accepts its configuration (roles: {})\n",
                reference.name,
                reference.version,
                roles.join(", ")
            ))?;
        }
    }
    Ok(Exit::Completed)
}
