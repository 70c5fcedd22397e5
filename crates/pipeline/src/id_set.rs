//! A set of ids in little memory.

use host_core::model::Digest;
use std::collections::HashSet;

/// A set of ids, 8 bytes of the digest of each: two that share them are taken for one.
#[derive(Debug, Default)]
pub(crate) struct IdSet(HashSet<u64>);

impl IdSet {
    pub(crate) fn insert(&mut self, id: &str) {
        self.0.insert(Digest::of(id.as_bytes()).prefix());
    }

    pub(crate) fn contains(&self, id: &str) -> bool {
        self.0.contains(&Digest::of(id.as_bytes()).prefix())
    }
}
