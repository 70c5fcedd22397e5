//! Tests of the real binary, used as its users use it: started in an empty folder, its exit code, stdout and stderr
//! read. Marqo and AWS are stand-ins: local servers that answer as the real ones do, and fail on request.

#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests fail as tests do")]

mod archive;
mod authoring;
mod aws;
mod aws_crash;
mod aws_operator;
mod bad_input;
mod cases;
mod catalog;
mod catalog_crash;
mod crash;
mod dead_letters;
mod everyday;
mod examples;
mod forget;
mod function;
mod idle;
mod input_forms;
mod interrupt;
mod lambda;
mod marqo;
mod metrics;
mod needs_samples;
mod order;
mod plugin_source;
mod quarantine;
mod reconcile;
#[path = "../../../crates/plugin-source/tests/registry/mod.rs"]
mod registry;
mod retention;
mod rows;
mod s3_source;
mod settings;
mod status;
mod stopped;
mod support;
mod swap;
mod sync;
mod why;
