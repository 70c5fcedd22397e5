//! A group: the documents of one request that have no outcome yet, and how earlier attempts at them went.

use super::payload::Payload;
use jiff::Timestamp;

/// A document that has no outcome yet.
pub(super) struct Pending<'a> {
    pub(super) payload: &'a Payload<'a>,
    /// Answers that leave its outcome unknown, such as a 500 in its item.
    pub(super) attempts: u32,
    /// Refusals that may pass, such as of an image that could not be downloaded.
    pub(super) refusals: u32,
    /// Times that it was throttled. They do not count as attempts; only the waits grow.
    pub(super) throttles: u32,
    /// How many documents the server had accepted when this one first failed; `None` before that. See
    /// `Endpoint::accepted_count`.
    pub(super) accepted_before: Option<u64>,
    /// The last read did not find the document in the index.
    pub(super) is_absent: bool,
}

/// The documents of one request.
pub(super) struct Group<'a> {
    pub(super) documents: Vec<Pending<'a>>,
    /// Failed requests of exactly these documents.
    pub(super) failures: u32,
    /// Answers with 409: the schema of the index was being changed.
    pub(super) conflicts: u32,
    /// Whether an attempt may have written some of them.
    pub(super) maybe_written: bool,
    /// When they may be sent; `None`: at once.
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

    /// Bytes of the documents in a request, with a comma after each.
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
            // One failure stays counted, so that the half with the bad document is soon halved again.
            failures: self.failures.min(1),
            verdict: None,
            documents,
        };
        let first = std::mem::take(&mut self.documents);
        [half(first), half(second)]
    }
}
