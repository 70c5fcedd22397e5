//! Connects to the PostgreSQL database of the catalog.

use deadpool_postgres::{Manager, ManagerConfig, Pool, RecyclingMethod, Runtime};
use host_core::secret::Secret;
use host_net::tls_config;
use std::{num::NonZeroUsize, str::FromStr, time::Duration};
use tokio_postgres::{Config, NoTls, config::Host};
use tokio_postgres_rustls::MakeRustlsConnect;

/// A string that is not the URL of a PostgreSQL database.
#[derive(Debug, thiserror::Error)]
pub enum InvalidUrl {
    /// It cannot be parsed. The message does not repeat it: it may hold a password.
    #[error("`catalog.url` is not a PostgreSQL URL; use postgres://user:password@server/database")]
    Unreadable(#[source] tokio_postgres::Error),
    /// TLS cannot be set up.
    #[error("encryption cannot be set up")]
    Encryption(#[from] rustls::Error),
    /// The connection pool rejects its settings.
    #[error("connections cannot be kept")]
    Pool(#[from] deadpool_postgres::BuildError),
}

/// Longest wait for a connection, unless the URL has `connect_timeout`.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// How long a server may be silent until it counts as unreachable, unless the URL has other values: a call that waits
/// for it then fails, and the record of its job says why. The operating system's own limits are hours.
const SILENT_FOR: Duration = Duration::from_secs(60);
/// Number of TCP keepalive probes without an answer after which the system closes the connection.
const KEEPALIVES: u32 = 3;

/// A database and its name.
pub(super) struct Database {
    /// Its connections, which are opened when they are first needed.
    pub(super) pool: Pool,
    /// Its name for messages.
    pub(super) name: String,
    /// Its address without user and password, so that it is the same for all processes that write to it.
    pub(super) address: String,
}

pub(super) fn database(url: &Secret, connections: NonZeroUsize) -> Result<Database, InvalidUrl> {
    let mut config = Config::from_str(url.expose()).map_err(InvalidUrl::Unreadable)?;
    set_timeouts(&mut config);
    if config.get_application_name().is_none() {
        config.application_name("host");
    }
    let (name, address) = (name(&config), address(&config));
    let recycling = ManagerConfig { recycling_method: RecyclingMethod::Fast };
    let is_local = config.get_hosts().iter().all(|host| matches!(host, Host::Unix(_)));
    let manager = if is_local && !config.get_hosts().is_empty() {
        // Without TLS: a Unix socket has no host name that a certificate could be for.
        Manager::from_config(config, NoTls, recycling)
    } else {
        Manager::from_config(config, MakeRustlsConnect::new(tls_config()?), recycling)
    };
    let pool = Pool::builder(manager).max_size(connections.get()).runtime(Runtime::Tokio1).build()?;
    Ok(Database { pool, name, address })
}

/// Sets the timeouts that the address leaves out.
fn set_timeouts(config: &mut Config) {
    if config.get_connect_timeout().is_none() {
        config.connect_timeout(CONNECT_TIMEOUT);
    }
    if config.get_tcp_user_timeout().is_none() {
        config.tcp_user_timeout(SILENT_FOR);
    }
    if config.get_keepalives_idle() == Config::new().get_keepalives_idle() {
        config.keepalives_idle(SILENT_FOR / 2);
    }
    if config.get_keepalives_interval().is_none() {
        config.keepalives_interval(SILENT_FOR / 2 / KEEPALIVES);
    }
    if config.get_keepalives_retries().is_none() {
        config.keepalives_retries(KEEPALIVES);
    }
}

/// The name of the database for messages, without user and password.
fn name(config: &Config) -> String {
    format!("database {} on {}", dbname(config), server(config))
}

fn address(config: &Config) -> String {
    let port = config.get_ports().first().copied().unwrap_or(5432);
    format!("postgres://{}:{port}/{}", server(config), dbname(config))
}

fn server(config: &Config) -> String {
    match config.get_hosts().first() {
        Some(Host::Tcp(host)) => host.clone(),
        Some(Host::Unix(path)) => path.display().to_string(),
        None => "localhost".to_owned(),
    }
}

fn dbname(config: &Config) -> &str {
    config.get_dbname().or(config.get_user()).unwrap_or("postgres")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(url: &str) -> Config {
        let mut config = Config::from_str(url).unwrap();
        set_timeouts(&mut config);
        config
    }

    #[test]
    fn a_silent_server_counts_as_unreachable_within_a_minute() {
        let config = config("postgres://catalog@db.example/shop");
        let probes = config.get_keepalives_interval().unwrap() * config.get_keepalives_retries().unwrap();
        assert_eq!(config.get_keepalives_idle() + probes, SILENT_FOR);
        assert_eq!(config.get_tcp_user_timeout(), Some(&SILENT_FOR));
        assert!(config.get_keepalives() && *config.get_connect_timeout().unwrap() < SILENT_FOR);
    }

    #[test]
    fn timeouts_in_the_url_replace_the_defaults() {
        let url = "postgres://catalog@db.example/shop?connect_timeout=7&tcp_user_timeout=8&keepalives_idle=9\
                   &keepalives_interval=10&keepalives_retries=11";
        let config = config(url);
        let seconds = Duration::from_secs;
        assert_eq!(config.get_connect_timeout(), Some(&seconds(7)));
        assert_eq!(config.get_tcp_user_timeout(), Some(&seconds(8)));
        assert_eq!(
            (config.get_keepalives_idle(), config.get_keepalives_interval()),
            (seconds(9), Some(seconds(10)))
        );
        assert_eq!(config.get_keepalives_retries(), Some(11));
    }
}
