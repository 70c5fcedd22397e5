//! Documents that travel in one request, and what they have been through.

use super::wire::Wire;
use jiff::Timestamp;

/// A document under way.
pub(super) struct Pending<'a> {
    pub(super) wire: &'a Wire<'a>,
    /// Attempts whose outcome is unknown.
    pub(super) attempts: u32,
    /// Times that it was refused for now.
    pub(super) refusals: u32,
    /// Times that it was throttled; they burn nothing, only the waits grow.
    pub(super) throttles: u32,
    /// How many documents the server had taken when this one first failed.
    pub(super) taken_before: Option<u64>,
    /// The last read found no such document.
    pub(super) is_absent: bool,
}

/// The documents of one request.
pub(super) struct Group<'a> {
    pub(super) documents: Vec<Pending<'a>>,
    /// Failures of these very documents together.
    pub(super) failures: u32,
    /// Times that the server was busy with something else.
    pub(super) conflicts: u32,
    /// Whether some may have been written already.
    pub(super) is_doubtful: bool,
    pub(super) not_before: Option<Timestamp>,
    /// Code and words with which its documents are refused, unless a last look finds them written all the same.
    pub(super) verdict: Option<(String, String)>,
}

impl<'a> Group<'a> {
    pub(super) fn of(wires: Vec<&'a Wire<'a>>) -> Self {
        let pending = |wire| Pending {
            wire,
            attempts: 0,
            refusals: 0,
            throttles: 0,
            taken_before: None,
            is_absent: false,
        };
        Self::again(wires.into_iter().map(pending).collect())
    }

    /// A group of documents that were in another one before.
    pub(super) fn again(documents: Vec<Pending<'a>>) -> Self {
        Self { documents, failures: 0, conflicts: 0, is_doubtful: false, not_before: None, verdict: None }
    }

    pub(super) fn ids(&self) -> Vec<&'a str> {
        self.documents.iter().map(|document| document.wire.id.as_str()).collect()
    }

    pub(super) fn bytes(&self) -> usize {
        self.documents.iter().map(|document| document.wire.json.len() + 1).sum()
    }

    pub(super) fn wires(&self) -> impl Iterator<Item = &'a Wire<'a>> + Clone + '_ {
        self.documents.iter().map(|document| document.wire)
    }

    /// Two halves; whoever is guilty is in one of them.
    pub(super) fn halves(mut self) -> [Self; 2] {
        let second = self.documents.split_off(self.documents.len().div_ceil(2));
        let half = |documents| Self {
            is_doubtful: self.is_doubtful,
            not_before: self.not_before,
            conflicts: self.conflicts,
            // Not quite unsuspected.
            failures: self.failures.min(1),
            verdict: None,
            documents,
        };
        let first = std::mem::take(&mut self.documents);
        [half(first), half(second)]
    }
}
