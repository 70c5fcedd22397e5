//! Counting a chunk exactly once, in three steps that may each be repeated, by any process:
//!
//! 1. The chunk's row becomes COMPLETING, with the outcome, if its fencing token (a number that grows with each claim)
//!    is still the caller's. From then on the caller's lease cannot expire.
//! 2. The outcome is added to the job's counters unless they contain the chunk; the last chunk ends a sealed job.
//! 3. The row becomes DONE.
//!
//! A process that crashes in between leaves the rest to the next claim, or to the sweep.
//!
//! The counters of a job are split into segments, each of which holds the set of its counted chunks: adding a chunk's
//! counts and its number is one update, rejected if the number is there, or was there until a redrive (a person had the
//! quarantined chunk tried again) removed it.

use super::{
    DynamoJobs,
    end::is_complete,
    from_envelope, from_json,
    lease::{is_in_state, of_leased},
    name, of_existing,
    redrive::{is_redrive_count, redrive_count_of, redriven, times_redriven},
    schema, state, to_envelope, to_json,
};
use crate::table::{Condition, Item, TableError, Update, Updated};
use host_core::{
    model::{Counts, EntryClass, JobId, ReportEntry},
    storage::{ChunkLease, ChunkOutcome, Completion, QuarantineReason},
};

/// Most bytes of a chunk's samples (its first refused items) on its row. The report object has all of them.
const MAX_SAMPLE_BYTES: usize = 40 << 10;
/// Most bytes of the samples and the outcome together, so that the row stays below the limit of an item, 64 KiB.
const MAX_OUTCOME_BYTES: usize = 56 << 10;

/// Most bytes of the message that says why a chunk was quarantined.
const MAX_REASON_BYTES: usize = 8 << 10;

impl DynamoJobs {
    /// Takes all three steps for a chunk that the caller has claimed.
    pub(super) async fn complete_row(
        &self,
        lease: &ChunkLease,
        outcome: &ChunkOutcome,
    ) -> Result<Completion, TableError> {
        let Some(row) = self.record_outcome(lease, outcome).await? else { return Ok(Completion::LeaseLost) };
        let has_ended = match row.text(name::STATE) {
            Some(state::COMPLETING) => self.finish_completion(&lease.job_id, lease.seq, &row).await?,
            _ => false,
        };
        Ok(if has_ended { Completion::JobEnded } else { Completion::Counted })
    }

    /// The last two steps for a row that is completing; returns whether the job ended by them.
    pub(super) async fn finish_completion(
        &self,
        id: &JobId,
        seq: u32,
        row: &Item,
    ) -> Result<bool, TableError> {
        let Some(has_ended) = self.apply_counts(id, seq, row).await? else { return Ok(false) };
        self.mark_done(id, seq, redrive_count_of(row)).await?;
        Ok(has_ended)
    }

    /// Step 1. Returns the row if the outcome is stored, by this call or by an earlier one with the same lease.
    async fn record_outcome(
        &self,
        lease: &ChunkLease,
        outcome: &ChunkOutcome,
    ) -> Result<Option<Item>, TableError> {
        let quarantined = outcome.quarantined.as_ref().map(|reason| QuarantineReason {
            message: cut(&reason.message, MAX_REASON_BYTES).to_owned(),
            ..reason.clone()
        });
        let stored = to_envelope(&ChunkOutcome { samples: Vec::new(), quarantined, ..outcome.clone() });
        let budget = MAX_SAMPLE_BYTES.min(MAX_OUTCOME_BYTES.saturating_sub(stored.len()));
        let record = of_leased(lease)
            .set(name::STATE, state::COMPLETING)
            .set(name::OUTCOME, stored)
            .set(name::SAMPLES, to_json(&within(&outcome.samples, budget)));
        Ok(match self.table.update(&record).await? {
            Updated::Applied(row) => Some(row),
            // The worker repeats a call whose answer was lost.
            Updated::ConditionFailed(row) => row.filter(|row| {
                let token = lease.fencing_token;
                is_in_state(row, state::COMPLETING, token) || is_in_state(row, state::DONE, token)
            }),
        })
    }

