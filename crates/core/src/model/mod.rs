//! The domain model: plain data without I/O, independent of any backend.

pub mod archive_refused;
pub mod chunk;
pub mod counts;
pub mod digest;
pub mod document;
pub mod job;
pub mod job_recency;
pub mod ledger_record;
pub mod product;
pub mod report;

pub use archive_refused::ArchiveRefused;
pub use chunk::{ChunkRef, Operation};
pub use counts::Counts;
pub use digest::Digest;
pub use document::{ChunkLine, Document, DocumentId};
pub use job::{Job, JobId, JobStatus, PluginRef, QuarantinedProducts, SameVersion, Seal, SourceStats};
pub use job_recency::JobRecency;
pub use ledger_record::{LastRefusal, LedgerRecord, ProductId, ProductState};
pub use product::{Grouping, Issue, PluginManifest, Product, Severity};
pub use report::{EntryClass, ReportEntry};
