//! The index of open jobs: an item for each job that has not ended, or that has published chunks which are not counted.
//! Workers, ingests and the recovery sweep look here, so that the number of earlier jobs costs them nothing.
//!
//! These are items of the table and not a secondary index of DynamoDB, which lags behind: an ingest that resumes a job,
//! or ends another export's, must see the job that another process created a moment ago. An entry is written before its
//! job is open and removed after its end, so a crash leaves at most an entry too many, which the sweep removes. All
//! jobs are listed once in an environment that has no such index yet, and once a day, because processes of older
//! versions create jobs without an entry.

use super::{DynamoJobs, from_envelope, from_micros, micros, name, schema};
use crate::table::{Condition, Item, Key, TableError, Update};
use futures::{StreamExt, TryStreamExt};
use host_core::{
    model::{Digest, Job, JobId},
    storage::StoreError,
};
use jiff::Timestamp;
use std::{collections::HashSet, sync::atomic::Ordering::Relaxed, time::Duration};

/// How often all jobs are listed.
const RELIST_INTERVAL: Duration = Duration::from_secs(86_400);

/// Records that are read concurrently.
const AT_ONCE: usize = 8;

/// An entry of the index.
#[derive(Clone, Debug)]
pub(crate) struct OpenJob {
    pub(super) id: JobId,
    pub(super) shop_id: String,
    pub(super) index_name: String,
    /// Digest of all that determines the job's chunks.
    fingerprint: String,
    /// The key of the job's record.
    record: Key,
    /// When the entry was written.
    pub(super) since: Timestamp,
    entry: Entry,
}

/// An entry as it was read. It is removed only if it is still the same: a redrive writes it anew.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    key: Key,
    /// Its [`TOKEN`], if it has one.
    token: Option<i64>,
}

impl OpenJob {
    fn of(item: &Item) -> Result<Self, TableError> {
        let text = |name: &str| item.text(name).unwrap_or_default().to_owned();
        let id = JobId::new(text("open_job"))
            .ok_or_else(|| TableError::corrupt("an entry of the index of open jobs names no job"))?;
        Ok(Self {
            id,
            shop_id: text("shop_id"),
            index_name: text("index_name"),
            fingerprint: text("fingerprint"),
            record: Key::new(text("record_pk"), text("record_sk")),
            since: from_micros(item.number(name::SINCE).unwrap_or(0))?,
            entry: Entry { key: Key::new(text("pk"), text("sk")), token: item.number(TOKEN) },
        })
    }
}

/// Attribute with a random number that each write of an entry changes.
const TOKEN: &str = "token";

impl DynamoJobs {
    /// Writes the entry of a job, whether it has one or not.
    pub(super) async fn enter(&self, job: &Job, record: &Key) -> Result<(), TableError> {
        let entry = Update::new(schema::open(&job.shop_id, &job.index_name, &job.id))
            .set("open_job", job.id.as_str())
            .set("shop_id", job.shop_id.as_str())
            .set("index_name", job.index_name.as_str())
            .set("fingerprint", job.fingerprint.to_string())
            .set("record_pk", record.pk.as_str())
            .set("record_sk", record.sk.as_str())
            .set(name::SINCE, micros(self.clock.now()))
            .set(TOKEN, self.clock.random().cast_signed())
            .set(name::EXPIRES_AT, self.expiry());
        self.table.update(&entry).await.map(drop)
    }

    /// Writes the entry of a job that a redrive opens again.
    pub(super) async fn enter_again(&self, id: &JobId) -> Result<(), TableError> {
        let Some(key) = self.locate(id).await? else { return Ok(()) };
        let Some(record) = self.table.get(&key).await? else { return Ok(()) };
        self.enter(&from_envelope(&record, name::JOB)?, &key).await
    }

    /// The entry of a record's job, to be removed if the job ends; none if there is none.
    pub(super) async fn entry_of(&self, record: &Item) -> Result<Option<Entry>, TableError> {
        let text = |name: &str| record.text(name).unwrap_or_default();
        let Some(id) = JobId::new(text("job_id")) else { return Ok(None) };
        let key = schema::open(text("shop_id"), text("index_name"), &id);
        let found = self.table.get(&key).await?;
        Ok(found.map(|item| Entry { key, token: item.number(TOKEN) }))
    }

    /// Removes the entry of a job that has ended, unless it was written again meanwhile. Best effort: the sweep removes
    /// what stays.
    pub(super) async fn leave(&self, entry: Option<Entry>) {
        let Some(Entry { key, token }) = entry else { return };
        let same = match token {
            Some(token) => Condition::Equals(TOKEN, token.into()),
            None => Condition::Absent(TOKEN),
        };
        if let Err(error) = self.table.delete_when(&key, &same).await {
            tracing::warn!(entry = key.sk, error = %error.source, "could not remove an ended job from the index of open jobs");
        }
    }

    /// The entries whose sort keys begin with `prefix`.
    async fn entries(&self, prefix: &str) -> Result<Vec<OpenJob>, TableError> {
        self.ensure_index().await?;
        let items = self.table.query(schema::OPEN, prefix, false, None).await?;
        items.iter().map(OpenJob::of).collect()
    }

    /// All entries.
    pub(super) async fn all_entries(&self) -> Result<Vec<OpenJob>, TableError> {
        self.entries(schema::OPEN_JOBS).await
    }

