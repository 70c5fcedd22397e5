//! Counts of a job's items by outcome (`docs/counting.md`).

use serde::{Deserialize, Serialize};
use std::ops::AddAssign;

/// Items by outcome. An item is what a job counts: a document, a removal, or a product or line of the export that became neither.
/// Each item is in exactly one of `processed`, `failed`, `skipped` and `conflict`; `unchanged` and `deleted` are parts of `processed`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Counts {
    /// The index is as the item wants it: it has the document, or no longer has the removed one.
    pub processed: u64,
    /// The index held the same content already, so the item was not written.
    pub unchanged: u64,
    /// Refused by the plug-in, the validator or the index.
    pub failed: u64,
    /// Never became a document: unreadable lines and orphans.
    pub skipped: u64,
    /// Older than the version in the index.
    pub conflict: u64,
    /// Removed from the index.
    pub deleted: u64,
}

impl Counts {
    /// Number of items with a final class.
    pub fn total(&self) -> u64 {
        self.processed + self.failed + self.skipped + self.conflict
    }
}

impl AddAssign for Counts {
    fn add_assign(&mut self, other: Self) {
        self.processed += other.processed;
        self.unchanged += other.unchanged;
        self.failed += other.failed;
        self.skipped += other.skipped;
        self.conflict += other.conflict;
        self.deleted += other.deleted;
    }
}
