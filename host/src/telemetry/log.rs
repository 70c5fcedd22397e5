//! Sets up structured logs on stderr.

use super::progress::Screen;
use std::io::{self, IsTerminal, Write};
use tracing_subscriber::{EnvFilter, fmt::MakeWriter};

/// Format of log lines.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum LogFormat {
    /// Plain text
    #[default]
    Text,
    /// One JSON object per line
    Json,
}

/// Sends logs to stderr, above the progress bars. The variable `HOST_LOG` filters them (`debug`,
/// `host_pipeline::worker=trace`). The default is `warn`, without the warnings of the AWS SDK while it looks for a
/// region and credentials, because its errors repeat them. `plugin_logs` adds everything that plug-ins log. Call it
/// once.
pub fn start(format: LogFormat, screen: &Screen, plugin_logs: bool) {
    let filter =
        EnvFilter::builder().with_default_directive(tracing::level_filters::LevelFilter::WARN.into());
    let directives = std::env::var("HOST_LOG").unwrap_or_default();
    let filter = filter.parse_lossy(match (directives.as_str(), plugin_logs) {
        ("", true) => "warn,aws_config=error,plugin=debug",
        ("", false) => "warn,aws_config=error",
        (directives, _) => directives,
    });
    let subscriber = tracing_subscriber::fmt().with_env_filter(filter).with_writer(screen.clone());
    match format {
        LogFormat::Text => {
            let ansi = io::stderr().is_terminal()
                && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
            subscriber.with_ansi(ansi).with_target(false).init();
        }
        LogFormat::Json => subscriber.json().flatten_event(true).init(),
    }
}

/// Writes a log line while the progress bars are hidden, so that it appears above them.
#[derive(Debug)]
pub struct LogLine<'a>(&'a Screen);

impl Write for LogLine<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.suspend(|| io::stderr().write_all(bytes))?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stderr().flush()
    }
}

impl<'a> MakeWriter<'a> for Screen {
    type Writer = LogLine<'a>;

    fn make_writer(&'a self) -> LogLine<'a> {
        LogLine(self)
    }
}
