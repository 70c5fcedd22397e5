//! Counts of a job's items by outcome (`docs/counting.md`).

use serde::{Deserialize, Serialize};
use std::ops::AddAssign;

/// Items by outcome. An item is what a job counts: a document, a removal, or a product or line of the export that
/// became neither. Each item is in exactly one of `processed`, `failed`, `skipped` and `conflict`; `unchanged` and
/// `deleted` are parts of `processed`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Counts {
    /// The index has the item's document, or no longer has the document that the item removes.
    pub processed: u64,
    /// The part of `processed` that was not written, because the index held the same content already.
    pub unchanged: u64,
    /// Refused by the plug-in, the validator or the index.
    pub failed: u64,
    /// Never became a document: unreadable lines, lines whose product is not in the export (orphans), and products of
    /// which the plug-in made nothing.
    pub skipped: u64,
    /// Not written, because the index holds a newer version, or other content of the same version.
    pub conflict: u64,
    /// The part of `processed` that was removed from the index.
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
