//! Removes the documents from an index that a full sync (a job whose export is the whole shop) did not have; a
//! relational catalog (PostgreSQL) archives them instead.
//!
//! `missing` finds the products that the ledger, the recorded outcome of each product, has in the index and the full
//! sync did not have; [`Archive`] publishes their removals. These are a separate job in the lanes of their products,
//! behind everything published before, so that workers carry them out, leave alone what is newer, count them, and
//! continue after a crash.

use crate::{ingest::publish::PublishError, removed_shop::ShopIsRemoved, worker::WorkerStopped};
use host_core::{index::IndexError, model::JobId, storage::StoreError};

mod missing;
mod products;
mod run;
#[cfg(test)]
mod tests;

pub use crate::removals::RemovalSettings;
pub use missing::MissingDocument;
pub use run::{Archive, ArchiveNotice, ArchiveOutcome, Missing};

/// Why archiving failed. Nothing is lost: the same call can be repeated.
#[derive(Debug, thiserror::Error)]
pub enum ArchiveError {
    /// A store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The index could not be read.
    #[error(transparent)]
    Index(#[from] IndexError),
    /// A chunk of removals could not be published.
    #[error(transparent)]
    Publish(#[from] PublishError),
    /// The worker stopped during the removals.
    #[error("the worker stopped while job {job} removed documents")]
    Stopped {
        /// The job of the removals.
        job: JobId,
        /// Why it stopped.
        #[source]
        stop: Box<WorkerStopped>,
    },
    /// Everything of the shop is being removed.
    #[error(transparent)]
    ShopIsRemoved(#[from] ShopIsRemoved),
    /// Another process has the ingest lease of the index, because this one did not renew it in time.
    #[error("another process has taken over while removals were published")]
    LeaseLost,
    /// An object of a job is gone, so it is not known which documents the shop has.
    #[error(
        "{key} is gone or damaged, so it is not known which documents the job had; run the full sync again"
    )]
    ObjectMissing {
        /// The object's key.
        key: String,
    },
    /// An object of a job holds other lines than those of documents or reports.
    #[error("{key} contains a line that cannot be read; run the full sync again")]
    Line {
        /// The object's key.
        key: String,
        /// What is wrong with it.
        #[source]
        source: serde_json::Error,
    },
}
