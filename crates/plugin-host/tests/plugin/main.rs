//! The plug-in engine against guests that mean no good, files that are no plug-ins, and its own promises.
#![allow(clippy::unwrap_used, reason = "helpers of tests are tests too")]

mod compatibility;
mod compilation;
mod deterministic;
mod guests;
mod hostile;
mod interrupts;
mod javascript;
mod loading;
mod rig;
mod roles;
mod small;
mod wasi;
