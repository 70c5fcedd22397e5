//! The program: commands, settings, wiring and telemetry. The logic is in the libraries below `crates/`.

pub mod cli;
pub mod config;
pub mod telemetry;

/// With glibc's own allocator, memory grows with an export while what is in use does not: each of a run's many threads keeps a
/// heap, with what was freed in it.
#[cfg(not(target_env = "msvc"))]
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;
