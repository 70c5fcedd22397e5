//! Jobs in a DynamoDB table. A job is one ingest of a shop's export into an index; its documents are in chunks, each of
//! which has a row here. Each step is one conditional update of a single item, or several that can be repeated, and
//! none costs more the larger the job is.

use super::table::{Item, Key, Table, TableError, Update, Value};
use async_trait::async_trait;
use host_core::{
    clock::SharedClock,
    model::{ArchiveRefused, ChunkRef, Digest, Job, JobId, Seal},
    storage::{
        self, AttemptError, ChunkLease, ChunkOutcome, Claim, Completion, JobSnapshot, Jobs, Release,
        ShopIndex, ShopRemoval, StoreError,
    },
};
use jiff::Timestamp;
use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError, atomic::AtomicBool},
    time::Duration,
};

mod completion;
mod end;
mod external;
mod indexes;
mod ingest;
mod lease;
mod open;
mod publish;
mod redrive;
mod schema;
mod seal;
mod shop;
mod snapshot;
mod summary;
mod sweep;

pub use ingest::IngestLease;
pub(super) use sweep::OpenJob;

/// Names of attributes that several steps use, as they are stored. Some are older than the words of the code.
mod name {
    pub(super) const ARCHIVE_REFUSED: &str = "archive_refused";
    pub(super) const CHUNK: &str = "chunk";
    pub(super) const CHUNKS: &str = "chunks";
    pub(super) const COMPLETED: &str = "completed_chunks";
    pub(super) const ENDED_AT: &str = "ended_at";
    pub(super) const REDRIVE_COUNT: &str = "epoch";
    pub(super) const ERROR_CODE: &str = "error_code";
    pub(super) const ERROR_MESSAGE: &str = "error_message";
    pub(super) const EXPECTED: &str = "expected_chunks";
    pub(super) const EXPECTED_ITEMS: &str = "expected_items";
    pub(super) const EXPIRES_AT: &str = "expires_at";
    pub(super) const FENCING_TOKEN: &str = "fence";
    pub(super) const FIRST_ERROR: &str = "first_error";
    pub(super) const FULL: &str = "full_segments";
    pub(super) const HOLDER: &str = "holder";
    pub(super) const JOB: &str = "job";
    pub(super) const LANES: &str = "lanes";
    pub(super) const LAST_ERROR: &str = "last_error";
    pub(super) const LEASE_UNTIL: &str = "lease_until";
    pub(super) const OUTCOME: &str = "outcome";
    pub(super) const QUARANTINED: &str = "quarantined";
    pub(super) const QUARANTINED_CHUNKS: &str = "quarantined_chunks";
    pub(super) const REDRIVEN: &str = "redriven";
    pub(super) const REMOVAL: &str = "removal";
    pub(super) const REVISION: &str = "revision";
    pub(super) const SAMPLES: &str = "samples";
    pub(super) const SEAL: &str = "seal";
    pub(super) const SEALED_CHUNKS: &str = "sealed_chunks";
    pub(super) const SEQUENCE: &str = "sequence";
    pub(super) const SINCE: &str = "since";
    pub(super) const STATE: &str = "state";
    pub(super) const STATUS: &str = "status";
    pub(super) const TARGETS: &str = "targets";
}

/// States of a chunk row.
mod state {
    /// It can be claimed.
    pub(super) const PENDING: &str = "PENDING";
    /// A worker has claimed it; another one may once the lease expires.
    pub(super) const RUNNING: &str = "RUNNING";
    /// Its outcome is stored, but perhaps not counted yet.
    pub(super) const COMPLETING: &str = "SETTLING";
    /// It is counted.
    pub(super) const DONE: &str = "DONE";
}

/// Most jobs that a process caches.
const MAX_KNOWN: usize = 10_000;

/// The jobs of all shops.
pub(super) struct DynamoJobs {
    table: Arc<dyn Table>,
    clock: SharedClock,
    /// How long items are kept after they were written.
    retention: Duration,
    /// The keys of records, which never change, and whether this process has seen the jobs start.
    known: Mutex<HashMap<JobId, CachedJob>>,
    /// Whether this process has seen that the index of open jobs exists.
    has_index: AtomicBool,
}

#[derive(Clone, Debug)]
struct CachedJob {
    record: Key,
    started: bool,
}

impl DynamoJobs {
    pub(super) fn new(table: Arc<dyn Table>, clock: SharedClock, retention: Duration) -> Self {
        Self { table, clock, retention, known: Mutex::default(), has_index: AtomicBool::new(false) }
    }

    /// When an item that is written now is removed by the table (seconds since 1970).
    fn expiry(&self) -> Value {
        let seconds = i64::try_from(self.retention.as_secs()).unwrap_or(i64::MAX);
        Value::Number(self.clock.now().as_second().saturating_add(seconds))
    }

