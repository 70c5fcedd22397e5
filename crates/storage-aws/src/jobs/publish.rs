//! What an ingest does with jobs: it creates one, adds chunks to it, and ends unfinished jobs of other exports
//! (supersedes them); and what ends a job from outside. `seal.rs` has the last step of an ingest.

use super::{
    DynamoJobs, from_envelope, key_of_record, micros, name, of_existing, open::OpenJob, schema, state,
    summary::with_error, to_envelope, to_json,
};
use crate::table::{Condition, Item, Key, TableError, Update, Updated};
use host_core::{
    model::{ArchiveRefused, ChunkRef, Job, JobId, JobStatus},
    storage::AttemptError,
};

impl DynamoJobs {
    pub(super) async fn create_job(&self, job: &Job) -> Result<Job, TableError> {
        self.create_at(job, None).await
    }

    /// Creates a job for a program other than host, in the record that this program has written for it, or in a new
    /// one.
    pub(crate) async fn create_external(&self, job: &Job) -> Result<Job, TableError> {
        if self.locate(&job.id).await?.is_some() {
            return self.create_at(job, None).await;
        }
        let partition = schema::shop_of_platform(&job.platform, &job.shop_id);
        let records = self.table.query(&partition, schema::JOB, true, None).await?;
        let is_its = |record: &&Item| record.text("job_id") == Some(job.id.as_str());
        let record = records.iter().find(is_its).and_then(|record| record.text("sk"));
        // All its chunks are in lane 0, which must not change the number of lanes of the index's other jobs.
        let numbered = self.table.get(&schema::sequence(job)).await?;
        let lanes =
            numbered.and_then(|item| item.number(name::LANES)).and_then(|lanes| u16::try_from(lanes).ok());
        let job = Job { lanes: lanes.unwrap_or(1), ..job.clone() };
        self.create_at(&job, record.map(|sk| Key::new(partition, sk))).await
    }

    /// Writes the record last: a job exists when its record does.
    async fn create_at(&self, job: &Job, record: Option<Key>) -> Result<Job, TableError> {
        let there = self.table.get(&schema::locator(&job.id)).await?;
        let is_new = there.is_none();
        let job = &match there {
            Some(locator) => from_envelope(&locator, name::JOB)?,
            None => self.number(job).await?,
        };
        let Key { pk, sk } = record.unwrap_or_else(|| schema::record(job));
        let locator = self
            .new_item(schema::locator(&job.id))
            .set("record_pk", pk)
            .set("record_sk", sk)
            .set(name::JOB, to_envelope(job));
        // The first call decides what the job is, also for one that resumes after a crash.
        let locator = match self.table.update(&locator).await? {
            Updated::Applied(locator) => locator,
            Updated::ConditionFailed(there) => there.unwrap_or_default(),
        };
        let first: Job = from_envelope(&locator, name::JOB)?;
        let key = key_of_record(&locator)?;
        let job = &first;
        let pointer = |update: Update| {
            update.set("created_job", job.id.as_str()).set("of_platform", job.platform.as_str())
        };
        self.table.update(&pointer(self.new_item(schema::directory(job)))).await?;
        // The platform belongs to the shop, which outlives its jobs.
        let platform = Update::new(schema::platform(job)).remove(name::EXPIRES_AT);
        self.table.update(&pointer(platform)).await?;
        // If the record exists, an earlier call wrote the entry in the index of open jobs before it.
        if is_new || self.table.get(&key).await?.is_none_or(|record| !record.has(name::JOB)) {
            self.enter(job, &key).await?;
        }
        let record = match key == schema::record(job) {
            true => self.new_item(key),
            false => self.adopt(key).await?,
        };
        let record = record
            .set("job_id", job.id.as_str())
            .set("platform", job.platform.as_str())
            .set("shop_id", job.shop_id.as_str())
            .set("index_name", job.index_name.as_str())
            .set("operation", job.operation.as_str())
            .set("created_at", schema::instant(job.created_at))
            .set("fingerprint", job.fingerprint.to_string())
            .set(name::JOB, to_envelope(job))
            .set(name::STATUS, JobStatus::Pending.as_str())
            .set(name::CHUNKS, 0u32);
        self.table.update(&record).await?;
        Ok(first)
    }

    /// An update that turns another program's record into a job's, once. The record may say how many items the job will
    /// have.
    async fn adopt(&self, key: Key) -> Result<Update, TableError> {
        let record = self.table.get(&key).await?.unwrap_or_default();
        let adopt = of_existing(key).set("total_items", 0u32).when(Condition::Absent(name::JOB));
        Ok(match record.number("total_items") {
            Some(items) => adopt.set(name::EXPECTED_ITEMS, items),
            None => adopt,
        })
    }

