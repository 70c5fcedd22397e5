use std::time::Duration;

/// Exponential backoff: how long to wait after each of several failures in a row.
#[derive(Clone, Copy, Debug)]
pub(super) struct Backoff {
    pub(super) min: Duration,
    pub(super) max: Duration,
}

impl Backoff {
    /// The wait after so many failures in a row, from 1: `min`, twice that, four times that … `max`.
    pub(super) fn wait(&self, failures: u32) -> Duration {
        let doublings = failures.saturating_sub(1).min(20);
        self.min.saturating_mul(1 << doublings).min(self.max)
    }

    /// The same with full jitter: anything from 0 to [`wait`](Self::wait). `random` is any number.
    pub(super) fn jittered(&self, failures: u32, random: u64) -> Duration {
        Duration::from_millis(random % (self.wait(failures).as_millis() as u64 + 1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_and_stay_bounded() {
        let backoff = Backoff { min: Duration::from_secs(1), max: Duration::from_secs(40) };
        let waits: Vec<u64> = (0..9).map(|failures| backoff.wait(failures).as_secs()).collect();
        assert_eq!(waits, [1, 1, 2, 4, 8, 16, 32, 40, 40]);
        for failures in 1..200 {
            assert!(backoff.jittered(failures, u64::MAX) <= backoff.max);
        }
        assert_eq!(backoff.jittered(3, 4000), Duration::from_secs(4));
        assert_eq!(backoff.jittered(3, 4001), Duration::ZERO);
    }
}