    fn known(&self, id: &JobId) -> Option<CachedJob> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner).get(id).cloned()
    }

    fn remember(&self, id: &JobId, known: CachedJob) {
        let mut all = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if all.len() >= MAX_KNOWN {
            all.clear();
        }
        all.insert(id.clone(), known);
    }

    /// The key of a job's record; none if no such job was created.
    async fn locate(&self, id: &JobId) -> Result<Option<Key>, TableError> {
        if let Some(known) = self.known(id) {
            return Ok(Some(known.record));
        }
        let Some(locator) = self.table.get(&schema::locator(id)).await? else { return Ok(None) };
        let record = key_of_record(&locator)?;
        self.remember(id, CachedJob { record: record.clone(), started: false });
        Ok(Some(record))
    }

    /// The record of a job: its main item. None if there is no such job, or it has expired.
    async fn record(&self, id: &JobId) -> Result<Option<Item>, TableError> {
        match self.locate(id).await? {
            Some(key) => self.table.get(&key).await,
            None => Ok(None),
        }
    }
}

/// The key of a job's record, from the job's locator: the item that is found by the job's id alone.
fn key_of_record(locator: &Item) -> Result<Key, TableError> {
    match (locator.text("record_pk"), locator.text("record_sk")) {
        (Some(pk), Some(sk)) => Ok(Key::new(pk, sk)),
        _ => Err(TableError::corrupt("the item that says where the job's record is has no keys")),
    }
}

/// An instant as a number that compares by time: microseconds since 1970.
fn micros(at: Timestamp) -> i64 {
    at.as_microsecond()
}

/// The instant `duration` after another, in microseconds since 1970; at most the last one that a timestamp can hold.
fn after(at: Timestamp, duration: Duration) -> i64 {
    let duration = i64::try_from(duration.as_micros()).unwrap_or(i64::MAX);
    micros(at).saturating_add(duration).min(Timestamp::MAX.as_microsecond())
}

fn from_micros(micros: i64) -> Result<Timestamp, TableError> {
    Timestamp::from_microsecond(micros).map_err(TableError::corrupt)
}

fn from_json<T: serde::de::DeserializeOwned>(item: &Item, name: &str) -> Result<T, TableError> {
    let text = item.text(name).ok_or_else(|| TableError::corrupt(format!("an item has no `{name}`")))?;
    serde_json::from_str(text).map_err(TableError::corrupt)
}

fn to_json(value: &impl serde::Serialize) -> String {
    serde_json::to_string(value).expect("what is stored is plain data")
}

/// Reads JSON with a schema number, by which it recognises what a newer version or another program wrote.
fn from_envelope<T: serde::de::DeserializeOwned>(item: &Item, name: &str) -> Result<T, TableError> {
    let text = item.text(name).unwrap_or_default();
    storage::from_envelope(text).map_err(TableError::unsupported)
}

/// JSON with the schema number that [`from_envelope`] checks.
fn to_envelope(value: &impl serde::Serialize) -> String {
    storage::to_envelope(value).expect("what is stored is plain data")
}

fn of_job<T>(result: Result<T, TableError>, action: &str, id: &JobId) -> Result<T, StoreError> {
    result.map_err(|error| error.during(format!("{action} job {id}")))
}

fn of_chunk<T>(result: Result<T, TableError>, action: &str, id: &JobId, seq: u32) -> Result<T, StoreError> {
    result.map_err(|error| error.during(format!("{action} chunk {seq} of job {id}")))
}

/// An update that is rejected if the item does not exist.
fn of_existing(key: Key) -> Update {
    Update::new(key).when(super::table::Condition::Exists("pk"))
}

#[async_trait]
impl Jobs for DynamoJobs {
    async fn create(&self, job: &Job) -> Result<Job, StoreError> {
        of_job(self.create_job(job).await, "creating", &job.id)
    }

    async fn find_unfinished(&self, shop_id: &str, fingerprint: Digest) -> Result<Option<Job>, StoreError> {
        let found = self.unfinished(shop_id, fingerprint).await;
        found.map_err(|error| error.during(format!("looking for an interrupted job of {shop_id}")))
    }

    async fn get(&self, id: &JobId) -> Result<Option<JobSnapshot>, StoreError> {
        of_job(self.snapshot_of(id).await, "reading", id)
    }

    async fn has_ended(&self, id: &JobId) -> Result<bool, StoreError> {
        let record = of_job(self.record(id).await, "reading", id)?;
        Ok(record.is_some_and(|record| record.has(name::ENDED_AT)))
    }

    async fn list(&self, shop_id: Option<&str>, limit: usize) -> Result<Vec<JobSnapshot>, StoreError> {
        self.latest(shop_id, limit).await.map_err(|error| error.during("listing jobs"))
    }