    /// The job with the next sequence number of its index. While chunks of earlier jobs wait, the job gets their number
    /// of lanes (parts that are each worked in order), so that a product stays in its lane. A failed attempt leaves a
    /// gap in the numbers.
    async fn number(&self, job: &Job) -> Result<Job, TableError> {
        let key = || schema::sequence(job);
        let next =
            |lanes: u16| Update::new(key()).add(name::SEQUENCE, 1i64).set(name::LANES, u32::from(lanes));
        let same = Condition::Equals(name::LANES, u32::from(job.lanes).into());
        let new_or_same =
            next(job.lanes).when(Condition::AnyOf(vec![vec![Condition::Absent("pk")], vec![same]]));
        let item = match self.table.update(&new_or_same).await? {
            Updated::Applied(item) => item,
            Updated::ConditionFailed(there) => {
                let other = there.and_then(|item| item.number(name::LANES)).map(u16::try_from);
                let other = other.and_then(Result::ok).unwrap_or(job.lanes);
                let lanes = if self.has_waiting_chunks(job).await? { other } else { job.lanes };
                match self.table.update(&next(lanes)).await? {
                    Updated::Applied(item) => item,
                    Updated::ConditionFailed(_) => {
                        return Err(TableError::corrupt("an update without a condition failed"));
                    }
                }
            }
        };
        let sequence = item.number(name::SEQUENCE).and_then(|number| u64::try_from(number).ok());
        let lanes = item.number(name::LANES).and_then(|lanes| u16::try_from(lanes).ok());
        let (Some(sequence), Some(lanes)) = (sequence, lanes) else {
            return Err(TableError::corrupt("the item that numbers an index's jobs has no number"));
        };
        self.enter_index(job, &item).await?;
        let skips_unchanged = job.skips_unchanged && !self.has_waiting_chunks(job).await?;
        Ok(Job { sequence, lanes, skips_unchanged, ..job.clone() })
    }