    /// Step 2. Returns whether the job ended by it; none if this call is late, because the chunk was counted and then
    /// redriven.
    async fn apply_counts(&self, id: &JobId, seq: u32, row: &Item) -> Result<Option<bool>, TableError> {
        let outcome: ChunkOutcome = from_envelope(row, name::OUTCOME)?;
        let number = seq / schema::SEGMENT;
        let (member, redrive_count) = (i64::from(seq), redrive_count_of(row));
        let Counts { processed, unchanged, failed, skipped, conflict, deleted } = outcome.counts;
        let mut add = Update::new(schema::segment(id, number))
            .set(name::EXPIRES_AT, self.expiry())
            .add_member(name::COMPLETED, member)
            .add("processed", processed)
            .add("unchanged", unchanged)
            .add("failed", failed)
            .add("skipped", skipped)
            .add("conflict", conflict)
            .add("deleted", deleted)
            .when(Condition::NotContains(name::COMPLETED, member))
            .when(Condition::NotContains(name::REDRIVEN, redriven(seq, redrive_count)));
        if outcome.quarantined.is_some() {
            add = add.add_member(name::QUARANTINED_CHUNKS, member);
        }
        let (segment, is_new) = match self.table.update(&add).await? {
            Updated::Applied(segment) => (segment, true),
            // The chunk was counted before; a crash may have prevented what follows.
            Updated::ConditionFailed(segment) => (segment.unwrap_or_default(), false),
        };
        if times_redriven(&segment, seq) > redrive_count {
            return Ok(None);
        }
        let samples = self.record_samples(id, seq, row, &outcome).await?;
        let full = match is_full(&segment) {
            true => self.record_full_segment(id, number).await?,
            false => None,
        };
        // When the job ends, its record shows all chunks anyway.
        if is_new && !full.as_ref().is_some_and(|(record, _)| is_complete(record)) {
            self.show_progress(id, seq, &outcome.counts, &samples).await?;
        }
        Ok(Some(full.is_some_and(|(_, has_ended)| has_ended)))
    }

    /// Stores the samples and the report key of a counted chunk in items of their own, so that a reader of the job need
    /// not read all rows. Returns the samples.
    async fn record_samples(
        &self,
        id: &JobId,
        seq: u32,
        row: &Item,
        outcome: &ChunkOutcome,
    ) -> Result<Vec<ReportEntry>, TableError> {
        let samples: Vec<ReportEntry> = from_json(row, name::SAMPLES)?;
        // What was stored after a later redrive stays.
        let redrive_count = redrive_count_of(row);
        let unless_newer = |key| {
            let free = vec![Condition::Absent("pk")];
            let older = vec![Condition::AtMost(name::REDRIVE_COUNT, redrive_count.into())];
            Update::new(key)
                .set(name::EXPIRES_AT, self.expiry())
                .set(name::REDRIVE_COUNT, redrive_count)
                .when(Condition::AnyOf(vec![free, older]))
        };
        for class in CLASSES {
            let entries: Vec<&ReportEntry> =
                samples.iter().filter(|entry| entry.class == class).take(PER_CLASS).collect();
            if !entries.is_empty() {
                let sample = unless_newer(schema::sample(id, class, seq)).set("entries", to_json(&entries));
                self.table.update(&sample).await?;
            }
        }
        if let Some(report) = &outcome.report {
            let report = unless_newer(schema::report(id, seq)).set("report", report.as_str());
            self.table.update(&report).await?;
        }
        Ok(samples)
    }

    /// Step 3. Changes nothing if another process has taken it.
    async fn mark_done(&self, id: &JobId, seq: u32, redrive_count: u32) -> Result<(), TableError> {
        let done = of_existing(schema::chunk(id, seq))
            .set(name::STATE, state::DONE)
            .remove(name::SAMPLES)
            .when(Condition::Equals(name::STATE, state::COMPLETING.into()))
            .when(is_redrive_count(redrive_count));
        self.table.update(&done).await.map(drop)
    }
}

/// The classes of report entries, in the order in which samples are stored.
pub(super) const CLASSES: [EntryClass; 4] =
    [EntryClass::Skipped, EntryClass::Failed, EntryClass::Conflict, EntryClass::Warning];

/// Samples of each class that a job keeps.
pub(super) const PER_CLASS: usize = 20;

/// Whether all chunks of a segment are counted. Only the last segment of a sealed job expects fewer than 250.
pub(super) fn is_full(segment: &Item) -> bool {
    let expected = segment.number(name::EXPECTED).unwrap_or(schema::SEGMENT.into());
    i64::try_from(segment.numbers(name::COMPLETED).len()).is_ok_and(|counted| counted >= expected)
}

/// The first entries whose JSON fits into `bytes`.
pub(super) fn within(entries: &[ReportEntry], bytes: usize) -> Vec<&ReportEntry> {
    let mut budget = bytes;
    let fits = |entry: &&ReportEntry| {
        let needs = to_json(entry).len() + 1;
        let fits = needs <= budget;
        budget = budget.saturating_sub(needs);
        fits
    };
    entries.iter().take_while(fits).collect()
}

/// The beginning of a text, at most `bytes` long.
fn cut(text: &str, bytes: usize) -> &str {
    &text[..text.floor_char_boundary(bytes)]
}
