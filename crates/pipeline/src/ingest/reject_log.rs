//! Records the items that the ingest rejects, which are in no chunk: counts and samples for the job's record, and all
//! of them in report objects. Memory stays bounded.

use super::retry::retry;
use host_core::{
    clock::SharedClock,
    model::{Counts, EntryClass, Job, ReportEntry, report::Samples},
    storage::{StoreError, Stores},
};

/// Bytes after which a report object is written, so that memory stays bounded when every line of an export is rejected.
const REPORT_BYTES: usize = 4 << 20;

/// Collects the report entries of one ingest.
pub struct RejectLog<'a> {
    stores: &'a Stores,
    clock: &'a SharedClock,
    job: &'a Job,
    counts: Counts,
    samples: Samples,
    buffer: Vec<u8>,
    report_keys: Vec<String>,
}

impl<'a> RejectLog<'a> {
    /// An empty log for a job.
    pub fn new(stores: &'a Stores, clock: &'a SharedClock, job: &'a Job) -> Self {
        Self {
            stores,
            clock,
            job,
            counts: Counts::default(),
            samples: Samples::default(),
            buffer: Vec::new(),
            report_keys: Vec::new(),
        }
    }

    /// Counts an entry by its class and appends it to the report. A warning is reported but not counted.
    pub async fn add(&mut self, entry: ReportEntry) -> Result<(), StoreError> {
        match entry.class {
            EntryClass::Skipped => self.counts.skipped += 1,
            EntryClass::Failed => self.counts.failed += 1,
            EntryClass::Conflict => self.counts.conflict += 1,
            EntryClass::Warning => {}
        }
        entry.write_line(&mut self.buffer);
        self.samples.add(entry);
        if self.buffer.len() >= REPORT_BYTES { self.flush().await } else { Ok(()) }
    }

    /// Stores the rest of the report and returns the counts, the samples and the keys of the report objects.
    pub async fn finish(mut self) -> Result<(Counts, Vec<ReportEntry>, Vec<String>), StoreError> {
        self.flush().await?;
        Ok((self.counts, self.samples.into_entries(), self.report_keys))
    }

    async fn flush(&mut self) -> Result<(), StoreError> {
        if self.buffer.is_empty() {
            return Ok(());
        }
        let key = format!("{}/report_ingest_{:04}.ndjson", self.job.folder(), self.report_keys.len());
        // Not put-if-absent: an interrupted ingest may have written other entries. No reader uses them before the seal.
        retry(self.clock, || self.stores.chunks.put(&key, &self.buffer)).await?;
        self.buffer.clear();
        self.report_keys.push(key);
        Ok(())
    }
}
