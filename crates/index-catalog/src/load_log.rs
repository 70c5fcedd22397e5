//! Records in the catalog's table `loads` which jobs wrote to it, for those who query the catalog.

use super::{Catalog, Failed, loads::Load};
use async_trait::async_trait;
use host_core::{
    index::{IndexError, LoadLog, WriteTarget},
    storage::JobSnapshot,
};

#[async_trait]
impl LoadLog for Catalog {
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
