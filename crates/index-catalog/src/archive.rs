//! Archiving at the end of a full sync: products that the shop no longer has.

use super::{Catalog, Failed, loads::Load};
use async_trait::async_trait;
use host_core::{
    index::{ArchiveLimit, Archived, Archiver, IndexError, TooManyMissing, WriteTarget},
    model::DocumentId,
    storage::JobSnapshot,
};
use host_net::{Retry, RetryPolicy};

/// Most products of one statement: other writers wait for the rows that it locks.
const STATEMENT: usize = 5_000;

#[async_trait]
impl Archiver for Catalog {
    async fn missing(
        &self,
        target: &WriteTarget,
        after: Option<&DocumentId>,
        limit: usize,
    ) -> Result<Vec<DocumentId>, IndexError> {
        let unseen = async {
            // No id is empty.
            let after = after.map_or("", DocumentId::as_str);
            let ids = self.dialect.unseen(target, target.job_created_at, after, limit).await?;
            ids.into_iter().map(|id| DocumentId::new(id).map_err(Failed::permanent)).collect::<Result<_, _>>()
        };
        unseen.await.map_err(|failed: Failed| failed.during("looking for missing products in", target))
    }

    async fn archive(
        &self,
        target: &WriteTarget,
        limit: ArchiveLimit,
    ) -> Result<Result<Archived, TooManyMissing>, IndexError> {
        let during = |failed: Failed| failed.during("archiving in", target);
        let since = target.job_created_at;
        let missing = self.dialect.count_unseen(target, since).await.map_err(during)?;
        let active = self.dialect.summary(target).await.map_err(during)?.active;
        if let Some(refusal) = limit.refusal(missing, active) {
            return Ok(Err(refusal));
        }
        let mut documents = 0;
        let mut retry = Retry::new(RetryPolicy::LOCKED_ROWS, self.clock.as_ref());
        loop {
            let archived = self.dialect.archive(target, since, STATEMENT).await.map_err(during)?;
            documents += archived as u64;
            if archived > 0 {
                continue;
            }
            let locked = self.dialect.count_unseen(target, since).await.map_err(during)?;
            if locked == 0 || !retry.wait(None).await {
                return Ok(Ok(Archived { documents, locked }));
            }
        }
    }

    async fn record_load(
        &self,
        target: &WriteTarget,
        job: &JobSnapshot,
        archived: u64,
        note: Option<String>,
    ) -> Result<(), IndexError> {
        let during = |failed: Failed| failed.during("recording a load of", target);
        let job_id = job.job.id.to_string();
        let before = self.dialect.loads(target, usize::MAX).await.map_err(during)?;
        let before = before.iter().find(|load| load.job_id == job_id).map_or(0, |load| load.archived);
        let load = Load {
            job_id,
            began_at: job.job.created_at,
            full: job.job.full,
            status: job.status.as_str().to_owned(),
            products: job.counts.processed,
            archived: before + archived,
            remark: note,
        };
        self.dialect.put_load(target, &load).await.map_err(during)
    }
}
