//! How far reading has come, and how to stop it.

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering::Relaxed},
};

/// What is being done to the export, in the order in which it happens; phases that are not needed are left out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    /// Nothing yet.
    #[default]
    Idle,
    /// A stream is copied to disk.
    Spooling,
    /// The order of the lines is looked at.
    Scanning,
    /// Lines are matched with their parents.
    Resolving,
    /// Lines are sorted by product.
    Sorting,
    /// Products are handed on.
    Grouping,
    /// Everything has been handed on.
    Done,
}

const PHASES: [Phase; 7] = [
    Phase::Idle,
    Phase::Spooling,
    Phase::Scanning,
    Phase::Resolving,
    Phase::Sorting,
    Phase::Grouping,
    Phase::Done,
];

/// Counters that the reader moves and anybody may look at. Bytes and lines begin anew with each phase.
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
    /// What is being done.
    pub phase: Phase,
    /// Bytes read in this phase, as stored (packed, if the source is).
    pub bytes: u64,
    /// Bytes that there are to read in each phase; unknown while a stream is spooled.
    pub bytes_total: Option<u64>,
    /// Lines with content seen in this phase.
    pub lines: u64,
    /// Products handed on.
    pub products: u64,
}

impl Progress {
    /// The counters now.
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

    /// Enters a phase; bytes and lines begin anew.
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
    /// Asks to stop.
    pub fn cancel(&self) {
        self.0.store(true, Relaxed);
    }

    /// Whether somebody asked to stop.
    pub fn is_cancelled(&self) -> bool {
        self.0.load(Relaxed)
    }
}
