//! Inspects a plug-in without configuring it or giving it products: its manifest (what it says of itself), its imports,
//! and what loading it costs.

use crate::{
    Cache, Compiler, Engine, Limits, LoadError, Loader, Role,
    contract::{self, CONTRACT_VERSION},
    untrusted_text::sanitize,
};
use host_core::model::{Digest, Grouping, PluginManifest};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::{path::Path, time::Duration};

/// What a plug-in is and what loading it costs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Inspection {
    /// Name from the plug-in's manifest.
    pub name: String,
    /// Semantic version from the manifest.
    pub version: String,
    /// The platform whose exports it reads, such as `shopify`, from the manifest; empty if it reads none.
    pub platform: String,
    /// What it can do.
    pub roles: Vec<Role>,
    /// The version of the contract (the WIT package `product-indexer:plugin`) that it was built for.
    pub contract: String,
    /// The newest version of the contract that this host supports.
    pub host_contract: String,
    /// Its imports, and what they provide.
    pub imports: Vec<Import>,
    /// Size of its WebAssembly file in bytes.
    pub bytes: usize,
    /// SHA-256 of its WebAssembly file.
    pub digest: Digest,
    /// Milliseconds to compile it.
    pub cold_load_ms: f64,
    /// Milliseconds to load it from the cache of compiled plug-ins; `None` if there is no cache, or it cannot be used.
    pub cached_load_ms: Option<f64>,
    /// The document fields that it needs to decide which of two versions of a document is newer.
    pub version_fields: Vec<String>,
    /// How the lines of an export form products.
    pub grouping: Grouping,
    /// JSON Schema of its configuration, without control characters in its texts.
    pub config_schema: Value,
}

/// An import of a plug-in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Import {
    /// The interface.
    pub name: String,
    /// What the plug-in gets by it.
    pub meaning: String,
}

impl Import {
    fn of(name: String) -> Self {
        // `compile` has refused a component with an import that has no meaning.
        let meaning = contract::meaning(&name).unwrap_or("nothing").to_owned();
        Self { name, meaning }
    }
}

impl Inspection {
    /// Inspects a component file, without configuring it.
    pub fn of(
        path: &Path,
        engine: &Engine,
        limits: &Limits,
        cache: Option<&Cache>,
        compiler: &Compiler,
    ) -> Result<Self, LoadError> {
        let loader =
            |cache| Loader::new(engine.clone(), limits.clone(), cache).with_compiler(compiler.clone());
        let cold = loader(None);
        let wasm = cold.read(path)?;
        let mut compiled = cold.compile(path, &wasm)?;
        let manifest = cold.describe(path, &mut compiled)?;
        let cached_load = cache.and_then(|cache| {
            let cached = loader(Some(cache.clone()));
            // The first load puts the plug-in into the cache, unless it is there; the second then measures.
            let load = || {
                let mut compiled = cached.compile(path, &wasm).ok()?;
                cached.describe(path, &mut compiled).ok()?;
                compiled.from_cache.then_some(compiled.time)
            };
            load().or_else(load)
        });
        let PluginManifest { name, version, platform, grouping, config_schema, version_fields } = manifest;
        Ok(Self {
            name,
            version,
            platform,
            roles: compiled.contract.roles,
            contract: compiled.contract.version,
            host_contract: CONTRACT_VERSION.to_owned(),
            imports: compiled.contract.imports.into_iter().map(Import::of).collect(),
            bytes: compiled.bytes,
            digest: compiled.digest,
            cold_load_ms: milliseconds(compiled.time),
            cached_load_ms: cached_load.map(milliseconds),
            version_fields,
            grouping,
            // `describe` has checked that it is JSON.
            config_schema: fit_for_terminals(serde_json::from_str(&config_schema).unwrap_or_default()),
        })
    }
}

/// A schema without control characters: its descriptions are shown to people.
fn fit_for_terminals(schema: Value) -> Value {
    match schema {
        Value::String(text) => Value::String(sanitize(&text).into_owned()),
        Value::Array(items) => items.into_iter().map(fit_for_terminals).collect(),
        Value::Object(fields) => fields
            .into_iter()
            .map(|(key, value)| (sanitize(&key).into_owned(), fit_for_terminals(value)))
            .collect(),
        other => other,
    }
}

/// Milliseconds with one digit after the point.
fn milliseconds(time: Duration) -> f64 {
    (time.as_secs_f64() * 10_000.0).round() / 10.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_schema_does_not_steer_the_terminal() {
        let schema = serde_json::json!({ "\u{1b}[1ma": [{ "description": "one\ntwo" }, 1] });
        assert_eq!(fit_for_terminals(schema), serde_json::json!({ "a": [{ "description": "one two" }, 1] }));
    }
}
