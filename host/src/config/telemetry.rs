use serde::{Deserialize, Serialize};
use std::{net::SocketAddr, path::PathBuf};

/// Where metrics go; nowhere if nothing is said.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TelemetryConfig {
    /// File that metrics are written to in Prometheus' text format, every ten seconds and at the end.
    pub prometheus_file: Option<PathBuf>,
    /// Address that metrics are served at for Prometheus to scrape: `127.0.0.1:9464`.
    pub prometheus_listen: Option<SocketAddr>,
    /// Whether metrics are printed on stderr in CloudWatch's embedded metric format, a line a set of dimensions.
    pub emf: bool,
}
