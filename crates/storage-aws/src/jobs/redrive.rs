//! The redrive of a quarantined chunk (counted as failed as a whole): its counts are undone, so that a worker can try
//! it again. Each step may be repeated, and resumed by any process.
//!
//! 1. The segment (the item that counts 250 chunks) loses the chunk and its counts, and records that they are gone. So
//!    the chunk is counted once per redrive, and a late call that would count the old outcome again is rejected.
//! 2. Samples and report are emptied.
//! 3. The record no longer calls the segment full, and a job that had ended has not. After the first step, so that a
//!    process that adds up segments either misses the chunk, or finds the record changed.
//! 4. The row becomes PENDING with the next redrive count. Until then each step recognises by its effect that it is
//!    done.

use super::{
    DynamoJobs, completion::CLASSES, end::unchanged, from_envelope, micros, name, of_existing, schema, state,
};
use crate::table::{Condition, Item, TableError, Update, Updated};
use host_core::{
    model::{Counts, JobId, JobStatus},
    storage::ChunkOutcome,
};

impl DynamoJobs {
    pub(super) async fn redrive_row(
        &self,
        id: &JobId,
        seq: u32,
        redrive_count: u32,
    ) -> Result<Option<u32>, TableError> {
        let key = schema::chunk(id, seq);
        let Some(row) = self.table.get(&key).await? else { return Ok(None) };
        if let Some(outcome) = quarantined_outcome(&row, redrive_count)? {
            // The entry in the index of open jobs is written before the job is open again, in case this process
            // crashes, and once more afterwards, in case another process removes the entry that it read before.
            self.enter_again(id).await?;
            self.uncount(id, seq, redrive_count, &outcome.counts).await?;
            self.empty_samples(id, seq, redrive_count).await?;
            self.reopen(id, seq, redrive_count, &outcome.counts).await?;
            let again = of_existing(key)
                .set(name::STATE, state::PENDING)
                .set(name::REDRIVE_COUNT, redrive_count + 1)
                .set(name::SINCE, micros(self.clock.now()))
                .set("attempts", 0u32)
                .set(name::LEASE_UNTIL, 0u32)
                .remove(name::OUTCOME)
                .remove(name::FIRST_ERROR)
                .when(Condition::Equals(name::STATE, state::DONE.into()))
                .when(is_redrive_count(redrive_count));
            let updated = self.table.update(&again).await?;
            self.enter_again(id).await?;
            return Ok(match updated {
                Updated::Applied(row) => to_be_sent(&row),
                // Another process was faster.
                Updated::ConditionFailed(row) => row.as_ref().and_then(to_be_sent),
            });
        }
        Ok(to_be_sent(&row))
    }

    /// Step 1.
    async fn uncount(
        &self,
        id: &JobId,
        seq: u32,
        redrive_count: u32,
        counts: &Counts,
    ) -> Result<(), TableError> {
        let member = i64::from(seq);
        let uncount = of_existing(schema::segment(id, seq / schema::SEGMENT))
            .remove_member(name::COMPLETED, member)
            .remove_member(name::QUARANTINED_CHUNKS, member)
            .add_member(name::REDRIVEN, redriven(seq, redrive_count))
            .when(Condition::Contains(name::COMPLETED, member))
            .when(Condition::NotContains(name::REDRIVEN, redriven(seq, redrive_count)));
        let uncount = subtract(uncount, counts);
        // If the condition fails, it was done before.
        self.table.update(&uncount).await.map(drop)
    }

    /// Step 2. The items themselves stay, so that a late call with the old samples is rejected.
    async fn empty_samples(&self, id: &JobId, seq: u32, redrive_count: u32) -> Result<(), TableError> {
        let samples = CLASSES.map(|class| (schema::sample(id, class, seq), "entries"));
        for (key, content) in samples.into_iter().chain([(schema::report(id, seq), "report")]) {
            let empty = of_existing(key)
                .set(name::REDRIVE_COUNT, redrive_count + 1)
                .remove(content)
                .when(Condition::AtMost(name::REDRIVE_COUNT, redrive_count.into()));
            self.table.update(&empty).await?;
        }
        Ok(())
    }

