//! The watchdog thread. It advances the epoch of the WebAssembly engine, a counter by which wasmtime interrupts a guest
//! (an instance of a plug-in) whose call takes too long. It sleeps while no guest runs, so that an idle host costs
//! nothing.

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst},
    },
    thread::{self, Thread},
    time::Duration,
};

/// The time between two ticks: how precisely the time of a call is measured.
pub(super) const TICK: Duration = Duration::from_millis(10);

/// Ticks on its own thread while a guest runs. The thread ends when this is dropped.
pub(super) struct Watchdog {
    state: Arc<State>,
    thread: Thread,
}

#[derive(Default)]
struct State {
    /// Calls into guests that are in progress.
    calls: AtomicUsize,
    /// Set when the watchdog is dropped.
    is_over: AtomicBool,
}

impl Watchdog {
    /// Starts the thread, which calls `tick` while a guest runs.
    pub(super) fn start(tick: impl Fn() + Send + 'static) -> io::Result<Self> {
        let state = Arc::new(State::default());
        let of_thread = state.clone();
        let run = move || {
            while !of_thread.is_over.load(SeqCst) {
                if of_thread.calls.load(SeqCst) == 0 {
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
            // If the thread has not parked yet, its next `park` returns at once.
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

    /// How long a test waits for what must happen.
    const TIMEOUT: Duration = Duration::from_secs(60);

    #[test]
    fn it_ticks_only_while_a_call_runs() {
        let (ticked, ticks) = channel();
        let watchdog = Watchdog::start(move || ticked.send(()).unwrap_or_default()).unwrap();
        for _ in 0..3 {
            let (outer, inner) = (watchdog.call(), watchdog.call());
            assert_eq!(ticks.recv_timeout(TIMEOUT), Ok(()));
            drop(outer);
            assert_eq!(ticks.recv_timeout(TIMEOUT), Ok(()));
            drop(inner);
            // One tick that was in progress may still come, but no second one.
            let is_quiet = || ticks.recv_timeout(10 * TICK) == Err(RecvTimeoutError::Timeout);
            assert!(is_quiet() || is_quiet());
        }
    }

    #[test]
    fn its_thread_ends_with_it() {
        let (ticked, ticks) = channel();
        let watchdog = Watchdog::start(move || ticked.send(()).unwrap_or_default()).unwrap();
        drop(watchdog);
        assert_eq!(ticks.recv_timeout(TIMEOUT), Err(RecvTimeoutError::Disconnected));
    }
}
