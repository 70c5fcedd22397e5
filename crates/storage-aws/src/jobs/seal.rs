//! The seal of a job: what ingest stores when it has published all chunks, and from when on the job may end. It is a
//! text in parts, because it may name many reports.

use super::{
    DynamoJobs,
    completion::is_full,
    end::{full, segments, unchanged, with_end},
    micros, name, of_existing, schema,
    summary::add_counts,
    to_json,
};
use crate::table::{Condition, Item, Key, TableError, Update, Updated};
use host_core::model::{Counts, Digest, JobId, QuarantinedProducts, Seal, SourceStats};

/// Most bytes of a part: an item must stay below 64 KiB.
const MAX_PART_BYTES: usize = 32 << 10;

impl DynamoJobs {
    pub(super) async fn seal_job(&self, id: &JobId, seal: &Seal) -> Result<(), TableError> {
        let key =
            self.locate(id).await?.ok_or_else(|| TableError::permanent(format!("there is no job {id}")))?;
        loop {
            let Some(mut record) = self.table.get(&key).await? else {
                return Err(TableError::permanent(format!("there is no job {id}")));
            };
            if record.has(name::SEAL) {
                return Ok(());
            }
            may_be_sealed(id, seal, &record)?;
            if let Some(now) = self.close_last_segment(id, seal.chunks).await? {
                record = now;
            }
            let text = to_json(seal);
            let digest = self.write_parts(id, &text).await?;
            let entry = match full(&record) < segments(seal.chunks) {
                true => None,
                false => self.entry_of(&record).await?,
            };
            let update = self.seal_update(id, &key, seal, digest, &record).await?;
            if let Updated::Applied(record) = self.table.update(&update).await? {
                if record.has(name::ENDED_AT) {
                    self.leave(entry).await;
                }
                return Ok(());
            }
            // Meanwhile a segment has become full, another process has sealed the job, or it was superseded: decide
            // anew.
        }
    }

    /// The update that seals a job as it is in `record`, and ends it if all chunks are counted. If a segment (the item
    /// that counts 250 chunks) becomes full only later, the process that records it finds the seal and ends the job.
    async fn seal_update(
        &self,
        id: &JobId,
        key: &Key,
        seal: &Seal,
        digest: Digest,
        record: &Item,
    ) -> Result<Update, TableError> {
        let update = of_existing(key.clone())
            .set(name::SEAL, digest.to_string())
            .set(name::SEALED_CHUNKS, seal.chunks)
            .set("total_items", seal.total_items)
            .when(Condition::Absent(name::SEAL))
            .when(Condition::Equals(name::CHUNKS, seal.chunks.into()))
            .when(unchanged(record));
        let totals = match full(record) < segments(seal.chunks) {
            true => None,
            false => self.totals(id, seal).await?,
        };
        Ok(match totals {
            Some(totals) => {
                let end = with_end(update, &totals.counts, micros(self.clock.now()), seal.chunks.into());
                self.with_summary(end, id, seal, &totals, record).await?
            }
            None => add_counts(update, &seal.ingest_counts, 0).when(Condition::Absent(name::ENDED_AT)),
        })
    }

    /// Records in the last segment how many chunks it will have; returns the record if it has them already.
    async fn close_last_segment(&self, id: &JobId, chunks: u32) -> Result<Option<Item>, TableError> {
        let (number, expected) = (chunks / schema::SEGMENT, chunks % schema::SEGMENT);
        if expected == 0 {
            return Ok(None);
        }
        let close = Update::new(schema::segment(id, number))
            .set(name::EXPIRES_AT, self.expiry())
            .set(name::EXPECTED, expected);
        match self.table.update(&close).await? {
            Updated::Applied(segment) if is_full(&segment) => {
                Ok(self.record_full_segment(id, number).await?.map(|(record, _)| record))
            }
            _ => Ok(None),
        }
    }

    /// Stores the text of a seal in parts under its digest, which it returns.
    async fn write_parts(&self, id: &JobId, text: &str) -> Result<Digest, TableError> {
        let digest = Digest::of(text.as_bytes());
        let mut rest = text;
        for number in 0.. {
            let (part, remaining) = rest.split_at(rest.floor_char_boundary(MAX_PART_BYTES));
            let key = Key::new(schema::of_job(id), format!("{}{number:06}", schema::seal_parts(digest)));
            let part = Update::new(key).set(name::EXPIRES_AT, self.expiry()).set("text", part);
            self.table.update(&part).await?;
            rest = remaining;
            if rest.is_empty() {
                break;
            }
        }
        Ok(digest)
    }

    /// The seal of a record that has one.
    pub(super) async fn seal_of(&self, id: &JobId, record: &Item) -> Result<Seal, TableError> {
        let digest = record.text(name::SEAL).unwrap_or_default().to_owned();
        let digest = Digest::try_from(digest).map_err(TableError::corrupt)?;
        let parts = self.table.query(&schema::of_job(id), &schema::seal_parts(digest), false, None).await?;
        let text: String = parts.iter().filter_map(|part| part.text("text")).collect();
        if Digest::of(text.as_bytes()) != digest {
            return Err(TableError::corrupt(format!("the seal of job {id} is not what was written")));
        }
        serde_json::from_str(&text).map_err(TableError::corrupt)
    }
}

/// The seal of another program's job, of which host knows nothing but the chunks.
pub(super) fn of_items(chunks: u32, total_items: u64) -> Seal {
    Seal {
        chunks,
        total_items,
        ingest_counts: Counts::default(),
        source: SourceStats::default(),
        samples: Vec::new(),
        reports: Vec::new(),
        quarantine: QuarantinedProducts::default(),
        ids: None,
    }
}

fn may_be_sealed(id: &JobId, seal: &Seal, record: &Item) -> Result<(), TableError> {
    if record.has(name::ENDED_AT) {
        return Err(TableError::permanent(format!("job {id} was superseded by another or cancelled")));
    }
    let (chunks, expected) = (record.number(name::CHUNKS).unwrap_or(0), seal.chunks);
    if chunks != i64::from(expected) {
        // A job sealed so would end too early or never.
        let message = format!("job {id} has {chunks} chunks, its seal speaks of {expected}");
        return Err(TableError::permanent(message));
    }
    Ok(())
}
