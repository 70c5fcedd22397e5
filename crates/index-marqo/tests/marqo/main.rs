//! Marqo as an index, against a stand-in: a server that answers as Marqo does and fails on request.
//!
//! Time is virtual: a wait ends at once, and its length is recorded. Only answers that never come take real time
//! (0.7 s).

// Everything here is a test, which Clippy sees only in `#[test]` functions.
#![allow(clippy::unwrap_used, clippy::panic)]

mod configuration;
mod conformance;
mod documents;
mod endpoints;
mod outcomes;
mod pipeline;
mod readback;
mod storm;
mod support;
mod throttling;
mod waiting;
