//! Sets of document ids, 8 bytes each.

use host_core::model::{Digest, DocumentId};

/// A sorted set of digests of ids. Two ids that share 8 bytes are taken for one, so that a difference may stay unseen; it is never
/// made up.
#[derive(Debug, Default)]
pub(super) struct Digests(Vec<u64>);

impl Digests {
    /// The set of these digests, in any order and repeated.
    pub(super) fn new(mut digests: Vec<u64>) -> Self {
        digests.sort_unstable();
        digests.dedup();
        Self(digests)
    }

    /// The set with these digests, too.
    pub(super) fn with(mut self, more: Vec<u64>) -> Self {
        self.0.extend(more);
        Self::new(self.0)
    }

    pub(super) fn of(id: &DocumentId) -> u64 {
        Digest::of(id.as_str().as_bytes()).prefix()
    }

    pub(super) fn contains(&self, id: &DocumentId) -> bool {
        self.0.binary_search(&Self::of(id)).is_ok()
    }
}