    /// Step 3. Reads the record before the row: a process that has taken step 4 has changed the record first.
    async fn reopen(
        &self,
        id: &JobId,
        seq: u32,
        redrive_count: u32,
        counts: &Counts,
    ) -> Result<(), TableError> {
        let Some(key) = self.locate(id).await? else { return Ok(()) };
        loop {
            let Some(record) = self.table.get(&key).await? else { return Ok(()) };
            let row = self.table.get(&schema::chunk(id, seq)).await?;
            if row.map(|row| quarantined_outcome(&row, redrive_count)).transpose()?.flatten().is_none() {
                return Ok(());
            }
            let mut reopen = of_existing(key.clone())
                .remove_member(name::FULL, (seq / schema::SEGMENT).into())
                .add(name::REVISION, 1i64)
                .when(unchanged(&record));
            // A job that was ended without a seal stays ended: counting cannot end it a second time.
            if record.has(name::SEAL) && record.has(name::ENDED_AT) {
                reopen = reopen
                    .set(name::STATUS, JobStatus::InProgress.as_str())
                    .remove(name::ENDED_AT)
                    .remove(name::ERROR_MESSAGE)
                    .remove(name::ERROR_CODE)
                    .remove(name::QUARANTINED);
            }
            if record.has("completed") {
                reopen = subtract(reopen, counts)
                    .add("completed", -1i64)
                    .remove_member(name::COMPLETED, seq.into());
            }
            if let Updated::Applied(_) = self.table.update(&reopen).await? {
                return Ok(());
            }
        }
    }
}

/// Subtracts from the six counters.
fn subtract(update: Update, counts: &Counts) -> Update {
    let less = |count: u64| -i64::try_from(count).unwrap_or(i64::MAX);
    let Counts { processed, unchanged, failed, skipped, conflict, deleted } = *counts;
    update
        .add("processed", less(processed))
        .add("unchanged", less(unchanged))
        .add("failed", less(failed))
        .add("skipped", less(skipped))
        .add("conflict", less(conflict))
        .add("deleted", less(deleted))
}

/// How often the chunk of a row has been redriven.
pub(super) fn redrive_count_of(row: &Item) -> u32 {
    row.number(name::REDRIVE_COUNT).and_then(|redrive_count| u32::try_from(redrive_count).ok()).unwrap_or(0)
}

/// The condition that a row has this redrive count.
pub(super) fn is_redrive_count(redrive_count: u32) -> Condition {
    match redrive_count {
        0 => Condition::Absent(name::REDRIVE_COUNT),
        redrive_count => Condition::Equals(name::REDRIVE_COUNT, redrive_count.into()),
    }
}

/// The member of a segment's set which says that the counts of a chunk were undone at this redrive count.
pub(super) fn redriven(seq: u32, redrive_count: u32) -> i64 {
    i64::from(redrive_count) << 32 | i64::from(seq)
}

/// How often a segment has lost the counts of a chunk: the redrive count with which the chunk is counted or will be.
pub(super) fn times_redriven(segment: &Item, seq: u32) -> u32 {
    let of_chunk = |member: &&i64| **member & i64::from(u32::MAX) == i64::from(seq);
    u32::try_from(segment.numbers(name::REDRIVEN).iter().filter(of_chunk).count()).unwrap_or(u32::MAX)
}

/// The outcome of a chunk that was quarantined at this redrive count, and has not been redriven since.
fn quarantined_outcome(row: &Item, redrive_count: u32) -> Result<Option<ChunkOutcome>, TableError> {
    if row.text(name::STATE) != Some(state::DONE) || redrive_count_of(row) != redrive_count {
        return Ok(None);
    }
    let outcome: ChunkOutcome = from_envelope(row, name::OUTCOME)?;
    Ok(outcome.quarantined.is_some().then_some(outcome))
}

/// The redrive count of a chunk whose message is to be sent; none if the chunk is done.
fn to_be_sent(row: &Item) -> Option<u32> {
    (row.text(name::STATE) != Some(state::DONE)).then(|| redrive_count_of(row))
}
