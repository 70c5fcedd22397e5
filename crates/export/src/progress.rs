//! Progress counters, which the reader of an export updates and others show, and the flag that cancels the reading.

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering::Relaxed},
};

/// The steps of reading an export, in order. The reader skips those that it does not need.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    /// Reading has not started.
    #[default]
    Idle,
    /// Copying a stream to disk.
    Spooling,
    /// Checking the order of the lines.
    Scanning,
    /// Matching lines with their parents.
    Resolving,
    /// Sorting lines by product.
    Sorting,
    /// Yielding products.
    Grouping,
    /// All items have been yielded.
    Done,
}

/// All phases, in the order of their numbers.
const PHASES: [Phase; 7] = [
    Phase::Idle,
    Phase::Spooling,
    Phase::Scanning,
    Phase::Resolving,
    Phase::Sorting,
    Phase::Grouping,
    Phase::Done,
];

/// Counters that the reader updates and other threads may read. Bytes and lines restart with each phase.
#[derive(Debug, Default)]
pub struct Progress {
    phase: AtomicU8,
    bytes: AtomicU64,
    total: AtomicU64,
    lines: AtomicU64,
    products: AtomicU64,
}

/// The counters at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ProgressSnapshot {
    /// The current phase.
    pub phase: Phase,
    /// Stored bytes read in this phase: compressed bytes if the source is compressed.
    pub bytes: u64,
    /// Stored bytes to read in each phase; `None` while a stream is being spooled, because its length is not known yet.
    pub bytes_total: Option<u64>,
    /// Lines with content read in this phase.
    pub lines: u64,
    /// Products yielded.
    pub products: u64,
}

impl Progress {
    /// The current counters.
    pub fn snapshot(&self) -> ProgressSnapshot {
        let total = self.total.load(Relaxed);
        ProgressSnapshot {
            phase: PHASES[usize::from(self.phase.load(Relaxed)).min(PHASES.len() - 1)],
            bytes: self.bytes.load(Relaxed),
            bytes_total: (total > 0).then_some(total),
            lines: self.lines.load(Relaxed),
            products: self.products.load(Relaxed),
        }
    }

    /// Enters a phase and resets bytes and lines.
    pub fn begin(&self, phase: Phase) {
        self.bytes.store(0, Relaxed);
        self.lines.store(0, Relaxed);
        self.phase.store(phase as u8, Relaxed);
    }

    pub(super) fn expect_bytes(&self, total: u64) {
        self.total.store(total, Relaxed);
    }

    pub(super) fn add_bytes(&self, bytes: u64) {
        self.bytes.fetch_add(bytes, Relaxed);
    }

    pub(super) fn set_lines(&self, lines: u64) {
        self.lines.store(lines, Relaxed);
    }

    pub(super) fn set_products(&self, products: u64) {
        self.products.store(products, Relaxed);
    }
}

/// A flag that stops reading at the next block; clones share it.
#[derive(Clone, Debug, Default)]
pub struct Cancel(Arc<AtomicBool>);

impl Cancel {
    /// Requests cancellation.
    pub fn cancel(&self) {
        self.0.store(true, Relaxed);
    }

    /// Whether cancellation was requested.
    pub fn is_cancelled(&self) -> bool {
        self.0.load(Relaxed)
    }
}
