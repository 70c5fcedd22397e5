//! Removes what the table of jobs has of a shop.

use super::{DynamoJobs, schema};
use crate::table::{Item, Key, TableError};
use host_core::model::JobId;
use std::sync::PoisonError;

impl DynamoJobs {
    /// Removes a shop's jobs, each record after all that belongs to it, and the shop's own items after them, so that
    /// the next call finds what an interrupted one has left. Reads only attributes that records of all versions have,
    /// so that the jobs of newer versions and other programs are removed as well. Returns the number of jobs.
    pub(super) async fn remove_jobs_of(&self, shop_id: &str, dry_run: bool) -> Result<u64, TableError> {
        let records = self.records_of_shop(shop_id, None).await?;
        if dry_run {
            return Ok(records.len() as u64);
        }
        for record in &records {
            if let Some(id) = record.text("job_id") {
                let items = self.table.query(&schema::of_job(id), "", false, None).await?;
                self.table.delete_batch(&keys(&items)).await?;
                let created_at = record.text("created_at").unwrap_or_default();
                self.table.delete(&schema::directory_of(created_at, id)).await?;
                if let Some(id) = JobId::new(id) {
                    self.known.lock().unwrap_or_else(PoisonError::into_inner).remove(&id);
                }
            }
            self.table.delete_batch(&keys(std::slice::from_ref(record))).await?;
        }
        let open = self.table.query(schema::OPEN, &schema::open_of_shop(shop_id), false, None).await?;
        self.table.delete_batch(&keys(&open)).await?;
        self.remove_indexes_of(shop_id).await?;
        let items = self.table.query(&schema::shop(shop_id), "", false, None).await?;
        self.table.delete_batch(&keys(&items)).await?;
        Ok(records.len() as u64)
    }
}

fn keys(items: &[Item]) -> Vec<Key> {
    items.iter().filter_map(|item| Some(Key::new(item.text("pk")?, item.text("sk")?))).collect()
}
