//! What `host run` does: find or create the job of an export (`job`), then ingest it and write its chunks until it
//! has ended (`run_job`).

mod job;
mod run_job;
#[cfg(test)]
mod tests;

pub use job::{JobRequest, new_id, platform};
pub use run_job::{Notice, RunError, RunJob};
