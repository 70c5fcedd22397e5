//! Keeps jobs from beginning for a shop while all of its data is being removed (`host shop forget`).

use crate::ingest::retry::retry;
use host_core::{
    clock::SharedClock,
    model::Job,
    storage::{ShopRemoval, StoreError, Stores},
};

/// Refuses a job: its shop is being removed, or was removed since the job was created. Holds the shop's id.
#[derive(Debug, thiserror::Error)]
#[error("shop {0} is being removed, or was after this job began")]
pub struct ShopIsRemoved(pub String);

/// Fails with [`ShopIsRemoved`] while the shop is being removed.
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

/// The shop's removal that has begun and not ended; `None` if the shop is not being removed.
pub async fn open_removal(stores: &Stores, shop_id: &str) -> Result<Option<ShopRemoval>, StoreError> {
    Ok(stores.jobs.shop_removal(shop_id).await?.filter(ShopRemoval::is_open))
}

/// Creates a job unless its shop is being removed, and returns it as it was stored. Of a job and a removal that begin
/// at the same time, at least one sees the other: the job is created before it looks for a removal, and a removal is
/// recorded before it looks for jobs.
pub(crate) async fn create_job(stores: &Stores, job: &Job) -> Result<Result<Job, ShopIsRemoved>, StoreError> {
    let job = stores.jobs.create(job).await?;
    let removal = stores.jobs.shop_removal(&job.shop_id).await?;
    // Also if the removal has ended since: the job of a run that waited meanwhile would bring the shop's products back.
    let is_removed =
        removal.is_some_and(|removal| removal.ended_at.is_none_or(|ended| ended > job.created_at));
    if !is_removed {
        return Ok(Ok(job));
    }
    stores.jobs.cancel(&job.id, "the shop is being removed, or was after this job began").await?;
    Ok(Err(ShopIsRemoved(job.shop_id)))
}
