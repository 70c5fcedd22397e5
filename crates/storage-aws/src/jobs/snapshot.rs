//! Reads jobs: their state with counts and samples (the first refused items), as single snapshots and as lists.

use super::{
    DynamoJobs,
    completion::{CLASSES, PER_CLASS},
    from_envelope, from_json, from_micros, name, schema,
};
use crate::table::{Item, Key, TableError};
use futures::{StreamExt, TryStreamExt};
use host_core::{
    model::{ChunkRef, Counts, Digest, EntryClass, Job, JobId, JobStatus, ReportEntry},
    storage::{JobSnapshot, StoreErrorKind},
};

/// Jobs that are read concurrently.
const AT_ONCE: usize = 8;

impl DynamoJobs {
    pub(super) async fn snapshot_of(&self, id: &JobId) -> Result<Option<JobSnapshot>, TableError> {
        match self.record(id).await? {
            Some(record) => self.snapshot(&record).await.map(Some),
            None => Ok(None),
        }
    }

    async fn snapshot(&self, record: &Item) -> Result<JobSnapshot, TableError> {
        let snapshot = self.snapshot_without_samples(record).await?;
        let of_ingest = snapshot.seal.as_ref().map(|seal| seal.samples.as_slice()).unwrap_or_default();
        let samples = self.samples(&snapshot.job.id, of_ingest).await?;
        Ok(JobSnapshot { samples, ..snapshot })
    }

    async fn snapshot_without_samples(&self, record: &Item) -> Result<JobSnapshot, TableError> {
        let job: Job = from_envelope(record, name::JOB)?;
        let status = record.text(name::STATUS).unwrap_or_default();
        let status: JobStatus =
            serde_json::from_value(status.into()).map_err(|error| TableError::unsupported(error.into()))?;
        let has_ended_sealed = record.has(name::SEAL) && record.has(name::ENDED_AT);
        let seal = match record.has(name::SEAL) {
            true => self.seal_of(&job.id, record).await.map(Some),
            false => Ok(None),
        };
        let seal = match seal {
            // The seal is gone: items expire in any order, and an interrupted removal of a shop leaves the record to
            // the last.
            Err(error) if has_ended_sealed && error.kind == StoreErrorKind::Corrupt => None,
            seal => seal?,
        };
        let (mut counts, mut completed_chunks) =
            (seal.as_ref().map(|seal| seal.ingest_counts).unwrap_or_default(), 0);
        if has_ended_sealed {
            let chunks = record.number(name::SEALED_CHUNKS).and_then(|chunks| u32::try_from(chunks).ok());
            (counts, completed_chunks) = (counts_of(record), chunks.unwrap_or(0));
        } else {
            for segment in self.table.query(&schema::of_job(&job.id), schema::SEGMENTS, false, None).await? {
                counts += counts_of(&segment);
                completed_chunks += u32::try_from(segment.numbers(name::COMPLETED).len()).unwrap_or(u32::MAX);
            }
        }
        let error_message = record.text(name::ERROR_MESSAGE).map(str::to_owned);
        // With a code, the message repeats the last error, the reason of a quarantine, or the first sample of a failed
        // item.
        let (error_message, repeated) = match record.has(name::ERROR_CODE) {
            true => (None, error_message),
            false => (error_message, None),
        };
        let is_quarantined = record.has(name::ENDED_AT) && record.has(name::QUARANTINED);
        Ok(JobSnapshot {
            status,
            counts,
            chunks: record.number(name::CHUNKS).and_then(|chunks| u32::try_from(chunks).ok()).unwrap_or(0),
            completed_chunks,
            samples: Vec::new(),
            ended_at: record.number(name::ENDED_AT).map(from_micros).transpose()?,
            error_message,
            quarantined: repeated.filter(|_| is_quarantined),
            archive_refused: record
                .has(name::ARCHIVE_REFUSED)
                .then(|| from_json(record, name::ARCHIVE_REFUSED))
                .transpose()?,
            last_error: record
                .has(name::LAST_ERROR)
                .then(|| from_json(record, name::LAST_ERROR))
                .transpose()?,
            seal,
            job,
        })
    }

    /// Whether published chunks of a job are not counted.
    pub(super) async fn has_uncounted_chunks(&self, record: &Item) -> Result<bool, TableError> {
        let job: Job = from_json(record, name::JOB)?;
        Ok(!self.uncounted_chunks(&job.id, 1).await?.is_empty())
    }

