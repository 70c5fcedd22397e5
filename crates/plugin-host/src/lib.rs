//! The seam to plug-ins: what the pipeline asks of a role, whatever contract version and engine stand behind it.
//!
//! The way of a call: [`Runner`] (roles) → [`Pool`] (threads) → instance (sandbox, limits) → contract adapter → guest,
//! and back through the checks, which are the only place where an answer becomes trusted. `bisect` isolates the items
//! that a guest cannot cope with. [`Plugins`] is how the rest of the host gets hold of it all.

mod answer;
mod bisect;
pub mod bundled;
mod cache;
mod checks;
mod conduct;
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
mod memory;
mod plugins;
mod pool;
mod roles;
mod safepoints;
mod sandbox;
mod text;
mod ticker;
mod wasi;

pub use cache::Cache;
pub use contract::{CONTRACT_VERSION, Role};
pub use engine::{Access, Engine, EngineError, Profile};
pub use inspect::{Import, Inspection};
pub use limits::Limits;
pub use load::{Config, Configs, Loader, Plugin, read_component, recognise};
pub use load_error::LoadError;
pub use plugins::{Component, OpenError, Plugins, Settings};
pub use pool::Pool;
pub use roles::Runner;
pub use text::{bounded, is_kebab_case, printable};
pub use wasi::Wasi;

use std::time::Duration;

/// What a plug-in's work on a batch cost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cost {
    /// Instructions of all calls; none under the production engine, which does not count them.
    pub instructions: Option<u64>,
    /// Linear memory of the instance afterwards, which is its peak because memory never shrinks.
    pub memory_bytes: usize,
    /// Time in the guest, with what it takes to hand a batch in and an answer out.
    pub time: Duration,
}
