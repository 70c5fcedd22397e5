//! When what a full sync did not have may leave an index: archived in a catalog, removed from a Marqo index.

use crate::{
    model::{JobId, JobStatus, job::SourceStats},
    store::JobSnapshot,
};
use std::fmt;

/// What may be archived.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Archiving {
    /// Largest share of the active products, in percent; more looks like half an export.
    pub largest_share: u8,
    /// Archives whatever the share.
    pub force: bool,
}

impl Archiving {
    /// Why so many may not leave the index, if that is so.
    pub fn refusal(self, missing: u64, active: u64) -> Option<Refusal> {
        let Self { largest_share, force } = self;
        let is_too_much = missing * 100 > active * u64::from(largest_share);
        (is_too_much && !force).then_some(Refusal { missing, active, largest_share })
    }
}

/// Why nothing is archived after a job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NotArchived {
    /// The export was not said to be the whole shop.
    NotFull,
    /// More may come.
    NotSealed,
    /// It has not come to its end.
    NotEnded,
    /// Items failed, and a product that failed was not seen.
    Failed(u64),
    /// Lines could not be read: the export may be cut off.
    RejectedLines(u64),
    /// Lines hang on products that the export does not have.
    Orphans(u64),
    /// It had no products.
    Empty,
    /// Another job is being read into the same index, and nobody knows yet what it has.
    Ingesting(JobId),
    /// Too many products are missing.
    Share(Refusal),
}

/// Too many products would be archived.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// Products that the export does not have.
    pub missing: u64,
    /// Products that are active.
    pub active: u64,
    /// The largest share allowed, in percent.
    pub largest_share: u8,
}

impl fmt::Display for NotArchived {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotFull => f.write_str("its export was not said to be the whole shop (--full)"),
            Self::NotSealed => f.write_str("its export was not read to the end"),
            Self::NotEnded => f.write_str("not all of its chunks are written"),
            Self::Failed(items) => write!(f, "{items} items failed, whose products it may be missing"),
            Self::RejectedLines(lines) => {
                write!(f, "{lines} lines of the export could not be read, which may be cut off")
            }
            Self::Orphans(lines) => {
                write!(
                    f,
                    "{lines} lines belong to products that the export does not have, which may be cut off"
                )
            }
            Self::Ingesting(job) => {
                write!(f, "job {job} is being read into the same index; archive when it has ended")
            }
            Self::Empty => f.write_str("its export has no products"),
            Self::Share(Refusal { missing, active, largest_share }) => write!(
                f,
                "{missing} of {active} products are missing from its export, and at most {largest_share} % may be archived"
            ),
        }
    }
}

impl NotArchived {
    /// Whether it is a doubt that a person can settle.
    pub fn may_be_forced(&self) -> bool {
        matches!(self, Self::RejectedLines(_) | Self::Orphans(_) | Self::Share(_))
    }

    /// Why nothing may be archived after a job, but for the share.
    pub fn after(job: &JobSnapshot) -> Option<Self> {
        let Some(seal) = &job.seal else { return Some(Self::NotSealed) };
        let SourceStats { products, rejected_lines, orphans, .. } = seal.source;
        match job.status {
            _ if !job.job.full => Some(Self::NotFull),
            JobStatus::Pending | JobStatus::InProgress => Some(Self::NotEnded),
            JobStatus::Failed => Some(Self::Failed(job.counts.failed)),
            // Before what may be forced: nobody wants the whole shop archived.
            _ if products == 0 => Some(Self::Empty),
            _ if rejected_lines > 0 => Some(Self::RejectedLines(rejected_lines)),
            _ if orphans > 0 => Some(Self::Orphans(orphans)),
            JobStatus::Completed | JobStatus::Conflict => None,
        }
    }
}
