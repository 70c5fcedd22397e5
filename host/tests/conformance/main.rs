//! What every backend of a seam must do, sentence by sentence of the traits' documentation.
//!
//! The checks know a backend only by its traits and wait only by `Env::sleep`. Each uses names of its own, so that
//! a backend that cannot be emptied can be checked too.

// Everything here is a test, which Clippy sees only in `#[test]` functions.
#![allow(clippy::unwrap_used, clippy::panic)]

mod aws;
mod catalog;
mod checks;
mod chunks;
mod clock;
mod embedded;
mod index;
mod jobs;
mod make;
mod marqo;
mod overlap;
mod pgvector;
mod postgres;
mod processes;
mod properties;
mod queue;
mod settings;
mod speed;
