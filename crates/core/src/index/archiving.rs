//! Decides whether documents may be archived (taken out of an index) because a full sync did not have them. A full sync
//! is a job whose export holds the whole shop (`--full`).

use crate::{
    format::pluralize,
    model::{ArchiveRefused, JobId, JobStatus, job::SourceStats},
    storage::JobSnapshot,
};
use jiff::Timestamp;
use std::fmt;

/// How many documents may leave an index after one full sync.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ArchiveLimit {
    /// The largest share of the active products that one sync may archive, in percent. A larger share suggests that the
    /// export is incomplete.
    pub max_percent: u8,
    /// Whether the operator overrides (`--force`) every refusal that can be overridden, this limit among them.
    pub force: bool,
}

impl ArchiveLimit {
    /// Whether archiving continues despite this refusal.
    pub fn overrides(self, refusal: &ArchiveRefusal) -> bool {
        self.force && refusal.is_overridable()
    }

    /// The refusal if `missing` of `active` products may not be archived at once.
    pub fn refusal(self, missing: u64, active: u64) -> Option<TooManyMissing> {
        let Self { max_percent, force } = self;
        let is_too_many = missing * 100 > active * u64::from(max_percent);
        (is_too_many && !force).then_some(TooManyMissing { missing, active, max_percent })
    }
}

/// Why nothing is archived after a job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ArchiveRefusal {
    /// The user did not say that the job's export is the whole shop.
    NotFull,
    /// The job's export was not read to the end.
    NotSealed,
    /// Not all chunks of the job are written.
    NotEnded,
    /// The job was cancelled: its export may be wrong.
    Cancelled,
    /// This many lines could not be read: the export may be truncated.
    RejectedLines(u64),
    /// This many lines (orphans) belong to products that are not in the export.
    Orphans(u64),
    /// The platform said that another page of products follows the last one of the export.
    MorePages,
    /// The export had no products.
    Empty,
    /// This other job is being ingested into the same index; which products it has is not known yet.
    Ingesting(JobId),
    /// This many products without an id failed, so it is not known which documents are theirs.
    Unidentified(u64),
    /// Too large a share of the products is missing.
    Share(TooManyMissing),
}

/// Too many products would be archived.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooManyMissing {
    /// Products that are not in the export.
    pub missing: u64,
    /// Products that are active.
    pub active: u64,
    /// The allowed maximum, in percent.
    pub max_percent: u8,
}

impl fmt::Display for ArchiveRefusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotFull => f.write_str("its export was not said to be the whole shop (--full)"),
            Self::NotSealed => f.write_str("its export was not read to the end"),
            Self::NotEnded => f.write_str("not all of its chunks are written"),
            Self::Cancelled => f.write_str("it was cancelled"),
            Self::RejectedLines(lines) => {
                let lines = pluralize(*lines, "line");
                write!(f, "{lines} of the export could not be read, which may be cut off")
            }
            Self::Orphans(lines) => {
                let belong = if *lines == 1 { "belongs to a product" } else { "belong to products" };
                let lines = pluralize(*lines, "line");
                write!(f, "{lines} {belong} that the export does not have, which may be cut off")
            }
            Self::Ingesting(job) => {
                write!(f, "job {job} is being read into the same index; archive when it has ended")
            }
            Self::MorePages => f.write_str("the last page of its export says that another page follows"),
            Self::Empty => f.write_str("its export has no products"),
            Self::Unidentified(products) => {
                let products = pluralize(*products, "product");
                write!(f, "{products} without an id failed, so it is not known which documents are theirs")
            }
            Self::Share(TooManyMissing { missing, active, max_percent }) => write!(
                f,
                "{missing} of {active} products are missing from its export, and at most {max_percent} % may be archived"
            ),
        }
    }
}

impl ArchiveRefusal {
    /// Stable kebab-case name, for the record of the job, JSON output and metrics.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::NotFull => "not-full",
            Self::NotSealed => "not-read",
            Self::NotEnded => "not-ended",
            Self::Cancelled => "cancelled",
            Self::RejectedLines(_) => "rejected-lines",
            Self::Orphans(_) => "orphans",
            Self::MorePages => "more-pages",
            Self::Empty => "no-products",
            Self::Ingesting(_) => "other-ingest",
            Self::Unidentified(_) => "unidentified-products",
            Self::Share(_) => "too-many-missing",
        }
    }

    /// What the record of the job keeps of it.
    pub fn record(&self, at: Timestamp) -> ArchiveRefused {
        ArchiveRefused { code: self.reason().to_owned(), message: self.to_string(), at }
    }

    /// Whether an operator who has looked into it may override it.
    pub fn is_overridable(&self) -> bool {
        match self {
            Self::RejectedLines(_) | Self::Orphans(_) | Self::Share(_) => true,
            Self::NotFull
            | Self::NotSealed
            | Self::NotEnded
            | Self::Cancelled
            | Self::Empty
            | Self::MorePages
            | Self::Ingesting(_)
            | Self::Unidentified(_) => false,
        }
    }

    /// The refusal after a job, if there is one; the share of missing products is checked later.
    pub fn after(job: &JobSnapshot) -> Option<Self> {
        let Some(seal) = &job.seal else { return Some(Self::NotSealed) };
        let SourceStats { products, rejected_lines, orphans, more_pages, .. } = seal.source;
        match job.status {
            _ if !job.job.full => Some(Self::NotFull),
            JobStatus::Pending | JobStatus::InProgress => Some(Self::NotEnded),
            // A job whose export was read to the end has such a message only if it was cancelled.
            _ if job.error_message.is_some() => Some(Self::Cancelled),
            // Checked before the refusals that may be overridden: the whole shop is never archived.
            _ if products == 0 => Some(Self::Empty),
            _ if more_pages => Some(Self::MorePages),
            _ if rejected_lines > 0 => Some(Self::RejectedLines(rejected_lines)),
            _ if orphans > 0 => Some(Self::Orphans(orphans)),
            // Failed products do not prevent it: the export had them, so their documents are not archived.
            JobStatus::Completed | JobStatus::Conflict | JobStatus::Failed => None,
        }
    }
}
