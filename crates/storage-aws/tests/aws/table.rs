//! A strict model of a DynamoDB table in memory: it applies updates and conditions as DynamoDB documents them, counts
//! what they cost, and refuses an update that would make an item too large.

use async_trait::async_trait;
use host_core::storage::StoreErrorKind;
use host_storage_aws::{Condition, Item, Key, Table, TableError, Update, Updated, Value};
use jiff::Timestamp;
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Mutex,
};

/// Bytes of the largest item that host may write; DynamoDB allows 400 KB.
const MAX_ITEM: usize = 64 << 10;

#[derive(Default)]
pub(crate) struct Model {
    items: Mutex<BTreeMap<Key, Item>>,
    spent: Mutex<Spent>,
    /// How often each attribute was set.
    set: Mutex<BTreeMap<&'static str, u64>>,
}

/// What the calls so far have cost.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Spent {
    /// Write units of the table, 1 KB each.
    pub(crate) write_units: u64,
    /// Write units, 1 KB each, of the secondary index by which a job is found: it has a copy of the job's record.
    pub(crate) index_write_units: u64,
    /// Read units, 4 KB each, of consistent reads.
    pub(crate) read_units: u64,
    pub(crate) largest_item: usize,
}

impl Model {
    /// Another table with the same items.
    pub(crate) fn copy(&self) -> Self {
        Self { items: Mutex::new(self.items.lock().unwrap().clone()), ..Self::default() }
    }

    /// Removes what has expired, as DynamoDB does some time later; returns the number of records of jobs.
    pub(crate) fn expire(&self, now: Timestamp) -> u64 {
        let is_old = |item: &Item| item.number("expires_at").is_some_and(|at| at < now.as_second());
        let mut records = 0;
        self.items.lock().unwrap().retain(|_, item| {
            records += u64::from(is_old(item) && item.has("job_id"));
            !is_old(item)
        });
        records
    }

    /// All of its items.
    pub(crate) fn items(&self) -> Vec<Item> {
        self.items.lock().unwrap().values().cloned().collect()
    }

    /// Number and bytes of its items.
    pub(crate) fn size(&self) -> (usize, usize) {
        let items = self.items.lock().unwrap();
        (items.len(), items.values().map(Item::size).sum())
    }

    pub(crate) fn spent(&self) -> Spent {
        *self.spent.lock().unwrap()
    }

    /// How often an attribute was set, in all items.
    pub(crate) fn times_set(&self, name: &str) -> u64 {
        self.set.lock().unwrap().get(name).copied().unwrap_or(0)
    }

    fn spend_write(&self, before: usize, after: usize) {
        let mut spent = self.spent.lock().unwrap();
        // A refused write costs as much as one that happens.
        spent.write_units += (before.max(after).max(1)).div_ceil(1024) as u64;
        spent.largest_item = spent.largest_item.max(after);
    }

    fn spend_read(&self, bytes: usize) {
        self.spent.lock().unwrap().read_units += bytes.max(1).div_ceil(4096) as u64;
    }
}

fn holds(item: Option<&Item>, condition: &Condition) -> bool {
    let value = |name: &str| item.and_then(|item| item.0.get(name));
    let number = |name: &str| item.and_then(|item| item.number(name));
    match condition {
        Condition::Exists(name) => value(name).is_some(),
        Condition::Absent(name) => value(name).is_none(),
        Condition::Equals(name, expected) => value(name) == Some(expected),
        Condition::Below(name, bound) => number(name).is_some_and(|number| number < *bound),
        Condition::AtMost(name, bound) => number(name).is_some_and(|number| number <= *bound),
        Condition::MoreThan(name, bound) => number(name).is_some_and(|number| number > *bound),
        Condition::NotContains(name, member) => {
            !matches!(value(name), Some(Value::Numbers(set)) if set.contains(member))
        }
        Condition::Contains(name, member) => {
            matches!(value(name), Some(Value::Numbers(set)) if set.contains(member))
        }
        Condition::AnyOf(lists) => {
            lists.iter().any(|list| list.iter().all(|condition| holds(item, condition)))
        }
    }
}

fn invalid(why: &str) -> TableError {
    TableError { kind: StoreErrorKind::Permanent, source: format!("ValidationException: {why}").into() }
}

