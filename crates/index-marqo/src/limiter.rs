//! How many requests write to a server at once: an AIMD limiter (additive increase, multiplicative decrease), as in
//! TCP's congestion control.
//!
//! The limit grows by one with each success until the server first throttles (slow start), and afterwards by one per as
//! many successes as the limit is. It halves whenever the server throttles (429 or 503).

use super::metrics;
use host_core::clock::SharedClock;
use host_net::RetryPolicy;
use jiff::Timestamp;
use std::{
    sync::{Mutex, MutexGuard},
    time::Duration,
};
use tokio::sync::{Semaphore, SemaphorePermit};

/// The limiter of one server, shared by all writers to it. Permits are given in order of arrival, so that of several
/// calls the oldest ends first.
#[derive(Debug)]
pub(super) struct Limiter {
    permits: Semaphore,
    state: Mutex<State>,
    clock: SharedClock,
}

#[derive(Debug)]
struct State {
    /// Permits that may be held, rounded down; the fraction is the growth towards the next one.
    limit: f64,
    /// Upper bound of the limit: the setting `concurrency` of the index that asked last.
    max: usize,
    /// Slow start ends when the limit reaches this.
    slow_start_threshold: f64,
    /// Permits that exist, free or held. After a cut they are more than the limit, until enough are released.
    permits: usize,
    /// No request starts before this time.
    paused_until: Option<Timestamp>,
    /// Cuts since the last success; the pauses grow with them.
    throttles: u32,
    /// How often the limit was halved. A request that was sent before the last cut says nothing about the limit after
    /// it.
    cuts: u64,
}

/// The right to send one request; released when dropped.
#[derive(Debug)]
pub(super) struct Permit<'a> {
    limiter: &'a Limiter,
    permit: Option<SemaphorePermit<'a>>,
    /// [`State::cuts`] when it was acquired.
    cuts: u64,
}

impl Limiter {
    pub(super) fn new(clock: SharedClock) -> Self {
        let state = State {
            limit: 1.0,
            max: usize::MAX,
            slow_start_threshold: f64::INFINITY,
            permits: 1,
            paused_until: None,
            throttles: 0,
            cuts: 0,
        };
        Self { permits: Semaphore::new(1), state: Mutex::new(state), clock }
    }

    /// Waits for a permit; at most `max` are held at once.
    pub(super) async fn acquire(&self, max: usize) -> Permit<'_> {
        self.resize(&mut self.state(), Some(max));
        loop {
            self.wait_out_pause().await;
            let permit = self.permits.acquire().await.expect("the semaphore is never closed");
            let permit = Permit { limiter: self, permit: Some(permit), cuts: self.state().cuts };
            let is_paused = self.state().pause(self.clock.now()).is_some();
            if !is_paused {
                return permit;
            }
        }
    }

    /// Waits until the pause after the last throttle is over.
    pub(super) async fn wait_out_pause(&self) {
        loop {
            let pause = self.state().pause(self.clock.now());
            match pause {
                Some(pause) => self.clock.sleep(pause).await,
                None => return,
            }
        }
    }

    /// Halves the limit after the server throttled, and pauses: for the time that it asked for, else for a growing
    /// random time. The permit is that of the throttled request; without one, the limit is halved in any case.
    pub(super) fn throttled(&self, permit: Option<&Permit<'_>>, retry_after: Option<Duration>) {
        let (now, random) = (self.clock.now(), self.clock.random());
        let mut state = self.state();
        if permit.is_none_or(|permit| permit.cuts == state.cuts) {
            state.limit = (state.limit / 2.0).max(1.0);
            state.slow_start_threshold = state.limit;
            state.cuts += 1;
            state.throttles += 1;
        }
        let pause = RetryPolicy::THROTTLED.delay(state.throttles, retry_after, random);
        let until = now.saturating_add(pause).unwrap_or(now);
        state.paused_until = state.paused_until.max(Some(until));
        self.resize(&mut state, None);
        metrics::concurrency(state.limit);
    }

    /// Raises the limit after a request succeeded, to `max` at most.
    pub(super) fn succeeded(&self, max: usize) {
        let mut state = self.state();
        state.throttles = 0;
        let step = if state.limit < state.slow_start_threshold { 1.0 } else { 1.0 / state.limit };
        state.limit = (state.limit + step).min(max.max(1) as f64);
        self.resize(&mut state, Some(max));
        metrics::concurrency(state.limit);
    }

    /// Adds free permits up to the limit, or removes those above it; held ones are removed when they are released.
    fn resize(&self, state: &mut State, max: Option<usize>) {
        state.max = max.unwrap_or(state.max).max(1);
        let allowed = state.allowed();
        if state.permits < allowed {
            self.permits.add_permits(allowed - state.permits);
            state.permits = allowed;
        } else {
            state.permits -= self.permits.forget_permits(state.permits - allowed);
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no holder of this lock panics")
    }
}

