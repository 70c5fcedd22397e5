//! Archiving at the end of a full sync: what the shop does not have any more (docs/archiving.md).

use super::{Catalog, loads::Load};
use host_core::{
    index::{Archiving, IndexError, Refusal, Target},
    storage::JobSnapshot,
};
use std::time::Duration;

/// Most products of one statement: others wait for the rows that it holds (seed).
const STATEMENT: usize = 5_000;

/// How often products that somebody else holds are waited for, and how long each time.
const PATIENCE: (usize, Duration) = (20, Duration::from_millis(250));

/// How an archiving ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Archived {
    /// Products that are archived now and were not before.
    pub products: u64,
    /// Products that somebody else held all the time; the next archiving finds them.
    pub held: u64,
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
        if let Some(refusal) = archiving.refusal(missing, active) {
            return Ok(Err(refusal));
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
