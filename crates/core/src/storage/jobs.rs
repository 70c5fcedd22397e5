use super::{AttemptError, Duration, GivenUp, StoreError, async_trait};
use crate::model::{ChunkRef, Counts, Digest, Entry, Job, JobId, JobStatus, Seal};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// What a worker says of a chunk it has finished: the content of completion's step (a).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChunkOutcome {
    /// What became of its items.
    pub counts: Counts,
    /// Key of its report object, if any item has an entry.
    pub report: Option<String>,
    /// The first entries, at most 20 of each class.
    pub samples: Vec<Entry>,
    /// Set if the chunk as a whole could not be handled: its message goes to the dead letters with this reason.
    pub quarantined: Option<GivenUp>,
}

/// What a worker may do with a chunk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Claim {
    /// It is this worker's until the lease ends; later calls show the fence.
    Won {
        /// Grows with each claim of the chunk: an older holder's calls are refused.
        fence: u64,
        /// How often the chunk has been claimed since it was published or redriven, this time included.
        attempts: u32,
        /// How often it has been redriven.
        epoch: u32,
        /// Why the first of these attempts failed, if one has come to an end.
        first_error: Option<AttemptError>,
    },
    /// Another worker holds it until then.
    Held {
        /// End of the other's lease.
        until: Timestamp,
    },
    /// Step (a) is done: steps (b) and (c) are to be finished, the index is not to be touched.
    Settling {
        /// From the stored outcome: bury the message instead of acknowledging it.
        quarantined: Option<GivenUp>,
    },
    /// It is counted; nothing but the acknowledgement is missing.
    Done {
        /// From the stored outcome: bury the message instead of acknowledging it.
        quarantined: Option<GivenUp>,
    },
    /// There is no such chunk row: its job was deleted.
    Unknown,
}

/// A job as it stands.
#[derive(Clone, Debug, PartialEq)]
pub struct JobSnapshot {
    /// What it was created with.
    pub job: Job,
    /// Where it stands.
    pub status: JobStatus,
    /// What ingest said at its end; none while more chunks can come.
    pub seal: Option<Seal>,
    /// Items counted so far, those that ingest refused included once it is sealed.
    pub counts: Counts,
    /// Chunks published so far.
    pub chunks: u32,
    /// Chunks counted so far.
    pub completed_chunks: u32,
    /// Samples of all chunks counted so far and of ingest, at most 20 of each class, in chunk order.
    pub samples: Vec<Entry>,
    /// When it ended.
    pub ended_at: Option<Timestamp>,
    /// Why it was ended before its time: superseded, cancelled.
    pub error_message: Option<String>,
    /// What last kept a chunk or the ingest from being finished, which was or has to be tried again; none once it has ended.
    pub last_error: Option<AttemptError>,
}

/// Jobs, their chunk rows and their counters.
///
/// A chunk counts exactly once by three steps, each a no-op the second time: [`settle`](Self::settle) stores the outcome
/// on the chunk row if the fence is still the caller's, [`count`](Self::count) adds it to the job's counters unless
/// they contain the chunk, [`finish`](Self::finish) marks the row done. Then the message may be acknowledged.
#[async_trait]
pub trait Jobs: Send + Sync {
    /// Creates the job; does nothing if there is one with this id.
    async fn create(&self, job: &Job) -> Result<(), StoreError>;

    /// The job of the shop with this fingerprint that has not ended, if there is one: the same sync was interrupted.
    async fn find_unfinished(&self, shop_id: &str, fingerprint: Digest) -> Result<Option<Job>, StoreError>;

    /// The job as it stands; `None` if there is none.
    async fn get(&self, id: &JobId) -> Result<Option<JobSnapshot>, StoreError>;

    /// Jobs, newest first; of one shop, or of all.
    async fn list(&self, shop_id: Option<&str>, limit: usize) -> Result<Vec<JobSnapshot>, StoreError>;

    /// Ends all other jobs of this one's shop and index that are not sealed, as FAILED with a message that names this one;
    /// gives their ids. The caller knows that nobody ingests for them any more. What they published stays in the queue,
    /// is written and counted. The second call finds none.
    async fn supersede(&self, job: &Job) -> Result<Vec<JobId>, StoreError>;

