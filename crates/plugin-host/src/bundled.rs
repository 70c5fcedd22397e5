//! The plug-in built into the host: it has the roles that no other plug-in has.

use crate::{Compiler, Configs, LoadError, Loader, Plugin};
use std::path::Path;

/// The component, built from `plugins/default-validator` together with the host.
pub const COMPONENT: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/default_validator.wasm"));

/// What messages call it.
pub const PATH: &str = "<bundled validate>";

/// Loads the bundled plug-in. It is trusted, so that this process compiles it.
pub fn load(loader: &Loader, configs: &Configs) -> Result<Plugin, LoadError> {
    loader.clone().with_compiler(Compiler::InProcess).load_bytes(Path::new(PATH), COMPONENT, configs)
}
