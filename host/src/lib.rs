//! The program `host`: commands, settings, wiring and telemetry. The logic is in the libraries in `crates/`.

pub mod cli;
pub mod config;
pub mod telemetry;

/// jemalloc. With glibc's allocator each of a run's many threads keeps a heap of its own with what it has freed, so
/// that the process grows with the size of the export although its live memory does not.
#[cfg(not(target_env = "msvc"))]
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;
