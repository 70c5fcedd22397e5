//! Shops over months, on virtual time and any storage: exports that are read late, twice or in part; processes with
//! clocks of their own, which are wrong by up to a day and jump, and which crash; changing numbers of lanes; products
//! that a plug-in refuses and that are replayed; an index that stops, and chunks that become dead letters and are
//! redriven; full syncs whose missing products are archived, some a year apart; jobs that are removed with age; a
//! ledger that is lost or as of an earlier time. In the end the index has, of every product, the newest state that
//! any job said, removals included.
//!
//! | file | concern |
//! | --- | --- |
//! | `schedule`, `ingest` | what happens, by the product's own use cases |
//! | `oracle` | what the index must have |
//! | `process`, `shop`, `plugin` | clocks and crashes; products; what makes documents of them |
//! | `coverage` | how often it happened |
//! | `year` | sizes after a year of syncs |
//!
//! Each schedule follows from its seed, which a failure prints: `HOST_TEST_SEED=17 cargo test -p host-simulation`.

#![allow(clippy::unwrap_used, clippy::panic, reason = "all of it is used in tests, and fails as tests do")]

use async_trait::async_trait;
use coverage::Coverage;
use host_core::{clock::SharedClock, storage::Storage};
use host_pipeline::retention::{Retention, prune};
use host_testing::VirtualClock;
use schedule::run;
use std::{panic::AssertUnwindSafe, sync::Arc, time::Duration};

mod coverage;
mod ingest;
mod oracle;
mod plugin;
mod process;
mod schedule;
mod shop;
mod year;

pub use year::{Figures, Plan, Size, run_year};

/// For how long jobs are kept.
pub const MONTH: Duration = Duration::from_secs(30 * 86_400);

/// A storage on which schedules run.
#[async_trait]
pub trait World: Send + Sync + 'static {
    /// A process that works in it, whose clock is right.
    fn storage(&self) -> &dyn Storage;

    /// Another process, with a clock of its own.
    fn process(&self, clock: SharedClock) -> Arc<dyn Storage>;

    /// Removes what is older than a [`MONTH`], and returns the number of jobs. `keep_chunks` keeps those of jobs that
    /// stay.
    async fn expire(&self, keep_chunks: bool) -> u64;

    /// Whether messages and what is known of removed products expire as well. Then nothing that is older than that
    /// comes back.
    fn forgets(&self) -> bool {
        false
    }

    /// How often workers look for messages.
    fn poll_interval(&self) -> Duration {
        Duration::from_secs(30)
    }
}

/// A storage whose old jobs are removed by the host.
pub struct Pruned<S> {
    /// The storage.
    pub storage: S,
    /// Its clock.
    pub clock: SharedClock,
    /// Another process of it, with a clock of its own.
    pub process: fn(&S, SharedClock) -> Arc<dyn Storage>,
    /// How often workers look for messages.
    pub poll_interval: Duration,
}

#[async_trait]
impl<S: Storage + 'static> World for Pruned<S> {
    fn storage(&self) -> &dyn Storage {
        &self.storage
    }

    fn process(&self, clock: SharedClock) -> Arc<dyn Storage> {
        (self.process)(&self.storage, clock)
    }

    async fn expire(&self, keep_chunks: bool) -> u64 {
        let remover = self.storage.job_remover().expect("this storage does not remove jobs by itself");
        let retention = Retention { age: MONTH, keep_chunks };
        let pruned = prune(&self.storage, remover, None, self.clock.now(), retention, false).await;
        pruned.unwrap().jobs.len() as u64
    }

    fn poll_interval(&self) -> Duration {
        self.poll_interval
    }
}

/// Runs `number` schedules, or as many as HOST_TEST_SCHEDULES says, or the one of HOST_TEST_SEED, each on a fresh
/// storage.
pub fn run_schedules<W: World>(number: u64, world: impl Fn(SharedClock) -> W) {
    let only = std::env::var("HOST_TEST_SEED").ok().map(|seed| seed.parse::<u64>().unwrap());
    let number = std::env::var("HOST_TEST_SCHEDULES").map_or(number, |number| number.parse().unwrap());
    let mut total = Coverage::default();
    let seeds = only.map_or(0..number, |seed| seed..seed + 1);
    for seed in seeds.clone() {
        let schedule = AssertUnwindSafe(|| run_alone(seed, &world));
        let Ok(coverage) = std::panic::catch_unwind(schedule) else {
            panic!("seed {seed}: HOST_TEST_SEED={seed} runs it alone");
        };
        total.add_all(&coverage);
    }
    eprintln!("{total:?} in {} schedules", seeds.end - seeds.start);
    // What never happens is not shown to be right. Of few schedules it may be chance.
    if only.is_none() && number >= 1_000 {
        let rare = total.rarer_than(number / 100);
        assert!(rare.is_empty(), "hardly any schedule has {rare:?}");
    }
}

fn run_alone<W: World>(seed: u64, world: &impl Fn(SharedClock) -> W) -> Coverage {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    runtime.unwrap().block_on(async {
        let clock: SharedClock = Arc::new(VirtualClock::paused(seed));
        run(seed, world(clock.clone()), clock).await
    })
}