/// The item after an update whose conditions hold.
fn changed(item: Option<&Item>, update: &Update) -> Result<Item, TableError> {
    let mut named = BTreeSet::new();
    let changes = update.set.iter().chain(&update.add).chain(&update.delete);
    let names = changes.map(|(name, _)| name);
    for name in names.chain(&update.remove) {
        if !named.insert(*name) {
            return Err(invalid("two document paths overlap"));
        }
        if ["pk", "sk"].contains(name) {
            return Err(invalid("an attribute is part of the key"));
        }
    }
    let mut item = item.cloned().unwrap_or_default();
    item.0.insert("pk".to_owned(), update.key.pk.clone().into());
    item.0.insert("sk".to_owned(), update.key.sk.clone().into());
    for (name, value) in &update.set {
        if matches!(value, Value::Numbers(set) if set.is_empty()) {
            return Err(invalid("a set must not be empty"));
        }
        item.0.insert((*name).to_owned(), value.clone());
    }
    for (name, value) in &update.add {
        let added = match (item.0.get(*name), value) {
            (None, value) => value.clone(),
            (Some(Value::Number(old)), Value::Number(more)) => Value::Number(old + more),
            (Some(Value::Numbers(old)), Value::Numbers(more)) => {
                Value::Numbers(old.union(more).copied().collect())
            }
            _ => return Err(invalid("an incorrect operand type")),
        };
        item.0.insert((*name).to_owned(), added);
    }
    for (name, value) in &update.delete {
        let rest: BTreeSet<i64> = match (item.0.get(*name), value) {
            (None, _) => continue,
            (Some(Value::Numbers(old)), Value::Numbers(gone)) => old.difference(gone).copied().collect(),
            _ => return Err(invalid("an incorrect operand type")),
        };
        // There are no empty sets.
        match rest.is_empty() {
            true => item.0.remove(*name),
            false => item.0.insert((*name).to_owned(), Value::Numbers(rest)),
        };
    }
    for name in &update.remove {
        item.0.remove(*name);
    }
    Ok(item)
}

#[async_trait]
impl Table for Model {
    async fn get(&self, key: &Key) -> Result<Option<Item>, TableError> {
        tokio::task::yield_now().await;
        let item = self.items.lock().unwrap().get(key).cloned();
        self.spend_read(item.as_ref().map_or(0, Item::size));
        Ok(item)
    }

    async fn update(&self, update: &Update) -> Result<Updated, TableError> {
        tokio::task::yield_now().await;
        let mut items = self.items.lock().unwrap();
        let before = items.get(&update.key);
        let size = before.map_or(0, Item::size);
        if !update.when.iter().all(|condition| holds(before, condition)) {
            let before = before.cloned();
            self.spend_write(size, 0);
            return Ok(Updated::ConditionFailed(before));
        }
        let after = changed(before, update)?;
        assert!(after.size() <= MAX_ITEM, "{:?} would have {} bytes", update.key, after.size());
        self.spend_write(size, after.size());
        if after.has("job_id") {
            self.spent.lock().unwrap().index_write_units += after.size().div_ceil(1024) as u64;
        }
        let mut set = self.set.lock().unwrap();
        for (name, _) in &update.set {
            *set.entry(name).or_default() += 1;
        }
        items.insert(update.key.clone(), after.clone());
        Ok(Updated::Applied(after))
    }

    async fn delete(&self, key: &Key) -> Result<bool, TableError> {
        tokio::task::yield_now().await;
        let removed = self.items.lock().unwrap().remove(key);
        self.spend_write(removed.as_ref().map_or(0, Item::size), 0);
        Ok(removed.is_some())
    }

    async fn delete_when(&self, key: &Key, when: &Condition) -> Result<bool, TableError> {
        tokio::task::yield_now().await;
        let mut items = self.items.lock().unwrap();
        let before = items.get(key);
        self.spend_write(before.map_or(0, Item::size), 0);
        let is_removed = holds(before, when);
        if is_removed {
            items.remove(key);
        }
        Ok(is_removed)
    }

    async fn query(
        &self,
        pk: &str,
        prefix: &str,
        newest_first: bool,
        limit: Option<usize>,
    ) -> Result<Vec<Item>, TableError> {
        tokio::task::yield_now().await;
        let items = self.items.lock().unwrap();
        let of_partition = items.range(Key::new(pk, prefix)..);
        let mut found: Vec<Item> = of_partition
            .take_while(|(key, _)| key.pk == pk && key.sk.starts_with(prefix))
            .map(|(_, item)| item.clone())
            .collect();
        if newest_first {
            found.reverse();
        }
        found.truncate(limit.unwrap_or(usize::MAX));
        self.spend_read(found.iter().map(Item::size).sum());
        Ok(found)
    }

    async fn scan(
        &self,
        name: &'static str,
        text: &str,
        after: Option<Key>,
    ) -> Result<(Vec<Key>, Option<Key>), TableError> {
        tokio::task::yield_now().await;
        let items = self.items.lock().unwrap();
        // Pages are small, and many of them have nothing.
        let rest = items.iter().filter(|(key, _)| after.as_ref().is_none_or(|after| *key > after));
        let page: Vec<(&Key, &Item)> = rest.take(3).collect();
        self.spend_read(page.iter().map(|(_, item)| item.size()).sum());
        let found =
            page.iter().filter(|(_, item)| item.text(name) == Some(text)).map(|(key, _)| (*key).clone());
        Ok((found.collect(), page.last().map(|(key, _)| (*key).clone())))
    }
}
