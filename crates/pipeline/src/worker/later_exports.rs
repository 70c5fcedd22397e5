//! Which products later exports had. A job that finds a product unchanged writes nothing, and so leaves an older job as
//! the writer of its documents; an export between the two must not take it for outdated.

use super::{Worker, chunk_error::ChunkError};
use crate::ids::{IdSet, JobIds};
use host_core::model::{Job, JobId, JobRecency, ProductId};
use jiff::{SignedDuration, Timestamp};
use std::sync::{Arc, PoisonError};

/// How long what was read is used, so that it is not read again for each chunk.
const FRESH: SignedDuration = SignedDuration::from_secs(60);

/// The products of the jobs with later exports than one job's.
#[derive(Debug)]
pub(super) struct LaterExports {
    job: JobId,
    read_at: Timestamp,
    products: IdSet,
}

impl Worker {
    /// Whether a job of the same index whose export was taken later had the product.
    pub(super) async fn is_in_later_export(
        &self,
        job: &Job,
        product: &ProductId,
    ) -> Result<bool, ChunkError> {
        Ok(self.later_exports(job).await?.products.contains(product.as_str()))
    }

    async fn later_exports(&self, job: &Job) -> Result<Arc<LaterExports>, ChunkError> {
        let now = self.clock.now();
        let known = self.later_exports.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some(known) = known
            && known.job == job.id
            && now.duration_since(known.read_at).abs() < FRESH
        {
            return Ok(known);
        }
        let (mut products, mut documents) = (IdSet::default(), IdSet::default());
        for other in self.stores.jobs.list(Some(&job.shop_id), usize::MAX).await? {
            let Some(ids) = other.seal.as_ref().and_then(|seal| seal.ids) else { continue };
            let is_later = JobRecency::of(&other.job).has_later_export_than(JobRecency::of(job), now);
            if !is_later || !job.is_of_same_index(&other.job) {
                continue;
            }
            // Without the list, it is only known what the later job wrote.
            if let Ok(ids) = JobIds::read(self.stores.chunks.as_ref(), &other.job, ids).await? {
                ids.add_to(&mut products, &mut documents, true);
            }
        }
        let read = Arc::new(LaterExports { job: job.id.clone(), read_at: now, products });
        *self.later_exports.lock().unwrap_or_else(PoisonError::into_inner) = Some(read.clone());
        Ok(read)
    }
}
