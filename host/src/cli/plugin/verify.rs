//! `host plugin verify`: everything that happens before a plug-in gets its first product.

use super::load;
use crate::{
    cli::{
        Ended, Global,
        context::{config, plugin_failure, print, print_json},
        failure::{Exit, Failure},
        output::OutputFormat,
        supply::supply,
    },
    config::Config,
};
use host_plugin_dev::workbench::Workbench;
use host_plugin_host::{Plugin, Profile, check_configs};
use serde_json::json;
use std::path::Path;

/// Refuses the configuration of a plug-in that neither this one nor those of the settings is, as `host run` does.
fn check(workbench: &Workbench, plugin: &Plugin, config: &Config) -> Result<(), Failure> {
    let configs = &config.plugin.config;
    let mut plugins = vec![plugin.clone(), workbench.bundled(configs).map_err(Failure::usage)?];
    if check_configs(&plugins, configs).is_err() {
        for supplied in supply(config)?.get(&config.plugin.files)? {
            plugins.push(workbench.load_component(&supplied.component, configs).map_err(Failure::usage)?);
        }
    }
    check_configs(&plugins, configs).map_err(plugin_failure)
}

pub(super) fn run(global: &Global, path: &Path) -> Ended {
    let config = config(global)?;
    let workbench = super::workbench(&config, Profile::Production)?;
    let plugin = load(&workbench, path, &config)?;
    // A project has a configuration of its own.
    if !path.is_dir() {
        check(&workbench, &plugin, &config)?;
    }
    let (reference, roles) = (plugin.plugin_ref(), plugin.roles());
    match global.output {
        OutputFormat::Json => print_json(&json!({ "plugin": reference, "roles": roles }))?,
        OutputFormat::Text => {
            let roles: Vec<&str> = roles.iter().map(|role| role.as_str()).collect();
            print(&format!(
                "{}@{} can be used: it loads, links, describes itself and takes its configuration (roles: {})\n",
                reference.name,
                reference.version,
                roles.join(", ")
            ))?;
        }
    }
    Ok(Exit::Completed)
}
