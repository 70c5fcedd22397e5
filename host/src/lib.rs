//! The program: commands, settings, wiring and telemetry. What it does stands in the libraries below `crates/`.

pub mod cli;
pub mod config;
pub mod heap;
pub mod telemetry;
