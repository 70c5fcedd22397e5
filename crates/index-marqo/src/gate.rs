//! How many requests write to a server at once: few at first, one more for each success, half as many when it throttles.

use super::{metrics, retry::backoff};
use host_core::clock::SharedEnv;
use jiff::Timestamp;
use std::{
    sync::{Mutex, MutexGuard},
    time::Duration,
};
use tokio::sync::{Semaphore, SemaphorePermit};

/// Longest wait that a server can ask for: it would block everybody.
const LONGEST_PAUSE: Duration = Duration::from_secs(300);

/// The gate before one server, shared by all who write to it. Who comes first gets in first, so that of several calls the
/// oldest is done soonest and their ends, when nothing more of them waits, do not fall together.
#[derive(Debug)]
pub(super) struct Gate {
    places: Semaphore,
    state: Mutex<State>,
    env: SharedEnv,
}

#[derive(Debug)]
struct State {
    /// How many may be inside; the fraction grows to the next one.
    limit: f64,
    /// How many may be inside whatever the limit is, as settings say.
    most: usize,
    /// From here on the limit grows by one a round, not with each success.
    steady_from: f64,
    /// Places that there are, free or taken; after a cut more than allowed until enough have left.
    places: usize,
    closed_until: Option<Timestamp>,
    /// Throttles since the last success.
    throttles: u32,
    /// Counts the cuts: what was sent before the last one says nothing about the limit after it.
    cuts: u64,
}

/// Being inside; leaves when dropped.
#[derive(Debug)]
pub(super) struct Pass<'a> {
    gate: &'a Gate,
    place: Option<SemaphorePermit<'a>>,
    cuts: u64,
}

impl Gate {
    pub(super) fn new(env: SharedEnv) -> Self {
        let state = State {
            limit: 1.0,
            most: usize::MAX,
            steady_from: f64::INFINITY,
            places: 1,
            closed_until: None,
            throttles: 0,
            cuts: 0,
        };
        Self { places: Semaphore::new(1), state: Mutex::new(state), env }
    }

    /// Waits for a place; at most `most` are inside at once.
    pub(super) async fn enter(&self, most: usize) -> Pass<'_> {
        self.fit(&mut self.state(), Some(most));
        loop {
            self.open().await;
            let place = self.places.acquire().await.expect("nobody closes the semaphore");
            let pass = Pass { gate: self, place: Some(place), cuts: self.state().cuts };
            let is_closed = self.state().closed_for(self.env.now()).is_some();
            if !is_closed {
                return pass;
            }
        }
    }

    /// Waits while the server wants to be left alone.
    pub(super) async fn open(&self) {
        loop {
            let wait = self.state().closed_for(self.env.now());
            match wait {
                Some(time) => self.env.sleep(time).await,
                None => return,
            }
        }
    }

    /// The server throttles: half as many from now on, and nobody before the time that it asked for.
    pub(super) fn throttled(&self, pass: Option<&Pass<'_>>, retry_after: Option<Duration>) {
        let (now, random) = (self.env.now(), self.env.random());
        let mut state = self.state();
        if pass.is_none_or(|pass| pass.cuts == state.cuts) {
            state.limit = (state.limit / 2.0).max(1.0);
            state.steady_from = state.limit;
            state.cuts += 1;
            state.throttles += 1;
        }
        // Without a wish of the server's, fewer at once is most of the cure: 50 ms at first.
        let pause = retry_after.unwrap_or_else(|| backoff(state.throttles, random) / 10);
        let until = now.saturating_add(pause.min(LONGEST_PAUSE)).unwrap_or(now);
        state.closed_until = state.closed_until.max(Some(until));
        self.fit(&mut state, None);
        metrics::concurrency(state.limit);
    }

    /// The server did what it was asked to.
    pub(super) fn succeeded(&self, most: usize) {
        let mut state = self.state();
        state.throttles = 0;
        let step = if state.limit < state.steady_from { 1.0 } else { 1.0 / state.limit };
        state.limit = (state.limit + step).min(most.max(1) as f64);
        self.fit(&mut state, Some(most));
        metrics::concurrency(state.limit);
    }

    /// Makes free places, or takes them away, until there are as many as allowed; taken ones end when their owners leave.
    fn fit(&self, state: &mut State, most: Option<usize>) {
        state.most = most.unwrap_or(state.most).max(1);
        let allowed = state.allowed();
        if state.places < allowed {
            self.places.add_permits(allowed - state.places);
            state.places = allowed;
        } else {
            state.places -= self.places.forget_permits(state.places - allowed);
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no holder of this lock panics")
    }
}

