//! Publishes chunks in three idempotent steps: the object with its bytes, the chunk's row in the job store, the queue
//! message. Publishing a chunk again after a crash completes it without duplicating it. The rules are in
//! `docs/counting.md`.

use super::{chunk::FinishedChunk, retry::retry};
use host_core::{
    clock::SharedClock,
    model::{ChunkRef, Digest, Job},
    storage::{Chunks, Put, StoreError, Stores},
};

/// Why a chunk could not be published.
#[derive(Debug, thiserror::Error)]
pub enum PublishError {
    /// A store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// An interrupted ingest of the same job published a chunk of this number with other content.
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
    /// Number of the next chunk to publish, from 0.
    next: u32,
    /// What an interrupted ingest of the job has published under that number.
    earlier: Earlier,
}

/// Whether an interrupted ingest of the job has added a row for the next chunk.
enum Earlier {
    /// It was not looked for yet.
    Unknown,
    /// This row is there.
    Added(ChunkRef),
    /// There is none, nor any of a later chunk.
    Nothing,
}

impl<'a> Publisher<'a> {
    /// Starts at the job's first chunk, even if an interrupted ingest published some: publishing them again is a no-op.
    pub fn new(stores: &'a Stores, clock: &'a SharedClock, job: &'a Job) -> Self {
        Self { stores, clock, job, next: 0, earlier: Earlier::Unknown }
    }

    /// Number of chunks published so far.
    pub fn chunks(&self) -> u32 {
        self.next
    }

    /// The store of the chunks' objects.
    pub(crate) fn objects(&self) -> &dyn Chunks {
        self.stores.chunks.as_ref()
    }

    /// Publishes the next chunk. Idempotent: publishing the same chunk again changes nothing, and uploads and sends
    /// nothing that is known to be there.
    pub async fn publish(&mut self, sealed: FinishedChunk) -> Result<(), PublishError> {
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
        let added = match std::mem::replace(&mut self.earlier, Earlier::Nothing) {
            Earlier::Unknown => self.added(self.next).await?,
            Earlier::Added(chunk) => Some(chunk),
            Earlier::Nothing => None,
        };
        let is_sent = match added {
            // A row that is there means that its object is, too: the object is written first.
            Some(added) if added != chunk => return Err(mismatch()),
            Some(_) => match self.added(self.next + 1).await? {
                // The row of the chunk after this one means that this one's message was sent before.
                Some(next) => {
                    self.earlier = Earlier::Added(next);
                    true
                }
                None => false,
            },
            None => {
                let put = retry(clock, || chunks.put_if_absent(&chunk.key, &sealed.bytes)).await?;
                if put == Put::ContentMismatch {
                    return Err(mismatch());
                }
                retry(clock, || jobs.add_chunk(&chunk)).await?;
                false
            }
        };
        if !is_sent {
            retry(clock, || queue.send(job, &chunk, 0)).await?;
        }
        self.next += 1;
        Ok(())
    }

    /// The row of a chunk, if it was added.
    async fn added(&self, seq: u32) -> Result<Option<ChunkRef>, StoreError> {
        retry(self.clock, || self.stores.jobs.chunk(&self.job.id, seq)).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use host_core::{
        model::Operation,
        storage::{Storage, StoreErrorKind},
    };
    use host_testing::{
        VirtualClock, build,
        fakes::{intercepted, refuse_first},
        storage::Memory,
    };
    use std::{
        sync::{Arc, atomic::Ordering::Relaxed},
        time::Duration,
    };

    fn sealed(text: &str) -> FinishedChunk {
        let (operation, bytes) = (Operation::AddDocuments, text.as_bytes().to_vec());
        FinishedChunk { lane: 0, operation, documents: 1, bytes }
    }

    #[tokio::test]
    async fn a_resume_uploads_and_sends_nothing_that_is_there() {
        let clock: SharedClock = Arc::new(VirtualClock::new(1));
        let (gate, uploads) = refuse_first("chunks.put_if_absent", 0, StoreErrorKind::Transient);
        let stores = intercepted(Memory::new(clock.clone()).stores(), gate);
        let job = stores.jobs.create(&build::job(&*clock, "shop")).await.unwrap();
        let texts = ["a\n", "b\n", "c\n", "d\n"];
        let mut publisher = Publisher::new(&stores, &clock, &job);
        for text in &texts[..3] {
            publisher.publish(sealed(text)).await.unwrap();
        }
        // So long that no queue recognises a message that it has got before.
        clock.sleep(Duration::from_secs(3_600)).await;
        let mut resumed = Publisher::new(&stores, &clock, &job);
        for text in texts {
            resumed.publish(sealed(text)).await.unwrap();
        }
        assert_eq!((resumed.chunks(), uploads.load(Relaxed)), (4, 4));
        // Three messages of the first ingest; the third sent again, because nothing shows that it was; the fourth
        // chunk's.
        assert_eq!(stores.queue.depth("shop").await.unwrap(), 3 + 1 + 1);

        let mut other = Publisher::new(&stores, &clock, &job);
        let error = other.publish(sealed("other\n")).await.unwrap_err();
        assert!(matches!(error, PublishError::ContentMismatch { .. }), "{error}");
    }
}
