//! Brings metrics to where somebody looks at them: a Prometheus file or address, or CloudWatch through log lines.

use crate::config::TelemetryConfig;
use host_core::{clock::SharedEnv, metrics as names};
use metrics_cloudwatch_embedded::Collector;
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use std::{
    io::{self, Write},
    path::{Path, PathBuf},
    time::Duration,
};

/// Between two writes of the file.
const FILE_EVERY: Duration = Duration::from_secs(10);
/// Between two sets of log lines: the collector keeps a hundred values of a histogram in between.
const EMF_EVERY: Duration = Duration::from_secs(1);

/// Upper bounds of durations in seconds: from a quick read to a batch of pictures that a server has to download.
const SECONDS: [f64; 12] = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 15.0, 60.0];
/// Upper bounds of numbers of documents; 128 is Marqo's limit.
const DOCUMENTS: [f64; 8] = [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0];

/// The metrics of this process cannot be exported as wanted.
#[derive(Debug, thiserror::Error)]
pub enum ExporterError {
    /// Two ways that exclude each other.
    #[error(
        "metrics go to Prometheus or to CloudWatch, not to both: set `telemetry.emf`, or `telemetry.prometheus_file` and \
         `telemetry.prometheus_listen`"
    )]
    Both,
    /// The listener or the recorder did not start.
    #[error("metrics cannot be exported: {0}")]
    Start(String),
}

/// Writes what has been measured.
#[derive(Clone)]
pub struct Exporter(Sink);

#[derive(Clone)]
enum Sink {
    None,
    /// Served, if an address was named, by a task of its own.
    Prometheus(PrometheusHandle, Option<PathBuf>),
    Emf(&'static Collector),
}

/// Begins to collect metrics, if they go anywhere. Called once, inside of the runtime.
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
        .set_buckets_for_metric(Matcher::Suffix("_seconds".to_owned()), &SECONDS)
        .and_then(|builder| {
            builder.set_buckets_for_metric(Matcher::Suffix("_documents".to_owned()), &DOCUMENTS)
        })
        .map_err(|error| failed(&error))?;
    let recorder = match config.prometheus_listen {
        None => builder.build_recorder(),
        Some(address) => {
            builder = builder.with_http_listener(address);
            let (recorder, serve) = builder.build().map_err(|error| failed(&error))?;
            tokio::spawn(async move {
                if let Err(error) = serve.await {
                    tracing::error!(?error, "metrics are no longer served");
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
    /// Writes again and again, for as long as it is polled.
    pub async fn run(self, env: SharedEnv) {
        let every = match self.0 {
            Sink::None => return,
            Sink::Prometheus(..) => FILE_EVERY,
            Sink::Emf(_) => EMF_EVERY,
        };
        loop {
            env.sleep(every).await;
            self.flush();
        }
    }

    /// Writes what has been measured up to now. A failure is told and costs nothing but the metrics.
    pub fn flush(&self) {
        let written = match &self.0 {
            Sink::None | Sink::Prometheus(_, None) => Ok(()),
            Sink::Prometheus(handle, Some(file)) => {
                handle.run_upkeep();
                replace(file, &handle.render())
            }
            Sink::Emf(collector) => {
                // At once: CloudWatch takes nothing from a line that another thread's log has come between.
                let mut lines = Vec::new();
                collector.flush(&mut lines).and_then(|()| io::stderr().lock().write_all(&lines))
            }
        };
        if let Err(error) = written {
            tracing::warn!(%error, "metrics could not be written");
        }
    }
}

/// Replaces a file, so that a reader sees the old text or the new one.
fn replace(file: &Path, text: &str) -> io::Result<()> {
    let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let named = |error: io::Error| io::Error::new(error.kind(), format!("{}: {error}", file.display()));
    let mut unfinished = tempfile::NamedTempFile::new_in(folder).map_err(named)?;
    unfinished.write_all(text.as_bytes())?;
    // Others collect it: the mode of any file that is made here, not of a temporary one.
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        unfinished.as_file().set_permissions(std::fs::Permissions::from_mode(0o644))?;
    }
    unfinished.persist(file).map(drop).map_err(|error| error.error)
}
