//! The thread that advances the engine's epoch, by which guests are interrupted. It sleeps while no guest runs, so that an
//! idle host costs nothing.

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst},
    },
    thread::{self, Thread},
    time::Duration,
};

/// How precisely the time of a call is measured.
pub(super) const TICK: Duration = Duration::from_millis(10);

/// Ticks while a guest runs, on a thread that ends with it.
pub(super) struct Watchdog {
    state: Arc<State>,
    thread: Thread,
}

#[derive(Default)]
struct State {
    /// Calls into guests that are in progress.
    calls: AtomicUsize,
    is_over: AtomicBool,
}

impl Watchdog {
    /// Starts the thread, which waits for the first call.
    pub(super) fn start(tick: impl Fn() + Send + 'static) -> io::Result<Self> {
        let state = Arc::new(State::default());
        let theirs = state.clone();
        let run = move || {
            while !theirs.is_over.load(SeqCst) {
                if theirs.calls.load(SeqCst) == 0 {
                    thread::park();
                } else {
                    thread::sleep(TICK);
                    tick();
                }
            }
        };
        let thread = thread::Builder::new().name("plugin-watchdog".to_owned()).spawn(run)?.thread().clone();
        Ok(Self { state, thread })
    }

    /// Begins a call, which ends when the guard is dropped.
    pub(super) fn call(&self) -> Call<'_> {
        if self.state.calls.fetch_add(1, SeqCst) == 0 {
            // A thread that is woken before it parks does not park.
            self.thread.unpark();
        }
        Call(&self.state.calls)
    }
}

impl Drop for Watchdog {
    fn drop(&mut self) {
        self.state.is_over.store(true, SeqCst);
        self.thread.unpark();
    }
}

/// A call into a guest that is in progress.
pub(super) struct Call<'a>(&'a AtomicUsize);

impl Drop for Call<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, SeqCst);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc::{RecvTimeoutError, channel};

    const PLENTY: Duration = Duration::from_secs(60);

    #[test]
    fn it_ticks_while_a_call_runs_and_only_then() {
        let (ticked, ticks) = channel();
        let watchdog = Watchdog::start(move || ticked.send(()).unwrap_or_default()).unwrap();
        for _ in 0..3 {
            let (outer, inner) = (watchdog.call(), watchdog.call());
            assert_eq!(ticks.recv_timeout(PLENTY), Ok(()));
            drop(outer);
            assert_eq!(ticks.recv_timeout(PLENTY), Ok(()));
            drop(inner);
            // A tick that was in progress may still come; after it there must be none for the time of the test.
            let is_quiet = || ticks.recv_timeout(10 * TICK) == Err(RecvTimeoutError::Timeout);
            assert!(is_quiet() || is_quiet());
        }
    }

    #[test]
    fn its_thread_ends_with_it() {
        let (ticked, ticks) = channel();
        let watchdog = Watchdog::start(move || ticked.send(()).unwrap_or_default()).unwrap();
        drop(watchdog);
        assert_eq!(ticks.recv_timeout(PLENTY), Err(RecvTimeoutError::Disconnected));
    }
}
