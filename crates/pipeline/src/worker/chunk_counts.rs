//! The counts and report entries of one chunk.

use host_core::{
    model::{ChunkRef, Class, Counts, Entry, report::Samples},
    storage::{ChunkOutcome, Chunks, QuarantineReason, StoreError},
};

/// What became of a chunk's items so far, in their order.
#[derive(Default)]
pub(super) struct ChunkCounts {
    counts: Counts,
    entries: Vec<Entry>,
}

impl ChunkCounts {
    /// All items failed, for this reason.
    pub(super) fn all_failed(documents: u32, reason: Entry) -> Self {
        let counts = Counts { failed: documents.into(), ..Counts::default() };
        Self { counts, entries: vec![reason] }
    }

    /// Counts an item whose document is in the index.
    pub(super) fn processed(&mut self) {
        self.counts.processed += 1;
    }

    /// Counts an item whose document was in the index before, with the same content.
    pub(super) fn unchanged(&mut self) {
        self.counts.processed += 1;
        self.counts.unchanged += 1;
    }

    /// Counts an item whose document is gone.
    pub(super) fn deleted(&mut self) {
        self.counts.processed += 1;
        self.counts.deleted += 1;
    }

    /// Counts an item by the class of its entry.
    pub(super) fn refuse(&mut self, entry: Entry) {
        match entry.class {
            Class::Skipped => self.counts.skipped += 1,
            Class::Failed => self.counts.failed += 1,
            Class::Conflict => self.counts.conflict += 1,
            Class::Warning => {}
        }
        self.entries.push(entry);
    }

    /// Stores the chunk's report, if it has entries, and gives the outcome.
    pub(super) async fn into_outcome(
        self,
        chunks: &dyn Chunks,
        chunk: &ChunkRef,
        quarantined: Option<QuarantineReason>,
    ) -> Result<ChunkOutcome, StoreError> {
        let Self { counts, entries } = self;
        let mut report = None;
        let mut samples = Samples::default();
        if !entries.is_empty() {
            let mut bytes = Vec::new();
            entries.iter().for_each(|entry| entry.write_line(&mut bytes));
            let key = chunk.report_key();
            chunks.put(&key, &bytes).await?;
            report = Some(key);
        }
        entries.into_iter().for_each(|entry| samples.add(entry));
        Ok(ChunkOutcome { counts, report, samples: samples.into_entries(), quarantined })
    }
}
