//! Exports metrics: to a Prometheus file or HTTP endpoint, or to CloudWatch as log lines in the embedded metric format.

use crate::config::TelemetryConfig;
use host_core::{clock::SharedClock, metrics as names};
use metrics_cloudwatch_embedded::Collector;
use metrics_exporter_prometheus::{BuildError, Matcher, PrometheusBuilder, PrometheusHandle};
use std::{
    io::{self, Write},
    net::SocketAddr,
    path::{Path, PathBuf},
    time::Duration,
};

/// Interval between two writes of the Prometheus file.
const FILE_INTERVAL: Duration = Duration::from_secs(10);
/// Interval between two sets of CloudWatch log lines: the collector keeps at most 100 values of a histogram until then.
const EMF_INTERVAL: Duration = Duration::from_secs(1);

/// Histogram buckets of durations, in seconds: from a quick read to a batch whose pictures the server downloads.
const SECONDS_BUCKETS: [f64; 12] = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 15.0, 60.0];
/// Histogram buckets of batch sizes, in documents; 128 is Marqo's limit.
const DOCUMENTS_BUCKETS: [f64; 8] = [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0];

/// Why metrics cannot be exported.
#[derive(Debug, thiserror::Error)]
pub enum ExporterError {
    /// Both Prometheus and CloudWatch are configured.
    #[error(
        "metrics go either to Prometheus or to CloudWatch: unset `telemetry.emf`, or both `telemetry.prometheus_file` and \
         `telemetry.prometheus_listen`"
    )]
    Both,
    /// The address cannot be listened at: another process has it, or it is not this machine's.
    #[error("metrics cannot be served at {address}, which `telemetry.prometheus_listen` names: {reason}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// The operating system's error.
        reason: String,
    },
    /// The library that collects metrics cannot be started.
    #[error("cannot export metrics: {0}")]
    Start(String),
}

/// Writes the metrics of this process to the configured target.
#[derive(Clone)]
pub struct Exporter(Sink);

#[derive(Clone)]
enum Sink {
    /// No target is configured.
    None,
    /// The file to write, if one is configured. A separate task serves HTTP, if an address is configured.
    Prometheus(PrometheusHandle, Option<PathBuf>),
    /// CloudWatch's embedded metric format: log lines on stderr.
    Emf(&'static Collector),
}

/// Starts to collect metrics if a target is configured. Call it once, inside the tokio runtime.
///
/// # Errors
/// Both targets are configured, or the HTTP listener cannot be started.
pub fn start(config: &TelemetryConfig) -> Result<Exporter, ExporterError> {
    let to_prometheus = config.prometheus_file.is_some() || config.prometheus_listen.is_some();
    let exporter = match (to_prometheus, config.emf) {
        (false, false) => Ok(Exporter(Sink::None)),
        (true, true) => Err(ExporterError::Both),
        (true, false) => prometheus(config),
        (false, true) => {
            names::name_for_cloudwatch();
            let builder = metrics_cloudwatch_embedded::Builder::new().cloudwatch_namespace("host");
            let collector = builder.init().map_err(|error| ExporterError::Start(error.to_string()))?;
            Ok(Exporter(Sink::Emf(collector)))
        }
    }?;
    names::describe();
    Ok(exporter)
}

fn prometheus(config: &TelemetryConfig) -> Result<Exporter, ExporterError> {
    let failed = |error: &dyn std::fmt::Display| ExporterError::Start(error.to_string());
    let mut builder = PrometheusBuilder::new()
        .set_buckets_for_metric(Matcher::Suffix("_seconds".to_owned()), &SECONDS_BUCKETS)
        .and_then(|builder| {
            builder.set_buckets_for_metric(Matcher::Suffix("_documents".to_owned()), &DOCUMENTS_BUCKETS)
        })
        .map_err(|error| failed(&error))?;
    let recorder = match config.prometheus_listen {
        None => builder.build_recorder(),
        Some(address) => {
            builder = builder.with_http_listener(address);
            let (recorder, serve) = builder.build().map_err(|error| match error {
                BuildError::FailedToCreateHTTPListener(reason) => ExporterError::Listen { address, reason },
                error => failed(&error),
            })?;
            tokio::spawn(async move {
                if let Err(error) = serve.await {
                    tracing::error!(?error, "the metrics endpoint stopped");
                }
            });
            recorder
        }
    };
    let handle = recorder.handle();
    metrics::set_global_recorder(recorder).map_err(|error| failed(&error))?;
    Ok(Exporter(Sink::Prometheus(handle, config.prometheus_file.clone())))
}

impl Exporter {
    /// Writes metrics periodically and never returns, unless no target is configured.
    pub async fn run(self, clock: SharedClock) {
        let interval = match self.0 {
            Sink::None => return,
            Sink::Prometheus(..) => FILE_INTERVAL,
            Sink::Emf(_) => EMF_INTERVAL,
        };
        loop {
            clock.sleep(interval).await;
            self.flush();
        }
    }

    /// Writes the current metrics. A failure is logged and ignored.
    pub fn flush(&self) {
        let written = match &self.0 {
            Sink::None | Sink::Prometheus(_, None) => Ok(()),
            Sink::Prometheus(handle, Some(file)) => {
                handle.run_upkeep();
                replace(file, &handle.render())
            }
            Sink::Emf(collector) => {
                // One write under the lock: CloudWatch ignores a line that another log line has split.
                let mut lines = Vec::new();
                collector.flush(&mut lines).and_then(|()| io::stderr().lock().write_all(&lines))
            }
        };
        if let Err(error) = written {
            tracing::warn!(%error, "cannot write metrics");
        }
    }
}

/// Replaces a file atomically, so that a reader never sees half of it.
fn replace(file: &Path, text: &str) -> io::Result<()> {
    let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let with_path = |error: io::Error| io::Error::new(error.kind(), format!("{}: {error}", file.display()));
    let mut temp = tempfile::NamedTempFile::new_in(folder).map_err(with_path)?;
    temp.write_all(text.as_bytes())?;
    // Temporary files are private to their user, but the program that collects the metrics runs as another one.
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        temp.as_file().set_permissions(std::fs::Permissions::from_mode(0o644))?;
    }
    temp.persist(file).map(drop).map_err(|error| error.error)
}
