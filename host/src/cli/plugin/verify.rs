//! `host plugin verify`: everything that happens before a plug-in gets its first product.

use super::load;
use crate::cli::{
    Ended, Global,
    context::{config, print, print_json},
    failure::Exit,
    output::OutputFormat,
};
use host_plugin_host::Profile;
use serde_json::json;
use std::path::Path;

pub(super) fn run(global: &Global, path: &Path) -> Ended {
    let config = config(global)?;
    let plugin = load(&super::workbench(&config, Profile::Production)?, path, &config)?;
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
