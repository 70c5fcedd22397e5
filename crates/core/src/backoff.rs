//! How long to wait before another attempt.

use std::time::Duration;

/// Exponential backoff with full jitter: before the n-th retry a random wait from 0 to `base * 2^(n-1)`, at most `cap`.
/// The jitter spreads clients that failed together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backoff {
    /// Upper bound of the first wait.
    pub base: Duration,
    /// Upper bound of every wait.
    pub cap: Duration,
}

impl Backoff {
    /// The longest wait after this many failed attempts: `base`, twice that, four times that … `cap`.
    pub fn ceiling(self, attempts: u32) -> Duration {
        let factor = 1_u32.checked_shl(attempts.saturating_sub(1)).unwrap_or(u32::MAX);
        self.base.saturating_mul(factor).min(self.cap)
    }

    /// The wait after this many failed attempts. `random` is any random number.
    pub fn delay(self, attempts: u32, random: u64) -> Duration {
        let micros = u64::try_from(self.ceiling(attempts).as_micros()).unwrap_or(u64::MAX);
        Duration::from_micros(random.checked_rem(micros.saturating_add(1)).unwrap_or(random))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BACKOFF: Backoff = Backoff { base: Duration::from_secs(1), cap: Duration::from_secs(40) };

    #[test]
    fn the_bound_doubles_up_to_the_cap() {
        for (attempts, seconds) in
            [(0, 1), (1, 1), (2, 2), (3, 4), (6, 32), (7, 40), (32, 40), (u32::MAX, 40)]
        {
            // The random number is reduced modulo the upper bound + 1, in microseconds.
            let longest = seconds * 1_000_000;
            assert_eq!(BACKOFF.delay(attempts, longest), Duration::from_secs(seconds), "attempt {attempts}");
            assert_eq!(BACKOFF.delay(attempts, longest + 1), Duration::ZERO, "attempt {attempts}");
        }
    }

    #[test]
    fn the_jitter_covers_the_whole_range() {
        assert_eq!(BACKOFF.delay(3, 0), Duration::ZERO);
        assert_eq!(BACKOFF.delay(3, 1_500_000), Duration::from_millis(1_500));
        let none = Backoff { base: Duration::ZERO, cap: Duration::ZERO };
        assert_eq!(none.delay(9, u64::MAX), Duration::ZERO);
    }
}
