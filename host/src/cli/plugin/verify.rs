//! `host plugin verify`: performs every step up to the first product: load, link, describe, configure.

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
    let plugin = load(&super::dev_engine(&config, Profile::Production)?, path, &config)?;
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
