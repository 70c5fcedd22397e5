//! What became of the items of a job.

use serde::{Deserialize, Serialize};
use std::ops::AddAssign;

/// How many items ended in which class. An item is in exactly one of `processed`, `failed`, `skipped` and `conflict`;
/// `unchanged` and `deleted` are parts of `processed`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Counts {
    /// In the index as wanted.
    pub processed: u64,
    /// Already in the index with the same content: not written again.
    pub unchanged: u64,
    /// Refused for what they are: by the plug-in, the validator or the index.
    pub failed: u64,
    /// Never became a document: lines that could not be read, orphans.
    pub skipped: u64,
    /// Older than what the index holds.
    pub conflict: u64,
    /// Removed from the index.
    pub deleted: u64,
}

impl Counts {
    /// How many items have ended.
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
