//! The seam to the index that documents are written to.

use crate::model::{Document, DocumentId, Job};
use async_trait::async_trait;
use jiff::Timestamp;
use serde_json::{Map, Value};

mod archiving;

pub use archiving::{Archiving, NotArchived, Refusal};

/// Version and origin of a document that the index holds.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Stored {
    /// The version fields that it has.
    pub version: Map<String, Value>,
    /// Digest of its content without the version fields, as the host computed it.
    pub content_hash: Option<String>,
    /// The job that wrote it.
    pub job_id: Option<String>,
}

/// A document on its way into the index, with the host's internal fields beside it.
#[derive(Clone, Debug, PartialEq)]
pub struct Write {
    /// The document.
    pub document: Document,
    /// Its version fields, for the next comparison.
    pub version: Map<String, Value>,
    /// Digest of its content without the version fields.
    pub content_hash: String,
    /// What it was decided to write over.
    pub over: Over,
}

/// A document that is to leave the index.
#[derive(Clone, Debug, PartialEq)]
pub struct Removal {
    /// The document.
    pub id: DocumentId,
    /// What it was decided to remove.
    pub over: Over,
}

impl Removal {
    /// Of whatever is there.
    pub fn of(id: DocumentId) -> Self {
        Self { id, over: Over::Anything }
    }
}

/// What the index held when it was decided to write or remove a document. An index that can see whether it still does
/// refuses that as [`Outcome::Overtaken`] if not, so that of several writers the newest version wins.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Over {
    /// Whatever is there is written over.
    #[default]
    Anything,
    /// There was nothing.
    Nothing,
    /// This was there.
    Stored(Stored),
}

/// Who writes, and where to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// The shop; a catalog keeps its products apart by it.
    pub shop_id: String,
    /// Name of the index.
    pub index_name: String,
    /// The job that writes, stored with each document.
    pub job_id: String,
    /// When that job was created: what a later job has seen is not archived for an earlier one.
    pub job_created_at: Timestamp,
}

impl Target {
    /// Where the documents of a job go.
    pub fn of(job: &Job) -> Self {
        Self {
            shop_id: job.shop_id.clone(),
            index_name: job.index_name.clone(),
            job_id: job.id.to_string(),
            job_created_at: job.created_at,
        }
    }
}

/// What became of one document of a write or delete.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It is in the index as wanted, or gone from it.
    Done,
    /// The index refuses this document whatever is tried.
    Refused {
        /// Stable kebab-case name.
        code: String,
        /// The index's own words.
        message: String,
    },
    /// Somebody else wrote this document since it was decided what to do with it; nothing was done. Whoever reads it again and
    /// decides again comes to know.
    Overtaken,
}

/// A call to the index failed as a whole; nothing is known about whether it took effect.
#[derive(Debug, thiserror::Error)]
#[error("{action} failed")]
pub struct IndexError {
    /// What was being done, to what.
    pub action: String,
    /// Whether it may go away by itself.
    pub transient: bool,
    /// The backend's own error.
    #[source]
    pub source: Box<dyn std::error::Error + Send + Sync>,
}

/// An index. Writes, updates and deletes are idempotent: a caller that does not know an outcome calls again.
#[async_trait]
pub trait Index: Send + Sync {
    /// The kind of index, as the setting `target` calls it; where there may be several of a kind, a colon and which one it is
    /// follow. No secret is in it.
    fn kind(&self) -> &str;

    /// Whether writes can begin: everything is set up and answers. Somebody must act first if the error is not transient.
    async fn check(&self, target: &Target) -> Result<(), IndexError>;

    /// Versions of the documents that the index holds, one entry an id, in one round trip.
    async fn stored(&self, target: &Target, ids: &[DocumentId]) -> Result<Vec<Option<Stored>>, IndexError>;

    /// Adds or replaces documents with distinct ids; one outcome a document.
    async fn write(&self, target: &Target, batch: &[Write]) -> Result<Vec<Outcome>, IndexError>;

    /// Puts the given fields into documents that the index holds, ids distinct; one outcome a document. Fields that are
    /// not given stay. A document that is not there is refused with the code `document-not-found`, never created.
    async fn update(&self, target: &Target, batch: &[Write]) -> Result<Vec<Outcome>, IndexError>;

    /// Notes that the job's export has these documents, though nothing of them is to be written: at the end of a full sync
    /// the others are archived. An index that does not archive has nothing to do.
    async fn touch(&self, _target: &Target, _ids: &[DocumentId]) -> Result<(), IndexError> {
        Ok(())
    }

    /// Removes documents with distinct ids; one outcome a removal, `Done` also for those that were not there.
    async fn delete(&self, target: &Target, batch: &[Removal]) -> Result<Vec<Outcome>, IndexError>;

    /// The document as stored, `_id` and internal fields included.
    async fn get(&self, target: &Target, id: &DocumentId) -> Result<Option<Map<String, Value>>, IndexError>;

    /// Ids in their order, after `after`, at most `limit`.
    async fn list(
        &self,
        target: &Target,
        after: Option<&DocumentId>,
        limit: usize,
    ) -> Result<Vec<DocumentId>, IndexError>;

    /// Number of documents.
    async fn count(&self, target: &Target) -> Result<u64, IndexError>;
}
