//! What a job's record shows of its chunks to people and programs that query the table, while it runs and at its end.
//! host itself reads the segments (items with the counts of 250 chunks each) and samples (the first refused items); the
//! record repeats them.

use super::{
    DynamoJobs,
    completion::{PER_CLASS, within},
    end::Totals,
    name, of_existing, schema, to_json,
};
use crate::table::{Condition, Item, TableError, Update, Updated};
use host_core::{
    format::pluralize,
    model::{Counts, EntryClass, JobId, ReportEntry, Seal},
    storage::QuarantineReason,
};
use serde::de::IgnoredAny;

/// Most bytes of the refused items of one class in a record.
const MAX_DETAIL_BYTES: usize = 8 << 10;

/// Most bytes of the error message in a record.
const MAX_MESSAGE_BYTES: usize = 2 << 10;

/// Classes whose first entries the record has, and the names under which it has them.
const DETAILS: [(EntryClass, &str); 2] =
    [(EntryClass::Skipped, "skipped_items_details"), (EntryClass::Conflict, "conflict_details")];

impl DynamoJobs {
    /// Adds a chunk that was just counted to what the record of a running job shows. The chunk is missing if the
    /// process crashes before: only the record of a job that has ended is exact.
    pub(super) async fn show_progress(
        &self,
        id: &JobId,
        seq: u32,
        counts: &Counts,
        entries: &[ReportEntry],
    ) -> Result<(), TableError> {
        let Some(key) = self.locate(id).await? else { return Ok(()) };
        let mut progress =
            add_counts(of_existing(key.clone()), counts, 1).when(Condition::Absent(name::ENDED_AT));
        // The numbers of all chunks of a large job would make the record too large.
        if seq < schema::SEGMENT {
            progress = progress.add_member(name::COMPLETED, seq.into());
        }
        let Updated::Applied(record) = self.table.update(&progress).await? else { return Ok(()) };
        let mut details = of_existing(key);
        for (class, name) in DETAILS {
            let shown = record.text(name).and_then(|text| serde_json::from_str::<Vec<IgnoredAny>>(text).ok());
            let is_full = shown.is_some_and(|entries| entries.len() >= PER_CLASS);
            if !is_full && entries.iter().any(|entry| entry.class == class) {
                let found = self.samples_of_chunks(id, class).await?;
                details = with_details(details, name, found.iter().map(|(_, entry)| entry));
            }
        }
        if !details.set.is_empty() {
            self.table.update(&details.when(Condition::Absent(name::ENDED_AT))).await?;
        }
        Ok(())
    }

    /// Adds to the update that ends a job what its record says of items that failed, were skipped or in conflict.
    pub(super) async fn with_summary(
        &self,
        mut end: Update,
        id: &JobId,
        seal: &Seal,
        Totals { counts, quarantined }: &Totals,
        record: &Item,
    ) -> Result<Update, TableError> {
        let samples = match (counts.failed, counts.skipped, counts.conflict) {
            (0, 0, 0) => Vec::new(),
            _ => self.samples(id, &seal.samples).await?,
        };
        for (class, name) in DETAILS {
            if samples.iter().any(|entry| entry.class == class) {
                end = with_details(end, name, samples.iter().filter(|entry| entry.class == class));
            }
        }
        // A message without a code is a person's, or says that the job was superseded.
        if record.has(name::ERROR_MESSAGE) && !record.has(name::ERROR_CODE) {
            return Ok(end);
        }
        // All items of a quarantined chunk failed for one reason, which says more than that of a single item.
        if let Some(QuarantineReason { code, message, .. }) = quarantined
            && counts.failed > 0
        {
            return Ok(with_error(end, message, code).set(name::QUARANTINED, 1i64));
        }
        end = end.remove(name::QUARANTINED);
        Ok(match samples.iter().find(|entry| entry.class == EntryClass::Failed) {
            Some(first) if counts.failed > 0 => {
                let message = format!(
                    "{} failed, the first because: {}",
                    pluralize(counts.failed, "item"),
                    first.message
                );
                with_error(end, &message, &first.code)
            }
            _ => end.remove(name::ERROR_MESSAGE).remove(name::ERROR_CODE),
        })
    }
}

/// Sets the message of an error, and the code that tells it from a person's.
pub(super) fn with_error(update: Update, message: &str, code: &str) -> Update {
    let message = &message[..message.floor_char_boundary(MAX_MESSAGE_BYTES)];
    update.set(name::ERROR_MESSAGE, message).set(name::ERROR_CODE, code)
}

/// Adds to the six counters, and to the number of counted chunks.
pub(super) fn add_counts(update: Update, counts: &Counts, chunks: i64) -> Update {
    let Counts { processed, unchanged, failed, skipped, conflict, deleted } = *counts;
    update
        .add("completed", chunks)
        .add("processed", processed)
        .add("unchanged", unchanged)
        .add("failed", failed)
        .add("skipped", skipped)
        .add("conflict", conflict)
        .add("deleted", deleted)
}

/// Sets the six counters, and how many chunks are counted.
pub(super) fn with_counts(update: Update, counts: &Counts, completed: i64) -> Update {
    update
        .set("completed", completed)
        .set("processed", counts.processed)
        .set("unchanged", counts.unchanged)
        .set("failed", counts.failed)
        .set("skipped", counts.skipped)
        .set("conflict", counts.conflict)
        .set("deleted", counts.deleted)
}

fn with_details<'a>(
    update: Update,
    name: &'static str,
    entries: impl Iterator<Item = &'a ReportEntry>,
) -> Update {
    let entries: Vec<ReportEntry> = entries.take(PER_CLASS).cloned().collect();
    update.set(name, to_json(&within(&entries, MAX_DETAIL_BYTES)))
}
