//! The clock by which guests are interrupted. It stands still while no guest runs, so that an idle host costs nothing.

use crate::memory::Interrupt;
use std::{
    io,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering::SeqCst},
    },
    thread::{self, Thread},
    time::Duration,
};

/// How precisely the time of a call is measured. Looking at the calls that often costs nothing.
pub(super) const TICK: Duration = Duration::from_millis(10);

/// Ticks while a guest runs, on a thread that ends with it.
pub(super) struct Ticker {
    state: Arc<State>,
    thread: Thread,
}

#[derive(Default)]
struct State {
    calls: Mutex<Calls>,
    is_over: AtomicBool,
}

/// Calls into guests that are under way.
#[derive(Default)]
struct Calls {
    begun: u64,
    running: Vec<Running>,
}

struct Running {
    number: u64,
    ticks_left: u64,
    interrupt: Interrupt,
}

impl Ticker {
    /// Starts the thread, which waits for the first call.
    pub(super) fn start() -> io::Result<Self> {
        let state = Arc::new(State::default());
        let theirs = state.clone();
        let run = move || {
            while !theirs.is_over.load(SeqCst) {
                if theirs.lock().running.is_empty() {
                    thread::park();
                } else {
                    thread::sleep(TICK);
                    theirs.lock().tick();
                }
            }
        };
        let thread = thread::Builder::new().name("plugin-clock".to_owned()).spawn(run)?.thread().clone();
        Ok(Self { state, thread })
    }

    /// A call begins, and ends when what this returns is dropped; after a number of ticks it is interrupted.
    pub(super) fn call(&self, ticks: u64, interrupt: &Interrupt) -> Call<'_> {
        let mut calls = self.state.lock();
        calls.begun += 1;
        let number = calls.begun;
        let is_first = calls.running.is_empty();
        calls.running.push(Running { number, ticks_left: ticks, interrupt: interrupt.clone() });
        drop(calls);
        if is_first {
            // Before or after it looked: a thread that is woken before it parks does not park.
            self.thread.unpark();
        }
        Call { state: &self.state, number }
    }
}

impl Drop for Ticker {
    fn drop(&mut self) {
        self.state.is_over.store(true, SeqCst);
        self.thread.unpark();
    }
}

impl State {
    fn lock(&self) -> MutexGuard<'_, Calls> {
        self.calls.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Calls {
    fn tick(&mut self) {
        for call in &mut self.running {
            call.ticks_left = call.ticks_left.saturating_sub(1);
            if call.ticks_left == 0 && !call.interrupt.is_raised() {
                call.interrupt.raise();
            }
        }
    }
}

/// A call into a guest that is under way.
pub(super) struct Call<'a> {
    state: &'a State,
    number: u64,
}

impl Drop for Call<'_> {
    fn drop(&mut self) {
        self.state.lock().running.retain(|call| call.number != self.number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_is_interrupted_when_its_time_is_over_and_only_then() {
        let ticker = Ticker::start().unwrap();
        let (short, long, ended) = <(Interrupt, Interrupt, Interrupt)>::default();
        let _long = ticker.call(u64::MAX, &long);
        drop(ticker.call(1, &ended));
        let _short = ticker.call(2, &short);
        while !short.is_raised() {
            thread::sleep(TICK);
        }
        assert!(!long.is_raised() && !ended.is_raised());
    }

    #[test]
    fn it_stands_still_while_nothing_runs_and_goes_on_with_the_next_call() {
        let ticker = Ticker::start().unwrap();
        for _ in 0..3 {
            thread::sleep(3 * TICK);
            let interrupt = Interrupt::default();
            let _call = ticker.call(1, &interrupt);
            while !interrupt.is_raised() {
                thread::sleep(TICK);
            }
        }
    }
}
