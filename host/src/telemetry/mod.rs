//! Telemetry: logs and progress on stderr, metrics to Prometheus or CloudWatch.

pub mod exporter;
pub mod log;
pub mod progress;
