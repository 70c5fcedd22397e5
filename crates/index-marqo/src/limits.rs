//! Limits of retries and timeouts. `retry` repeats requests, `write` documents, with the policy of [`host_net::retry`].

use host_net::{HttpTimeouts, RetryPolicy};
use std::time::Duration;

/// Most attempts at a request or a document where nothing need be changed for another attempt to succeed.
pub(super) const MAX_ATTEMPTS: u32 = RetryPolicy::SEARCH_SERVER.max_attempts;
/// Most attempts at a document that the server rejects but may accept later: an image that cannot be fetched, an update of a
/// missing document.
pub(super) const MAX_RETRYABLE_REJECTIONS: u32 = 3;
/// Failures of a whole batch after which it is halved, to isolate a document that causes them.
pub(super) const SPLIT_AFTER_FAILURES: u32 = 3;

/// Timeouts and retry policy, either of a worker's requests or of those that a user waits for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Timeouts {
    pub(super) http: HttpTimeouts,
    /// How long settings of an index, and what its server says about itself, are cached.
    pub(super) settings_ttl: Duration,
    /// How long a throttling server is retried.
    pub(super) throttle: Duration,
    /// How long a server that cannot be reached is retried.
    pub(super) unreachable: Duration,
    /// Retry policy of read-only requests.
    pub(super) policy: RetryPolicy,
}
