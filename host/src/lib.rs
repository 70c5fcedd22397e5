//! The program: commands, settings, wiring and telemetry. What it does stands in the libraries below `crates/`.

pub mod cli;
pub mod config;
pub mod telemetry;

/// With glibc's own allocator, memory grows with an export while what is in use does not: each of a run's many threads keeps a
/// heap, with what was freed in it.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;
