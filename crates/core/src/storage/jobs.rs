//! The port to jobs (syncs of one shop into one index), their chunks (stored parts of a job's documents) and their
//! counters.

use super::{
    AttemptError, ChunkLease, ChunkOutcome, Claim, Completion, Duration, Release, ShopIndex, ShopRemoval,
    StoreError, async_trait,
};
use crate::model::{ArchiveRefused, ChunkRef, Counts, Digest, Job, JobId, JobStatus, ReportEntry, Seal};
use jiff::Timestamp;
use std::cmp::Ordering;

/// The current state of a job.
#[derive(Clone, Debug, PartialEq)]
pub struct JobSnapshot {
    /// What it was created with.
    pub job: Job,
    /// Its status.
    pub status: JobStatus,
    /// What ingest stored when it had published all chunks; `None` while it may publish more.
    pub seal: Option<Seal>,
    /// Item counts so far. Once the job is sealed they include items that ingest refused.
    pub counts: Counts,
    /// Chunks published so far.
    pub chunks: u32,
    /// Chunks counted so far.
    pub completed_chunks: u32,
    /// First report entries of ingest and of all chunks counted so far, at most 20 of each class, in chunk order.
    pub samples: Vec<ReportEntry>,
    /// When it ended; `None` while it has not.
    pub ended_at: Option<Timestamp>,
    /// Why it was ended early: a later job superseded it, or an operator cancelled it. `None` if it was not.
    pub error_message: Option<String>,
    /// The last error of a chunk or of the ingest; `None` if there was none, and once the job has ended.
    pub last_error: Option<AttemptError>,
    /// Why one of its chunks was quarantined (moved to the dead letters), in the words of the dead letter; `None` if
    /// none is quarantined, or if the job has not ended.
    pub quarantined: Option<String>,
    /// Why what this full sync did not have was not archived; `None` if it was, or if no process has tried.
    pub archive_refused: Option<ArchiveRefused>,
}

impl JobSnapshot {
    /// Why the job as a whole failed: it was ended early, or a chunk was quarantined. `None` if at most single items
    /// failed.
    pub fn failure_message(&self) -> Option<&str> {
        self.error_message.as_deref().or(self.quarantined.as_deref())
    }
}

impl JobSnapshot {
    /// Whether there is still something to do: it has not ended, or chunks that it published before its early end are
    /// not counted.
    pub fn is_open(&self) -> bool {
        !self.status.has_ended() || self.completed_chunks < self.chunks
    }

    /// Orders jobs by shop and index, and those of an index by [`Job::is_after`].
    pub fn by_index(&self, other: &Self) -> Ordering {
        fn key(JobSnapshot { job, .. }: &JobSnapshot) -> (&str, &str, u64, Timestamp) {
            (&job.shop_id, &job.index_name, job.sequence, job.created_at)
        }
        key(self).cmp(&key(other))
    }
}

/// Jobs, their chunks and their counters.
///
/// Each chunk counts exactly once: a worker [claims](Self::claim) it, [completes](Self::complete) it with its outcome,
/// and then acknowledges its message. A worker that crashes in between leaves the chunk to the next delivery, whose
/// claim finds it free, held until a lease ends, or done.
///
/// Unless a method says otherwise, it is idempotent (the second call finds the first one's effect and returns the
/// same), and may be cancelled, with the same effect as an error. An error does not tell whether the call took effect;
/// the caller retries.
#[async_trait]
pub trait Jobs: Send + Sync {
    /// Creates the job, and returns it as it is stored: the first call with its id decides what it is. Storage gives it
    /// the next [`sequence`](Job::sequence) of its shop and index. While chunks of the index's other jobs wait, storage
    /// changes the job's number of [`lanes`](Job::lanes) to theirs, because all documents of a product must go through
    /// one lane. The caller holds the ingest lease of the shop and index.
    async fn create(&self, job: &Job) -> Result<Job, StoreError>;

    /// The job of the shop with this [`fingerprint`](Job::fingerprint) that has not ended: the same sync, interrupted.
    /// Of several the one with the highest [`sequence`](Job::sequence); `None` if there is none. Reads only.
    async fn find_unfinished(&self, shop_id: &str, fingerprint: Digest) -> Result<Option<Job>, StoreError>;

    /// The job's current state; `None` if it does not exist. Reads only.
    async fn get(&self, id: &JobId) -> Result<Option<JobSnapshot>, StoreError>;

    /// Whether the job exists and has ended: one small read, for callers that ask often. Reads only.
    async fn has_ended(&self, id: &JobId) -> Result<bool, StoreError>;

    /// Jobs of one shop, or of all, by [`created_at`](Job::created_at), the latest first, at most `limit`. This order
    /// is for people: jobs of a process whose clock was wrong are in the wrong place. [`Job::is_after`] decides which
    /// of two jobs is later; a caller that needs the last one reads all jobs, or the [open](Self::list_open) ones.
    /// Reads only.
    async fn list(&self, shop_id: Option<&str>, limit: usize) -> Result<Vec<JobSnapshot>, StoreError>;

    /// The first [open](JobSnapshot::is_open) jobs of one shop, or of all, by shop and index, and within an index in
    /// the order of [`Job::is_after`]; without samples. The cost does not grow with the number of jobs that have ended.
    /// If an index has more than `limit`, it is undefined which of them are left out. Reads only.
    async fn list_open(&self, shop_id: Option<&str>, limit: usize) -> Result<Vec<JobSnapshot>, StoreError>;

