//! Chunks: the unit of queueing, retry and counting.

use crate::model::{Digest, JobId, job::folder};
use serde::{Deserialize, Serialize};

/// What is done with the documents of a chunk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Operation {
    /// Add or replace.
    AddDocuments,
    /// Remove; a line holds the id and the version fields of the removal.
    DeleteDocuments,
    /// Put the given fields into documents that are there.
    UpdateDocuments,
}

impl Operation {
    /// Every operation.
    pub const ALL: [Self; 3] = [Self::AddDocuments, Self::DeleteDocuments, Self::UpdateDocuments];

    /// The name in messages and records.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::AddDocuments => "ADD_DOCUMENTS",
            Self::DeleteDocuments => "DELETE_DOCUMENTS",
            Self::UpdateDocuments => "UPDATE_DOCUMENTS",
        }
    }
}

/// A chunk object and what a worker needs to trust it: the content of a queue message.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChunkRef {
    /// The job it belongs to.
    pub job_id: JobId,
    /// Number inside the job, from 0, without gaps.
    pub seq: u32,
    /// The lane of all its documents; chunks of one lane are handled in order.
    pub lane: u16,
    /// What to do with the documents.
    pub operation: Operation,
    /// Where the object is: `chunk_{NNNN}.jsonl` in the folder of the job.
    pub key: String,
    /// Digest of the object's bytes.
    pub sha256: Digest,
    /// Number of lines, each one document with an id of its own.
    pub documents: u32,
    /// Size of the object.
    pub bytes: u64,
}

impl ChunkRef {
    /// The key of a chunk object (docs/aws.md).
    pub fn key(platform: &str, shop_id: &str, job_id: &JobId, seq: u32) -> String {
        format!("{}/chunk_{seq:04}.jsonl", folder(platform, shop_id, job_id))
    }

    /// The key of the chunk's report object, beside the chunk.
    pub fn report_key(&self) -> String {
        match self.key.strip_suffix(&format!("chunk_{:04}.jsonl", self.seq)) {
            Some(folder) => format!("{folder}report_{:04}.ndjson", self.seq),
            None => format!("{}.report.ndjson", self.key),
        }
    }
}
