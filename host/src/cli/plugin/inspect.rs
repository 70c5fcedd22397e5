//! `host plugin inspect`: shows what a plug-in is and what it imports.

use super::component;
use crate::cli::{
    CliResult, Global,
    context::{compiler, config, print, print_json},
    failure::{Exit, Failure},
    output::OutputFormat,
};
use host_core::format;
use host_core::model::Grouping;
use host_plugin_host::{Cache, Engine, EngineProfile, Import, Inspection, Limits, Wasi};
use serde_json::Value;
use std::{collections::BTreeMap, fmt::Write, path::Path};

pub(super) fn run(global: &Global, plugin: &Path) -> CliResult {
    let config = config(global)?;
    // Even where the settings refuse plug-ins that import WASI, such a plug-in can be inspected.
    let is_refused = config.plugin.limits.wasi == Wasi::None;
    let limits = &Limits { wasi: Wasi::Inert, ..config.plugin.limits };
    let engine = Engine::new(EngineProfile::Production, limits, 1).map_err(Failure::runtime)?;
    let inspection =
        Inspection::of(&component(plugin)?, &engine, limits, Cache::of_user().as_ref(), &compiler()?)
            .map_err(Failure::usage)?;
    match global.output {
        OutputFormat::Json => print_json(&inspection)?,
        OutputFormat::Text => print(&text(&inspection))?,
    }
    let imports_wasi = inspection.imports.iter().any(|import| import.name.starts_with("wasi:"));
    if imports_wasi && is_refused {
        eprintln!("warning: the plug-in imports WASI; --wasi none refuses to run it");
    }
    Ok(Exit::Completed)
}

fn text(plugin: &Inspection) -> String {
    let list = |items: Vec<String>| if items.is_empty() { "none".to_owned() } else { items.join(", ") };
    let grouping = match &plugin.grouping {
        Grouping::WholeLines => "each line is a product".to_owned(),
        Grouping::ByParent { id, parents } => {
            format!("lines with id at {id}, parent at {}", parents.join(" or "))
        }
    };
    let load = match plugin.cached_load_ms {
        Some(cached) => format!("{} ms compiled, {cached} ms from the cache", plugin.cold_load_ms),
        None => format!("{} ms compiled, no cache", plugin.cold_load_ms),
    };
    let mut text = format!("{} {}\n", plugin.name, plugin.version);
    for (name, value) in [
        ("platform", if plugin.platform.is_empty() { "none".to_owned() } else { plugin.platform.clone() }),
        ("roles", list(plugin.roles.iter().map(ToString::to_string).collect())),
        ("contract", format!("{} (this host: {})", plugin.contract, plugin.host_contract)),
        ("products", grouping),
        ("version by", list(plugin.version_fields.clone())),
        ("size", format::bytes(plugin.bytes as u64)),
        ("digest", plugin.digest.to_string()),
        ("loads in", load),
    ] {
        let _ = writeln!(text, "  {name:<10}  {value}");
    }
    for (meaning, names) in by_meaning(&plugin.imports) {
        let _ = writeln!(text, "  imports     {meaning}: {}", names.join(", "));
    }
    let properties = plugin.config_schema.get("properties").and_then(Value::as_object);
    for (key, schema) in properties.into_iter().flatten() {
        let what = schema.get("description").and_then(Value::as_str).unwrap_or_default();
        let _ = writeln!(text, "  setting     {key}: {what}{}", values(schema));
    }
    text
}

/// The names of the imports, grouped by what they provide to the plug-in.
fn by_meaning(imports: &[Import]) -> BTreeMap<&str, Vec<&str>> {
    let mut meanings: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for Import { name, meaning } in imports {
        meanings.entry(meaning).or_default().push(name);
    }
    meanings
}

/// The allowed values and the default of a setting, as far as its JSON Schema states them.
fn values(schema: &Value) -> String {
    let list = |values: &Value| {
        let values = values.as_array().map_or(&[][..], Vec::as_slice);
        values.iter().map(plain).collect::<Vec<_>>().join(", ")
    };
    let facts: Vec<String> =
        [("enum", "one of "), ("minimum", "at least "), ("maximum", "at most "), ("default", "default ")]
            .into_iter()
            .filter_map(|(key, word)| {
                let value = schema.get(key)?;
                Some(format!("{word}{}", if key == "enum" { list(value) } else { plain(value) }))
            })
            .collect();
    if facts.is_empty() { String::new() } else { format!(" ({})", facts.join("; ")) }
}

/// A value without JSON quotes.
fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}
