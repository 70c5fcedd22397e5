//! Tests of the stand-in for a Marqo server, over HTTP.

#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests fail as tests do")]

mod cases;
mod exchanges;
mod faults;
mod library;
mod program;
mod rules;
mod support;