    async fn list_open(&self, shop_id: Option<&str>, limit: usize) -> Result<Vec<JobSnapshot>, StoreError> {
        self.open_snapshots(shop_id, limit).await.map_err(|error| error.during("listing the open jobs"))
    }

    async fn supersede(&self, job: &Job) -> Result<Vec<JobId>, StoreError> {
        let done = self.supersede_by(job).await;
        done.map_err(|error| error.during(format!("ending the jobs that job {} supersedes", job.id)))
    }

    async fn cancel(&self, id: &JobId, message: &str) -> Result<bool, StoreError> {
        of_job(self.cancel_job(id, message).await, "cancelling", id)
    }

    async fn record_error(&self, id: &JobId, error: &AttemptError) -> Result<(), StoreError> {
        of_job(self.record_error_of_job(id, error).await, "recording an error of", id)
    }

    async fn record_archiving(&self, id: &JobId, refused: Option<&ArchiveRefused>) -> Result<(), StoreError> {
        of_job(self.record_archiving_of_job(id, refused).await, "recording the archiving after", id)
    }

    async fn chunk(&self, id: &JobId, seq: u32) -> Result<Option<ChunkRef>, StoreError> {
        let row = self.table.get(&schema::chunk(id, seq)).await;
        let chunk = row.and_then(|row| row.map(|row| from_envelope(&row, name::CHUNK)).transpose());
        of_chunk(chunk, "reading", id, seq)
    }

    async fn uncounted(&self, id: &JobId, limit: usize) -> Result<Vec<ChunkRef>, StoreError> {
        of_job(self.uncounted_chunks(id, limit).await, "listing the chunks of", id)
    }

    async fn add_chunk(&self, chunk: &ChunkRef) -> Result<(), StoreError> {
        of_chunk(self.add_row(chunk).await, "adding", &chunk.job_id, chunk.seq)
    }

    async fn seal(&self, id: &JobId, seal: &Seal) -> Result<(), StoreError> {
        of_job(self.seal_job(id, seal).await, "sealing", id)
    }

    async fn claim(&self, id: &JobId, seq: u32, duration: Duration) -> Result<Claim, StoreError> {
        of_chunk(self.claim_row(id, seq, duration).await, "claiming", id, seq)
    }

    async fn renew(&self, lease: &ChunkLease, duration: Duration) -> Result<bool, StoreError> {
        of_chunk(self.renew_row(lease, duration).await, "renewing the lease of", &lease.job_id, lease.seq)
    }

    async fn release(&self, lease: &ChunkLease, release: Release<'_>) -> Result<bool, StoreError> {
        of_chunk(self.release_row(lease, release).await, "releasing", &lease.job_id, lease.seq)
    }

    async fn complete(&self, lease: &ChunkLease, outcome: &ChunkOutcome) -> Result<Completion, StoreError> {
        of_chunk(self.complete_row(lease, outcome).await, "completing", &lease.job_id, lease.seq)
    }

    async fn redrive(&self, id: &JobId, seq: u32, redrive_count: u32) -> Result<Option<u32>, StoreError> {
        of_chunk(self.redrive_row(id, seq, redrive_count).await, "redriving", id, seq)
    }

    async fn reports(&self, id: &JobId) -> Result<Vec<String>, StoreError> {
        of_job(self.report_keys(id).await, "listing the reports of", id)
    }

    async fn indexes(&self, shop_id: &str) -> Result<Vec<ShopIndex>, StoreError> {
        let known = self.known_indexes(shop_id).await;
        let known = known.map_err(|error| error.during(format!("looking for the indexes of {shop_id}")))?;
        Ok(ShopIndex::of_shop(shop_id, &known))
    }

    async fn shop_removal(&self, shop_id: &str) -> Result<Option<ShopRemoval>, StoreError> {
        let item = self.table.get(&schema::shop_removal(shop_id)).await;
        let removal = item.and_then(|item| item.map(|item| from_json(&item, name::REMOVAL)).transpose());
        removal.map_err(|error| error.during(format!("reading whether {shop_id} was removed")))
    }

    async fn put_shop_removal(&self, shop_id: &str, removal: &ShopRemoval) -> Result<(), StoreError> {
        let update = Update::new(schema::shop_removal(shop_id)).set(name::REMOVAL, to_json(removal));
        let done = self.table.update(&update).await.map(drop);
        done.map_err(|error| error.during(format!("storing that {shop_id} is removed")))
    }

    async fn remove_shop(&self, shop_id: &str, dry_run: bool) -> Result<u64, StoreError> {
        let done = self.remove_jobs_of(shop_id, dry_run).await;
        done.map_err(|error| error.during(format!("removing the jobs of {shop_id}")))
    }
}
