//! The JSON of messages and dead letters, and of the messages that programs other than host send.

use host_core::{
    model::{ChunkRef, Digest, Job, JobId, Operation},
    storage::{DeadLetter, FailureContext, UnsupportedFormat, from_envelope},
};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// A message's body, of a kind that this version reads.
pub(super) enum Body {
    /// A chunk that host has published.
    Chunk(Message),
    /// A chunk that a program other than host has published.
    External(ExternalMessage),
}

impl Body {
    pub(super) fn read(body: &str) -> Result<Self, UnsupportedFormat> {
        match from_envelope(body) {
            Ok(message) => Ok(Self::Chunk(message)),
            Err(UnsupportedFormat::Foreign(error)) => match ExternalMessage::read(body) {
                Some(message) => Ok(Self::External(message)),
                None => Err(UnsupportedFormat::Foreign(error)),
            },
            Err(newer) => Err(newer),
        }
    }
}

/// The body of the message of a chunk that a program other than host has published: a JSON object with exactly these
/// members.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ExternalMessage {
    pub(crate) job_id: JobId,
    pub(crate) shop_id: String,
    pub(crate) index_name: String,
    pub(crate) operation: Operation,
    pub(crate) s3_bucket: String,
    pub(crate) s3_key: String,
}

impl ExternalMessage {
    const MEMBERS: usize = 6;

    /// Reads a body: the message, or a dead letter of it, which the redrive of the AWS console sends to the queue
    /// unchanged.
    fn read(body: &str) -> Option<Self> {
        let members: Map<String, Value> = serde_json::from_str(body).ok()?;
        if members.len() == Self::MEMBERS {
            return serde_json::from_value(members.into()).ok();
        }
        serde_json::from_value(members.into()).ok().map(|dead_letter: ExternalDeadLetter| dead_letter.message)
    }
}

/// The body of a dead letter: another program's message of which no chunk could be made.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct ExternalDeadLetter {
    #[serde(flatten)]
    pub(super) message: ExternalMessage,
    /// Stable name of the reason.
    pub(super) code: String,
    pub(super) error_message: String,
    pub(super) died_at: Timestamp,
    pub(super) receive_count: u32,
}

/// The body of the message of a chunk that host has published. Sizes are those of the chunk's object.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Message {
    pub(super) job_id: JobId,
    pub(super) shop_id: String,
    pub(super) index_name: String,
    pub(super) operation: Operation,
    pub(super) s3_bucket: String,
    pub(super) s3_key: String,
    /// Number of the chunk in its job, from 0.
    pub(super) seq: u32,
    /// Number of the lane, whose chunks are worked in order.
    pub(super) lane: u16,
    pub(super) sha256: Digest,
    pub(super) documents: u32,
    pub(super) bytes: u64,
    pub(super) platform: String,
    /// Digest of the plug-in that made the documents.
    pub(super) plugin: Digest,
    /// How often the chunk was redriven. Distinguishes the message of a redrive from a repetition, which SQS drops.
    #[serde(rename = "epoch", default)]
    pub(super) redrive_count: u32,
}

impl Message {
    pub(crate) fn new(job: &Job, chunk: &ChunkRef, redrive_count: u32, bucket: &str) -> Self {
        Self {
            job_id: chunk.job_id.clone(),
            shop_id: job.shop_id.clone(),
            index_name: job.index_name.clone(),
            operation: chunk.operation,
            s3_bucket: bucket.to_owned(),
            s3_key: chunk.key.clone(),
            seq: chunk.seq,
            lane: chunk.lane,
            sha256: chunk.sha256,
            documents: chunk.documents,
            bytes: chunk.bytes,
            platform: job.platform.clone(),
            plugin: job.plugin.digest,
            redrive_count,
        }
    }

    pub(super) fn chunk(&self) -> ChunkRef {
        ChunkRef {
            job_id: self.job_id.clone(),
            seq: self.seq,
            lane: self.lane,
            operation: self.operation,
            key: self.s3_key.clone(),
            sha256: self.sha256,
            documents: self.documents,
            bytes: self.bytes,
        }
    }

    /// The SQS message group. SQS delivers the messages of a group in order, and groups side by side.
    pub(super) fn group(&self) -> String {
        format!("{}#{}", self.shop_id, self.lane)
    }

    pub(super) fn deduplication_id(&self) -> String {
        format!("{}:{}:{}", self.job_id, self.seq, self.redrive_count)
    }
}

/// The body of a dead letter: the message, and why no worker could handle it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct DeadLetterMessage {
    #[serde(flatten)]
    pub(super) message: Message,
    /// Stable name of the reason.
    pub(super) code: String,
    /// The chain of causes.
    pub(super) error_message: String,
    pub(super) died_at: Timestamp,
    pub(super) receive_count: u32,
    #[serde(flatten)]
    pub(super) context: FailureContext,
}

/// A message of a dead-letter queue: one that host put there, or one that SQS itself moved there.
pub(super) enum DeadLetterBody {
    /// Of a chunk.
    Chunk(Box<DeadLetterMessage>),
    /// Of another program's message that has become no chunk.
    External(ExternalDeadLetter),
}

/// Code and text of a dead letter that SQS itself has moved.
const RECEIVED_TOO_OFTEN: (&str, &str) =
    ("received-too-often", "SQS itself moved the message here: no worker acknowledged it");

