//! The use cases: what `host run` does today and an HTTP API can do as well.

mod job;
mod run_job;
#[cfg(test)]
mod tests;

pub use job::{JobRequest, new_id, platform};
pub use run_job::{Notice, RunError, RunJob};
