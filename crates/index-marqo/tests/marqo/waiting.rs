//! An auto-advancing virtual clock: it jumps to the end of the next sleep when all tasks are idle.

use host_core::clock::Clock;
use jiff::Timestamp;
use marqo_stand_in::StandIn;
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
    time::Duration,
};
use tokio::sync::oneshot;

/// The clock. [`SteppingClock::pass`] moves it.
#[derive(Debug)]
pub(crate) struct SteppingClock {
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    /// Now, in microseconds since 1970.
    micros: i64,
    random: u64,
    /// By the end of their sleep in microseconds; numbered, because several may end at once.
    sleepers: BTreeMap<(i64, u64), oneshot::Sender<()>>,
    slept: Vec<Duration>,
}

impl SteppingClock {
    pub(crate) fn new(seed: u64) -> Arc<Self> {
        let state = State {
            // 2026-01-01T00:00:00Z.
            micros: 1_767_225_600_000_000,
            random: seed,
            sleepers: BTreeMap::new(),
            slept: Vec::new(),
        };
        Arc::new(Self { state: Mutex::new(state) })
    }

    /// Lets time pass for as long as it is polled: every millisecond of real time, if the server serves no request, the
    /// clock jumps. The tasks that sleep must run on the same single-threaded runtime, so that they are idle whenever
    /// this looks.
    pub(crate) async fn pass(self: Arc<Self>, server: Arc<StandIn>) {
        loop {
            tokio::time::sleep(Duration::from_millis(1)).await;
            if server.running() == 0 {
                self.jump();
            }
        }
    }

    /// Ends the sleep that is due next.
    fn jump(&self) {
        let mut state = self.state.lock().unwrap();
        while let Some(((until, _), sleeper)) = state.sleepers.pop_first() {
            // A sleep whose task was cancelled is passed over.
            if !sleeper.is_closed() {
                state.micros = state.micros.max(until);
                let _ = sleeper.send(());
                return;
            }
        }
    }

    /// All sleeps that were begun so far.
    pub(crate) fn slept(&self) -> Vec<Duration> {
        self.state.lock().unwrap().slept.clone()
    }
}

#[async_trait::async_trait]
impl Clock for SteppingClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_microsecond(self.state.lock().unwrap().micros).unwrap()
    }

    async fn sleep(&self, duration: Duration) {
        let woken = {
            let mut state = self.state.lock().unwrap();
            let (sender, woken) = oneshot::channel();
            let until = state.micros + i64::try_from(duration.as_micros()).unwrap();
            let number = state.slept.len() as u64;
            state.sleepers.insert((until, number), sender);
            state.slept.push(duration);
            woken
        };
        // Never an error: the clock drops no sender of a task that waits.
        let _ = woken.await;
    }

    fn random(&self) -> u64 {
        let mut state = self.state.lock().unwrap();
        host_testing::next_random(&mut state.random)
    }
}
