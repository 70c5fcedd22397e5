//! The plug-in that the host brings along: it fills the roles that no other plug-in plays.

use crate::{Configs, LoadError, Loader, Plugin};
use std::path::Path;

/// The component, built from `plugins/default-validator` together with the host.
pub const COMPONENT: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/default_validator.wasm"));

/// What messages call it.
pub const PATH: &str = "<bundled validate>";

/// Loads the bundled plug-in.
pub fn load(loader: &Loader, configs: &Configs) -> Result<Plugin, LoadError> {
    loader.load_bytes(Path::new(PATH), COMPONENT, configs)
}
