//! TLS: one crypto provider for the whole process, and the certificates that the system trusts.

use rustls::{ClientConfig, RootCertStore, crypto::ring};
use std::sync::{Arc, OnceLock};

/// Installs the process-wide crypto provider. Idempotent; an already installed provider is kept.
pub fn install_tls_provider() {
    static INSTALLED: OnceLock<()> = OnceLock::new();
    INSTALLED.get_or_init(|| {
        // An error only means that a provider is already installed.
        let _ = ring::default_provider().install_default();
    });
}

/// The TLS configuration of clients that do not speak HTTP, such as that of PostgreSQL. Servers' certificates are
/// checked against those that the system trusts, or those in the file `SSL_CERT_FILE` if that variable is set.
///
/// # Errors
/// The crypto provider supports none of the protocol versions.
pub fn tls_config() -> Result<ClientConfig, rustls::Error> {
    let mut roots = RootCertStore::empty();
    let found = rustls_native_certs::load_native_certs();
    for error in found.errors {
        tracing::warn!(%error, "a certificate of the system cannot be read");
    }
    roots.add_parsable_certificates(found.certs);
    Ok(ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth())
}
