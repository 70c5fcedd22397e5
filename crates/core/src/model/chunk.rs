//! Chunks: the unit of queueing, retry and counting (`docs/counting.md`). A chunk is a stored JSON Lines object with
//! some of a job's documents or removals; a queue message refers to it.

use crate::model::{Digest, JobId, job::folder};
use serde::{Deserialize, Serialize};

/// What a worker does with the documents of a chunk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Operation {
    /// Add the documents, or replace those that exist.
    AddDocuments,
    /// Remove the documents; a line holds an id and the version fields (such as `updated_at`) of the removal.
    DeleteDocuments,
    /// Set the given fields of existing documents.
    UpdateDocuments,
}

impl Operation {
    /// All operations.
    pub const ALL: [Self; 3] = [Self::AddDocuments, Self::DeleteDocuments, Self::UpdateDocuments];

    /// The name in queue messages and stored records.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::AddDocuments => "ADD_DOCUMENTS",
            Self::DeleteDocuments => "DELETE_DOCUMENTS",
            Self::UpdateDocuments => "UPDATE_DOCUMENTS",
        }
    }
}

/// A reference to a chunk object with what a worker needs to verify it: the body of a queue message.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChunkRef {
    /// The job it belongs to.
    pub job_id: JobId,
    /// Number within the job, from 0, without gaps.
    pub seq: u32,
    /// The lane of all its documents: chunks of one lane of an index are processed in order, and all documents of a
    /// product are in one lane.
    pub lane: u16,
    /// What to do with the documents.
    pub operation: Operation,
    /// Storage key of the object: `chunk_{NNNN}.jsonl` in the job's folder.
    pub key: String,
    /// Digest of the object's bytes.
    pub sha256: Digest,
    /// Number of lines; each is one document, and no id repeats.
    pub documents: u32,
    /// Size of the object in bytes.
    pub bytes: u64,
}

impl ChunkRef {
    /// The storage key of a chunk object: `{platform}/{shop_id}/bulk/{job_id}/chunk_{NNNN}.jsonl`.
    pub fn key(platform: &str, shop_id: &str, job_id: &JobId, seq: u32) -> String {
        format!("{}/chunk_{seq:04}.jsonl", folder(platform, shop_id, job_id))
    }

    /// The storage key of the report that a worker writes about the chunk, beside the chunk's object. The fencing token
    /// is the number of the worker's claim of the chunk. Each claim has its own report, so that a worker that has lost
    /// the chunk cannot replace the report of the one that completes it; the chunk's outcome names the report that
    /// counts.
    pub fn report_key(&self, fencing_token: u64) -> String {
        match self.key.strip_suffix(&format!("chunk_{:04}.jsonl", self.seq)) {
            Some(folder) => format!("{folder}report_{:04}_{fencing_token}.ndjson", self.seq),
            None => format!("{}.report_{fencing_token}.ndjson", self.key),
        }
    }
}
