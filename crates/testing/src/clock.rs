//! Virtual time: a test that sleeps does not wait.

use async_trait::async_trait;
use host_core::clock::Clock;
use jiff::Timestamp;
use std::{
    sync::{
        Mutex,
        atomic::{AtomicU64, Ordering::SeqCst},
    },
    time::Duration,
};
use tokio::time::Instant;

/// A clock that starts at 2026-01-01T00:00:00Z, with random numbers from a seed. It records all sleeps.
#[derive(Debug)]
pub struct VirtualClock {
    time: Time,
    random: AtomicU64,
    sleeps: Mutex<Vec<Duration>>,
}

/// What advances the clock.
#[derive(Debug)]
enum Time {
    /// Sleeping does; this is the time since the start.
    Sleeping(Mutex<Duration>),
    /// Tokio's time does; this is the start.
    Tokio(Instant),
}

impl VirtualClock {
    /// A clock that only sleeping advances. A sleep ends at once, whatever other tasks do meanwhile.
    pub fn new(seed: u64) -> Self {
        Self::of(Time::Sleeping(Mutex::default()), seed)
    }

    /// A clock by tokio's time, which the test must have paused: then it passes only while all tasks sleep.
    pub fn paused(seed: u64) -> Self {
        Self::of(Time::Tokio(Instant::now()), seed)
    }

    fn of(time: Time, seed: u64) -> Self {
        Self { time, random: AtomicU64::new(seed), sleeps: Mutex::default() }
    }

    /// All sleeps since the last call.
    pub fn take_sleeps(&self) -> Vec<Duration> {
        std::mem::take(&mut self.sleeps.lock().unwrap())
    }
}

#[async_trait]
impl Clock for VirtualClock {
    fn now(&self) -> Timestamp {
        let elapsed = match &self.time {
            Time::Sleeping(elapsed) => *elapsed.lock().unwrap(),
            Time::Tokio(start) => start.elapsed(),
        };
        // 2026-01-01T00:00:00Z.
        Timestamp::from_second(1_767_225_600).unwrap() + elapsed
    }

    async fn sleep(&self, duration: Duration) {
        self.sleeps.lock().unwrap().push(duration);
        match &self.time {
            Time::Sleeping(elapsed) => {
                let end = *elapsed.lock().unwrap() + duration;
                tokio::task::yield_now().await;
                let mut elapsed = elapsed.lock().unwrap();
                // Another sleep at the same time may have ended later.
                *elapsed = end.max(*elapsed);
            }
            Time::Tokio(_) => tokio::time::sleep(duration).await,
        }
    }

    fn random(&self) -> u64 {
        next_random(&mut self.random.fetch_add(STEP, SeqCst))
    }
}

/// The increment of SplitMix64's state.
const STEP: u64 = 0x9e37_79b9_7f4a_7c15;

/// The next random number of SplitMix64, which repeats none within 2^64.
pub fn next_random(state: &mut u64) -> u64 {
    let mixed = (*state ^ (*state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    *state = state.wrapping_add(STEP);
    mixed ^ (mixed >> 31)
}