    /// Ends all other unsealed jobs of this job's shop and index, as FAILED with a message that names this job, and
    /// returns their ids; a repeated call finds none. The caller holds the ingest lease, so that no process still
    /// ingests for them. Their published chunks stay in the queue and are written and counted.
    async fn supersede(&self, job: &Job) -> Result<Vec<JobId>, StoreError>;

    /// Records the message and, unless the job is sealed, ends it as FAILED. Returns false if the job had ended; a
    /// repeated call on an unsealed job also returns false. The caller completes the remaining chunks.
    async fn cancel(&self, id: &JobId, message: &str) -> Result<bool, StoreError>;

    /// Records the job's last error, which explains why it does not end. Does nothing if it has ended or does not
    /// exist. Best effort: callers log a failure instead of retrying.
    async fn record_error(&self, id: &JobId, error: &AttemptError) -> Result<(), StoreError>;

    /// Records why nothing was archived after the job, or with `None` that it was. Does nothing if the job does not
    /// exist.
    async fn record_archiving(&self, id: &JobId, refused: Option<&ArchiveRefused>) -> Result<(), StoreError>;

    /// What was published as this chunk of the job; `None` if there is no such chunk. Reads only.
    async fn chunk(&self, id: &JobId, seq: u32) -> Result<Option<ChunkRef>, StoreError>;

    /// The first chunks of the job that are not counted yet, in their order, at most `limit`. Reads only.
    async fn uncounted(&self, id: &JobId, limit: usize) -> Result<Vec<ChunkRef>, StoreError>;

    /// Adds a chunk that can be claimed. `Ok` means that the chunk exists; the first call decides what it is. A new
    /// chunk of a job that is sealed, has ended or does not exist is a permanent error.
    async fn add_chunk(&self, chunk: &ChunkRef) -> Result<(), StoreError>;

    /// Seals the job, after which no chunk can be added, and ends it if all chunks are counted. `Ok` means that it is
    /// sealed; later seals are ignored. A permanent error if the job ended unsealed, or if the seal's number of chunks
    /// differs from the number of added ones: the job would end too early or never.
    async fn seal(&self, id: &JobId, seal: &Seal) -> Result<(), StoreError>;

    /// Claims a chunk for `duration` if it is free or its lease has expired; the job becomes IN_PROGRESS. Not
    /// idempotent: each claim that succeeds counts as an attempt. If a crashed worker left the chunk's completion
    /// unfinished, the call finishes it, and the result is [`Claim::Done`]. After an error the message is redelivered;
    /// a claim that took effect all the same expires.
    async fn claim(&self, id: &JobId, seq: u32, duration: Duration) -> Result<Claim, StoreError>;

    /// Renews a lease for `duration` from now. Returns false if the lease is lost; the worker must stop writing.
    async fn renew(&self, lease: &ChunkLease, duration: Duration) -> Result<bool, StoreError>;

    /// Releases a chunk, which can then be claimed immediately. False if the lease is lost, and then nothing changes. A
    /// repeated call changes nothing and returns true until the chunk is claimed again. After an error the lease
    /// expires by itself.
    async fn release(&self, lease: &ChunkLease, release: Release<'_>) -> Result<bool, StoreError>;

    /// Completes a chunk: stores its outcome, adds it to the job's counters exactly once, and ends a sealed job with
    /// its last chunk. At most one call returns [`Completion::JobEnded`], best effort: after an error, a repeated call
    /// may not. Later outcomes are ignored. After an error or when cancelled, the chunk may be partially completed:
    /// repeat the call, or leave the rest to the next claim.
    async fn complete(&self, lease: &ChunkLease, outcome: &ChunkOutcome) -> Result<Completion, StoreError>;

    /// Undoes the quarantine of a chunk that had been redriven (sent to the queue again) `redrive_count` times when it
    /// was quarantined: the chunk's counts, samples and report leave the job, a job that had ended by counting is in
    /// progress again, and the chunk is free, with no attempts and the next redrive count. Returns the redrive count
    /// with which the caller is to send its message, also if the chunk was never quarantined, or was redriven before
    /// and is not done; `None` if it is done or unknown, and there is nothing to send. A repeated call resumes an
    /// interrupted one.
    async fn redrive(&self, id: &JobId, seq: u32, redrive_count: u32) -> Result<Option<u32>, StoreError>;

    /// Keys of all report objects of the job: ingest's, then those of counted chunks in their order. Reads only.
    async fn reports(&self, id: &JobId) -> Result<Vec<String>, StoreError>;

    /// The indexes that jobs of a shop were created for, in order, including those whose jobs have all expired. Reads
    /// only.
    async fn indexes(&self, shop_id: &str) -> Result<Vec<ShopIndex>, StoreError>;

    /// The record that the shop is being removed, or was removed; `None` if there is none. Reads only.
    async fn shop_removal(&self, shop_id: &str) -> Result<Option<ShopRemoval>, StoreError>;

    /// Stores the record that a shop is being removed, or was removed, in place of an earlier one. It is never deleted.
    async fn put_shop_removal(&self, shop_id: &str, removal: &ShopRemoval) -> Result<(), StoreError>;

    /// Removes all jobs of a shop, ended or not, and what [`indexes`](Self::indexes) knows of it, unless `dry_run`;
    /// returns how many jobs there were. Idempotent: after an error or when cancelled, some are removed, and the next
    /// call removes the rest.
    async fn remove_shop(&self, shop_id: &str, dry_run: bool) -> Result<u64, StoreError>;
}
