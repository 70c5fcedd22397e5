//! How often and how long something is tried again: [the one policy](host_net::retry), applied to documents and requests.

use host_net::{HttpTimeouts, RetryPolicy};
use std::time::Duration;

/// Most attempts at a request or a document that may succeed without a change.
pub(super) const MAX_ATTEMPTS: u32 = RetryPolicy::SEARCH_SERVER.max_attempts;
/// Most attempts at a document that the server refuses but may accept later: an image that cannot be fetched, an update of a
/// document that is not there yet.
pub(super) const MAX_REFUSALS: u32 = 3;
/// Failures of a whole batch after which one of its documents is suspected, and the batch is halved.
pub(super) const HALVE_AFTER: u32 = 3;

/// The limits of one client.
#[derive(Clone, Copy, Debug)]
pub(super) struct Timeouts {
    pub(super) http: HttpTimeouts,
    /// How long settings of an index, and what its server says about itself, are cached.
    pub(super) settings_ttl: Duration,
    /// How long a throttling server is retried.
    pub(super) throttle: Duration,
    /// How long a server that cannot be reached is retried.
    pub(super) unreachable: Duration,
    /// How often a question is asked that a failing server does not answer.
    pub(super) policy: RetryPolicy,
}
