//! Chunks that another program has published: numbered here in the order in which their messages arrive, because a message says
//! nothing of the others. The job is sealed as soon as its number of items is known and there.

use super::{DynamoJobs, name, schema, seal::of_items};
use crate::table::{Condition, Key, TableError, Update, Updated};
use host_core::{
    model::{ChunkRef, Digest, JobId},
    storage::{Jobs, StoreError},
};

impl DynamoJobs {
    /// Adds the chunk of an object to its job with the next free number; the one that it has if it was added before. None if the
    /// job takes no more chunks.
    pub(crate) async fn add_external(&self, chunk: ChunkRef) -> Result<Option<ChunkRef>, StoreError> {
        let id = chunk.job_id.clone();
        let during = |error: TableError| error.during(format!("numbering {} in job {id}", chunk.key));
        let mut taken = None;
        loop {
            let Some(seq) = self.number_object(&id, &chunk.key, taken).await.map_err(during)? else {
                return Ok(None);
            };
            let chunk = ChunkRef { seq, ..chunk.clone() };
            if self.chunk(&id, seq).await?.is_none() {
                self.add_chunk(&chunk).await?;
            }
            match self.chunk(&id, seq).await? {
                Some(added) if added.key == chunk.key => {
                    self.seal_external(&id).await?;
                    return Ok(Some(added));
                }
                // Another process has taken the number for another object.
                _ => taken = Some(seq),
            }
        }
    }

    /// The number of an object, which is kept under its key; another one than `taken`.
    async fn number_object(
        &self,
        id: &JobId,
        key: &str,
        taken: Option<u32>,
    ) -> Result<Option<u32>, TableError> {
        let marker =
            Key::new(schema::of_job(id), format!("OBJECT#{}", &Digest::of(key.as_bytes()).hex()[..32]));
        let of = |seq: Option<i64>| seq.and_then(|seq| u32::try_from(seq).ok());
        if let Some(known) = self.table.get(&marker).await? {
            let seq = of(known.number("seq"));
            if seq.is_some() && seq != taken {
                return Ok(seq);
            }
        }
        let Some(record) = self.record(id).await? else { return Ok(None) };
        if record.has(name::SEAL) || record.has(name::ENDED_AT) {
            return Ok(None);
        }
        let next = record.number(name::CHUNKS).unwrap_or(0);
        let condition = match taken {
            None => Condition::Absent("pk"),
            Some(taken) => Condition::Equals("seq", taken.into()),
        };
        let number =
            Update::new(marker).set(name::EXPIRES_AT, self.expiry()).set("seq", next).when(condition);
        Ok(match self.table.update(&number).await? {
            Updated::Applied(_) => of(Some(next)),
            Updated::ConditionFailed(now) => of(now.and_then(|now| now.number("seq"))),
        })
    }

    /// Seals the job if its record says how many items it has and all are there, or if it says nothing.
    async fn seal_external(&self, id: &JobId) -> Result<(), StoreError> {
        let record = self.record(id).await.map_err(|error| error.during(format!("reading job {id}")))?;
        let Some(record) = record.filter(|record| !record.has(name::SEAL)) else { return Ok(()) };
        let number = |name| record.number(name).and_then(|number| u64::try_from(number).ok());
        let items = number("total_items").unwrap_or(0);
        if number(name::EXPECTED_ITEMS).is_none_or(|expected| items >= expected) {
            let chunks = number(name::CHUNKS).and_then(|chunks| u32::try_from(chunks).ok()).unwrap_or(0);
            self.seal(id, &of_items(chunks, items)).await?;
        }
        Ok(())
    }
}
