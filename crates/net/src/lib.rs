//! What all HTTP clients of the host share.

use std::sync::OnceLock;

/// The process has one provider of cryptography, and naming ours leaves none to chance.
pub fn install_tls_provider() {
    static INSTALLED: OnceLock<()> = OnceLock::new();
    INSTALLED.get_or_init(|| {
        // Somebody else's is as good.
        let _ = rustls::crypto::ring::default_provider().install_default();
    });
}
