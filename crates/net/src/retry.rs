//! The retry policy: bounded attempts, exponential backoff with full jitter, and respect for `Retry-After`.

use host_core::{backoff::Backoff, clock::Clock};
use jiff::{Timestamp, fmt::rfc2822};
use std::time::Duration;

/// How often an operation is tried, and how long to wait between the attempts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RetryPolicy {
    /// Attempts in all, the first one included.
    pub max_attempts: u32,
    /// The wait before each further attempt, where the server does not ask for one.
    pub backoff: Backoff,
    /// The longest wait that a server may ask for with `Retry-After`.
    pub max_retry_after: Duration,
}

const fn policy(
    max_attempts: u32,
    base_millis: u64,
    cap_millis: u64,
    max_retry_after_seconds: u64,
) -> RetryPolicy {
    let (base, cap) = (Duration::from_millis(base_millis), Duration::from_millis(cap_millis));
    RetryPolicy {
        max_attempts,
        backoff: Backoff { base, cap },
        max_retry_after: Duration::from_secs(max_retry_after_seconds),
    }
}

/// The policies of all clients: number of attempts, upper bound of the first wait and of all waits in milliseconds,
/// longest `Retry-After` in seconds.
#[rustfmt::skip]
impl RetryPolicy {
    /// A request to a search server. The server may need a minute or two to load a model or deploy a schema; that is
    /// worth waiting for, since giving up repeats a whole chunk of documents.
    pub const SEARCH_SERVER: Self = policy(9, 1_000, 40_000, 300);
    /// A request whose answer a user waits for.
    pub const INTERACTIVE: Self = policy(2, 500, 1_000, 5);
    /// A search server that throttles without a `Retry-After`. The pause is short, because the client also sends fewer
    /// requests at once, which helps more. The number of attempts is unlimited: the caller limits the time.
    pub const THROTTLED: Self = policy(u32::MAX, 100, 4_000, 300);
    /// A request for embeddings. Public endpoints limit the tokens per minute, so they may throttle for up to a minute.
    pub const EMBEDDINGS: Self = policy(8, 1_000, 60_000, 60);
    /// A database transaction that failed because of another one (a deadlock, the same row); that one ends within
    /// milliseconds.
    pub const TRANSACTION_CONFLICT: Self = policy(20, 10, 320, 0);
    /// Database rows that another transaction has locked. It ends within seconds, unless its client is gone, which the
    /// server only notices later.
    pub const LOCKED_ROWS: Self = policy(20, 500, 500, 0);
}

/// For how long an operation as a whole may be retried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RetryProfile {
    /// As long as the settings allow: a job continues when the server is back.
    Background,
    /// Hardly at all: a user waits for the answer.
    Interactive,
}

impl RetryPolicy {
    /// The same policy with another number of attempts, at least one.
    #[must_use]
    pub fn with_max_attempts(self, max_attempts: u32) -> Self {
        Self { max_attempts: max_attempts.max(1), ..self }
    }

    /// The wait after this many failed attempts: what the server asked for, at most `max_retry_after`; otherwise the
    /// backoff. `random` is any random number.
    pub fn delay(self, attempts: u32, retry_after: Option<Duration>, random: u64) -> Duration {
        let backoff = || self.backoff.delay(attempts, random);
        retry_after.map_or_else(backoff, |requested| requested.min(self.max_retry_after))
    }
}

/// The attempts at one operation.
#[derive(Debug)]
pub struct Retry<'a> {
    policy: RetryPolicy,
    clock: &'a dyn Clock,
    failed: u32,
}

impl<'a> Retry<'a> {
    /// Before the first attempt.
    pub fn new(policy: RetryPolicy, clock: &'a dyn Clock) -> Self {
        Self { policy, clock, failed: 0 }
    }

    /// Attempts that have failed.
    pub fn failed(&self) -> u32 {
        self.failed
    }

    /// Counts a failed attempt, and waits before the next one; returns false immediately if no attempt is left. May be
    /// cancelled.
    pub async fn wait(&mut self, retry_after: Option<Duration>) -> bool {
        self.failed += 1;
        if self.failed >= self.policy.max_attempts {
            return false;
        }
        let delay = self.policy.delay(self.failed, retry_after, self.clock.random());
        self.clock.sleep(delay).await;
        true
    }
}

/// The wait that the value of a `Retry-After` header asks for, which is in seconds or a date. `None` if it is neither.
pub fn retry_after(value: &str, now: Timestamp) -> Option<Duration> {
    let value = value.trim();
    if let Ok(seconds) = value.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let date = rfc2822::DateTimeParser::new().parse_timestamp(value).ok()?;
    Some(if date > now { date.duration_since(now).unsigned_abs() } else { Duration::ZERO })
}

#[cfg(test)]
mod tests {
    use super::*;
    use host_testing::VirtualClock;

    #[tokio::test]
    async fn attempts_are_bounded_and_no_wait_follows_the_last_one() {
        let clock = VirtualClock::new(1);
        let mut retry = Retry::new(RetryPolicy::SEARCH_SERVER.with_max_attempts(3), &clock);
        assert!(retry.wait(None).await && retry.wait(None).await);
        assert!(!retry.wait(None).await);
        assert_eq!((retry.failed(), clock.take_sleeps().len()), (3, 2));
        assert!(!Retry::new(RetryPolicy::SEARCH_SERVER.with_max_attempts(0), &clock).wait(None).await);
    }

    #[tokio::test]
    async fn a_server_may_ask_for_a_wait_within_bounds() {
        let clock = VirtualClock::new(1);
        let mut retry = Retry::new(RetryPolicy::EMBEDDINGS, &clock);
        for seconds in [7, 86_400] {
            assert!(retry.wait(Some(Duration::from_secs(seconds))).await);
        }
        assert_eq!(clock.take_sleeps(), [7, 60].map(Duration::from_secs));
    }

    #[test]
    fn all_waits_of_a_bounded_policy_fit_into_the_time_that_it_is_meant_for() {
        for (policy, seconds) in [
            (RetryPolicy::SEARCH_SERVER, 180),
            (RetryPolicy::INTERACTIVE, 1),
            (RetryPolicy::EMBEDDINGS, 130),
            (RetryPolicy::TRANSACTION_CONFLICT, 6),
            (RetryPolicy::LOCKED_ROWS, 10),
        ] {
            let longest = |attempts: u32| {
                policy.backoff.base.saturating_mul(1 << (attempts - 1).min(20)).min(policy.backoff.cap)
            };
            let total: Duration = (1..policy.max_attempts).map(longest).sum();
            assert!(total <= Duration::from_secs(seconds), "{policy:?}: {total:?}");
            assert!(policy.delay(3, None, u64::MAX) <= policy.backoff.cap);
        }
    }

    #[test]
    fn retry_after_is_seconds_or_a_date() {
        let now: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
        assert_eq!(retry_after("7", now), Some(Duration::from_secs(7)));
        let date = "Thu, 01 Jan 2026 00:01:00 GMT";
        assert_eq!(retry_after(date, now), Some(Duration::from_secs(60)));
        assert_eq!(retry_after(date, now + Duration::from_secs(90)), Some(Duration::ZERO));
        assert_eq!(retry_after("soon", now), None);
    }
}
