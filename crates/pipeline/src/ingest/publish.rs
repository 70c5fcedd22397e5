//! Publishes chunks in three idempotent steps: object, chunk row, message. Publishing a chunk again after a crash completes
//! it without duplicating it. The rules are in `docs/counting.md`.

use super::{chunk::SealedChunk, retry::retry};
use host_core::{
    clock::SharedClock,
    model::{ChunkRef, Digest, Job},
    storage::{Put, StoreError, Stores},
};

/// Why a chunk could not be published.
#[derive(Debug, thiserror::Error)]
pub enum PublishError {
    /// A store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// An interrupted ingest of the same job wrote other bytes under this key.
    #[error(
        "chunk {key} already exists with different content: for the same export, the plug-in returned other documents than \
         before job {job} was interrupted, so it is not deterministic; fix the plug-in and run the export again"
    )]
    ContentMismatch {
        /// The chunk's key.
        key: String,
        /// The job being resumed.
        job: String,
    },
}

/// Publishes the chunks of one job in order.
pub struct Publisher<'a> {
    stores: &'a Stores,
    clock: &'a SharedClock,
    job: &'a Job,
    next: u32,
    ahead: Ahead,
}

/// The next chunk, as an interrupted ingest of the job may have added it.
enum Ahead {
    /// It was not looked for yet.
    Unknown,
    /// It was added.
    Added(ChunkRef),
    /// It was not, nor any after it.
    Nothing,
}

impl<'a> Publisher<'a> {
    /// Starts at the job's first chunk, even if an interrupted ingest published some: publishing them again is a no-op.
    pub fn new(stores: &'a Stores, clock: &'a SharedClock, job: &'a Job) -> Self {
        Self { stores, clock, job, next: 0, ahead: Ahead::Unknown }
    }

    /// Number of chunks published so far.
    pub fn chunks(&self) -> u32 {
        self.next
    }

    /// Publishes the next chunk. Idempotent: publishing the same chunk again changes nothing, and uploads and sends nothing that
    /// is known to be there.
    pub async fn publish(&mut self, sealed: SealedChunk) -> Result<(), PublishError> {
        let (job, clock, Stores { chunks, jobs, queue, .. }) = (self.job, self.clock, self.stores);
        let chunk = ChunkRef {
            job_id: job.id.clone(),
            seq: self.next,
            lane: sealed.lane,
            operation: sealed.operation,
            key: ChunkRef::key(&job.platform, &job.shop_id, &job.id, self.next),
            sha256: Digest::of(&sealed.bytes),
            documents: sealed.documents,
            bytes: sealed.bytes.len() as u64,
        };
        let mismatch = || PublishError::ContentMismatch { key: chunk.key.clone(), job: job.id.to_string() };
        let added = match std::mem::replace(&mut self.ahead, Ahead::Nothing) {
            Ahead::Unknown => self.added(self.next).await?,
            Ahead::Added(chunk) => Some(chunk),
            Ahead::Nothing => None,
        };
        let is_sent = match added {
            // Its object is written before it is added.
            Some(added) if added != chunk => return Err(mismatch()),
            Some(_) => match self.added(self.next + 1).await? {
                // It is added after this one's message was sent.
                Some(next) => {
                    self.ahead = Ahead::Added(next);
                    true
                }
                None => false,
            },
            None => {
                let put = retry(clock, async || chunks.put_if_absent(&chunk.key, &sealed.bytes).await).await?;
                if put == Put::ContentMismatch {
                    return Err(mismatch());
                }
                retry(clock, async || jobs.add_chunk(&chunk).await).await?;
                false
            }
        };
        if !is_sent {
            retry(clock, async || queue.send(job, &chunk, 0).await).await?;
        }
        self.next += 1;
        Ok(())
    }

    async fn added(&self, seq: u32) -> Result<Option<ChunkRef>, StoreError> {
        retry(self.clock, async || self.stores.jobs.chunk(&self.job.id, seq).await).await
    }
}
