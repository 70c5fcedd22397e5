//! Runs plug-ins, WebAssembly components that turn a shop's products into documents, in a sandbox.
//!
//! A [`Loader`] loads a plug-in: it checks what kind of file it is, scans it (`scan`), has a child process compile it
//! (`compile`) or takes it from the [`Cache`], asks it for its manifest and configures it. A call goes from the
//! [`Runner`] of a role (transform, validate, version) to the [`Pool`] of threads, to an instance (sandbox, limits),
//! through the adapter of the contract's version (the contract is the WIT package in `wit/`) to the guest, the
//! plug-in's own code. The answer comes back through `output_validation`, the only place where it becomes trusted.
//! `bisect` isolates the items of a batch that a guest fails on, the circuit breaker stops a plug-in that keeps
//! failing, and the watchdog interrupts calls that take too long. [`Plugins`] puts it all together.

mod bisect;
pub mod bundled;
mod cache;
mod circuit_breaker;
mod code;
mod compile;
mod contract;
mod contract_v0_1;
mod engine;
mod fault;
mod inspect;
mod instance;
mod json;
mod limits;
mod load;
mod load_error;
mod manifest;
mod output_validation;
mod plugins;
mod pool;
mod raw;
mod roles;
mod sandbox;
mod scan;
mod untrusted_text;
mod wasi;
mod watchdog;

pub use cache::Cache;
pub use compile::{COMPILE_COMMAND, Compiler, compile_for_parent};
pub use contract::{CONTRACT_VERSION, Role};
pub use engine::{Access, Engine, EngineError, EngineProfile};
pub use inspect::{Import, Inspection};
pub use limits::Limits;
pub use load::{Config, Configs, Loader, Plugin, ensure_is_component, read_component};
pub use load_error::LoadError;
pub use plugins::{Component, OpenError, Plugins, Settings, check_configs};
pub use pool::Pool;
pub use roles::Runner;
pub use untrusted_text::{is_kebab_case, sanitize, truncate};
pub use wasi::Wasi;

use std::time::Duration;

/// What a plug-in's work on a batch of products or documents cost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cost {
    /// WebAssembly instructions of all calls; `None` under the production engine, which does not count them.
    pub instructions: Option<u64>,
    /// Bytes of linear memory of the instance afterwards, which is its peak because memory never shrinks.
    pub memory_bytes: usize,
    /// Time in the plug-in, including the copying of the batch and the answer.
    pub time: Duration,
}
