//! The port to the index that documents are written to: a search index (Marqo) or a relational catalog (SQLite or
//! PostgreSQL).
//!
//! A document's *version* is the set of its version fields, such as `updated_at`: those by which a plug-in tells which
//! of two versions of a document is newer.

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
    /// Its version fields; empty if it has none.
    pub version: Map<String, Value>,
    /// Digest of its content without the version fields, as host computed it; `None` if another program wrote it.
    pub content_hash: Option<String>,
    /// The job that wrote it; `None` if another program wrote it.
    pub job_id: Option<String>,
    /// Whether it is archived: kept, but in no list, count or search. A write makes it active again.
    pub is_archived: bool,
}

/// A document to write, with what host stores beside it.
#[derive(Clone, Debug, PartialEq)]
pub struct Write {
    /// The document.
    pub document: Document,
    /// Its version fields, for the next comparison.
    pub version: Map<String, Value>,
    /// Digest of its content without the version fields.
    pub content_hash: String,
    /// What the index must hold for the write to take place.
    pub precondition: Precondition,
}

/// A document that is to leave the index.
#[derive(Clone, Debug, PartialEq)]
pub struct Removal {
    /// The document.
    pub id: DocumentId,
    /// What the index must hold for the removal to take place.
    pub precondition: Precondition,
    /// Whether an index that can archive documents is to do that instead of deleting this one: it was only missing from
    /// a full sync (an export of the whole shop), and nothing else says that it is gone.
    pub archives: bool,
}

impl Removal {
    /// A removal without a precondition.
    pub fn of(id: DocumentId) -> Self {
        Self { id, precondition: Precondition::None, archives: false }
    }
}

/// Precondition of a write or removal (optimistic locking). A backend that can check it returns [`Outcome::Conflict`]
/// where it does not hold, so that of several writers the newest version wins; a backend that cannot, such as Marqo,
/// ignores it.
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

/// The shop and index that a call is about, and the job that writes. [`TargetId`] says on which server or in which
/// database the index is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WriteTarget {
    /// The shop. A relational catalog keeps the products of shops apart by it.
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
    /// The document was written, or, after a removal, is not in the index.
    Done,
    /// The index refuses this document however often it is tried.
    Refused {
        /// Stable kebab-case name of the reason, for scripts.
        code: String,
        /// The reason in the index's own words.
        message: String,
    },
    /// The precondition does not hold because another writer was faster; nothing was done. The caller reads the stored
    /// version and decides again.
    Conflict,
}

/// A call to the index failed as a whole; nothing is known about whether it took effect.
#[derive(Debug, thiserror::Error)]
#[error("{action} failed")]
pub struct IndexError {
    /// What was being done, to what.
    pub action: String,
    /// Whether the same call may succeed later without anybody changing anything.
    pub transient: bool,
    /// The backend's own error.
    #[source]
    pub source: Box<dyn std::error::Error + Send + Sync>,
}

/// An index. Writes, updates and deletes are idempotent: a caller that does not know an outcome calls again. Each
/// implementation retries its own requests; what it returns as transient may be retried once more by the caller, later.
#[async_trait]
pub trait Index: Send + Sync {
    /// Which server or database this is.
    fn id(&self) -> TargetId;

    /// Address of the server that holds the target's documents, for diagnosis; `None` where [`id`](Self::id) contains
    /// it, or where it is not known.
    async fn server(&self, _target: &WriteTarget) -> Option<String> {
        None
    }

    /// Completes, with the reason, once calls of this process wait for a server that cannot be reached; immediately if
    /// some wait already. Never completes in implementations whose calls do not wait. May be cancelled.
    async fn unreachable(&self, _target: &WriteTarget) -> IndexError {
        std::future::pending().await
    }

    /// Checks that writes can begin: the server or database answers, and the index is set up. An error that is not
    /// transient needs an operator.
    async fn check(&self, target: &WriteTarget) -> Result<(), IndexError>;

    /// Versions of the documents that the index holds, one entry per id and in their order, `None` for a document that
    /// it does not hold; in one round trip.
    async fn stored(
        &self,
        target: &WriteTarget,
        ids: &[DocumentId],
    ) -> Result<Vec<Option<StoredVersion>>, IndexError>;

    /// Adds or replaces documents with distinct ids; one outcome per document, in their order.
    async fn write(&self, target: &WriteTarget, batch: &[Write]) -> Result<Vec<Outcome>, IndexError>;

    /// Sets the given fields of documents with distinct ids that the index holds; one outcome per document, in their
    /// order. Other fields stay. A document that is not there is refused with the code `document-not-found`, never
    /// created.
    async fn update(&self, target: &WriteTarget, batch: &[Write]) -> Result<Vec<Outcome>, IndexError>;

    /// Removes or archives documents with distinct ids; one outcome per removal, in their order, `Done` also for
    /// documents that were not there.
    async fn delete(&self, target: &WriteTarget, batch: &[Removal]) -> Result<Vec<Outcome>, IndexError>;

    /// Removes everything that it holds of the target's shop, in indexes of all names, archived documents and records
    /// of loads included; returns the number of documents. `None` if it does not keep shops apart: then the caller
    /// removes documents one by one. Idempotent.
    async fn remove_shop(&self, _target: &WriteTarget) -> Result<Option<u64>, IndexError> {
        Ok(None)
    }

    /// The document as stored, `_id` and the fields that host adds included; `None` if there is none.
    async fn get(
        &self,
        target: &WriteTarget,
        id: &DocumentId,
    ) -> Result<Option<Map<String, Value>>, IndexError>;

    /// Ids of stored documents in ascending order, those after `after` (`None`: from the first), at most `limit`.
    async fn list(
        &self,
        target: &WriteTarget,
        after: Option<&DocumentId>,
        limit: usize,
    ) -> Result<Vec<DocumentId>, IndexError>;

    /// The largest number of documents that [`list`](Self::list) can list; it fails where an index has more. `None`:
    /// any number.
    fn list_limit(&self) -> Option<u64> {
        None
    }

    /// Whether it keeps the documents of shops apart by itself, so that all documents of a target are of its shop. In
    /// other implementations the job that wrote a document tells which shop it belongs to.
    fn is_per_shop(&self) -> bool {
        false
    }

    /// Number of documents of the target, archived ones not included.
    async fn count(&self, target: &WriteTarget) -> Result<u64, IndexError>;

    /// The record of the jobs that loaded the index; `None` if it keeps no such record.
    fn load_log(&self) -> Option<&dyn LoadLog> {
        None
    }
}
