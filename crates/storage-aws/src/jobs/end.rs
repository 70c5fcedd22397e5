//! The end of a job: it is sealed (ingest has stored its number of chunks), and all its segments (items that count 250
//! chunks each) are full. The record holds the set of full segments, so that its last update sees that all of them are
//! there, whichever process makes it. A redrive may just have opened a segment again that the set still names, so the
//! segments themselves are read, and the end is rejected if the record's revision has grown meanwhile.

use super::{
    DynamoJobs, completion::is_full, from_envelope, micros, name, of_existing, schema, snapshot::counts_of,
    summary::with_counts,
};
use crate::table::{Condition, Item, TableError, Update, Updated};
use host_core::{
    model::{Counts, JobId, JobStatus, Seal},
    storage::{ChunkOutcome, QuarantineReason},
};

/// Number of segments of a job with so many chunks.
pub(super) fn segments(chunks: u32) -> i64 {
    chunks.div_ceil(schema::SEGMENT).into()
}

impl DynamoJobs {
    /// Adds a full segment to the record, and ends the job if it was the last one. Returns the record before that, and
    /// whether the job ended.
    pub(super) async fn record_full_segment(
        &self,
        id: &JobId,
        number: u32,
    ) -> Result<Option<(Item, bool)>, TableError> {
        let Some(record) = self.locate(id).await? else { return Ok(None) };
        let add = of_existing(record).add_member(name::FULL, number.into()).add(name::REVISION, 1i64);
        let Updated::Applied(record) = self.table.update(&add).await? else { return Ok(None) };
        let has_ended = self.end_if_complete(id, record.clone()).await?;
        Ok(Some((record, has_ended)))
    }

    /// Ends a sealed job whose segments are all full, and returns whether it does; nothing is done if it has ended.
    async fn end_if_complete(&self, id: &JobId, mut record: Item) -> Result<bool, TableError> {
        let Some(key) = self.locate(id).await? else { return Ok(false) };
        loop {
            let Some(chunks) = record.number(name::SEALED_CHUNKS) else { return Ok(false) };
            let needed = segments(u32::try_from(chunks).map_err(TableError::corrupt)?);
            if record.has(name::ENDED_AT) || full(&record) < needed {
                return Ok(false);
            }
            let entry = self.entry_of(&record).await?;
            let seal: Seal = self.seal_of(id, &record).await?;
            let Some(totals) = self.totals(id, &seal).await? else { return Ok(false) };
            let end = of_existing(key.clone()).when(unchanged(&record));
            let end = with_end(end, &totals.counts, micros(self.clock.now()), chunks);
            let end = self.with_summary(end, id, &seal, &totals, &record).await?;
            match self.table.update(&end).await? {
                // Another process has changed the record, or ended the job.
                Updated::ConditionFailed(Some(now)) => record = now,
                Updated::ConditionFailed(None) => return Ok(false),
                Updated::Applied(_) => {
                    self.leave(entry).await;
                    return Ok(true);
                }
            }
        }
    }

    /// The sums over all segments of a job; none while a chunk is not counted. The process that counts it checks again.
    pub(super) async fn totals(&self, id: &JobId, seal: &Seal) -> Result<Option<Totals>, TableError> {
        let found = self.table.query(&schema::of_job(id), schema::SEGMENTS, false, None).await?;
        let are_full = found.iter().filter(|segment| is_full(segment)).count();
        if i64::try_from(are_full).unwrap_or(i64::MAX) < segments(seal.chunks) {
            return Ok(None);
        }
        let mut totals = Totals { counts: seal.ingest_counts, quarantined: None };
        for segment in &found {
            totals.counts += counts_of(segment);
        }
        let mut quarantined = found.iter().flat_map(|segment| segment.numbers(name::QUARANTINED_CHUNKS));
        if let Some(first) = quarantined.next() {
            totals.quarantined =
                self.reason_of(id, u32::try_from(*first).map_err(TableError::corrupt)?).await?;
        }
        Ok(Some(totals))
    }

    /// Why a chunk is quarantined, as its row says; none if this version cannot read it, or if a redrive has just
    /// removed it: the end is then rejected.
    async fn reason_of(&self, id: &JobId, seq: u32) -> Result<Option<QuarantineReason>, TableError> {
        let row = self.table.get(&schema::chunk(id, seq)).await?;
        let outcome = row.and_then(|row| from_envelope::<ChunkOutcome>(&row, name::OUTCOME).ok());
        Ok(outcome.and_then(|outcome| outcome.quarantined))
    }
}

/// The sums over the segments of a job.
pub(super) struct Totals {
    /// The counts of all items.
    pub(super) counts: Counts,
    /// Why the first quarantined chunk was quarantined; none if no chunk was, or this version cannot read the reason.
    pub(super) quarantined: Option<QuarantineReason>,
}

/// The condition that the record has not changed since it was read, in anything that decides about the end.
pub(super) fn unchanged(record: &Item) -> Condition {
    match record.number(name::REVISION) {
        Some(revision) => Condition::Equals(name::REVISION, revision.into()),
        None => Condition::Absent(name::REVISION),
    }
}

/// How many segments are known to be full.
pub(super) fn full(record: &Item) -> i64 {
    i64::try_from(record.numbers(name::FULL).len()).unwrap_or(i64::MAX)
}

/// Whether all segments of a sealed job were full when the record was read: it ends.
pub(super) fn is_complete(record: &Item) -> bool {
    let chunks = record.number(name::SEALED_CHUNKS).and_then(|chunks| u32::try_from(chunks).ok());
    chunks.is_some_and(|chunks| full(record) >= segments(chunks))
}

/// Adds the end of a job to an update, which is rejected if the job has ended.
pub(super) fn with_end(update: Update, counts: &Counts, now: i64, chunks: i64) -> Update {
    with_counts(update, counts, chunks)
        .set(name::STATUS, JobStatus::from_final_counts(counts).as_str())
        .set(name::ENDED_AT, now)
        .remove(name::LAST_ERROR)
        .add(name::REVISION, 1i64)
        .when(Condition::Absent(name::ENDED_AT))
}
