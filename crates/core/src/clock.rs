//! The single abstraction of time, sleep and randomness, so that tests run on virtual time.

use async_trait::async_trait;
use jiff::Timestamp;
use std::{sync::Arc, time::Duration};

/// A time that is further in the future than this comes from a wrong clock and is ignored: the clock of the process
/// that wrote the time and that of the process that reads it may each be wrong by a day.
pub const MAX_CLOCK_DIFFERENCE: Duration = Duration::from_secs(2 * 86_400);

/// Time, sleep and randomness.
#[async_trait]
pub trait Clock: Send + Sync + std::fmt::Debug {
    /// The current instant.
    fn now(&self) -> Timestamp;
    /// Returns after the duration. The caller may drop the future earlier.
    async fn sleep(&self, duration: Duration);
    /// Fresh random bits, for names and jitter; not for secrets.
    fn random(&self) -> u64;
}

/// A shared [`Clock`].
pub type SharedClock = Arc<dyn Clock>;

/// The real clock, timer and operating system's randomness.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

#[async_trait]
impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        Timestamp::now()
    }

    async fn sleep(&self, duration: Duration) {
        tokio::time::sleep(duration).await;
    }

    fn random(&self) -> u64 {
        use std::hash::{BuildHasher, Hasher};
        // Each RandomState is seeded afresh by the standard library from the operating system.
        std::collections::hash_map::RandomState::new().build_hasher().finish()
    }
}
