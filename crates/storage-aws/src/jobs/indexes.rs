//! The indexes of shops, in entries that stay when jobs expire. Each is written with the first job of its index, before that job.

use super::{DynamoJobs, from_envelope, name, schema};
use crate::table::{Item, Key, TableError, Update};
use host_core::{index::TargetId, model::Job, storage::LedgerScope};

impl DynamoJobs {
    /// Enters the index of a job, unless the item that numbered the job says that it is entered.
    pub(super) async fn enter_index(&self, job: &Job, numbered: &Item) -> Result<(), TableError> {
        let entered = numbered.text(name::TARGETS).unwrap_or_default();
        let target = job.target.to_string();
        if entered.lines().any(|entered| entered == target) {
            return Ok(());
        }
        let entry = Update::new(schema::index(job))
            .set("shop_id", job.shop_id.as_str())
            .set("index_name", job.index_name.as_str())
            .set("target", target.as_str());
        self.table.update(&entry).await?;
        // Of two processes one may lose the other's target, whose entry is then written again.
        let note = Update::new(schema::sequence(job)).set(name::TARGETS, format!("{entered}{target}\n"));
        self.table.update(&note).await.map(drop)
    }

    /// What jobs of all shops are known to write to. Of the shop, also what older versions numbered jobs of.
    pub(super) async fn known_indexes(&self, shop_id: &str) -> Result<Vec<LedgerScope>, TableError> {
        let entries = self.table.query(schema::INDEXES, "", false, None).await?;
        let text = |item: &Item, name| item.text(name).unwrap_or_default().to_owned();
        let mut known: Vec<LedgerScope> = entries
            .iter()
            .map(|entry| LedgerScope {
                shop_id: text(entry, "shop_id"),
                target: text(entry, "target").into(),
                index_name: text(entry, "index_name"),
            })
            .collect();
        for record in self.all_records(usize::MAX).await? {
            let Ok(job) = from_envelope::<Job>(&record, name::JOB) else { continue };
            known.push(LedgerScope::of(&job, job.target.clone()));
        }
        let numbered = self.table.query(&schema::shop(shop_id), schema::SEQUENCES, false, None).await?;
        for item in numbered {
            let Some(index_name) = item.text("sk").and_then(|sk| sk.strip_prefix(schema::SEQUENCES)) else {
                continue;
            };
            if known.iter().all(|scope| scope.shop_id != shop_id || scope.index_name != index_name) {
                let (shop_id, index_name) = (shop_id.to_owned(), index_name.to_owned());
                known.push(LedgerScope { shop_id, target: TargetId::default(), index_name });
            }
        }
        Ok(known)
    }

    /// Removes the entries of a shop.
    pub(super) async fn remove_indexes_of(&self, shop_id: &str) -> Result<(), TableError> {
        let mut entries =
            self.table.query(schema::INDEXES, &schema::indexes_of(shop_id), false, None).await?;
        entries.retain(|entry| entry.text("shop_id") == Some(shop_id));
        let key = |entry: &Item| Some(Key::new(entry.text("pk")?, entry.text("sk")?));
        self.table.delete_batch(&entries.iter().filter_map(key).collect::<Vec<_>>()).await
    }
}
