//! What the host keeps for each instance of a plug-in: its memory limits, its log, and its state of WASI (the standard
//! system interfaces of WebAssembly).

use crate::{
    Limits,
    limits::MemoryLimiter,
    untrusted_text::{self, truncate},
    wasi,
};
use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

/// Bytes that each line of the log counts in addition to its own, so that empty lines are limited too.
const LINE_BYTES: usize = 100;

/// The last lines of a call that are kept for the report of a trap (an abort of the plug-in's code).
const TAIL_LINES: usize = 20;

/// The most characters of each of these lines: enough for a panic message.
const TAIL_CHARACTERS: usize = 1_000;

/// The data of a wasmtime store, which belongs to one instance.
pub(super) struct Sandbox {
    pub(super) limiter: MemoryLimiter,
    log: SharedLog,
    /// `None` for a component that does not import WASI.
    wasi: Option<wasi::State>,
}

impl Sandbox {
    pub(super) fn new(plugin: Arc<str>, limits: &Limits, imports_wasi: bool) -> Self {
        let log = SharedLog::new(plugin, limits.log_bytes);
        Self {
            limiter: MemoryLimiter::new(limits),
            wasi: imports_wasi.then(|| wasi::State::new(&log, limits.wasi_handles)),
            log,
        }
    }

    /// The log.
    pub(super) fn log(&self) -> MutexGuard<'_, Log> {
        self.log.lock()
    }

    /// The state of WASI.
    pub(super) fn wasi(&mut self) -> &mut wasi::State {
        self.wasi.as_mut().expect("WASI is linked only to a component that imports it")
    }

    /// Begins a call: forgets what the call before left.
    pub(super) fn begin(&mut self) {
        self.limiter.take_refused();
        self.log().begin();
        if let Some(wasi) = &mut self.wasi {
            wasi.begin();
        }
    }

    /// Ends a call: logs how much of the plug-in's output was cut.
    pub(super) fn end(&mut self) {
        if let Some(wasi) = &mut self.wasi {
            wasi.end();
        }
        self.log().end();
    }
}

/// The log of an instance, shared with the output streams of its WASI.
#[derive(Clone)]
pub(super) struct SharedLog(Arc<Mutex<Log>>);

impl SharedLog {
    pub(super) fn new(plugin: Arc<str>, bytes_per_call: usize) -> Self {
        Self(Arc::new(Mutex::new(Log::new(plugin, bytes_per_call))))
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Log> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A line that a guest (the plug-in's code) logged.
#[derive(Debug)]
pub(super) struct Line {
    pub(super) level: tracing::Level,
    pub(super) message: String,
}

/// The log of one instance: bounded for each call, without control characters, and with the last lines kept for traps.
#[derive(Debug)]
pub(super) struct Log {
    /// `name@version`.
    plugin: Arc<str>,
    bytes_per_call: usize,
    /// What the current call has logged or tried to log, with `LINE_BYTES` for each line.
    bytes: usize,
    /// Lines of the current call that were not logged, and their bytes.
    cut_lines: u64,
    cut_bytes: u64,
    /// The last lines of the current call, also those that were cut.
    tail: VecDeque<String>,
}

impl Log {
    fn new(plugin: Arc<str>, bytes_per_call: usize) -> Self {
        Self { plugin, bytes_per_call, bytes: 0, cut_lines: 0, cut_bytes: 0, tail: VecDeque::new() }
    }

    /// Begins a call: forgets the call before.
    pub(super) fn begin(&mut self) {
        (self.bytes, self.cut_lines, self.cut_bytes) = (0, 0, 0);
        self.tail.clear();
    }

    /// Logs a line of the guest, unless the call has logged too much.
    pub(super) fn write(&mut self, line: Line) {
        // The tail has lines beyond the limit as well: the last one usually says why the guest failed.
        if self.tail.len() == TAIL_LINES {
            self.tail.pop_front();
        }
        self.tail.push_back(truncate(&line.message, TAIL_CHARACTERS));

        self.bytes = self.bytes.saturating_add(line.message.len()).saturating_add(LINE_BYTES);
        if self.bytes > self.bytes_per_call {
            self.cut_lines += 1;
            self.cut_bytes += line.message.len() as u64;
            return;
        }
        let (plugin, message) = (&*self.plugin, untrusted_text::sanitize(&line.message));
        // tracing fixes the level of an event at compile time, hence one macro a level.
        match line.level {
            tracing::Level::ERROR => tracing::error!(target: "plugin", plugin, "{message}"),
            tracing::Level::WARN => tracing::warn!(target: "plugin", plugin, "{message}"),
            tracing::Level::INFO => tracing::info!(target: "plugin", plugin, "{message}"),
            _ => tracing::debug!(target: "plugin", plugin, "{message}"),
        }
    }

    /// Ends a call: logs how much was cut.
    pub(super) fn end(&mut self) {
        if self.cut_lines > 0 {
            tracing::warn!(
                target: "plugin",
                plugin = &*self.plugin,
                "{} more lines with {} bytes were cut: a call may log {} bytes, {LINE_BYTES} of them for each line",
                self.cut_lines, self.cut_bytes, self.bytes_per_call
            );
        }
    }

    /// The last lines of the call, which are forgotten.
    pub(super) fn take_tail(&mut self) -> Vec<String> {
        self.tail.drain(..).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn log(bytes: usize, lines: impl IntoIterator<Item = String>) -> Log {
        let mut log = Log::new("p".into(), bytes);
        log.begin();
        for message in lines {
            log.write(Line { level: tracing::Level::INFO, message });
        }
        log
    }

    #[test]
    fn lines_beyond_the_limit_are_cut_but_the_last_ones_are_kept_for_traps() {
        let mut log = log(15 * (LINE_BYTES + 7), (0..1000).map(|number| format!("line {number:02}")));
        assert_eq!(log.cut_lines, 1000 - 15);
        let tail = log.take_tail();
        assert_eq!((tail.len(), tail[19].as_str()), (20, "line 999"));
        log.begin();
        assert_eq!((log.bytes, log.cut_lines, log.take_tail().len()), (0, 0, 0));
    }

    #[test]
    fn empty_lines_are_limited_too() {
        assert_eq!(log(10 * LINE_BYTES, (0..1000).map(|_| String::new())).cut_lines, 990);
    }

    #[test]
    fn a_long_line_is_truncated_in_the_tail() {
        assert_eq!(log(9, ["é".repeat(1 << 20)]).take_tail()[0].chars().count(), TAIL_CHARACTERS);
    }
}
