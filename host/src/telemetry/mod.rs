//! What the program says while it works: logs and progress on stderr, metrics where the settings send them.

pub mod exporter;
pub mod log;
pub mod progress;
