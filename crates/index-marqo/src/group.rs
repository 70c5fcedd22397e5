//! Documents of one request, and their history.

use super::payload::Payload;
use jiff::Timestamp;

/// A document that has no outcome yet.
pub(super) struct Pending<'a> {
    pub(super) payload: &'a Payload<'a>,
    /// Attempts whose outcome is unknown.
    pub(super) attempts: u32,
    /// Times that it was refused for now.
    pub(super) refusals: u32,
    /// Times that it was throttled; they count as no attempt, only the waits grow.
    pub(super) throttles: u32,
    /// How many documents the server had taken when this one first failed.
    pub(super) accepted_before: Option<u64>,
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
    pub(super) maybe_written: bool,
    pub(super) not_before: Option<Timestamp>,
    /// Code and message with which its documents are refused, unless a last read finds them written.
    pub(super) verdict: Option<(String, String)>,
}

impl<'a> Group<'a> {
    pub(super) fn of(payloads: Vec<&'a Payload<'a>>) -> Self {
        let pending = |payload| Pending {
            payload,
            attempts: 0,
            refusals: 0,
            throttles: 0,
            accepted_before: None,
            is_absent: false,
        };
        Self::from_pending(payloads.into_iter().map(pending).collect())
    }

    /// A group of documents from an earlier group, with their attempts.
    pub(super) fn from_pending(documents: Vec<Pending<'a>>) -> Self {
        Self { documents, failures: 0, conflicts: 0, maybe_written: false, not_before: None, verdict: None }
    }

    pub(super) fn ids(&self) -> Vec<&'a str> {
        self.documents.iter().map(|document| document.payload.id.as_str()).collect()
    }

    pub(super) fn bytes(&self) -> usize {
        self.documents.iter().map(|document| document.payload.json.len() + 1).sum()
    }

    pub(super) fn payloads(&self) -> impl Iterator<Item = &'a Payload<'a>> + Clone + '_ {
        self.documents.iter().map(|document| document.payload)
    }

    /// Two halves; a bad document is in one of them.
    pub(super) fn halves(mut self) -> [Self; 2] {
        let second = self.documents.split_off(self.documents.len().div_ceil(2));
        let half = |documents| Self {
            maybe_written: self.maybe_written,
            not_before: self.not_before,
            conflicts: self.conflicts,
            // Still suspected a little.
            failures: self.failures.min(1),
            verdict: None,
            documents,
        };
        let first = std::mem::take(&mut self.documents);
        [half(first), half(second)]
    }
}
