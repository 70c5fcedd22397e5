//! How the host talks to Marqo servers.

use super::limits::Timeouts;
use host_core::seconds;
use host_net::{HttpTimeouts, RetryPolicy, RetryProfile};
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// How the host talks to a Marqo server. What belongs to one index, its address and key, is kept by `host settings`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct MarqoConfig {
    /// Longest wait for a connection before the fallback endpoint is tried, in seconds.
    #[serde(rename = "connect_timeout_seconds", with = "seconds")]
    pub connect_timeout: Duration,
    /// Longest wait for the answer to one request, in seconds; after it the documents are read back, since the server may have
    /// written them.
    #[serde(rename = "request_timeout_seconds", with = "seconds")]
    pub request_timeout: Duration,
    /// How long settings of an index, and what its server says about itself, are cached, in seconds.
    #[serde(rename = "settings_ttl_seconds", with = "seconds")]
    pub settings_ttl: Duration,
    /// How long a server may throttle before the chunk is released and retried later, in seconds.
    #[serde(rename = "throttle_timeout_seconds", with = "seconds")]
    pub throttle_timeout: Duration,
    /// How long a server that cannot be reached is retried before the chunk is released and retried later, in seconds.
    #[serde(rename = "unreachable_timeout_seconds", with = "seconds")]
    pub unreachable_timeout: Duration,
}

impl Default for MarqoConfig {
    fn default() -> Self {
        Self {
            connect_timeout: Duration::from_secs(5),
            // A Marqo server itself waits this long for its embedding model.
            request_timeout: Duration::from_secs(300),
            settings_ttl: Duration::from_secs(60),
            throttle_timeout: Duration::from_secs(600),
            unreachable_timeout: Duration::from_secs(60),
        }
    }
}

/// Longest timeouts of a request whose answer a user waits for.
const INTERACTIVE: HttpTimeouts =
    HttpTimeouts { connect: Duration::from_secs(5), request: Duration::from_secs(20) };

impl MarqoConfig {
    /// Timeouts and retry policy of a worker's requests (`Background`) or of those that a user waits for
    /// (`Interactive`).
    pub(super) fn timeouts(&self, profile: RetryProfile) -> Timeouts {
        let http = HttpTimeouts { connect: self.connect_timeout, request: self.request_timeout };
        match profile {
            RetryProfile::Background => Timeouts {
                http,
                settings_ttl: self.settings_ttl,
                throttle: self.throttle_timeout,
                unreachable: self.unreachable_timeout,
                policy: RetryPolicy::SEARCH_SERVER,
            },
            RetryProfile::Interactive => Timeouts {
                http: HttpTimeouts {
                    connect: http.connect.min(INTERACTIVE.connect),
                    request: http.request.min(INTERACTIVE.request),
                },
                settings_ttl: self.settings_ttl,
                throttle: Duration::ZERO,
                unreachable: Duration::ZERO,
                policy: RetryPolicy::INTERACTIVE,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const DEFAULTS: [(&str, u64); 5] = [
        ("connect_timeout_seconds", 5),
        ("request_timeout_seconds", 300),
        ("settings_ttl_seconds", 60),
        ("throttle_timeout_seconds", 600),
        ("unreachable_timeout_seconds", 60),
    ];

    #[test]
    fn the_documented_defaults_are_those_in_force() {
        let shown = serde_json::to_value(MarqoConfig::default()).unwrap();
        assert_eq!(
            shown,
            DEFAULTS
                .map(|(key, seconds)| (key.to_owned(), json!(seconds)))
                .into_iter()
                .collect::<serde_json::Value>()
        );
        let Timeouts { http, throttle, unreachable, .. } =
            MarqoConfig::default().timeouts(RetryProfile::Background);
        assert_eq!(
            [http.connect, http.request, throttle, unreachable].map(|duration| duration.as_secs()),
            [5, 300, 600, 60]
        );
    }

    #[test]
    fn a_setting_is_a_whole_number_of_seconds_above_0() {
        let read = |json| serde_json::from_value::<MarqoConfig>(json);
        let config = read(json!({"request_timeout_seconds": 7})).unwrap();
        assert_eq!(config, MarqoConfig { request_timeout: Duration::from_secs(7), ..MarqoConfig::default() });
        assert!(read(json!({"request_timeout_seconds": 0})).is_err());
        assert!(read(json!({"request_timeout": 7})).is_err());
    }

    #[test]
    fn a_user_waits_for_no_retries_and_for_no_longer_than_settings_allow() {
        let config = MarqoConfig { request_timeout: Duration::from_secs(2), ..MarqoConfig::default() };
        let timeouts = config.timeouts(RetryProfile::Interactive);
        assert_eq!(timeouts.http.request, Duration::from_secs(2));
        assert_eq!((timeouts.throttle, timeouts.unreachable), (Duration::ZERO, Duration::ZERO));
        let timeouts = MarqoConfig::default().timeouts(RetryProfile::Interactive);
        assert_eq!(timeouts.http, INTERACTIVE);
    }
}
