//! The settings `[telemetry]`: where metrics go.

use serde::{Deserialize, Serialize};
use std::{net::SocketAddr, path::PathBuf};

/// Where metrics go; by default nowhere.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TelemetryConfig {
    /// File for metrics in Prometheus' text format, written every ten seconds and at the end.
    pub prometheus_file: Option<PathBuf>,
    /// Address at which Prometheus scrapes metrics, such as `127.0.0.1:9464`.
    pub prometheus_listen: Option<SocketAddr>,
    /// Whether metrics are printed on stderr in CloudWatch's embedded metric format.
    pub emf: bool,
}
