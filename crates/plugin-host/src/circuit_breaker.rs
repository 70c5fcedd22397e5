//! The circuit breaker of a plug-in stops one that keeps failing on its items (products, documents or pairs of
//! versions): it would otherwise have every product of a shop refused, one trap (an abort of its WebAssembly) at a
//! time.

use crate::{Limits, fault::Fault};
use host_core::{metrics as names, plugin::BatchFailure};
use std::{
    collections::VecDeque,
    sync::{Mutex, MutexGuard, PoisonError},
};

/// Code of the failure of every batch that a stopped plug-in is given, and of the one line in the log that says so.
pub(super) const STOPPED_CODE: &str = "plugin-stopped";

/// The outcomes of the last items of a plug-in, on all threads.
#[derive(Debug, Default)]
pub(super) struct CircuitBreaker(Mutex<Recent>);

/// The last `fault_window` items, and whether the plug-in is stopped.
#[derive(Debug, Default)]
struct Recent {
    /// Whether the plug-in failed on each of the last items, the newest at the back.
    items: VecDeque<bool>,
    /// How many of `items` are true.
    faults: usize,
    /// What every batch fails with once the plug-in is stopped, which is for good; `None` while it works.
    stopped: Option<BatchFailure>,
}

impl CircuitBreaker {
    /// The failure of every further batch if the plug-in was stopped; `None` if not.
    pub(super) fn stopped(&self) -> Option<BatchFailure> {
        self.recent().stopped.clone()
    }

    /// Records items that the plug-in handled.
    pub(super) fn record_successes(&self, items: usize, limits: &Limits) {
        let mut recent = self.recent();
        for _ in 0..items.min(limits.fault_window) {
            recent.record(false, limits);
        }
    }

    /// Records an item that the plug-in failed on, and stops the plug-in if these have become too many.
    pub(super) fn record_failure(&self, fault: &Fault, plugin: &str, limits: &Limits) {
        // The label is one of `plugin-trap`, `plugin-timeout`, `plugin-memory`, `plugin-output` and `plugin-contract`.
        metrics::counter!(names::PLUGIN_FAULTS, "code" => fault.code()).increment(1);
        let mut recent = self.recent();
        recent.record(true, limits);
        if recent.stopped.is_some() || !recent.is_too_much(limits) {
            return;
        }
        let (faults, of) = (recent.faults, recent.items.len());
        let message = format!(
            "it failed on {faults} of its last {of} items, and the last time it {}",
            fault.verb_phrase(limits)
        );
        tracing::error!(
            code = STOPPED_CODE,
            plugin,
            faults,
            of,
            backtrace = fault.backtrace.join(" < "),
            log = fault.log.join(" | "),
            "the plug-in is stopped: {message}; no further items are refused because of it, and it gets no more work"
        );
        metrics::counter!(names::PLUGINS_STOPPED).increment(1);
        let (plugin, code) = (plugin.to_owned(), STOPPED_CODE.to_owned());
        recent.stopped = Some(BatchFailure { plugin, code, message, stopped: true, before: Vec::new() });
    }

    fn recent(&self) -> MutexGuard<'_, Recent> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Recent {
    fn record(&mut self, is_fault: bool, limits: &Limits) {
        self.items.push_back(is_fault);
        self.faults += usize::from(is_fault);
        while self.items.len() > limits.fault_window {
            self.faults -= usize::from(self.items.pop_front() == Some(true));
        }
    }

    /// Whether the faults among the last items are more than the limits allow.
    fn is_too_much(&self, limits: &Limits) -> bool {
        let is_above_percentage =
            self.faults.saturating_mul(100) > self.items.len().saturating_mul(limits.fault_percent.into());
        is_above_percentage && self.faults >= limits.fault_least
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limits() -> Limits {
        Limits { fault_window: 20, fault_percent: 20, fault_least: 4, ..Limits::default() }
    }

    /// After how many items a plug-in is stopped that fails on every `nth`; `None` if it is not stopped within 999.
    fn stopped_after(nth: usize, limits: &Limits) -> Option<usize> {
        let breaker = CircuitBreaker::default();
        (1..1_000).find(|item| {
            if item % nth == 0 {
                breaker.record_failure(&Fault::contract("x".to_owned()), "p@1", limits);
            } else {
                breaker.record_successes(1, limits);
            }
            breaker.stopped().is_some()
        })
    }

    #[test]
    fn faults_above_the_percentage_stop_a_plugin_and_faults_at_it_do_not() {
        assert_eq!(stopped_after(1, &limits()), Some(4));
        assert_eq!(stopped_after(4, &limits()), Some(16));
        assert_eq!(stopped_after(5, &limits()), None);
        assert_eq!(stopped_after(1, &Limits { fault_percent: 100, ..limits() }), None);
        assert_eq!(stopped_after(1, &Limits { fault_window: 0, ..limits() }), None);
    }

    #[test]
    fn only_the_last_items_count() {
        let (breaker, limits) = (CircuitBreaker::default(), limits());
        breaker.record_successes(1_000, &limits);
        for _ in 0..4 {
            breaker.record_failure(&Fault::contract("x".to_owned()), "p@1", &limits);
        }
        assert_eq!(breaker.stopped(), None, "4 of 20 are not more than 20 %");
        breaker.record_failure(&Fault::contract("x".to_owned()), "p@1", &limits);
        let stopped = breaker.stopped().unwrap();
        assert_eq!(
            stopped.to_string(),
            "plug-in p@1 was stopped: it failed on 5 of its last 20 items, and the last time it broke the contract: x \
             (plugin-stopped)"
        );
    }
}