    /// Ends a job that has not ended, as far as that can be done at once: it keeps the message, and one that is not sealed ends
    /// as FAILED. False if it has ended already. The chunks are the caller's to give up.
    async fn cancel(&self, id: &JobId, message: &str) -> Result<bool, StoreError>;

    /// Keeps the error as the job's last one, for whoever wonders why it does not end; does nothing if it has ended or
    /// does not exist.
    async fn note_error(&self, id: &JobId, error: &AttemptError) -> Result<(), StoreError>;

    /// What was published as this chunk of the job; `None` if there is no such row.
    async fn chunk(&self, id: &JobId, seq: u32) -> Result<Option<ChunkRef>, StoreError>;

    /// Adds a chunk row in state PENDING; does nothing if there is one with this job and sequence number. A new row for
    /// a job that is sealed, has ended or does not exist is refused.
    async fn add_chunk(&self, chunk: &ChunkRef) -> Result<(), StoreError>;

    /// Seals the job; does nothing if it is sealed, and is refused if it has ended without. Ends it if all chunks are counted already. A seal is refused if it
    /// speaks of another number of chunks than have been added, for the job would end too early or never.
    async fn seal(&self, id: &JobId, seal: &Seal) -> Result<(), StoreError>;

    /// Claims a chunk for `lease` if it is pending or its lease has run out; the job becomes IN_PROGRESS.
    async fn claim(&self, id: &JobId, seq: u32, lease: Duration) -> Result<Claim, StoreError>;

    /// Prolongs a lease to `lease` from now; false if the fence is no longer the chunk's.
    async fn renew(&self, id: &JobId, seq: u32, fence: u64, lease: Duration) -> Result<bool, StoreError>;

    /// Gives a chunk back as PENDING so that it can be claimed at once; false if the fence is no longer the chunk's. The second
    /// call changes nothing and is true until somebody claims the chunk. The error stays with the chunk if it is its first.
    async fn give_back(
        &self,
        id: &JobId,
        seq: u32,
        fence: u64,
        error: Option<&AttemptError>,
    ) -> Result<bool, StoreError>;

    /// Forgets the attempts at a pending chunk and their first error: they failed for a reason that somebody has to mend first. Does nothing
    /// on a row in another state.
    async fn forgive(&self, id: &JobId, seq: u32) -> Result<(), StoreError>;

    /// Completion's step (a): RUNNING → SETTLING with the outcome; false if the fence is no longer the chunk's, and
    /// then the caller must neither count nor acknowledge. The second call with the same fence changes nothing and is
    /// true; from the first on no lease runs out any more.
    async fn settle(
        &self,
        id: &JobId,
        seq: u32,
        fence: u64,
        outcome: &ChunkOutcome,
    ) -> Result<bool, StoreError>;

    /// Completion's step (b): adds the stored outcome to the counters unless they contain the chunk. Ends the job if it is
    /// sealed and this was the last chunk: exactly one call ever does. Does nothing on a row that is not settling.
    async fn count(&self, id: &JobId, seq: u32) -> Result<(), StoreError>;

    /// Completion's step (c): SETTLING → DONE; does nothing on a row that is done, or was and has been redriven. Any other row
    /// that is not counted is refused: nobody would ever count it.
    async fn finish(&self, id: &JobId, seq: u32) -> Result<(), StoreError>;

    /// Takes back that a chunk was given up in this epoch: its counts, samples and report leave the job, a job that had ended
    /// by counting has not ended any more, and the chunk is PENDING in the next epoch, never tried. Gives the epoch in which its
    /// message is to be sent, also if the chunk was never given up, or was redriven before and is not done; none if it is
    /// done or unknown, so that nothing is to be sent. The second call changes nothing, and goes on with a first one that
    /// got half of the way.
    async fn redrive(&self, id: &JobId, seq: u32, epoch: u32) -> Result<Option<u32>, StoreError>;

    /// Keys of all report objects of the job: ingest's, then those of counted chunks in their order.
    async fn reports(&self, id: &JobId) -> Result<Vec<String>, StoreError>;
}
