//! While a shop is being removed, nothing else begins for it.

use crate::ingest::retry::retry;
use host_core::{
    clock::SharedClock,
    model::Job,
    storage::{ShopRemoval, StoreError, Stores},
};

/// A shop is being removed, or was while a job of it began.
#[derive(Debug, thiserror::Error)]
#[error("shop {0} is being removed, or was after this job began")]
pub struct ShopIsRemoved(pub String);

/// Fails while the shop is being removed.
pub(crate) async fn refuse_removed_shop<E>(
    stores: &Stores,
    clock: &SharedClock,
    shop_id: &str,
) -> Result<(), E>
where
    E: From<StoreError> + From<ShopIsRemoved>,
{
    match retry(clock, || open_removal(stores, shop_id)).await? {
        Some(_) => Err(ShopIsRemoved(shop_id.to_owned()).into()),
        None => Ok(()),
    }
}

/// The shop's removal that has begun and not ended; none if it is not being removed.
pub async fn open_removal(stores: &Stores, shop_id: &str) -> Result<Option<ShopRemoval>, StoreError> {
    Ok(stores.jobs.shop_removal(shop_id).await?.filter(ShopRemoval::is_open))
}

/// Creates a job unless its shop is being removed. Of a job and a removal that begin at the same time, one finds the other: the job
/// is created before it looks, and the removal is marked before it looks for jobs.
pub(crate) async fn create_job(stores: &Stores, job: &Job) -> Result<Result<Job, ShopIsRemoved>, StoreError> {
    let job = stores.jobs.create(job).await?;
    let removal = stores.jobs.shop_removal(&job.shop_id).await?;
    // A run that waited while the shop was removed would bring it back.
    let is_removed =
        removal.is_some_and(|removal| removal.ended_at.is_none_or(|ended| ended > job.created_at));
    if !is_removed {
        return Ok(Ok(job));
    }
    stores.jobs.cancel(&job.id, "the shop is being removed, or was after this job began").await?;
    Ok(Err(ShopIsRemoved(job.shop_id)))
}