    /// The records of a shop's open jobs, newest first, with their entries.
    pub(super) async fn open_records(
        &self,
        shop_id: &str,
        is_wanted: impl Fn(&OpenJob) -> bool,
    ) -> Result<Vec<(Entry, Item)>, TableError> {
        let mut entries = self.entries(&schema::open_of_shop(shop_id)).await?;
        // The id of another shop may begin with the same text.
        entries.retain(|open| open.shop_id == shop_id && is_wanted(open));
        let read: Vec<_> = entries.iter().map(|open| self.table.get(&open.record)).collect();
        let records: Vec<_> = futures::stream::iter(read).buffered(AT_ONCE).try_collect().await?;
        let mut found: Vec<(Entry, Item)> = Vec::new();
        for (open, record) in entries.into_iter().zip(records) {
            // A job without a record is being created.
            found.extend(record.map(|record| (open.entry, record)));
        }
        found.sort_by(|(_, one), (_, other)| other.text("sk").cmp(&one.text("sk")));
        Ok(found)
    }

    /// The keys of the records that the index names, of a shop or of all; none in an environment that has no index yet.
    /// Writes nothing.
    pub(super) async fn look_up_open_keys(
        &self,
        shop_id: Option<&str>,
    ) -> Result<Option<Vec<Key>>, TableError> {
        if !self.has_index.load(Relaxed) && self.table.get(&schema::open_jobs_listed()).await?.is_none() {
            return Ok(None);
        }
        let prefix = shop_id.map_or_else(|| schema::OPEN_JOBS.to_owned(), schema::open_of_shop);
        let items = self.table.query(schema::OPEN, &prefix, false, None).await?;
        items.iter().map(|item| OpenJob::of(item).map(|open| open.record)).collect::<Result<_, _>>().map(Some)
    }

    /// The records of a shop's open jobs with this fingerprint.
    pub(super) async fn open_with_fingerprint(
        &self,
        shop_id: &str,
        fingerprint: Digest,
    ) -> Result<Vec<Item>, TableError> {
        let wanted = fingerprint.to_string();
        let found = self.open_records(shop_id, |open| open.fingerprint == wanted).await?;
        Ok(found.into_iter().map(|(_, record)| record).collect())
    }

    /// Shops that have open jobs.
    pub(crate) async fn open_shops(&self) -> Result<Vec<String>, StoreError> {
        let entries = self.all_entries().await;
        let entries = entries.map_err(|error| error.during("looking for shops with open jobs"))?;
        let mut shops: Vec<String> = entries.into_iter().map(|open| open.shop_id).collect();
        shops.sort_unstable();
        shops.dedup();
        Ok(shops)
    }

    /// The record of an entry whose job is open. Otherwise none, and the entry is removed, unless the job may still be
    /// in creation: the entry is younger than `bound`.
    pub(super) async fn open_record(
        &self,
        open: &OpenJob,
        bound: Duration,
    ) -> Result<Option<Item>, TableError> {
        let is_over = match self.table.get(&open.record).await? {
            Some(record) if !record.has(name::ENDED_AT) => return Ok(Some(record)),
            Some(record) if !record.has(name::SEAL) && self.has_uncounted_chunks(&record).await? => {
                return Ok(Some(record));
            }
            Some(_) => true,
            // The record is about to be created, or has expired.
            None => self.clock.now().duration_since(open.since).unsigned_abs() > bound,
        };
        if is_over {
            self.leave(Some(open.entry.clone())).await;
        }
        Ok(None)
    }

    /// Makes the index in an environment that was created by a version without one.
    async fn ensure_index(&self) -> Result<(), TableError> {
        if self.has_index.load(Relaxed) {
            return Ok(());
        }
        if self.table.get(&schema::open_jobs_listed()).await?.is_none() {
            self.list_open_jobs().await?;
        }
        self.has_index.store(true, Relaxed);
        Ok(())
    }

    /// Lists all jobs if that was not done for a day.
    pub(super) async fn relist_open_jobs(&self) -> Result<(), TableError> {
        let listed = self.table.get(&schema::open_jobs_listed()).await?;
        let listed = listed.and_then(|item| item.number(name::SINCE)).map(from_micros).transpose()?;
        let now = self.clock.now();
        match listed {
            // A time in the future was written by a clock that is ahead.
            Some(at) if at <= now && now.duration_since(at).unsigned_abs() < RELIST_INTERVAL => Ok(()),
            _ => self.list_open_jobs().await,
        }
    }

    /// Writes the entries of all open jobs that have none.
    async fn list_open_jobs(&self) -> Result<(), TableError> {
        let records = self.all_records(usize::MAX).await?;
        let entries = self.table.query(schema::OPEN, schema::OPEN_JOBS, false, None).await?;
        let known: HashSet<&str> = entries.iter().filter_map(|entry| entry.text("open_job")).collect();
        let mut entered = 0;
        for record in &records {
            // Newer versions have entered their jobs themselves.
            let Ok(job) = from_envelope::<Job>(record, name::JOB) else { continue };
            if known.contains(job.id.as_str()) {
                continue;
            }
            let is_open = match (record.has(name::ENDED_AT), record.has(name::SEAL)) {
                (false, _) => true,
                (true, true) => false,
                (true, false) => self.has_uncounted_chunks(record).await?,
            };
            if is_open {
                let key = |part: &str| record.text(part).unwrap_or_default().to_owned();
                self.enter(&job, &Key::new(key("pk"), key("sk"))).await?;
                entered += 1;
            }
        }
        if entered > 0 {
            tracing::info!(
                entered,
                jobs = records.len(),
                "entered open jobs of other versions into their index"
            );
        }
        let listed = Update::new(schema::open_jobs_listed()).set(name::SINCE, micros(self.clock.now()));
        self.table.update(&listed).await.map(drop)
    }
}
