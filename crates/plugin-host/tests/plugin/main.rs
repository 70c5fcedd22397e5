//! Tests of the whole crate with compiled plug-ins: malicious ones, files that are not plug-ins, and the guarantees for
//! good ones.
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
