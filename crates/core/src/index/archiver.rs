//! The port for indexes that archive in their own transactions.

use super::{ArchiveLimit, IndexError, TooManyMissing, WriteTarget};
use crate::{model::DocumentId, storage::JobSnapshot};
use async_trait::async_trait;

/// How an archiving ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Archived {
    /// Documents that are archived now and were not before.
    pub documents: u64,
    /// Documents that stayed locked by other writers; the next archiving finds them.
    pub locked: u64,
}

/// An index that knows when each document was last seen, and archives in its own transactions what a full sync did not
/// have. Documents leave other indexes by removals, which a job carries out.
#[async_trait]
pub trait Archiver: Send + Sync {
    /// Ids after `after`, in their order, of at most `limit` active documents that neither the target's job nor a later one
    /// had in its export.
    async fn missing(
        &self,
        target: &WriteTarget,
        after: Option<&DocumentId>,
        limit: usize,
    ) -> Result<Vec<DocumentId>, IndexError>;

    /// Archives these documents unless they are too many. The caller has made sure that the job's export was the whole shop.
    /// Idempotent; may be cancelled, and is resumed by calling it again.
    async fn archive(
        &self,
        target: &WriteTarget,
        limit: ArchiveLimit,
    ) -> Result<Result<Archived, TooManyMissing>, IndexError>;

    /// Records how a job ended and what was archived after it. The second call adds to the number and replaces the rest.
    async fn record_load(
        &self,
        target: &WriteTarget,
        job: &JobSnapshot,
        archived: u64,
        note: Option<String>,
    ) -> Result<(), IndexError>;
}
