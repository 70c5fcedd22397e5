//! The port to the index that documents are written to.

use crate::model::{Document, DocumentId, Job};
use async_trait::async_trait;
use serde_json::{Map, Value};

mod archiving;
mod load_log;
mod target_id;

pub use archiving::{ArchiveLimit, ArchiveRefusal, TooManyMissing};
pub use load_log::LoadLog;
pub use target_id::TargetId;

/// Version and origin of a document that the index holds.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct StoredVersion {
    /// The version fields that it has.
    pub version: Map<String, Value>,
    /// Digest of its content without the version fields, as the host computed it.
    pub content_hash: Option<String>,
    /// The job that wrote it.
    pub job_id: Option<String>,
    /// Whether it is archived: kept, but in no list, count or search. A write makes it active again.
    pub is_archived: bool,
}

/// A document to write, with the host's internal fields.
#[derive(Clone, Debug, PartialEq)]
pub struct Write {
    /// The document.
    pub document: Document,
    /// Its version fields, for the next comparison.
    pub version: Map<String, Value>,
    /// Digest of its content without the version fields.
    pub content_hash: String,
    /// What the index must still hold.
    pub precondition: Precondition,
}

/// A document that is to leave the index.
#[derive(Clone, Debug, PartialEq)]
pub struct Removal {
    /// The document.
    pub id: DocumentId,
    /// What the index must still hold.
    pub precondition: Precondition,
    /// Whether an index that can is to archive it instead: a full sync did not have it, and nothing else says that it is gone.
    pub archives: bool,
}

impl Removal {
    /// A removal without a precondition.
    pub fn of(id: DocumentId) -> Self {
        Self { id, precondition: Precondition::None, archives: false }
    }
}

/// Precondition of a write or removal (optimistic locking). A backend that can check it returns [`Outcome::Conflict`] where it
/// does not hold, so that of several writers the newest version wins; others ignore it.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Precondition {
    /// The index may hold anything.
    #[default]
    None,
    /// The index must not hold the document.
    Absent,
    /// The index must hold the document in this version.
    Matches(StoredVersion),
}

/// The shop and index that a call is about, and the job that writes; which server or database that is in says [`TargetId`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WriteTarget {
    /// The shop; a catalog keeps its products apart by it.
    pub shop_id: String,
    /// Name of the index.
    pub index_name: String,
    /// The job that writes, stored with each document.
    pub job_id: String,
}

impl WriteTarget {
    /// Where the documents of a job go.
    pub fn of(job: &Job) -> Self {
        Self { shop_id: job.shop_id.clone(), index_name: job.index_name.clone(), job_id: job.id.to_string() }
    }
}

/// The outcome of one document of a write or delete.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It is in the index as wanted, or gone from it.
    Done,
    /// The index refuses this document however often it is tried.
    Refused {
        /// Stable kebab-case name.
        code: String,
        /// The index's own words.
        message: String,
    },
    /// The precondition does not hold because another writer was faster; nothing was done. The caller reads the stored version
    /// and decides again.
    Conflict,
}

/// A call to the index failed as a whole; nothing is known about whether it took effect.
#[derive(Debug, thiserror::Error)]
#[error("{action} failed")]
pub struct IndexError {
    /// What was being done, to what.
    pub action: String,
    /// Whether it may succeed later without a change.
    pub transient: bool,
    /// The backend's own error.
    #[source]
    pub source: Box<dyn std::error::Error + Send + Sync>,
}

/// An index. Writes, updates and deletes are idempotent: a caller that does not know an outcome calls again. Each implementation
/// retries its own requests; what it returns as transient may be retried once more by the caller, later.
#[async_trait]
pub trait Index: Send + Sync {
    /// Which index this is.
    fn id(&self) -> TargetId;

    /// Address of the server that holds the target's documents, for diagnosis; none where [`id`](Self::id) says it, or where it
    /// is not known.
    async fn server(&self, _target: &WriteTarget) -> Option<String> {
        None
    }

    /// Completes when calls of this process wait for a server that cannot be reached, with the reason; at once if some do, as far as
    /// is known. Never where calls do not wait. May be cancelled.
    async fn unreachable(&self, _target: &WriteTarget) -> IndexError {
        std::future::pending().await
    }

    /// Whether writes can begin: everything is set up and answers. An error that is not transient needs an operator.
    async fn check(&self, target: &WriteTarget) -> Result<(), IndexError>;

    /// Versions of the documents that the index holds, one entry an id, in one round trip.
    async fn stored(
        &self,
        target: &WriteTarget,
        ids: &[DocumentId],
    ) -> Result<Vec<Option<StoredVersion>>, IndexError>;

    /// Adds or replaces documents with distinct ids; one outcome a document.
    async fn write(&self, target: &WriteTarget, batch: &[Write]) -> Result<Vec<Outcome>, IndexError>;

    /// Puts the given fields into documents that the index holds, ids distinct; one outcome a document. Fields that are
    /// not given stay. A document that is not there is refused with the code `document-not-found`, never created.
    async fn update(&self, target: &WriteTarget, batch: &[Write]) -> Result<Vec<Outcome>, IndexError>;

    /// Removes or archives documents with distinct ids; one outcome a removal, `Done` also for those that were not there.
    async fn delete(&self, target: &WriteTarget, batch: &[Removal]) -> Result<Vec<Outcome>, IndexError>;

    /// Removes all that it has of the target's shop, in indexes of all names, archived documents and records of loads included; returns
    /// the number of documents. None if it does not keep shops apart: then the caller removes documents one by one. Idempotent.
    async fn remove_shop(&self, _target: &WriteTarget) -> Result<Option<u64>, IndexError> {
        Ok(None)
    }

    /// The document as stored, `_id` and internal fields included.
    async fn get(
        &self,
        target: &WriteTarget,
        id: &DocumentId,
    ) -> Result<Option<Map<String, Value>>, IndexError>;

    /// Ids in their order, after `after`, at most `limit`.
    async fn list(
        &self,
        target: &WriteTarget,
        after: Option<&DocumentId>,
        limit: usize,
    ) -> Result<Vec<DocumentId>, IndexError>;

    /// Most documents of which [`list`](Self::list) can be asked; it fails where there are more. None: any number.
    fn list_limit(&self) -> Option<u64> {
        None
    }

    /// Whether it keeps the documents of shops apart by itself, so that all documents of a target are of its shop. In other indexes
    /// the job that wrote a document says whose it is.
    fn is_per_shop(&self) -> bool {
        false
    }

    /// Number of documents.
    async fn count(&self, target: &WriteTarget) -> Result<u64, IndexError>;

    /// Where jobs are recorded in the index; none if it keeps no such record.
    fn load_log(&self) -> Option<&dyn LoadLog> {
        None
    }
}
