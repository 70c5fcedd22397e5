//! Counting a chunk exactly once.
//!
//! The counters of a job are split into segments, each of which holds the set of its counted chunks: adding a chunk's
//! counts and its number is one update, refused if the number is there, or was and has been taken back by a redrive.

use super::{
    Records, from_json, keys,
    lease::is,
    name, of_existing,
    redrive::{epoch_of, is_epoch, redriven, times_redriven},
    state, to_json,
};
use crate::table::{Condition, Item, TableError, Update, Updated};
use host_core::{
    model::{Class, Counts, Entry, JobId},
    storage::{ChunkOutcome, GivenUp},
};

/// Most bytes of a chunk's samples on its row, and of these and the outcome together. The report object has all entries.
const SAMPLE_BYTES: usize = 40 << 10;
const OUTCOME_BYTES: usize = 56 << 10;

/// Most bytes of the reason for giving up a chunk.
const REASON_BYTES: usize = 8 << 10;

impl Records {
    /// Step (a).
    pub(super) async fn settle_row(
        &self,
        id: &JobId,
        seq: u32,
        fence: u64,
        outcome: &ChunkOutcome,
    ) -> Result<bool, TableError> {
        let quarantined = outcome.quarantined.as_ref().map(|reason| GivenUp {
            message: cut(&reason.message, REASON_BYTES).to_owned(),
            ..reason.clone()
        });
        let stored = to_json(&ChunkOutcome { samples: Vec::new(), quarantined, ..outcome.clone() });
        let room = SAMPLE_BYTES.min(OUTCOME_BYTES.saturating_sub(stored.len()));
        let settle = of_existing(keys::chunk(id, seq))
            .set(name::STATE, state::SETTLING)
            .set(name::OUTCOME, stored)
            .set(name::SAMPLES, to_json(&within(&outcome.samples, room)))
            .when(Condition::Is(name::FENCE, fence.into()))
            .when(Condition::Is(name::STATE, state::RUNNING.into()));
        Ok(match self.table.update(&settle).await? {
            Updated::Done(_) => true,
            // The second call of a holder that did not hear the first answer: its outcome is stored already.
            Updated::Refused(row) => {
                row.is_some_and(|row| is(&row, state::SETTLING, fence) || is(&row, state::DONE, fence))
            }
        })
    }

    /// Step (b).
    pub(super) async fn count_row(&self, id: &JobId, seq: u32) -> Result<(), TableError> {
        let row = self.table.get(&keys::chunk(id, seq)).await?;
        let Some(row) = row.filter(|row| row.text(name::STATE) == Some(state::SETTLING)) else {
            return Ok(());
        };
        let outcome: ChunkOutcome = from_json(&row, name::OUTCOME)?;
        let number = seq / keys::SEGMENT;
        let (member, epoch) = (i64::from(seq), epoch_of(&row));
        let Counts { processed, unchanged, failed, skipped, conflict, deleted } = outcome.counts;
        let add = Update::of(keys::segment(id, number))
            .set(name::EXPIRES_AT, self.expiry())
            .add_member(name::COMPLETED, member)
            .add("processed", processed)
            .add("unchanged", unchanged)
            .add("failed", failed)
            .add("skipped", skipped)
            .add("conflict", conflict)
            .add("deleted", deleted)
            .when(Condition::Lacks(name::COMPLETED, member))
            .when(Condition::Lacks(name::REDRIVEN, redriven(seq, epoch)));
        let segment = match self.table.update(&add).await? {
            Updated::Done(segment) => segment,
            // Counted before; what comes behind it may not have been done.
            Updated::Refused(segment) => segment.unwrap_or_default(),
        };
        if times_redriven(&segment, seq) > epoch {
            // This call was late: the chunk has been counted, and taken back since.
            return Ok(());
        }
        self.note(id, seq, &row, &outcome).await?;
        if is_full(&segment) {
            self.segment_is_full(id, number).await?;
        }
        Ok(())
    }

    /// Samples and report of a counted chunk, where reading a job finds them without looking at its rows.
    async fn note(&self, id: &JobId, seq: u32, row: &Item, outcome: &ChunkOutcome) -> Result<(), TableError> {
        let samples: Vec<Entry> = from_json(row, name::SAMPLES)?;
        // What is said of a later epoch stays.
        let epoch = epoch_of(row);
        let of_epoch = |key| {
            let free = vec![Condition::Absent("pk")];
            let older = vec![Condition::AtMost(name::EPOCH, epoch.into())];
            Update::of(key)
                .set(name::EXPIRES_AT, self.expiry())
                .set(name::EPOCH, epoch)
                .when(Condition::AnyOf(vec![free, older]))
        };
        for class in CLASSES {
            let entries: Vec<&Entry> =
                samples.iter().filter(|entry| entry.class == class).take(PER_CLASS).collect();
            if !entries.is_empty() {
                let note = of_epoch(keys::sample(id, class, seq)).set("entries", to_json(&entries));
                self.table.update(&note).await?;
            }
        }
        if let Some(report) = &outcome.report {
            let note = of_epoch(keys::report(id, seq)).set("report", report.as_str());
            self.table.update(&note).await?;
        }
        Ok(())
    }

    /// Step (c).
    pub(super) async fn finish_row(&self, id: &JobId, seq: u32) -> Result<(), TableError> {
        let segment = self.table.get(&keys::segment(id, seq / keys::SEGMENT)).await?.unwrap_or_default();
        let is_counted = segment.numbers(name::COMPLETED).contains(&i64::from(seq));
        let epoch = times_redriven(&segment, seq);
        let key = keys::chunk(id, seq);
        if is_counted {
            let done = of_existing(key)
                .set(name::STATE, state::DONE)
                .remove(name::SAMPLES)
                .when(Condition::Is(name::STATE, state::SETTLING.into()))
                .when(is_epoch(epoch));
            return self.table.update(&done).await.map(drop);
        }
        match self.table.get(&key).await? {
            // Marked done, it would never be counted and its job would never end.
            Some(_) if epoch == 0 => {
                Err(TableError::refused("a chunk that is not counted cannot be finished"))
            }
            // Redriven since: this call was late.
            _ => Ok(()),
        }
    }
}

/// All classes, in the order of samples.
pub(super) const CLASSES: [Class; 4] = [Class::Skipped, Class::Failed, Class::Conflict, Class::Warning];

/// Samples of each class that a job keeps.
pub(super) const PER_CLASS: usize = 20;

/// Whether all chunks of a segment are counted. Only the last one of a sealed job expects fewer than the others.
pub(super) fn is_full(segment: &Item) -> bool {
    let expected = segment.number(name::EXPECTED).unwrap_or(keys::SEGMENT.into());
    i64::try_from(segment.numbers(name::COMPLETED).len()).is_ok_and(|counted| counted >= expected)
}

/// The first entries that fit.
fn within(entries: &[Entry], bytes: usize) -> Vec<&Entry> {
    let mut room = bytes;
    let fits = |entry: &&Entry| {
        let needs = to_json(entry).len() + 1;
        let fits = needs <= room;
        room = room.saturating_sub(needs);
        fits
    };
    entries.iter().take_while(fits).collect()
}

/// The beginning of a text.
fn cut(text: &str, bytes: usize) -> &str {
    &text[..text.floor_char_boundary(bytes)]
}
