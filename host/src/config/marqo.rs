use host_index_marqo::MarqoOptions;
use serde::{Deserialize, Serialize};
use std::{num::NonZeroU64, time::Duration};

/// How the host talks to a Marqo server. What belongs to one index, its address and key, is kept by `host settings`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct MarqoConfig {
    /// Longest wait for a connection before the fallback endpoint is tried, in seconds.
    pub connect_timeout_seconds: NonZeroU64,
    /// Longest wait for the answer to one request, in seconds; then nothing is known about what it did, and the documents
    /// are read back.
    pub request_timeout_seconds: NonZeroU64,
    /// For how long a worker goes by settings of an index that it has read, in seconds.
    pub settings_ttl_seconds: NonZeroU64,
    /// For how long a server may answer that it has too much to do before a chunk is given back, in seconds.
    pub throttle_patience_seconds: NonZeroU64,
    /// For how long a server that cannot be reached is tried again before a chunk is given back, in seconds.
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
