//! Taking back that a chunk was given up, in steps that may each be repeated and that anybody may go on with.
//!
//! 1. The segment loses the chunk and its counts, and notes that they are gone: the chunk is counted once an epoch, and a
//!    late call that would count the old epoch again is refused.
//! 2. Samples and report are emptied.
//! 3. The record no longer calls the segment full, and a job that had ended has not. Behind the first step, so that whoever
//!    adds up segments either misses the chunk, or finds the record changed.
//! 4. The row becomes PENDING in the next epoch. Until then all steps can be found to be done by what they left.

use super::{
    Records, completion::CLASSES, end::unchanged, from_json, keys, micros, name, of_existing,
    snapshot::COUNTERS, state,
};
use crate::table::{Condition, Item, TableError, Updated};
use host_core::{
    model::{Counts, JobId, JobStatus},
    storage::ChunkOutcome,
};

impl Records {
    pub(super) async fn redrive_row(
        &self,
        id: &JobId,
        seq: u32,
        epoch: u32,
    ) -> Result<Option<u32>, TableError> {
        let key = keys::chunk(id, seq);
        let Some(row) = self.table.get(&key).await? else { return Ok(None) };
        if let Some(outcome) = given_up(&row, epoch)? {
            self.uncount(id, seq, epoch, &outcome.counts).await?;
            self.empty_notes(id, seq, epoch).await?;
            self.reopen(id, seq, epoch).await?;
            let again = of_existing(key)
                .set(name::STATE, state::PENDING)
                .set(name::EPOCH, epoch + 1)
                .set(name::SINCE, micros(self.env.now()))
                .set("attempts", 0u32)
                .set(name::LEASE_UNTIL, 0u32)
                .remove(name::OUTCOME)
                .remove(name::FIRST_ERROR)
                .when(Condition::Is(name::STATE, state::DONE.into()))
                .when(is_epoch(epoch));
            return Ok(match self.table.update(&again).await? {
                Updated::Done(row) => to_be_sent(&row),
                // Somebody else was faster.
                Updated::Refused(row) => row.as_ref().and_then(to_be_sent),
            });
        }
        Ok(to_be_sent(&row))
    }

    async fn uncount(&self, id: &JobId, seq: u32, epoch: u32, counts: &Counts) -> Result<(), TableError> {
        let member = i64::from(seq);
        let less = |count: u64| -i64::try_from(count).unwrap_or(i64::MAX);
        let Counts { processed, unchanged, failed, skipped, conflict, deleted } = *counts;
        let uncount = of_existing(keys::segment(id, seq / keys::SEGMENT))
            .take_member(name::COMPLETED, member)
            .add_member(name::REDRIVEN, redriven(seq, epoch))
            .add("processed", less(processed))
            .add("unchanged", less(unchanged))
            .add("failed", less(failed))
            .add("skipped", less(skipped))
            .add("conflict", less(conflict))
            .add("deleted", less(deleted))
            .when(Condition::Has(name::COMPLETED, member))
            .when(Condition::Lacks(name::REDRIVEN, redriven(seq, epoch)));
        // Refused, it is done.
        self.table.update(&uncount).await.map(drop)
    }

    /// They stay as items, so that whoever is late with the old ones is refused.
    async fn empty_notes(&self, id: &JobId, seq: u32, epoch: u32) -> Result<(), TableError> {
        let samples = CLASSES.map(|class| (keys::sample(id, class, seq), "entries"));
        for (key, content) in samples.into_iter().chain([(keys::report(id, seq), "report")]) {
            let empty = of_existing(key)
                .set(name::EPOCH, epoch + 1)
                .remove(content)
                .when(Condition::AtMost(name::EPOCH, epoch.into()));
            self.table.update(&empty).await?;
        }
        Ok(())
    }

    /// The record is read before the row: whoever took the row further since has changed the record first.
    async fn reopen(&self, id: &JobId, seq: u32, epoch: u32) -> Result<(), TableError> {
        let Some(key) = self.locate(id).await? else { return Ok(()) };
        loop {
            let Some(record) = self.table.get(&key).await? else { return Ok(()) };
            let row = self.table.get(&keys::chunk(id, seq)).await?;
            if row.map(|row| given_up(&row, epoch)).transpose()?.flatten().is_none() {
                return Ok(());
            }
            let mut reopen = of_existing(key.clone())
                .take_member(name::FULL, (seq / keys::SEGMENT).into())
                .add(name::REVISION, 1i64)
                .when(unchanged(&record));
            // One that was ended without a seal can never end by counting.
            if record.has(name::SEAL) && record.has(name::ENDED_AT) {
                reopen = reopen
                    .set(name::STATUS, JobStatus::InProgress.as_str())
                    .remove(name::ENDED_AT)
                    .remove(name::ERROR_MESSAGE)
                    .remove("completed");
                reopen = COUNTERS.into_iter().fold(reopen, |reopen, counter| reopen.remove(counter));
            }
            if let Updated::Done(_) = self.table.update(&reopen).await? {
                return Ok(());
            }
        }
    }
}

/// How often the chunk of a row has been redriven.
pub(super) fn epoch_of(row: &Item) -> u32 {
    row.number(name::EPOCH).and_then(|epoch| u32::try_from(epoch).ok()).unwrap_or(0)
}

pub(super) fn is_epoch(epoch: u32) -> Condition {
    match epoch {
        0 => Condition::Absent(name::EPOCH),
        epoch => Condition::Is(name::EPOCH, epoch.into()),
    }
}

/// The member of a segment's set that says that a chunk's counts of an epoch have been taken back.
pub(super) fn redriven(seq: u32, epoch: u32) -> i64 {
    i64::from(epoch) << 32 | i64::from(seq)
}

/// How often a segment has lost the counts of a chunk: the epoch in which the chunk is counted or will be.
pub(super) fn times_redriven(segment: &Item, seq: u32) -> u32 {
    let of_chunk = |member: &&i64| **member & i64::from(u32::MAX) == i64::from(seq);
    u32::try_from(segment.numbers(name::REDRIVEN).iter().filter(of_chunk).count()).unwrap_or(u32::MAX)
}

/// The outcome of a chunk that was given up in this epoch, and has not been redriven.
fn given_up(row: &Item, epoch: u32) -> Result<Option<ChunkOutcome>, TableError> {
    if row.text(name::STATE) != Some(state::DONE) || epoch_of(row) != epoch {
        return Ok(None);
    }
    let outcome: ChunkOutcome = from_json(row, name::OUTCOME)?;
    Ok(outcome.quarantined.is_some().then_some(outcome))
}

/// The epoch of a chunk that is not done.
fn to_be_sent(row: &Item) -> Option<u32> {
    (row.text(name::STATE) != Some(state::DONE)).then(|| epoch_of(row))
}
