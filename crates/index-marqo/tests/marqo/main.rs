//! Marqo as an index, against a server that answers as Marqo does and fails on request.
//!
//! Time is virtual: what the code waits for has passed at once, and is noted. Only answers that never come take real time.

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
