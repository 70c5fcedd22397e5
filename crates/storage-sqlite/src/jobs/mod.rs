//! Jobs (syncs of a shop into an index), the rows of their chunks (stored parts of their documents) and their counters
//! in SQLite. Each method is one transaction.

use async_trait::async_trait;
use host_core::{
    clock::SharedClock,
    model::{ArchiveRefused, ChunkRef, Digest, Job, JobId, Seal},
    storage::{
        AttemptError, ChunkLease, ChunkOutcome, Claim, Completion, JobSnapshot, Jobs, Release, ShopIndex,
        ShopRemoval, StoreError,
    },
};
use host_sqlite::{Cause, Database, DatabaseError, time};
use rusqlite::Transaction;
use std::{sync::Arc, time::Duration};

mod completion;
mod lease;
mod publish;
mod redrive;
mod samples;
mod shop;
mod snapshot;

pub(super) use lease::release_orphaned;

/// The jobs of all shops.
pub(super) struct SqliteJobs {
    database: Arc<Database>,
    clock: SharedClock,
}

/// The key of a chunk's row.
#[derive(Clone)]
struct ChunkKey {
    job_id: String,
    seq: u32,
}

impl ChunkKey {
    fn new(id: &JobId, seq: u32) -> Self {
        Self { job_id: id.as_str().to_owned(), seq }
    }
}

impl SqliteJobs {
    pub(super) fn new(database: Arc<Database>, clock: SharedClock) -> Self {
        Self { database, clock }
    }

    /// Runs a writing transaction on a chunk; `action` describes it in an error.
    async fn of_chunk<T: Send + 'static>(
        &self,
        action: &str,
        id: &JobId,
        seq: u32,
        work: impl FnOnce(&Transaction<'_>, &ChunkKey) -> Result<T, Cause> + Send + 'static,
    ) -> Result<T, StoreError> {
        let row = ChunkKey::new(id, seq);
        let done = self.database.write(move |tx| work(tx, &row)).await;
        done.map_err(|error| error.during(format!("{action} chunk {seq} of job {id}")))
    }
}

/// Whether chunks of a job may still be processed: it has not ended, or a message or a dead letter names it.
pub(crate) fn is_needed(tx: &Transaction<'_>, id: &JobId) -> Result<bool, Cause> {
    let needed = "SELECT 1 FROM job WHERE id = ?1 AND ended_at IS NULL
        UNION ALL SELECT 1 FROM message WHERE job_id = ?1
        UNION ALL SELECT 1 FROM dead_letter WHERE CASE WHEN json_valid(letter) THEN letter ->> '$.chunk.job_id' = ?1 END";
    Ok(tx.prepare_cached(needed)?.exists([id.as_str()])?)
}

/// Deletes a job that has ended, and the record of its sent messages.
pub(crate) fn remove(tx: &Transaction<'_>, id: &JobId) -> Result<(), Cause> {
    tx.execute("DELETE FROM sent WHERE job_id = ?1", [id.as_str()])?;
    // Deletes its chunks and samples, too, by foreign keys.
    tx.execute("DELETE FROM job WHERE id = ?1 AND ended_at IS NOT NULL", [id.as_str()])?;
    Ok(())
}

fn during_job<T>(result: Result<T, DatabaseError>, action: &str, id: &JobId) -> Result<T, StoreError> {
    result.map_err(|error| error.during(format!("{action} job {id}")))
}

#[async_trait]
impl Jobs for SqliteJobs {
    async fn create(&self, job: &Job) -> Result<Job, StoreError> {
        let id = &job.id;
        let job = job.clone();
        during_job(self.database.write(move |tx| publish::create(tx, &job)).await, "creating", id)
    }

    async fn find_unfinished(&self, shop_id: &str, fingerprint: Digest) -> Result<Option<Job>, StoreError> {
        let shop = shop_id.to_owned();
        let done = self.database.read(move |tx| snapshot::unfinished(tx, &shop, fingerprint)).await;
        done.map_err(|error| error.during(format!("looking for an interrupted job of {shop_id}")))
    }

