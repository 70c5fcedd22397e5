use host_index_marqo::MarqoOptions;
use serde::{Deserialize, Serialize};
use std::{num::NonZeroU64, time::Duration};

/// Requests to a Marqo server. Endpoint and key of an index are kept by `host settings`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct MarqoConfig {
    /// Timeout of a connection in seconds; then the fallback endpoint is tried.
    pub connect_timeout_seconds: NonZeroU64,
    /// Timeout of a request in seconds; then the documents are read back, since the request may have been carried out.
    pub request_timeout_seconds: NonZeroU64,
    /// Seconds for which a worker caches the settings of an index.
    pub settings_ttl_seconds: NonZeroU64,
    /// Seconds for which a throttling server (429, 503) is retried before a chunk is requeued.
    pub throttle_patience_seconds: NonZeroU64,
    /// Seconds for which an unreachable server is retried before a chunk is requeued.
    pub unreachable_patience_seconds: NonZeroU64,
}

impl Default for MarqoConfig {
    fn default() -> Self {
        Self {
            connect_timeout_seconds: const { NonZeroU64::new(5).expect("is not 0") },
            // As long as the server itself waits for its model.
            request_timeout_seconds: const { NonZeroU64::new(300).expect("is not 0") },
            settings_ttl_seconds: const { NonZeroU64::new(60).expect("is not 0") },
            throttle_patience_seconds: const { NonZeroU64::new(600).expect("is not 0") },
            unreachable_patience_seconds: const { NonZeroU64::new(60).expect("is not 0") },
        }
    }
}

impl MarqoConfig {
    /// The same for the index.
    pub fn options(&self) -> MarqoOptions {
        let seconds = |seconds: NonZeroU64| Duration::from_secs(seconds.get());
        MarqoOptions {
            connect_timeout: seconds(self.connect_timeout_seconds),
            attempt_timeout: seconds(self.request_timeout_seconds),
            settings_expiry: seconds(self.settings_ttl_seconds),
            throttle_patience: seconds(self.throttle_patience_seconds),
            unreachable_patience: seconds(self.unreachable_patience_seconds),
            ..MarqoOptions::default()
        }
    }
}