impl DeadLetterBody {
    pub(super) fn read(body: &str, receive_count: u32, now: Timestamp) -> Result<Self, UnsupportedFormat> {
        if let Ok(dead_letter) = from_envelope(body) {
            return Ok(Self::Chunk(Box::new(dead_letter)));
        }
        if let Ok(dead_letter) = from_envelope(body) {
            return Ok(Self::External(dead_letter));
        }
        let (code, error_message) = (RECEIVED_TOO_OFTEN.0.to_owned(), RECEIVED_TOO_OFTEN.1.to_owned());
        Ok(match Body::read(body)? {
            Body::Chunk(message) => Self::Chunk(Box::new(DeadLetterMessage {
                message,
                code,
                error_message,
                died_at: now,
                receive_count,
                context: FailureContext::default(),
            })),
            Body::External(message) => Self::External(ExternalDeadLetter {
                message,
                code,
                error_message,
                died_at: now,
                receive_count,
            }),
        })
    }

    /// The SQS message group of this dead letter alone, so that none blocks another while they are listed.
    pub(super) fn group(&self) -> String {
        match self {
            Self::Chunk(dead_letter) => dead_letter.message.deduplication_id(),
            Self::External(dead_letter) => dead_letter.group(),
        }
    }
}

impl ExternalDeadLetter {
    /// The SQS message group of all dead letters of one message.
    pub(super) fn group(&self) -> String {
        let ExternalMessage { job_id, s3_bucket, s3_key, .. } = &self.message;
        Digest::of_parts([job_id.as_str(), s3_bucket, s3_key].map(str::as_bytes)).hex()
    }
}

/// The body of a note among the dead letters: it says that a message of the shop's queue cannot be read.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct UnreadableNote {
    /// Always `unreadable-message`.
    pub(super) code: String,
    pub(super) error_message: String,
    pub(super) died_at: Timestamp,
    pub(super) receive_count: u32,
    /// The body of the message.
    pub(super) body: String,
    /// Whether the message is still in the queue; older versions moved it here.
    #[serde(default)]
    pub(super) is_in_queue: bool,
}

impl From<DeadLetterBody> for DeadLetter {
    fn from(body: DeadLetterBody) -> Self {
        match body {
            DeadLetterBody::Chunk(dead_letter) => Self {
                chunk: dead_letter.message.chunk(),
                shop_id: dead_letter.message.shop_id,
                code: dead_letter.code,
                message: dead_letter.error_message,
                died_at: dead_letter.died_at,
                receive_count: dead_letter.receive_count,
                redrive_count: dead_letter.message.redrive_count,
                context: dead_letter.context,
                external: None,
            },
            DeadLetterBody::External(dead_letter) => {
                let message = dead_letter.message;
                let external = serde_json::to_string(&message).expect("a message is plain data");
                Self {
                    chunk: ChunkRef {
                        job_id: message.job_id,
                        seq: 0,
                        lane: 0,
                        operation: message.operation,
                        key: message.s3_key,
                        sha256: Digest::of(b""),
                        documents: 0,
                        bytes: 0,
                    },
                    shop_id: message.shop_id,
                    code: dead_letter.code,
                    message: dead_letter.error_message,
                    died_at: dead_letter.died_at,
                    receive_count: dead_letter.receive_count,
                    redrive_count: 0,
                    context: FailureContext::default(),
                    external: Some(external),
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use host_core::{
        model::{PluginRef, SameVersion},
        storage::to_envelope,
    };

    #[test]
    fn a_message_has_the_members_of_other_programs_and_more() {
        let job = Job {
            id: JobId::new("0c8f").unwrap(),
            platform: "shopify".to_owned(),
            shop_id: "example.myshopify.com".to_owned(),
            index_name: "shopify-example".to_owned(),
            target: "marqo".into(),
            operation: Operation::AddDocuments,
            created_at: Timestamp::UNIX_EPOCH,
            sequence: 0,
            exported_at: None,
            lanes: 1,
            plugin: PluginRef {
                name: "shopify".to_owned(),
                version: "1.0.0".to_owned(),
                digest: Digest::of(b"plug-in"),
            },
            fingerprint: Digest::of(b""),
            sources: Vec::new(),
            same_version: SameVersion::default(),
            transform_digest: None,
            skips_unchanged: false,
            full: false,
            removes_missing_of: None,
        };
        let chunk = ChunkRef {
            job_id: job.id.clone(),
            seq: 3,
            lane: 1,
            operation: Operation::DeleteDocuments,
            key: ChunkRef::key("shopify", &job.shop_id, &job.id, 3),
            sha256: Digest::of(b"bytes"),
            documents: 5,
            bytes: 7,
        };
        let message = Message::new(&job, &chunk, 0, "dev-ecom-product-data-bucket");
        assert_eq!(message.chunk(), chunk);
        assert_eq!(message.group(), "example.myshopify.com#1");
        assert_eq!(message.deduplication_id(), "0c8f:3:0");
        let text = to_envelope(&message).unwrap();
        assert!(text.starts_with(r#"{"schema":1,"job_id":"0c8f""#), "{text}");
        insta::assert_snapshot!(serde_json::to_string_pretty(&message).unwrap());
    }
}