    /// Whether the job's index has a job that has not ended, or published chunks that are not counted.
    async fn has_waiting_chunks(&self, job: &Job) -> Result<bool, TableError> {
        let of_index = |open: &OpenJob| open.index_name == job.index_name;
        for (_, record) in self.open_records(&job.shop_id, of_index).await? {
            let waits = match (record.has(name::ENDED_AT), record.has(name::SEAL)) {
                (false, _) => true,
                (true, true) => false,
                // What was published before it was superseded or cancelled is written and counted.
                (true, false) => self.has_uncounted_chunks(&record).await?,
            };
            if waits {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// An update that creates an item, and is rejected if it exists.
    fn new_item(&self, key: Key) -> Update {
        Update::new(key).set(name::EXPIRES_AT, self.expiry()).when(Condition::Absent("pk"))
    }

    /// First the job's number of chunks, then the row: the chunks of a job are added in their order, without gaps.
    pub(super) async fn add_row(&self, chunk: &ChunkRef) -> Result<(), TableError> {
        let id = &chunk.job_id;
        let no_job = || TableError::permanent(format!("there is no job {id}"));
        let chunks = i64::from(chunk.seq) + 1;
        let record = self.locate(id).await?.ok_or_else(no_job)?;
        let grown = of_existing(record)
            .set(name::CHUNKS, chunks)
            .add("total_items", i64::from(chunk.documents))
            .when(Condition::Absent(name::SEAL))
            .when(Condition::Absent(name::ENDED_AT))
            .when(Condition::Below(name::CHUNKS, chunks));
        let row = schema::chunk(id, chunk.seq);
        if let Updated::ConditionFailed(found) = self.table.update(&grown).await? {
            let record = found.ok_or_else(no_job)?;
            let is_closed = record.has(name::SEAL) || record.has(name::ENDED_AT);
            if is_closed && self.table.get(&row).await?.is_none() {
                let message = format!("job {id} is sealed or ended and takes no new chunk");
                return Err(TableError::permanent(message));
            }
        }
        self.put_new_row(chunk).await.map(drop)
    }

    /// Creates the row of a chunk, ready to be claimed, unless it exists. Returns the stored row.
    pub(super) async fn put_new_row(&self, chunk: &ChunkRef) -> Result<Item, TableError> {
        let new = self
            .new_item(schema::chunk(&chunk.job_id, chunk.seq))
            .set(name::CHUNK, to_envelope(chunk))
            .set(name::STATE, state::PENDING)
            .set(name::FENCING_TOKEN, 0u32)
            .set(name::SINCE, micros(self.clock.now()))
            .set("attempts", 0u32)
            .set(name::LEASE_UNTIL, 0u32);
        Ok(match self.table.update(&new).await? {
            Updated::Applied(row) => row,
            Updated::ConditionFailed(row) => row.unwrap_or_default(),
        })
    }

    pub(super) async fn supersede_by(&self, by: &Job) -> Result<Vec<JobId>, TableError> {
        let message = format!(
            "superseded by job {}, which reads another export into the index, or the same one after a change; what was \
             published before stays counted",
            by.id
        );
        let mut superseded = Vec::new();
        let of_index = |open: &OpenJob| open.index_name == by.index_name;
        for (entry, record) in self.open_records(&by.shop_id, of_index).await? {
            // A record that cannot be read belongs to another program or a newer version.
            let Ok(job) = from_envelope::<Job>(&record, name::JOB) else { continue };
            let is_open = !record.has(name::SEAL) && !record.has(name::ENDED_AT);
            if job.id == by.id || job.index_name != by.index_name || !is_open {
                continue;
            }
            if let Updated::Applied(ended) = self.end_unsealed(schema::record(&job), &message).await? {
                if !self.has_uncounted_chunks(&ended).await? {
                    self.leave(Some(entry)).await;
                }
                superseded.push(job.id);
            }
        }
        Ok(superseded)
    }

    /// Ends a job that is not sealed and has not ended.
    async fn end_unsealed(&self, record: Key, message: &str) -> Result<Updated, TableError> {
        let end = of_existing(record)
            .set(name::STATUS, JobStatus::Failed.as_str())
            .set(name::ENDED_AT, micros(self.clock.now()))
            .set(name::ERROR_MESSAGE, message)
            .remove(name::ERROR_CODE)
            .remove(name::LAST_ERROR)
            .when(Condition::Absent(name::SEAL))
            .when(Condition::Absent(name::ENDED_AT));
        self.table.update(&end).await
    }

    pub(super) async fn cancel_job(&self, id: &JobId, message: &str) -> Result<bool, TableError> {
        let Some(record) = self.locate(id).await? else { return Ok(false) };
        let entry = match self.table.get(&record).await? {
            Some(record) => self.entry_of(&record).await?,
            None => None,
        };
        if let Updated::Applied(ended) = self.end_unsealed(record.clone(), message).await? {
            if !self.has_uncounted_chunks(&ended).await? {
                self.leave(entry).await;
            }
            return Ok(true);
        }
        let keep = of_existing(record)
            .set(name::ERROR_MESSAGE, message)
            .remove(name::ERROR_CODE)
            .add(name::REVISION, 1i64)
            .when(Condition::Exists(name::SEAL))
            .when(Condition::Absent(name::ENDED_AT));
        Ok(matches!(self.table.update(&keep).await?, Updated::Applied(_)))
    }

    pub(super) async fn record_error_of_job(
        &self,
        id: &JobId,
        error: &AttemptError,
    ) -> Result<(), TableError> {
        let Some(record) = self.locate(id).await? else { return Ok(()) };
        let keep =
            of_existing(record).set(name::LAST_ERROR, to_json(error)).when(Condition::Absent(name::ENDED_AT));
        let message = std::iter::once(error.message.as_str()).chain(error.causes.iter().map(String::as_str));
        let message = message.collect::<Vec<_>>().join(": ");
        let shown = with_error(keep.clone(), &message, &error.code).when(Condition::AnyOf(vec![
            vec![Condition::Absent(name::ERROR_MESSAGE)],
            vec![Condition::Exists(name::ERROR_CODE)],
        ]));
        match self.table.update(&shown).await? {
            // A person's message, which has no code, stays.
            Updated::ConditionFailed(Some(record)) if !record.has(name::ENDED_AT) => {
                self.table.update(&keep).await.map(drop)
            }
            _ => Ok(()),
        }
    }

    /// Records why nothing was archived after the job, or that it was.
    pub(super) async fn record_archiving_of_job(
        &self,
        id: &JobId,
        refused: Option<&ArchiveRefused>,
    ) -> Result<(), TableError> {
        let Some(record) = self.locate(id).await? else { return Ok(()) };
        let record = of_existing(record);
        let update = match refused {
            Some(refused) => record.set(name::ARCHIVE_REFUSED, to_json(refused)),
            None => record.remove(name::ARCHIVE_REFUSED),
        };
        self.table.update(&update).await.map(drop)
    }
}
