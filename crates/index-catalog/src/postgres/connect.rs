//! Connects to the database.

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
    /// The pool rejects its settings.
    #[error("connections cannot be kept")]
    Pool(#[from] deadpool_postgres::BuildError),
}

/// Longest wait for a connection, unless the address says otherwise.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// A database and its name.
pub(super) struct Database {
    /// Connections that are made when they are first needed.
    pub(super) pool: Pool,
    /// Its name for messages.
    pub(super) name: String,
    /// Its address without user and password, the same for all who write to it.
    pub(super) address: String,
}

pub(super) fn database(url: &Secret, connections: NonZeroUsize) -> Result<Database, InvalidUrl> {
    let mut config = Config::from_str(url.expose()).map_err(InvalidUrl::Unreadable)?;
    if config.get_connect_timeout().is_none() {
        config.connect_timeout(CONNECT_TIMEOUT);
    }
    if config.get_application_name().is_none() {
        config.application_name("host");
    }
    let (name, address) = (name(&config), address(&config));
    let recycling = ManagerConfig { recycling_method: RecyclingMethod::Fast };
    let is_local = config.get_hosts().iter().all(|host| matches!(host, Host::Unix(_)));
    let manager = if is_local && !config.get_hosts().is_empty() {
        // A socket has no name that a certificate could be for.
        Manager::from_config(config, NoTls, recycling)
    } else {
        Manager::from_config(config, MakeRustlsConnect::new(tls_config()?), recycling)
    };
    let pool = Pool::builder(manager).max_size(connections.get()).runtime(Runtime::Tokio1).build()?;
    Ok(Database { pool, name, address })
}

/// The database without user and password.
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
