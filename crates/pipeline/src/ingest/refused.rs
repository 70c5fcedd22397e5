//! What ingest itself refuses: counted, sampled, and written to report objects, in bounded memory.

use host_core::{
    model::{Class, Counts, Entry, Job, report::Samples},
    storage::{StoreError, Stores},
};

/// A report object is closed at this size, so that a file of nothing but bad lines stays in bounded memory.
const REPORT_BYTES: usize = 4 << 20;

/// Collects the entries of one ingest.
pub struct Refused<'a> {
    stores: &'a Stores,
    job: &'a Job,
    counts: Counts,
    samples: Samples,
    open: Vec<u8>,
    reports: Vec<String>,
}

impl<'a> Refused<'a> {
    /// Nothing refused yet.
    pub fn new(stores: &'a Stores, job: &'a Job) -> Self {
        Self {
            stores,
            job,
            counts: Counts::default(),
            samples: Samples::default(),
            open: Vec::new(),
            reports: Vec::new(),
        }
    }

    /// Counts an entry by its class (a warning counts nothing) and writes it to the report.
    pub async fn add(&mut self, entry: Entry) -> Result<(), StoreError> {
        match entry.class {
            Class::Skipped => self.counts.skipped += 1,
            Class::Failed => self.counts.failed += 1,
            Class::Conflict => self.counts.conflict += 1,
            Class::Warning => {}
        }
        entry.write_line(&mut self.open);
        self.samples.add(entry);
        if self.open.len() >= REPORT_BYTES { self.flush().await } else { Ok(()) }
    }

    /// The counts, samples and report keys, once everything is stored.
    pub async fn finish(mut self) -> Result<(Counts, Vec<Entry>, Vec<String>), StoreError> {
        self.flush().await?;
        Ok((self.counts, self.samples.into_entries(), self.reports))
    }

    async fn flush(&mut self) -> Result<(), StoreError> {
        if self.open.is_empty() {
            return Ok(());
        }
        let key = format!("{}/report_ingest_{:04}.ndjson", self.job.folder(), self.reports.len());
        // Not put-if-absent: an interrupted ingest may have named another line first, and nobody reads it before the seal.
        self.stores.chunks.put(&key, &self.open).await?;
        self.open.clear();
        self.reports.push(key);
        Ok(())
    }
}
