//! The end of a shop.

use super::{Records, from_json, name, schema};
use crate::table::{Item, Key, TableError};
use host_core::model::Job;
use std::sync::PoisonError;

impl Records {
    /// Removes a shop's jobs, each record after all that belongs to it, and the shop's own items after them: what an interrupted call
    /// leaves is found by the next one.
    pub(super) async fn remove_jobs_of(&self, shop_id: &str, dry_run: bool) -> Result<u64, TableError> {
        let records = self.records_of_shop(shop_id, None).await?;
        if dry_run {
            return Ok(records.len() as u64);
        }
        for record in &records {
            let job: Job = from_json(record, name::JOB)?;
            let items = self.table.query(&schema::of_job(&job.id), "", false, None).await?;
            self.table.delete_batch(&keys(&items)).await?;
            self.table.delete(&schema::directory(&job)).await?;
            self.table.delete(&schema::record(&job)).await?;
            self.known.lock().unwrap_or_else(PoisonError::into_inner).remove(&job.id);
        }
        let open = self.table.query(schema::OPEN, &schema::open_of_shop(shop_id), false, None).await?;
        self.table.delete_batch(&keys(&open)).await?;
        let items = self.table.query(&schema::shop(shop_id), "", false, None).await?;
        self.table.delete_batch(&keys(&items)).await?;
        Ok(records.len() as u64)
    }
}

fn keys(items: &[Item]) -> Vec<Key> {
    items.iter().filter_map(|item| Some(Key::new(item.text("pk")?, item.text("sk")?))).collect()
}