impl State {
    fn allowed(&self) -> usize {
        self.most.min(self.limit as usize)
    }

    fn closed_for(&mut self, now: Timestamp) -> Option<Duration> {
        let until = self.closed_until?;
        if until <= now {
            self.closed_until = None;
            return None;
        }
        Some(until.duration_since(now).unsigned_abs())
    }
}

impl Drop for Pass<'_> {
    fn drop(&mut self) {
        let mut state = self.gate.state();
        if let Some(place) = self.place.take()
            && state.places > state.allowed()
        {
            state.places -= 1;
            place.forget();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::FutureExt;
    use host_core::clock::RealEnv;
    use std::sync::Arc;

    fn gate() -> Gate {
        Gate::new(Arc::new(RealEnv))
    }

    /// How many get in at once.
    fn room(gate: &Gate, most: usize) -> usize {
        let mut inside = Vec::new();
        while let Some(pass) = gate.enter(most).now_or_never() {
            inside.push(pass);
        }
        inside.len()
    }

    #[test]
    fn it_opens_slowly_and_never_beyond_what_is_allowed() {
        let gate = gate();
        let mut seen = vec![room(&gate, 8)];
        for _ in 0..10 {
            gate.succeeded(8);
            seen.push(room(&gate, 8));
        }
        assert_eq!(seen, [1, 2, 3, 4, 5, 6, 7, 8, 8, 8, 8]);
        assert_eq!(room(&gate, 3), 3);
    }

    #[tokio::test(start_paused = true)]
    async fn a_throttle_halves_it_once_a_round_and_growth_is_slow_afterwards() {
        let gate = gate();
        (0..7).for_each(|_| gate.succeeded(8));
        let (one, other) = (gate.enter(8).await, gate.enter(8).await);
        gate.throttled(Some(&one), Some(Duration::ZERO));
        gate.throttled(Some(&other), Some(Duration::ZERO));
        drop((one, other));
        assert_eq!(room(&gate, 8), 4);
        (0..4).for_each(|_| gate.succeeded(8));
        assert_eq!(room(&gate, 8), 4);
        gate.succeeded(8);
        assert_eq!(room(&gate, 8), 5);
        (0..10).for_each(|_| gate.throttled(None, Some(Duration::ZERO)));
        assert_eq!(room(&gate, 8), 1);
    }

    #[tokio::test]
    async fn nobody_enters_before_the_time_the_server_asked_for() {
        let gate = gate();
        gate.throttled(None, Some(Duration::from_millis(60)));
        let before = std::time::Instant::now();
        gate.open().await;
        drop(gate.enter(1).await);
        assert!(before.elapsed() >= Duration::from_millis(60));
    }

    #[tokio::test]
    async fn who_comes_first_gets_in_first() {
        let gate = gate();
        let pass = gate.enter(1).await;
        let mut waiting: Vec<_> = (0..3).map(|_| Box::pin(gate.enter(1))).collect();
        assert!(waiting.iter_mut().all(|enter| enter.now_or_never().is_none()));
        drop(pass);
        let got_in: Vec<bool> =
            waiting.iter_mut().rev().map(|enter| enter.now_or_never().is_some()).collect();
        assert_eq!(got_in, [false, false, true]);
    }

    #[tokio::test]
    async fn a_cut_lasts_also_while_others_wait() {
        let gate = gate();
        (0..3).for_each(|_| gate.succeeded(4));
        let mut inside = Vec::new();
        for _ in 0..4 {
            inside.push(gate.enter(4).await);
        }
        let mut next = Box::pin(gate.enter(4));
        assert!(next.as_mut().now_or_never().is_none());
        gate.throttled(Some(&inside[0]), Some(Duration::ZERO));
        inside.truncate(2);
        assert!(next.as_mut().now_or_never().is_none(), "two are inside, as many as allowed");
        inside.truncate(1);
        assert!(next.as_mut().now_or_never().is_some());
    }

    #[tokio::test]
    async fn who_leaves_lets_the_next_one_in() {
        let gate = Arc::new(gate());
        let pass = gate.enter(1).await;
        let waiting = tokio::spawn({
            let gate = Arc::clone(&gate);
            async move { drop(gate.enter(1).await) }
        });
        tokio::task::yield_now().await;
        assert!(!waiting.is_finished());
        drop(pass);
        waiting.await.unwrap();
    }
}
