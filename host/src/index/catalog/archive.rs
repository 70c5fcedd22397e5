//! Archiving at the end of a full sync: what the shop does not have any more (seed, "Archiving").

use super::{Catalog, loads::Load};
use crate::{
    index::{IndexError, Target},
    model::{JobStatus, job::SourceStats},
    store::JobSnapshot,
};
use std::{fmt, time::Duration};

/// Most products of one statement: others wait for the rows that it holds (seed).
const STATEMENT: usize = 5_000;

/// How often products that somebody else holds are waited for, and how long each time.
const PATIENCE: (usize, Duration) = (20, Duration::from_millis(250));

/// What may be archived.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Archiving {
    /// Largest share of the active products, in percent; more looks like half an export.
    pub largest_share: u8,
    /// Archives whatever the share.
    pub force: bool,
}

/// How an archiving ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Archived {
    /// Products that are archived now and were not before.
    pub products: u64,
    /// Products that somebody else held all the time; the next archiving finds them.
    pub held: u64,
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

impl Catalog {
    /// Remembers how a job's load ended.
    pub async fn remember(
        &self,
        target: &Target,
        job: &JobSnapshot,
        archived: u64,
        remark: Option<String>,
    ) -> Result<(), IndexError> {
        let load = Load {
            job_id: job.job.id.to_string(),
            began_at: job.job.created_at,
            full: job.job.full,
            status: job.status.as_str().to_owned(),
            products: job.counts.processed,
            archived,
            remark,
        };
        self.dialect.put_load(target, &load).await.map_err(|failed| failed.during("noting a load of", target))
    }

    /// Ids of active products that no job since the target's has had in its export: what [`archive`](Self::archive) is to
    /// archive, in their order.
    pub async fn unseen(
        &self,
        target: &Target,
        after: &str,
        limit: usize,
    ) -> Result<Vec<String>, IndexError> {
        let unseen = self.dialect.unseen(target, target.job_created_at, after, limit).await;
        unseen.map_err(|failed| failed.during("looking for vanished products in", target))
    }

    /// Archives the active products that neither the target's job nor a later one has had in its export. The caller has
    /// made sure that the job's export was the whole shop. Idempotent, and resumed by calling again.
    pub async fn archive(
        &self,
        target: &Target,
        archiving: Archiving,
    ) -> Result<Result<Archived, Refusal>, IndexError> {
        let during = |failed: super::Failed| failed.during("archiving in", target);
        let since = target.job_created_at;
        let missing = self.dialect.count_unseen(target, since).await.map_err(during)?;
        let active = self.dialect.summary(target).await.map_err(during)?.active;
        let Archiving { largest_share, force } = archiving;
        if !force && missing * 100 > active * u64::from(largest_share) {
            return Ok(Err(Refusal { missing, active, largest_share }));
        }
        let (mut products, mut waits) = (0, 0);
        loop {
            let some = self.dialect.archive(target, since, STATEMENT).await.map_err(during)?;
            products += some as u64;
            if some > 0 {
                continue;
            }
            let held = self.dialect.count_unseen(target, since).await.map_err(during)?;
            if held == 0 || waits == PATIENCE.0 {
                return Ok(Ok(Archived { products, held }));
            }
            waits += 1;
            self.env.sleep(PATIENCE.1).await;
        }
    }
}