impl State {
    fn allowed(&self) -> usize {
        self.max.min(self.limit as usize)
    }

    /// What is left of the pause; `None` if it is over.
    fn pause(&mut self, now: Timestamp) -> Option<Duration> {
        let until = self.paused_until?;
        if until <= now {
            self.paused_until = None;
            return None;
        }
        Some(until.duration_since(now).unsigned_abs())
    }
}

impl Drop for Permit<'_> {
    fn drop(&mut self) {
        let mut state = self.limiter.state();
        if let Some(permit) = self.permit.take()
            && state.permits > state.allowed()
        {
            state.permits -= 1;
            permit.forget();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::FutureExt;
    use host_core::clock::SystemClock;
    use std::sync::Arc;

    fn new_limiter() -> Limiter {
        Limiter::new(Arc::new(SystemClock))
    }

    /// How many permits can be held at once.
    fn capacity(limiter: &Limiter, max: usize) -> usize {
        let mut held = Vec::new();
        while let Some(permit) = limiter.acquire(max).now_or_never() {
            held.push(permit);
        }
        held.len()
    }

    #[test]
    fn the_limit_grows_by_one_with_each_success_up_to_its_bound() {
        let limiter = new_limiter();
        let mut capacities = vec![capacity(&limiter, 8)];
        for _ in 0..10 {
            limiter.succeeded(8);
            capacities.push(capacity(&limiter, 8));
        }
        assert_eq!(capacities, [1, 2, 3, 4, 5, 6, 7, 8, 8, 8, 8]);
        assert_eq!(capacity(&limiter, 3), 3);
    }

    #[tokio::test(start_paused = true)]
    async fn requests_sent_before_a_cut_do_not_cut_again_and_growth_is_slow_afterwards() {
        let limiter = new_limiter();
        (0..7).for_each(|_| limiter.succeeded(8));
        let (first, second) = (limiter.acquire(8).await, limiter.acquire(8).await);
        limiter.throttled(Some(&first), Some(Duration::ZERO));
        limiter.throttled(Some(&second), Some(Duration::ZERO));
        drop((first, second));
        assert_eq!(capacity(&limiter, 8), 4);
        (0..4).for_each(|_| limiter.succeeded(8));
        assert_eq!(capacity(&limiter, 8), 4);
        limiter.succeeded(8);
        assert_eq!(capacity(&limiter, 8), 5);
        (0..10).for_each(|_| limiter.throttled(None, Some(Duration::ZERO)));
        assert_eq!(capacity(&limiter, 8), 1);
    }

    #[tokio::test]
    async fn no_request_starts_before_the_time_the_server_asked_for() {
        let limiter = new_limiter();
        limiter.throttled(None, Some(Duration::from_millis(60)));
        let before = std::time::Instant::now();
        limiter.wait_out_pause().await;
        drop(limiter.acquire(1).await);
        assert!(before.elapsed() >= Duration::from_millis(60));
    }

    #[tokio::test]
    async fn permits_are_given_in_order_of_arrival() {
        let limiter = new_limiter();
        let permit = limiter.acquire(1).await;
        let mut waiting: Vec<_> = (0..3).map(|_| Box::pin(limiter.acquire(1))).collect();
        assert!(waiting.iter_mut().all(|acquire| acquire.now_or_never().is_none()));
        drop(permit);
        let acquired: Vec<bool> =
            waiting.iter_mut().rev().map(|acquire| acquire.now_or_never().is_some()).collect();
        assert_eq!(acquired, [false, false, true]);
    }

    #[tokio::test]
    async fn after_a_cut_a_waiting_request_gets_no_permit_above_the_limit() {
        let limiter = new_limiter();
        (0..3).for_each(|_| limiter.succeeded(4));
        let mut held = Vec::new();
        for _ in 0..4 {
            held.push(limiter.acquire(4).await);
        }
        let mut next = Box::pin(limiter.acquire(4));
        assert!(next.as_mut().now_or_never().is_none());
        limiter.throttled(Some(&held[0]), Some(Duration::ZERO));
        held.truncate(2);
        assert!(next.as_mut().now_or_never().is_none(), "two are held, as many as allowed");
        held.truncate(1);
        assert!(next.as_mut().now_or_never().is_some());
    }

    #[tokio::test]
    async fn a_released_permit_wakes_a_waiting_task() {
        let limiter = Arc::new(new_limiter());
        let permit = limiter.acquire(1).await;
        let waiting = tokio::spawn({
            let limiter = Arc::clone(&limiter);
            async move { drop(limiter.acquire(1).await) }
        });
        tokio::task::yield_now().await;
        assert!(!waiting.is_finished());
        drop(permit);
        waiting.await.unwrap();
    }
}
