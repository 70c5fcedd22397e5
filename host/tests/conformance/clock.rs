//! Virtual time: what a check waits for has passed at once.

use host_core::clock::Clock;
use jiff::Timestamp;
use std::{
    sync::atomic::{AtomicI64, AtomicU64, Ordering},
    time::Duration,
};

/// A clock that only `sleep` moves, and random numbers from a seed.
#[derive(Debug)]
pub(crate) struct VirtualClock {
    micros: AtomicI64,
    random: AtomicU64,
}

impl VirtualClock {
    pub(crate) fn new(seed: u64) -> Self {
        // 2026-01-01T00:00:00Z
        Self { micros: AtomicI64::new(1_767_225_600_000_000), random: AtomicU64::new(seed) }
    }
}

#[async_trait::async_trait]
impl Clock for VirtualClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_microsecond(self.micros.load(Ordering::SeqCst)).unwrap()
    }

    async fn sleep(&self, duration: Duration) {
        self.micros.fetch_add(duration.as_micros().try_into().unwrap(), Ordering::SeqCst);
        tokio::task::yield_now().await;
    }

    fn random(&self) -> u64 {
        // SplitMix64: each number of the sequence differs from all others.
        let state = self.random.fetch_add(0x9e37_79b9_7f4a_7c15, Ordering::SeqCst);
        let mixed = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }
}
