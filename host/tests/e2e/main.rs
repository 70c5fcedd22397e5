//! The real binary, used as its users use it: started in an empty folder, its exit code, stdout and stderr read.

#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests fail as tests do")]

mod authoring;
mod bad_input;
mod crash;
mod everyday;
mod interrupt;
mod marqo;
mod metrics;
mod order;
mod rows;
mod samples;
mod settings;
mod support;
mod sync;
