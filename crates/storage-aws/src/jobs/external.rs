//! Adds the chunks of programs other than host to their jobs. A chunk gets its number when its message arrives, because
//! a message says nothing of the others. The job is sealed (takes no more chunks) once it has as many items as its
//! record announces.
//!
//! Messages of several SQS groups arrive at once, at several processes. The next number is the record's number of
//! chunks: the first process that creates the row with this number has it. Each process that finds the row counts it in
//! the record, which is rejected but the first time. So each row is counted with its own items, and no row comes after
//! one that is not counted.

use super::{DynamoJobs, from_envelope, name, of_existing, schema, seal::of_items};
use crate::table::{Condition, Item, Key, TableError, Update, Updated};
use host_core::{
    model::{ChunkRef, Digest, JobId},
    storage::{StoreError, StoreErrorKind},
};

impl DynamoJobs {
    /// Adds the chunk of an object to its job, with the next free number, or with its own if it was added before. None
    /// if the job takes no more chunks.
    pub(crate) async fn add_external(&self, chunk: ChunkRef) -> Result<Option<ChunkRef>, StoreError> {
        let added = self.number_object(&chunk).await;
        added.map_err(|error| error.during(format!("numbering {} in job {}", chunk.key, chunk.job_id)))
    }

    async fn number_object(&self, chunk: &ChunkRef) -> Result<Option<ChunkRef>, TableError> {
        let id = &chunk.job_id;
        let object = &Digest::of(chunk.key.as_bytes()).hex()[..32];
        let marker = Key::new(schema::of_job(id), format!("OBJECT#{object}"));
        // The last number that was tried and belongs to another object.
        let mut taken = None;
        loop {
            let Some(record) = self.record(id).await? else { return Ok(None) };
            let Some(seq) = self.intended_number(&marker, taken, &record).await? else { return Ok(None) };
            let row = self.put_new_row(&ChunkRef { seq, ..chunk.clone() }).await?;
            let row: ChunkRef = from_envelope(&row, name::CHUNK)?;
            if !self.count_row(&row).await? {
                return Ok(None);
            }
            if row.key == chunk.key {
                self.seal_external(id).await?;
                return Ok(Some(row));
            }
            taken = Some(seq);
        }
    }

    /// The number that an object has or tries to get, and which its item `marker` holds; never `taken`. None if it has
    /// none and the job takes no more chunks.
    async fn intended_number(
        &self,
        marker: &Key,
        taken: Option<u32>,
        record: &Item,
    ) -> Result<Option<u32>, TableError> {
        let next = number(record, name::CHUNKS).unwrap_or(0);
        let is_closed = record.has(name::SEAL) || record.has(name::ENDED_AT);
        let known = self.table.get(marker).await?.and_then(|item| number(&item, "seq"));
        if let Some(seq) = known.filter(|seq| Some(*seq) != taken) {
            return Ok((seq < next || !is_closed).then_some(seq));
        }
        if is_closed {
            return Ok(None);
        }
        let intend = Update::new(marker.clone()).set(name::EXPIRES_AT, self.expiry()).set("seq", next);
        let intend = intend.when(match known {
            None => Condition::Absent("pk"),
            Some(taken) => Condition::Equals("seq", taken.into()),
        });
        Ok(match self.table.update(&intend).await? {
            Updated::Applied(_) => Some(next),
            // Another process handles the same message.
            Updated::ConditionFailed(item) => item.and_then(|item| number(&item, "seq")),
        })
    }

    /// Counts a row in the record, once. False if it cannot be counted, because the job takes no more chunks.
    async fn count_row(&self, row: &ChunkRef) -> Result<bool, TableError> {
        let Some(record) = self.locate(&row.job_id).await? else { return Ok(false) };
        let count = of_existing(record)
            .set(name::CHUNKS, row.seq + 1)
            .add("total_items", i64::from(row.documents))
            .when(Condition::Equals(name::CHUNKS, row.seq.into()))
            .when(Condition::Absent(name::SEAL))
            .when(Condition::Absent(name::ENDED_AT));
        Ok(match self.table.update(&count).await? {
            Updated::Applied(_) => true,
            Updated::ConditionFailed(record) => {
                record.and_then(|record| number(&record, name::CHUNKS)).is_some_and(|chunks| chunks > row.seq)
            }
        })
    }

    /// Seals the job if all the items are there that its record announces, or if it announces none.
    async fn seal_external(&self, id: &JobId) -> Result<(), TableError> {
        let mut refused = None;
        loop {
            let Some(record) = self.record(id).await? else { return Ok(()) };
            let items = record.number("total_items").and_then(|items| u64::try_from(items).ok()).unwrap_or(0);
            let expected = record.number(name::EXPECTED_ITEMS).and_then(|items| u64::try_from(items).ok());
            let is_complete = expected.is_none_or(|expected| items >= expected);
            if record.has(name::SEAL) || record.has(name::ENDED_AT) || !is_complete {
                return Ok(());
            }
            let chunks = number(&record, name::CHUNKS).unwrap_or(0);
            match self.seal_job(id, &of_items(chunks, items)).await {
                // Another object was counted meanwhile.
                Err(error) if error.kind == StoreErrorKind::Permanent && refused != Some(chunks) => {
                    refused = Some(chunks);
                }
                sealed => return sealed,
            }
        }
    }
}

fn number(item: &Item, name: &str) -> Option<u32> {
    item.number(name).and_then(|number| u32::try_from(number).ok())
}