    /// The first chunks that no segment (an item that counts 250 chunks) contains.
    pub(super) async fn uncounted_chunks(
        &self,
        id: &JobId,
        limit: usize,
    ) -> Result<Vec<ChunkRef>, TableError> {
        let Some(record) = self.record(id).await? else { return Ok(Vec::new()) };
        let chunks = record.number(name::CHUNKS).and_then(|chunks| u32::try_from(chunks).ok()).unwrap_or(0);
        let segments = self.table.query(&schema::of_job(id), schema::SEGMENTS, false, None).await?;
        let is_counted = |seq: u32| {
            segments.iter().any(|segment| segment.numbers(name::COMPLETED).contains(&i64::from(seq)))
        };
        let mut open = Vec::new();
        for seq in (0..chunks).filter(|seq| !is_counted(*seq)).take(limit) {
            let row = self.table.get(&schema::chunk(id, seq)).await?;
            open.extend(row.map(|row| from_envelope::<ChunkRef>(&row, name::CHUNK)).transpose()?);
        }
        Ok(open)
    }

    /// The first entries of each class, those of ingest before those of all chunks.
    pub(super) async fn samples(
        &self,
        id: &JobId,
        of_ingest: &[ReportEntry],
    ) -> Result<Vec<ReportEntry>, TableError> {
        // With the number of their chunk; those of ingest have -1.
        let mut placed: Vec<(i64, ReportEntry)> = Vec::new();
        for class in CLASSES {
            let of_class = of_ingest.iter().filter(|entry| entry.class == class).take(PER_CLASS);
            let mut first: Vec<(i64, ReportEntry)> = of_class.map(|entry| (-1, entry.clone())).collect();
            if first.len() < PER_CLASS {
                first.extend(self.samples_of_chunks(id, class).await?);
            }
            first.truncate(PER_CLASS);
            placed.extend(first);
        }
        // Stable: entries of one chunk and class keep their order.
        placed.sort_by_key(|(seq, _)| *seq);
        Ok(placed.into_iter().map(|(_, entry)| entry).collect())
    }

    /// At least the first entries of a class, as many as a job keeps, with the numbers of their chunks.
    pub(super) async fn samples_of_chunks(
        &self,
        id: &JobId,
        class: EntryClass,
    ) -> Result<Vec<(i64, ReportEntry)>, TableError> {
        let prefix = schema::samples(class);
        let mut limit = PER_CLASS;
        let items = loop {
            let mut items = self.table.query(&schema::of_job(id), &prefix, false, Some(limit)).await?;
            let is_all = items.len() < limit;
            // A redrive has emptied the samples of its chunk.
            items.retain(|item| item.has("entries"));
            if is_all || items.len() >= PER_CLASS {
                break items;
            }
            limit *= 2;
        };
        let mut found = Vec::new();
        for item in items {
            let seq = item.text("sk").and_then(|sk| sk.strip_prefix(&prefix)).unwrap_or_default();
            let seq: i64 = seq.parse().map_err(TableError::corrupt)?;
            let entries: Vec<ReportEntry> = from_json(&item, "entries")?;
            found.extend(entries.into_iter().map(|entry| (seq, entry)));
        }
        Ok(found)
    }

    pub(super) async fn latest(
        &self,
        shop_id: Option<&str>,
        limit: usize,
    ) -> Result<Vec<JobSnapshot>, TableError> {
        let mut records = match shop_id {
            Some(shop_id) => self.records_of_shop(shop_id, Some(limit)).await?,
            None => self.all_records(limit).await?,
        };
        // If some of the newest are unreadable, because another program wrote them, older ones take their place.
        if !records.iter().all(is_readable) {
            records = match shop_id {
                Some(shop_id) => self.records_of_shop(shop_id, None).await?,
                None => self.all_records(usize::MAX).await?,
            };
        }
        let snapshots: Vec<_> =
            readable(&records).into_iter().take(limit).map(|record| self.snapshot(record)).collect();
        futures::stream::iter(snapshots).buffered(AT_ONCE).try_collect().await
    }

    /// The open jobs of a shop, or of all, as far as this version reads them.
    pub(super) async fn open_snapshots(
        &self,
        shop_id: Option<&str>,
        limit: usize,
    ) -> Result<Vec<JobSnapshot>, TableError> {
        let mut open = match (self.look_up_open_keys(shop_id).await?, shop_id) {
            (Some(keys), _) => self.open_among(&keys, limit).await?,
            (None, Some(shop_id)) => self.open_of(&self.records_of_shop(shop_id, None).await?).await?,
            (None, None) => self.open_of(&self.all_records(usize::MAX).await?).await?,
        };
        open.sort_by(JobSnapshot::by_index);
        open.truncate(limit);
        Ok(open)
    }

