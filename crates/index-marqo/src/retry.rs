//! How often and how long something is tried again.

use std::time::Duration;

/// Most attempts at a request or a document that may succeed by itself.
pub(super) const ATTEMPTS: u32 = 9;
/// Most attempts at a document that the server refuses for now: a picture that cannot be fetched, an update of a document
/// that is not there yet.
pub(super) const REFUSALS: u32 = 3;
/// Failures of a whole batch after which its documents are suspected, and it is halved.
pub(super) const SUSPICIOUS: u32 = 3;

const LONGEST_WAIT: Duration = Duration::from_secs(40);

/// The wait after so many attempts, from half to all of 1 s, 2 s, 4 s … 40 s; nine attempts wait less than
/// three minutes in all. `random` is any random number.
pub(super) fn backoff(attempts: u32, random: u64) -> Duration {
    let whole = Duration::from_secs(1 << attempts.saturating_sub(1).min(6)).min(LONGEST_WAIT);
    let half = whole / 2;
    half + Duration::from_millis(random % (half.as_millis() as u64 + 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_and_stay_bounded() {
        for attempts in 0..100 {
            for random in [0, 12345, u64::MAX] {
                assert!(backoff(attempts, random) <= LONGEST_WAIT);
            }
        }
        assert_eq!(backoff(1, 0), Duration::from_millis(500));
        assert_eq!(backoff(3, 2000), Duration::from_secs(4));
        let total: Duration = (1..ATTEMPTS).map(|attempts| backoff(attempts, 20_000)).sum();
        assert!(total < Duration::from_secs(180));
    }
}
