//! Simulates a shop over months, on virtual time and on any storage, and checks that the index ends up right: that it
//! has, of every product, the newest state that any job said, removals included.
//!
//! In a schedule, a random history, exports are read late, twice or in part. Processes crash, and have clocks of their
//! own, which are wrong by up to a day and jump. The number of lanes (within which the queue keeps order) changes. A
//! plug-in refuses products, which are sent to a corrected one later (a replay). The index stops; chunks become dead
//! letters and are sent again (a redrive). Full syncs archive the products that they do not have, some of them a year
//! apart. Old jobs are removed. The ledger, which records the outcome of each product, is lost or restored from an
//! earlier time.
//!
//! | file | concern |
//! | --- | --- |
//! | `schedule`, `ingest` | the steps of a schedule, which call what the commands of the host call |
//! | `oracle` | what the index must have in the end |
//! | `process`, `shop`, `plugin` | clocks and crashes; the shop's products; the plug-in that makes documents of them |
//! | `coverage` | how often each kind of event happened |
//! | `year` | how large the storage is after a year of syncs |
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

/// How long jobs are kept after their end: 30 days.
pub const MONTH: Duration = Duration::from_secs(30 * 86_400);

/// A storage on which schedules run, such as one in memory, in a data directory or in AWS.
#[async_trait]
pub trait World: Send + Sync + 'static {
    /// The storage as a process sees it whose clock is right.
    fn storage(&self) -> &dyn Storage;

    /// The storage as another process sees it, with a clock of its own.
    fn process(&self, clock: SharedClock) -> Arc<dyn Storage>;

    /// Removes the jobs that ended more than a [`MONTH`] ago and returns their number. `keep_chunks` says whether the
    /// chunks of the jobs that stay are kept, too.
    async fn expire(&self, keep_chunks: bool) -> u64;

    /// Whether queue messages and the ledger's records of removed products expire as well, as in AWS. A schedule then
    /// reads no export again that is older than these.
    fn forgets(&self) -> bool {
        false
    }

    /// How often workers look for messages.
    fn poll_interval(&self) -> Duration {
        Duration::from_secs(30)
    }
}

/// A storage that does not remove old jobs by itself: the host prunes them.
pub struct Pruned<S> {
    /// The storage.
    pub storage: S,
    /// The storage's own clock.
    pub clock: SharedClock,
    /// Opens the storage as another process, with a clock of its own.
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

/// Runs `number` schedules, each on a fresh storage that `world` makes. The environment variable `HOST_TEST_SCHEDULES`
/// sets another number; `HOST_TEST_SEED` runs only the schedule of that seed. Panics if a schedule fails.
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
    // Events that never happen prove nothing. In fewer than 1,000 schedules a rare one may be missing by chance.
    if only.is_none() && number >= 1_000 {
        let rare = total.rarer_than(number / 100);
        assert!(rare.is_empty(), "hardly any schedule has {rare:?}");
    }
}

/// Runs the schedule of a seed on a runtime of its own.
fn run_alone<W: World>(seed: u64, world: &impl Fn(SharedClock) -> W) -> Coverage {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    runtime.unwrap().block_on(async {
        let clock: SharedClock = Arc::new(VirtualClock::paused(seed));
        run(seed, world(clock.clone()), clock).await
    })
}
