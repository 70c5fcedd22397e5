//! Publishes chunks: object, chunk row, message, in this order, so that a crash in between leaves nothing that a worker
//! could miss and nothing that a repetition would double.

use super::chunk::FullChunk;
use host_core::{
    model::{ChunkRef, Digest, Job},
    storage::{Put, StoreError, Stores},
};

/// Why a chunk could not be published.
#[derive(Debug, thiserror::Error)]
pub enum PublishError {
    /// A store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The interrupted ingest wrote other bytes under this key.
    #[error(
        "chunk {key} exists with other content: the interrupted ingest of job {job} did not make the same documents \
         from the same export, so its plug-in is not deterministic"
    )]
    Different {
        /// The chunk's key.
        key: String,
        /// The job that was to be resumed.
        job: String,
    },
}

/// Publishes the chunks of one job in their order.
pub struct Publisher<'a> {
    stores: &'a Stores,
    job: &'a Job,
    next: u32,
}

impl<'a> Publisher<'a> {
    /// A publisher that starts at the job's first chunk; those that an interrupted ingest published are met again.
    pub fn new(stores: &'a Stores, job: &'a Job) -> Self {
        Self { stores, job, next: 0 }
    }

    /// Number of chunks published.
    pub fn chunks(&self) -> u32 {
        self.next
    }

    /// Publishes the next chunk. Publishing the same chunk again changes nothing.
    pub async fn publish(&mut self, full: FullChunk) -> Result<(), PublishError> {
        let job = self.job;
        let chunk = ChunkRef {
            job_id: job.id.clone(),
            seq: self.next,
            lane: full.lane,
            operation: full.operation,
            key: ChunkRef::key(&job.platform, &job.shop_id, &job.id, self.next),
            sha256: Digest::of(&full.bytes),
            documents: full.documents,
            bytes: full.bytes.len() as u64,
        };
        if self.stores.chunks.put_if_absent(&chunk.key, &full.bytes).await? == Put::AlreadyDifferent {
            return Err(PublishError::Different { key: chunk.key, job: job.id.to_string() });
        }
        self.stores.jobs.add_chunk(&chunk).await?;
        self.stores.queue.send(job, &chunk, 0).await?;
        self.next += 1;
        Ok(())
    }
}