    /// The open jobs among these records, at least `limit` if there are so many. Reads them piece by piece, because any
    /// number may be left out: those of jobs that have ended, have expired, are being created, or were written by a
    /// newer version.
    async fn open_among(&self, keys: &[Key], limit: usize) -> Result<Vec<JobSnapshot>, TableError> {
        let mut open = Vec::new();
        for keys in keys.chunks(limit.max(1)) {
            if open.len() >= limit {
                break;
            }
            let records: Vec<Item> = self.table.get_batch(keys).await?.into_iter().flatten().collect();
            open.extend(self.open_of(&records).await?);
        }
        Ok(open)
    }

    /// The open jobs among these records.
    async fn open_of(&self, records: &[Item]) -> Result<Vec<JobSnapshot>, TableError> {
        let snapshots: Vec<_> =
            readable(records).into_iter().map(|record| self.snapshot_without_samples(record)).collect();
        let mut open: Vec<JobSnapshot> =
            futures::stream::iter(snapshots).buffered(AT_ONCE).try_collect().await?;
        // Entries of jobs that have ended are removed by the sweep.
        open.retain(JobSnapshot::is_open);
        Ok(open)
    }

    /// The records of all jobs, newest first.
    pub(super) async fn all_records(&self, limit: usize) -> Result<Vec<Item>, TableError> {
        let pointers = self.table.query(schema::ALL_JOBS, schema::CREATED, true, Some(limit)).await?;
        let ids: Vec<JobId> =
            pointers.iter().filter_map(|item| JobId::new(item.text("created_job")?)).collect();
        let records: Vec<_> = ids.iter().map(|id| self.record(id)).collect();
        let records = futures::stream::iter(records).buffered(AT_ONCE);
        // A pointer without a record belongs to a job that is being created, or whose record has expired.
        Ok(records.try_collect::<Vec<_>>().await?.into_iter().flatten().collect())
    }

    /// Records of a shop on all platforms, newest first.
    pub(super) async fn records_of_shop(
        &self,
        shop_id: &str,
        limit: Option<usize>,
    ) -> Result<Vec<Item>, TableError> {
        let platforms = self.table.query(&schema::shop(shop_id), schema::PLATFORMS, false, None).await?;
        let mut records = Vec::new();
        for platform in platforms.iter().filter_map(|item| item.text("of_platform")) {
            let partition = schema::shop_of_platform(platform, shop_id);
            records.extend(self.table.query(&partition, schema::JOB, true, limit).await?);
        }
        records.sort_by(|one, other| other.text("sk").cmp(&one.text("sk")));
        records.truncate(limit.unwrap_or(usize::MAX));
        Ok(records)
    }

    /// The shop's job with this fingerprint (digest of all that determines its chunks) that has not ended.
    pub(super) async fn unfinished(
        &self,
        shop_id: &str,
        fingerprint: Digest,
    ) -> Result<Option<Job>, TableError> {
        let records = self.open_with_fingerprint(shop_id, fingerprint).await?;
        let open = records.iter().filter(|record| !record.has(name::ENDED_AT));
        let open = open.filter_map(|record| from_envelope::<Job>(record, name::JOB).ok());
        Ok(open.max_by_key(|job| (job.sequence, job.created_at)))
    }

    /// The keys of the job's report objects: those of ingest, then those of counted chunks.
    pub(super) async fn report_keys(&self, id: &JobId) -> Result<Vec<String>, TableError> {
        let Some(record) = self.record(id).await? else { return Ok(Vec::new()) };
        let mut reports = match record.has(name::SEAL) {
            true => self.seal_of(id, &record).await?.reports,
            false => Vec::new(),
        };
        let of_chunks = self.table.query(&schema::of_job(id), schema::REPORTS, false, None).await?;
        reports.extend(of_chunks.iter().filter_map(|item| item.text("report")).map(str::to_owned));
        Ok(reports)
    }
}

/// Whether this version reads a job's record.
pub(super) fn is_readable(record: &Item) -> bool {
    let status = record.text(name::STATUS).unwrap_or_default();
    from_envelope::<Job>(record, name::JOB).is_ok()
        && serde_json::from_value::<JobStatus>(status.into()).is_ok()
}

/// The records that this version can read. Logs that there are others.
fn readable(records: &[Item]) -> Vec<&Item> {
    let (readable, others): (Vec<_>, Vec<_>) = records.iter().partition(|record| is_readable(record));
    if let Some(first) = others.first() {
        tracing::warn!(
            records = others.len(),
            first = first.text("sk"),
            "left job records that a newer version or another program has written"
        );
    }
    readable
}

/// The six counters of a segment or of a record that has ended.
pub(super) fn counts_of(item: &Item) -> Counts {
    let number = |name| item.number(name).and_then(|number| u64::try_from(number).ok()).unwrap_or(0);
    Counts {
        processed: number("processed"),
        unchanged: number("unchanged"),
        failed: number("failed"),
        skipped: number("skipped"),
        conflict: number("conflict"),
        deleted: number("deleted"),
    }
}
