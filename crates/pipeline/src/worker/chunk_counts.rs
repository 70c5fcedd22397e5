//! Collects the counts and report entries of one chunk's items.

use host_core::{
    model::{Counts, DocumentId, EntryClass, ReportEntry, report::Samples},
    storage::{ChunkOutcome, Chunks, QuarantineReason, StoreError},
};
use serde_json::{Map, Value};

/// The outcome of a document or removal that was not refused, with its version fields.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum AcceptedOutcome {
    /// This job wrote it.
    Written(Map<String, Value>),
    /// The index had it.
    Unchanged(Map<String, Value>),
    /// It is gone from the index, or was before.
    Removed(Map<String, Value>),
}

/// The outcomes of a chunk's items so far, in their order.
#[derive(Default)]
pub(super) struct ChunkCounts {
    counts: Counts,
    entries: Vec<ReportEntry>,
    accepted: Vec<(DocumentId, AcceptedOutcome)>,
}

impl ChunkCounts {
    /// All items failed, for this reason.
    pub(super) fn all_failed(documents: u32, reason: ReportEntry) -> Self {
        let counts = Counts { failed: documents.into(), ..Counts::default() };
        Self { counts, entries: vec![reason], accepted: Vec::new() }
    }

    /// Counts an item that was not refused.
    pub(super) fn done(&mut self, id: DocumentId, outcome: AcceptedOutcome) {
        self.counts.processed += 1;
        match outcome {
            AcceptedOutcome::Written(_) => {}
            AcceptedOutcome::Unchanged(_) => self.counts.unchanged += 1,
            AcceptedOutcome::Removed(_) => self.counts.deleted += 1,
        }
        self.accepted.push((id, outcome));
    }

    /// The outcomes of the documents that were not refused.
    pub(super) fn accepted(&self) -> impl Iterator<Item = (&DocumentId, &AcceptedOutcome)> {
        self.accepted.iter().map(|(id, outcome)| (id, outcome))
    }

    /// The report entries so far.
    pub(super) fn entries(&self) -> impl Iterator<Item = &ReportEntry> {
        self.entries.iter()
    }

    /// Adds a report entry, and counts its item unless the entry is a warning.
    pub(super) fn add_entry(&mut self, entry: ReportEntry) {
        match entry.class {
            EntryClass::Skipped => self.counts.skipped += 1,
            EntryClass::Failed => self.counts.failed += 1,
            EntryClass::Conflict => self.counts.conflict += 1,
            EntryClass::Warning => {}
        }
        self.entries.push(entry);
    }

    /// Stores the chunk's report under this key, if it has entries, and returns the outcome, which names it.
    pub(super) async fn into_outcome(
        self,
        chunks: &dyn Chunks,
        report_key: String,
        quarantined: Option<QuarantineReason>,
    ) -> Result<ChunkOutcome, StoreError> {
        let Self { counts, entries, .. } = self;
        let mut report = None;
        let mut samples = Samples::default();
        if !entries.is_empty() {
            let mut bytes = Vec::new();
            entries.iter().for_each(|entry| entry.write_line(&mut bytes));
            chunks.put(&report_key, &bytes).await?;
            report = Some(report_key);
        }
        entries.into_iter().for_each(|entry| samples.add(entry));
        Ok(ChunkOutcome { counts, report, samples: samples.into_entries(), quarantined })
    }
}
