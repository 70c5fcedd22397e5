//! What the program says while it works: logs and progress, all on stderr.

pub mod log;
pub mod metrics;
pub mod progress;
