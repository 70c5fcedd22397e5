//! Jobs of the messages of other programs, which name an object and what is to be done with its documents.

use super::{
    jobs::DynamoJobs,
    queue::{ExternalMessage, Message},
};
use host_core::{
    clock::SharedClock,
    model::{ChunkRef, Digest, Job, JobId, PluginRef, SameVersion},
    storage::{Chunks, Put, StoreError},
};
use std::sync::Arc;

/// Why a message cannot be handled now.
#[derive(Debug)]
pub(super) enum Unusable {
    /// It is left for later, or for another program.
    Refused(String),
    /// A call failed.
    Store(StoreError),
}

impl From<StoreError> for Unusable {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

/// Opens a bucket by its name.
pub type OpenBucket = Arc<dyn Fn(&str) -> Arc<dyn Chunks> + Send + Sync>;

/// Makes chunks of jobs out of the objects of other programs.
pub(super) struct ExternalChunks {
    pub(super) jobs: Arc<DynamoJobs>,
    pub(super) clock: SharedClock,
    pub(super) open: OpenBucket,
    /// Our own bucket.
    pub(super) bucket: String,
    /// Other buckets that messages may name.
    pub(super) allowed: Vec<String>,
}

/// Bytes of the largest object that is taken for a chunk.
const MAX_OBJECT_BYTES: usize = 256 << 20;

impl ExternalChunks {
    /// The message of the chunk that an object becomes. Idempotent: the chunk keeps its job and number.
    pub(super) async fn message_of(&self, external: &ExternalMessage) -> Result<Message, Unusable> {
        let ExternalMessage { job_id, s3_bucket, s3_key, .. } = external;
        if *s3_bucket != self.bucket && !self.allowed.contains(s3_bucket) {
            return Err(Unusable::Refused(format!(
                "it names the bucket {s3_bucket}, from which nothing is read; `aws.source_buckets` lists those that are"
            )));
        }
        let object = (self.open)(s3_bucket).get(s3_key, None).await?;
        let Some(bytes) = object else {
            return Err(Unusable::Refused(format!("its object s3://{s3_bucket}/{s3_key} is not there")));
        };
        if bytes.len() > MAX_OBJECT_BYTES {
            return Err(Unusable::Refused(format!(
                "its object s3://{s3_bucket}/{s3_key} is too large for a chunk"
            )));
        }
        if *s3_bucket != self.bucket
            && (self.open)(&self.bucket).put_if_absent(s3_key, &bytes).await? == Put::ContentMismatch
        {
            return Err(Unusable::Refused(format!(
                "another object is stored under {s3_key} in {}",
                self.bucket
            )));
        }
        // A job that is complete takes no more chunks: then each further object is a job of its own.
        let own = format!("{job_id}.{}", &Digest::of(s3_key.as_bytes()).hex()[..16]);
        for id in [Some(job_id.clone()), JobId::new(own)].into_iter().flatten() {
            let job = self.job(&id, external);
            let created = self.jobs.create_external(&job).await;
            let job = created.map_err(|error| error.during(format!("creating job {id}")))?;
            if let Some(chunk) = self.jobs.add_external(chunk(&id, external, &bytes)).await? {
                return Ok(Message::new(&job, &chunk, 0, &self.bucket));
            }
        }
        Err(Unusable::Refused(format!("its job {job_id} has ended and takes no more chunks")))
    }

    fn job(&self, id: &JobId, external: &ExternalMessage) -> Job {
        let ExternalMessage { shop_id, index_name, operation, s3_bucket, s3_key, .. } = external;
        // Keys begin with the platform.
        let platform = s3_key.split_once('/').map_or("shopify", |(platform, _)| platform);
        Job {
            id: id.clone(),
            platform: platform.to_owned(),
            shop_id: shop_id.clone(),
            index_name: index_name.clone(),
            target: Default::default(),
            operation: *operation,
            created_at: self.clock.now(),
            sequence: 0,
            exported_at: None,
            lanes: 1,
            plugin: PluginRef {
                name: "external".to_owned(),
                version: String::new(),
                digest: Digest::of(b"external"),
            },
            fingerprint: Digest::of(format!("external {id}").as_bytes()),
            sources: vec![format!("s3://{s3_bucket}/{s3_key}")],
            same_version: SameVersion::default(),
            transform_digest: None,
            skips_unchanged: false,
            full: false,
        }
    }
}

fn chunk(id: &JobId, external: &ExternalMessage, bytes: &[u8]) -> ChunkRef {
    let lines = bytes.split(|byte| *byte == b'\n').filter(|line| !line.iter().all(u8::is_ascii_whitespace));
    ChunkRef {
        job_id: id.clone(),
        seq: 0,
        lane: 0,
        operation: external.operation,
        key: external.s3_key.clone(),
        sha256: Digest::of(bytes),
        documents: u32::try_from(lines.count()).unwrap_or(u32::MAX),
        bytes: u64::try_from(bytes.len()).unwrap_or(u64::MAX),
    }
}
