//! The plug-in that `host` brings along: it judges documents by the rules of a Marqo index, so that a bad one is
//! refused by name before anything is sent, and it decides which of two versions of a document is newer.
//!
//! Everything is plain Rust and runs natively; `component` alone knows that it is a WebAssembly component. A judgement
//! depends on one document and the configuration, never on the other documents of the batch: host itself finds two
//! documents with one id.

mod compare;
#[cfg(target_arch = "wasm32")]
mod component;
mod config;
mod document;
mod instant;
mod integer;
mod issue;
mod json;
mod keys;
pub mod manifest;
mod measure;
mod names;
mod number;
mod prices;
mod text;
mod urls;
mod values;
mod variants;
mod vectors;

pub use compare::compare;
pub use config::{Config, InvalidConfiguration};
pub use document::Validator;
pub use issue::{Issue, Severity};
