//! Which indexes a shop has, in entries that outlive the jobs, so that the removal of a shop knows them. An entry is
//! written with the first job of its index, before that job.

use super::{DynamoJobs, from_envelope, name, schema};
use crate::table::{Item, Key, TableError, Update};
use host_core::{index::TargetId, model::Job, storage::LedgerScope};
use std::collections::BTreeSet;

impl DynamoJobs {
    /// Enters the index of a job, unless `numbered`, the item that gives the jobs of the index their numbers, says that
    /// it is entered.
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
        // If two processes write this at once, one target is lost here, and the next job writes its entry again.
        let note = Update::new(schema::sequence(job)).set(name::TARGETS, format!("{entered}{target}\n"));
        self.table.update(&note).await.map(drop)
    }

    /// The indexes that jobs of all shops are known to write to, complete for this shop. Expired jobs of older versions
    /// have left only the items that numbered them. Of these, all of the shop are read, and, where an index would seem
    /// to be the shop's alone, one of another shop that uses it too.
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
                known.push(numbered_scope(shop_id, index_name));
            }
        }
        let is_own = |scope: &LedgerScope| scope.shop_id == shop_id;
        let own = known.iter().filter(|scope| is_own(scope)).map(|scope| scope.index_name.clone());
        for index_name in own.collect::<BTreeSet<_>>() {
            if known.iter().all(|scope| is_own(scope) || scope.index_name != index_name) {
                let other = self.another_shop_of(&index_name, shop_id).await?;
                known.extend(other.map(|other| numbered_scope(&other, &index_name)));
            }
        }
        Ok(known)
    }

    /// Another shop for whose index of this name jobs were numbered. Reads the whole table, unless it finds one
    /// earlier.
    async fn another_shop_of(&self, index_name: &str, shop_id: &str) -> Result<Option<String>, TableError> {
        let (sk, own) = (schema::sequence_of(index_name), schema::shop(shop_id));
        let mut after = None;
        loop {
            let (keys, next) = self.table.scan("sk", &sk, after).await?;
            let mut others = keys.iter().filter(|key| key.pk != own);
            if let Some(other) = others.find_map(|key| key.pk.strip_prefix(schema::SHOP)) {
                return Ok(Some(other.to_owned()));
            }
            if next.is_none() {
                return Ok(None);
            }
            after = next;
        }
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

/// An index of which only the item is left that numbered its jobs. It does not say the target.
fn numbered_scope(shop_id: &str, index_name: &str) -> LedgerScope {
    LedgerScope {
        shop_id: shop_id.to_owned(),
        target: TargetId::default(),
        index_name: index_name.to_owned(),
    }
}
