//! Records where a panic of the host happened, which is known only while it unwinds, for the dead letter of its chunk.

use std::{backtrace::Backtrace, cell::RefCell, panic};

thread_local! {
    /// The backtrace of the thread's last panic, until it is taken.
    static LAST: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// Bytes of a backtrace that are kept: the first frames say where, and dead letters stay small.
const MAX_BYTES: usize = 6 << 10;

/// Records where panics happen from now on, so that dead letters say it. Called once, by the program; the hook that
/// was there before runs as well.
pub fn record_backtraces() {
    let before = panic::take_hook();
    panic::set_hook(Box::new(move |panic| {
        let backtrace = Backtrace::force_capture().to_string();
        let place = panic.location().map(|place| format!("at {place}\n")).unwrap_or_default();
        LAST.set(Some(place + &of_program(&backtrace)));
        before(panic);
    }));
}

/// Where this thread's last panic happened; `None` if there was none, or if it was taken before.
pub(super) fn take_backtrace() -> Option<String> {
    LAST.take().map(|mut text| {
        text.truncate(text.floor_char_boundary(MAX_BYTES));
        text
    })
}

/// A backtrace without the frames of the panic itself, which come first.
fn of_program(backtrace: &str) -> String {
    let is_of_panic = |frame: &str| {
        ["backtrace", "panicking", "rust_begin_unwind", "core::option::", "core::result::", "std::sys::"]
            .iter()
            .any(|name| frame.contains(name))
    };
    let mut lines = backtrace.lines().peekable();
    while let Some(line) = lines.peek() {
        let is_place = line.trim_start().starts_with("at ");
        if !is_place && !is_of_panic(line) {
            break;
        }
        lines.next();
    }
    lines.collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_frames_of_the_panic_itself_are_left_out() {
        let backtrace = "   0: std::backtrace::Backtrace::create\n             at /rustc/backtrace.rs:1\n   1: core::panicking::panic\n   \
                         2: host::worker\n             at src/worker.rs:7\n   3: core::panicking::later";
        assert_eq!(
            of_program(backtrace),
            "   2: host::worker\n             at src/worker.rs:7\n   3: core::panicking::later"
        );
    }
}
