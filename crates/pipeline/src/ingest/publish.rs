//! Publishes chunks in three idempotent steps: object, chunk row, message. Publishing a chunk again after a crash completes
//! it without duplicating it. The rules are in `docs/counting.md`.

use super::chunk::SealedChunk;
use host_core::{
    model::{ChunkRef, Digest, Job},
    storage::{Chunks, Put, StoreError, Stores},
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
    job: &'a Job,
    next: u32,
}

impl<'a> Publisher<'a> {
    /// Starts at the job's first chunk, even if an interrupted ingest published some: publishing them again is a no-op.
    pub fn new(stores: &'a Stores, job: &'a Job) -> Self {
        Self { stores, job, next: 0 }
    }

    /// Number of chunks published so far.
    pub fn chunks(&self) -> u32 {
        self.next
    }

    /// Where its objects are.
    pub(crate) fn objects(&self) -> &dyn Chunks {
        self.stores.chunks.as_ref()
    }

    /// Publishes the next chunk. Idempotent: publishing the same chunk again changes nothing.
    pub async fn publish(&mut self, sealed: SealedChunk) -> Result<(), PublishError> {
        let job = self.job;
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
        if self.stores.chunks.put_if_absent(&chunk.key, &sealed.bytes).await? == Put::ContentMismatch {
            return Err(PublishError::ContentMismatch { key: chunk.key, job: job.id.to_string() });
        }
        self.stores.jobs.add_chunk(&chunk).await?;
        self.stores.queue.send(job, &chunk, 0).await?;
        self.next += 1;
        Ok(())
    }
}
