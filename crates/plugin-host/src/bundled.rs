//! The plug-in built into the host. It takes each of its roles (judging documents, comparing their versions) that no
//! plug-in of the user takes.

use crate::{Compiler, Configs, LoadError, Loader, Plugin};
use std::path::Path;

/// The component, built from `plugins/default-validator` together with the host.
pub const COMPONENT: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/default_validator.wasm"));

/// What messages name in place of the path of a file.
pub const PATH: &str = "<bundled validate>";

/// Loads the bundled plug-in. This process compiles it and no child process does, because it is trusted.
pub fn load(loader: &Loader, configs: &Configs) -> Result<Plugin, LoadError> {
    loader.clone().with_compiler(Compiler::InProcess).load_bytes(Path::new(PATH), COMPONENT, configs)
}
