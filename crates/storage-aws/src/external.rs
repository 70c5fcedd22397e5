//! Makes jobs and chunks out of queue messages that programs other than host have sent. Such a message names an S3
//! object with documents, and whether to add or to delete them.
//!
//! A worker reads a chunk from the folder of its shop in host's own bucket, `{platform}/{shop}/`, where the removal of
//! the shop finds it. An object elsewhere in host's bucket may be another shop's, and is refused. An object of another
//! bucket is copied, under the same key if that key is in the shop's folder.

use super::{
    chunks::{ForeignBucket, ForeignObject},
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
    /// This version cannot read it. The message is left for a newer version or another program.
    Unreadable(String),
    /// It names an object that host cannot or may not use.
    Rejected(Box<RejectedMessage>),
    /// A call of the storage failed; the message can be tried again.
    Store(StoreError),
}

/// A message that names an object that host cannot or may not use. A person can correct the cause.
#[derive(Debug)]
pub(super) struct RejectedMessage {
    pub(super) message: ExternalMessage,
    /// Stable kebab-case name of the reason.
    pub(super) code: &'static str,
    /// One sentence for a person.
    pub(super) reason: String,
}

impl Unusable {
    pub(super) fn rejected(message: ExternalMessage, code: &'static str, reason: String) -> Self {
        Self::Rejected(Box::new(RejectedMessage { message, code, reason }))
    }
}

impl From<StoreError> for Unusable {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

/// Opens a bucket by its name.
pub type OpenBucket = Arc<dyn Fn(&str) -> Arc<dyn ForeignBucket> + Send + Sync>;

/// Makes chunks of the objects that other programs' messages name.
pub(super) struct ExternalChunks {
    pub(super) jobs: Arc<DynamoJobs>,
    pub(super) clock: SharedClock,
    pub(super) open: OpenBucket,
    /// The objects of host's own bucket.
    pub(super) chunks: Arc<dyn Chunks>,
    /// The name of that bucket.
    pub(super) bucket: String,
    /// Other buckets that messages may name.
    pub(super) allowed: Vec<String>,
}

/// Bytes of the largest object that is accepted as a chunk: it is read into memory.
const MAX_OBJECT_BYTES: u64 = 256 << 20;

/// The platform of objects whose keys are not `{platform}/{shop}/…`.
const DEFAULT_PLATFORM: &str = "shopify";

impl ExternalChunks {
    /// Makes a chunk of the object that a message names, and returns host's own message of that chunk. Idempotent: a
    /// second call finds the same job and number.
    pub(super) async fn message_of(&self, external: ExternalMessage) -> Result<Message, Unusable> {
        let rejected = |code, reason| Unusable::rejected(external.clone(), code, reason);
        let ExternalMessage { job_id, shop_id, s3_bucket, s3_key, .. } = &external;
        if *s3_bucket != self.bucket && !self.allowed.contains(s3_bucket) {
            let reason = format!(
                "it names the bucket {s3_bucket}, from which nothing is read; `aws.source_buckets` lists those that are"
            );
            return Err(rejected("bucket-not-allowed", reason));
        }
        let platform = platform_of(s3_key, shop_id);
        if *s3_bucket == self.bucket && platform.is_none() {
            let reason = format!("its key {s3_key} is not in the folder of shop {shop_id}");
            return Err(rejected("key-of-other-shop", reason));
        }
        let object = format!("its object s3://{s3_bucket}/{s3_key}");
        let bytes = match (self.open)(s3_bucket).read(s3_key, MAX_OBJECT_BYTES).await? {
            ForeignObject::Found(bytes) => bytes,
            ForeignObject::Missing => {
                return Err(rejected("object-missing", format!("{object} is not there")));
            }
            ForeignObject::Refused(why) => {
                return Err(rejected("object-refused", format!("{object} cannot be read: {why}")));
            }
            ForeignObject::TooLarge => {
                let reason = format!("{object} has more than {MAX_OBJECT_BYTES} bytes, too many for a chunk");
                return Err(rejected("object-too-large", reason));
            }
        };
        let key = match platform {
            Some(_) => s3_key.clone(),
            None => {
                let object = Digest::of_parts([s3_bucket.as_bytes(), s3_key.as_bytes()]);
                format!("{DEFAULT_PLATFORM}/{shop_id}/external/{object}.jsonl")
            }
        };
        if *s3_bucket != self.bucket && self.chunks.put_if_absent(&key, &bytes).await? == Put::ContentMismatch
        {
            let reason = format!("another object is stored under {key} in {}", self.bucket);
            return Err(rejected("object-replaced", reason));
        }
        // A job that is complete takes no more chunks: then each further object becomes a job of its own.
        let own_job = format!("{job_id}.{}", &Digest::of(key.as_bytes()).hex()[..16]);
        for id in [Some(job_id.clone()), JobId::new(own_job)].into_iter().flatten() {
            let job = self.job(&id, &external, platform.unwrap_or(DEFAULT_PLATFORM));
            let created = self.jobs.create_external(&job).await;
            let job = created.map_err(|error| error.during(format!("creating job {id}")))?;
            let chunk = chunk(&id, &external, key.clone(), &bytes);
            if let Some(chunk) = self.jobs.add_external(chunk).await? {
                return Ok(Message::new(&job, &chunk, 0, &self.bucket));
            }
        }
        Err(rejected("job-has-ended", format!("its job {job_id} has ended and takes no more chunks")))
    }

    /// A job for which host has made no documents: its plug-in and fingerprint are placeholders.
    fn job(&self, id: &JobId, external: &ExternalMessage, platform: &str) -> Job {
        let ExternalMessage { shop_id, index_name, operation, s3_bucket, s3_key, .. } = external;
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
            removes_missing_of: None,
        }
    }
}

/// The platform of a key in the folder of a shop; none if it is elsewhere.
fn platform_of<'a>(key: &'a str, shop_id: &str) -> Option<&'a str> {
    let (platform, rest) = key.split_once('/')?;
    let (shop, object) = rest.split_once('/')?;
    (!platform.is_empty() && shop == shop_id && !object.is_empty()).then_some(platform)
}

/// The chunk of an object with one document per line; its number is set when it is added to the job.
fn chunk(id: &JobId, external: &ExternalMessage, key: String, bytes: &[u8]) -> ChunkRef {
    let lines = bytes.split(|byte| *byte == b'\n').filter(|line| !line.iter().all(u8::is_ascii_whitespace));
    ChunkRef {
        job_id: id.clone(),
        seq: 0,
        lane: 0,
        operation: external.operation,
        key,
        sha256: Digest::of(bytes),
        documents: u32::try_from(lines.count()).unwrap_or(u32::MAX),
        bytes: u64::try_from(bytes.len()).unwrap_or(u64::MAX),
    }
}