    async fn get(&self, id: &JobId) -> Result<Option<JobSnapshot>, StoreError> {
        let job_id = id.as_str().to_owned();
        during_job(self.database.read(move |tx| snapshot::one(tx, &job_id)).await, "reading", id)
    }

    async fn has_ended(&self, id: &JobId) -> Result<bool, StoreError> {
        let job_id = id.as_str().to_owned();
        let ended = move |tx: &Transaction<'_>| {
            let sql = "SELECT 1 FROM job WHERE id = ?1 AND ended_at IS NOT NULL";
            Ok(tx.prepare_cached(sql)?.exists([job_id])?)
        };
        during_job(self.database.read(ended).await, "reading", id)
    }

    async fn list(&self, shop_id: Option<&str>, limit: usize) -> Result<Vec<JobSnapshot>, StoreError> {
        let shop = shop_id.map(str::to_owned);
        let done = self.database.read(move |tx| snapshot::latest(tx, shop.as_deref(), limit)).await;
        done.map_err(|error| error.during("listing jobs"))
    }

    async fn list_open(&self, shop_id: Option<&str>, limit: usize) -> Result<Vec<JobSnapshot>, StoreError> {
        let shop = shop_id.map(str::to_owned);
        let listed = self.database.read(move |tx| snapshot::open(tx, shop.as_deref(), limit)).await;
        listed.map_err(|error| error.during("listing the open jobs"))
    }

    async fn supersede(&self, job: &Job) -> Result<Vec<JobId>, StoreError> {
        let (by, clock) = (job.clone(), self.clock.clone());
        let supersede = move |tx: &Transaction<'_>| publish::supersede(tx, &by, time::to_column(clock.now()));
        let done = self.database.write(supersede).await;
        done.map_err(|error| error.during(format!("ending the jobs that job {} supersedes", job.id)))
    }

    async fn cancel(&self, id: &JobId, message: &str) -> Result<bool, StoreError> {
        let (job_id, message, clock) = (id.as_str().to_owned(), message.to_owned(), self.clock.clone());
        let cancel =
            move |tx: &Transaction<'_>| publish::cancel(tx, &job_id, &message, time::to_column(clock.now()));
        during_job(self.database.write(cancel).await, "cancelling", id)
    }

    async fn record_error(&self, id: &JobId, error: &AttemptError) -> Result<(), StoreError> {
        let (job_id, error) = (id.as_str().to_owned(), error.clone());
        let record = move |tx: &Transaction<'_>| publish::record_error(tx, &job_id, &error);
        during_job(self.database.write(record).await, "recording an error of", id)
    }

    async fn record_archiving(&self, id: &JobId, refused: Option<&ArchiveRefused>) -> Result<(), StoreError> {
        let (job_id, refused) = (id.as_str().to_owned(), refused.cloned());
        let record = move |tx: &Transaction<'_>| publish::record_archiving(tx, &job_id, refused.as_ref());
        during_job(self.database.write(record).await, "recording the archiving after", id)
    }

    async fn chunk(&self, id: &JobId, seq: u32) -> Result<Option<ChunkRef>, StoreError> {
        let row = ChunkKey::new(id, seq);
        let done = self.database.read(move |tx| snapshot::chunk(tx, &row)).await;
        done.map_err(|error| error.during(format!("reading chunk {seq} of job {id}")))
    }

    async fn uncounted(&self, id: &JobId, limit: usize) -> Result<Vec<ChunkRef>, StoreError> {
        let job_id = id.as_str().to_owned();
        let done = self.database.read(move |tx| snapshot::uncounted(tx, &job_id, limit)).await;
        during_job(done, "listing the chunks of", id)
    }

    async fn add_chunk(&self, chunk: &ChunkRef) -> Result<(), StoreError> {
        let added = chunk.clone();
        let add = move |tx: &Transaction<'_>, row: &ChunkKey| publish::add_chunk(tx, row, &added);
        self.of_chunk("adding", &chunk.job_id, chunk.seq, add).await
    }

    async fn seal(&self, id: &JobId, seal: &Seal) -> Result<(), StoreError> {
        let (job_id, seal, clock) = (id.as_str().to_owned(), seal.clone(), self.clock.clone());
        let seal =
            move |tx: &Transaction<'_>| publish::seal(tx, &job_id, &seal, time::to_column(clock.now()));
        during_job(self.database.write(seal).await, "sealing", id)
    }

    async fn claim(&self, id: &JobId, seq: u32, duration: Duration) -> Result<Claim, StoreError> {
        let (clock, job_id) = (self.clock.clone(), id.clone());
        let claim =
            move |tx: &Transaction<'_>, row: &ChunkKey| lease::claim(tx, &job_id, row, clock.now(), duration);
        self.of_chunk("claiming", id, seq, claim).await
    }

    async fn renew(&self, lease: &ChunkLease, duration: Duration) -> Result<bool, StoreError> {
        let (clock, token) = (self.clock.clone(), lease.fencing_token);
        let renew =
            move |tx: &Transaction<'_>, row: &ChunkKey| lease::renew(tx, row, token, clock.now(), duration);
        self.of_chunk("renewing the lease of", &lease.job_id, lease.seq, renew).await
    }

    async fn release(&self, lease: &ChunkLease, release: Release<'_>) -> Result<bool, StoreError> {
        let token = lease.fencing_token;
        let error = match release {
            Release::CountAttempt(error) => Some(error.cloned()),
            Release::ResetAttempts => None,
        };
        let release = move |tx: &Transaction<'_>, row: &ChunkKey| {
            let release = match &error {
                Some(error) => Release::CountAttempt(error.as_ref()),
                None => Release::ResetAttempts,
            };
            lease::release(tx, row, token, release)
        };
        self.of_chunk("releasing", &lease.job_id, lease.seq, release).await
    }

    async fn complete(&self, lease: &ChunkLease, outcome: &ChunkOutcome) -> Result<Completion, StoreError> {
        let (clock, token, outcome) = (self.clock.clone(), lease.fencing_token, outcome.clone());
        let complete = move |tx: &Transaction<'_>, row: &ChunkKey| {
            completion::complete(tx, row, token, &outcome, time::to_column(clock.now()))
        };
        self.of_chunk("completing", &lease.job_id, lease.seq, complete).await
    }

    async fn redrive(&self, id: &JobId, seq: u32, redrive_count: u32) -> Result<Option<u32>, StoreError> {
        self.of_chunk("redriving", id, seq, move |tx, row| redrive::redrive(tx, row, redrive_count)).await
    }

    async fn reports(&self, id: &JobId) -> Result<Vec<String>, StoreError> {
        let job_id = id.as_str().to_owned();
        let done = self.database.read(move |tx| snapshot::reports(tx, &job_id)).await;
        during_job(done, "listing the reports of", id)
    }

    async fn indexes(&self, shop_id: &str) -> Result<Vec<ShopIndex>, StoreError> {
        let known = self.database.read(shop::indexes).await;
        let known = known.map_err(|error| error.during(format!("looking for the indexes of {shop_id}")))?;
        Ok(ShopIndex::of_shop(shop_id, &known))
    }

    async fn shop_removal(&self, shop_id: &str) -> Result<Option<ShopRemoval>, StoreError> {
        let key = ShopRemoval::key(shop_id);
        let done = self.database.read(move |tx| shop::removal(tx, &key)).await;
        done.map_err(|error| error.during(format!("reading whether {shop_id} was removed")))
    }

    async fn put_shop_removal(&self, shop_id: &str, removal: &ShopRemoval) -> Result<(), StoreError> {
        let (key, removal) = (ShopRemoval::key(shop_id), removal.clone());
        let done = self.database.write(move |tx| shop::put_removal(tx, &key, &removal)).await;
        done.map_err(|error| error.during(format!("storing that {shop_id} is removed")))
    }

    async fn remove_shop(&self, shop_id: &str, dry_run: bool) -> Result<u64, StoreError> {
        let shop = shop_id.to_owned();
        let done = self.database.write(move |tx| shop::remove(tx, &shop, dry_run)).await;
        done.map_err(|error| error.during(format!("removing the jobs of {shop_id}")))
    }
}
