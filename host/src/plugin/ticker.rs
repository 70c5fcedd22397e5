//! The clock by which guests are interrupted. It stands still while no guest runs, so that an idle host costs nothing.

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst},
    },
    thread::{self, Thread},
    time::Duration,
};

/// How precisely the time of a call is measured. One atomic increment a tick costs nothing.
pub(super) const TICK: Duration = Duration::from_millis(10);

/// Ticks while a guest runs, on a thread that ends with it.
pub(super) struct Ticker {
    state: Arc<State>,
    thread: Thread,
}

#[derive(Default)]
struct State {
    /// Calls into guests that are under way.
    calls: AtomicUsize,
    is_over: AtomicBool,
}

impl Ticker {
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
        let thread = thread::Builder::new().name("plugin-clock".to_owned()).spawn(run)?.thread().clone();
        Ok(Self { state, thread })
    }

    /// A call begins, and ends when what this returns is dropped.
    pub(super) fn call(&self) -> Call<'_> {
        if self.state.calls.fetch_add(1, SeqCst) == 0 {
            // Before or after it looked: a thread that is woken before it parks does not park.
            self.thread.unpark();
        }
        Call(&self.state)
    }
}

impl Drop for Ticker {
    fn drop(&mut self) {
        self.state.is_over.store(true, SeqCst);
        self.thread.unpark();
    }
}

/// A call into a guest that is under way.
pub(super) struct Call<'a>(&'a State);

impl Drop for Call<'_> {
    fn drop(&mut self) {
        self.0.calls.fetch_sub(1, SeqCst);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc::{RecvTimeoutError, channel};

    #[test]
    fn it_ticks_while_guests_run_and_stands_still_otherwise() {
        let (ticks, seen) = channel();
        let ticker = Ticker::start(move || {
            let _ = ticks.send(());
        })
        .unwrap();
        assert_eq!(seen.recv_timeout(5 * TICK), Err(RecvTimeoutError::Timeout));

        let first = ticker.call();
        let second = ticker.call();
        seen.recv().unwrap();
        drop(first);
        // What was sent until then, and one that may have been under way.
        while seen.try_recv().is_ok() {}
        seen.recv().unwrap();
        seen.recv().unwrap();

        drop(second);
        while seen.recv_timeout(5 * TICK).is_ok() {}
        let again = ticker.call();
        seen.recv().unwrap();
        drop(again);

        drop(ticker);
        while seen.recv().is_ok() {}
    }
}
