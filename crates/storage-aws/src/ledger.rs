//! The ledger: for each product of an index, what host knows of its document (there, refused or removed, and in which
//! version). One item for each product:
//!
//! | partition | sort key | what |
//! | --- | --- | --- |
//! | `{shop}#{digest of shop, target and index}#{bucket}` | the product's id | its record and its last refusal, as JSON |
//!
//! A product is in one of 16 buckets, by its id, so that no partition takes all writes of a large shop.

use super::table::{Condition, Item, Key, Table, TableError, Update, Updated, Value};
use async_trait::async_trait;
use futures::{StreamExt, TryStreamExt, stream};
use host_core::{
    clock::{MAX_CLOCK_DIFFERENCE, SharedClock},
    error::chain,
    model::{Digest, LastRefusal, LedgerRecord, ProductId, ProductState},
    storage::{
        ChangeDecision, Ledger, LedgerScope, RecordChange, StoreError, UnsupportedFormat, to_envelope,
    },
};
use std::{sync::Arc, time::Duration};

/// Partitions of the ledger of one index.
const BUCKETS: u64 = 16;

/// Concurrent queries.
const QUERIES_AT_ONCE: usize = 8;
/// Concurrent updates of single items, so many that the records of a chunk are written within half a second.
const UPDATES_AT_ONCE: usize = 16;

const DAY: Duration = Duration::from_secs(86_400);

/// How long SQS keeps a message, once in the queue and once more among the dead letters.
const MESSAGE_RETENTION: Duration = Duration::from_secs(14 * DAY.as_secs());

/// Names of attributes as they are stored. `shop_id` finds what to remove with a shop; `index_name` and `state` are there
/// for people who browse the table.
mod name {
    pub(super) const EXPIRES_AT: &str = "expires_at";
    pub(super) const INDEX_NAME: &str = "index_name";
    pub(super) const RECORD: &str = "record";
    pub(super) const REFUSAL: &str = "refusal";
    pub(super) const SHOP_ID: &str = "shop_id";
    pub(super) const STATE: &str = "state";
}

/// The ledgers of all indexes.
pub(super) struct DynamoLedger {
    table: Arc<dyn Table>,
    clock: SharedClock,
    /// How long tombstones are kept: the records of products that were removed, or were absent from the last export.
    tombstones: Duration,
}

impl DynamoLedger {
    /// Tombstones are kept for as long as an older version of their product may still arrive: from a message that was
    /// sent back to the queue on its last day among the dead letters, or from an object that a replay reads. Two days
    /// more allow for clocks that differ.
    pub(super) fn new(table: Arc<dyn Table>, clock: SharedClock, retention: Duration) -> Self {
        let tombstones = retention.max(2 * MESSAGE_RETENTION) + MAX_CLOCK_DIFFERENCE;
        Self { table, clock, tombstones }
    }

    /// Changes one record, if the stored one is as it was read. Usually this takes one request, and a second one if
    /// another version of host has stored the same record as a different text.
    async fn replace_one(&self, scope: &LedgerScope, change: &RecordChange) -> Result<bool, TableError> {
        let before = change.before.as_ref().and_then(LedgerRecord::without_refusal);
        let mut before = before.map(|before| to_text(&before));
        loop {
            let unchanged = match &before {
                Some(text) => Condition::Equals(name::RECORD, text.as_str().into()),
                None => Condition::Absent(name::RECORD),
            };
            let update = self.update_of(scope, change).when(unchanged);
            let Updated::ConditionFailed(item) = self.table.update(&update).await? else { return Ok(true) };
            // A record that this version cannot read is not the one that the caller has read.
            let Ok(stored) = item.as_ref().map(parse).transpose() else { return Ok(false) };
            match change.decide(stored.as_ref()) {
                ChangeDecision::Apply => {
                    before = item.as_ref().and_then(|item| item.text(name::RECORD)).map(str::to_owned);
                }
                ChangeDecision::Applied => return Ok(true),
                ChangeDecision::Conflict => return Ok(false),
            }
        }
    }

    fn update_of(&self, scope: &LedgerScope, change: &RecordChange) -> Update {
        let record = &change.after;
        let state = serde_json::to_value(record.state).expect("a state is plain data");
        let update = Update::new(key(scope, &record.product))
            .set(name::SHOP_ID, scope.shop_id.as_str())
            .set(name::INDEX_NAME, scope.index_name.as_str())
            .set(name::STATE, state.as_str().unwrap_or_default())
            .set(name::RECORD, to_text(record));
        let update = match record.state {
            ProductState::Removed | ProductState::Absent => {
                let seconds = i64::try_from(self.tombstones.as_secs()).unwrap_or(i64::MAX);
                let expiry = self.clock.now().as_second().saturating_add(seconds);
                update.set(name::EXPIRES_AT, Value::Number(expiry))
            }
            ProductState::Live | ProductState::Refused => update.remove(name::EXPIRES_AT),
        };
        match change.new_refusal() {
            Some(Some(refusal)) => update.set(name::REFUSAL, to_text(refusal)),
            Some(None) => update.remove(name::REFUSAL),
            None => update,
        }
    }

    /// At most `limit` items of a ledger that come after a product, in order. Queries each bucket for its share. Where
    /// a bucket has more than its share, the result ends with the last item of that bucket's share: the next one may be
    /// anywhere after it.
    async fn items_after(
        &self,
        scope: &LedgerScope,
        after: &str,
        limit: usize,
    ) -> Result<Vec<Item>, TableError> {
        let share = 2 * limit / BUCKETS as usize + 1;
        let partitions: Vec<String> = (0..BUCKETS).map(|bucket| partition(scope, bucket)).collect();
        let pages: Vec<_> =
            partitions.iter().map(|partition| self.table.query_after(partition, after, share)).collect();
        let pages: Vec<Vec<Item>> = stream::iter(pages).buffered(QUERIES_AT_ONCE).try_collect().await?;
        let cut_off = pages.iter().filter(|page| page.len() == share);
        let bound = cut_off.filter_map(|page| page.last()).map(|item| product_of(item).to_owned()).min();
        let mut items: Vec<Item> = pages.into_iter().flatten().collect();
        items.sort_by(|one, other| product_of(one).cmp(product_of(other)));
        items.retain(|item| bound.as_deref().is_none_or(|bound| product_of(item) <= bound));
        items.truncate(limit);
        Ok(items)
    }
}

fn to_text(content: &impl serde::Serialize) -> String {
    to_envelope(content).expect("records and refusals are plain data")
}

/// The partition of a bucket. The digest keeps scopes apart whatever characters their names have.
fn partition(scope: &LedgerScope, bucket: u64) -> String {
    let target = scope.target.to_string();
    let parts = [scope.shop_id.as_bytes(), target.as_bytes(), scope.index_name.as_bytes()];
    format!("{}#{}#{bucket:02}", scope.shop_id, &Digest::of_parts(parts).hex()[..16])
}

fn key(scope: &LedgerScope, product: &ProductId) -> Key {
    let bucket = Digest::of(product.as_str().as_bytes()).prefix() % BUCKETS;
    Key::new(partition(scope, bucket), product.as_str())
}

/// The product of an item, as its key says.
fn product_of(item: &Item) -> &str {
    item.text("sk").unwrap_or_default()
}

fn parse(item: &Item) -> Result<LedgerRecord, UnsupportedFormat> {
    LedgerRecord::from_stored(product_of(item), item.text(name::RECORD), item.text(name::REFUSAL))
}

/// The record of an item; none, with a warning, if a newer version of host or another program wrote it.
fn parse_listed(scope: &LedgerScope, item: &Item) -> Option<LedgerRecord> {
    let warn = |error: &UnsupportedFormat| {
        let LedgerScope { shop_id, index_name, .. } = scope;
        let (product, cause) = (product_of(item), chain(error));
        tracing::warn!(
            shop_id,
            index_name,
            product,
            cause,
            "left out a product that this version cannot read"
        );
    };
    parse(item).inspect_err(warn).ok()
}

#[async_trait]
impl Ledger for DynamoLedger {
    async fn get(
        &self,
        scope: &LedgerScope,
        products: &[ProductId],
    ) -> Result<Vec<Option<LedgerRecord>>, StoreError> {
        let keys: Vec<Key> = products.iter().map(|product| key(scope, product)).collect();
        let items = self.table.get_batch(&keys).await.map_err(|error| error.during(reading(scope)))?;
        let record = |(item, product): (&Option<Item>, &ProductId)| {
            let unsupported = |error| {
                TableError::unsupported(error).during(format!("{}: product {product}", reading(scope)))
            };
            item.as_ref().map(parse).transpose().map_err(unsupported)
        };
        items.iter().zip(products).map(record).collect()
    }

    async fn replace(&self, scope: &LedgerScope, changes: &[RecordChange]) -> Result<Vec<bool>, StoreError> {
        let replaced: Vec<_> = changes.iter().map(|change| self.replace_one(scope, change)).collect();
        let replaced = stream::iter(replaced).buffered(UPDATES_AT_ONCE).try_collect().await;
        replaced.map_err(|error: TableError| error.during(writing(scope)))
    }

    async fn refuse(
        &self,
        scope: &LedgerScope,
        refusals: &[(ProductId, LastRefusal)],
    ) -> Result<(), StoreError> {
        let keys: Vec<Key> = refusals.iter().map(|(product, _)| key(scope, product)).collect();
        let items = self.table.get_batch(&keys).await.map_err(|error| error.during(writing(scope)))?;
        let changed = refusals.iter().zip(items).zip(keys).filter(|((refusal, item), _)| {
            !refusal.1.repeats_stored(item.as_ref().and_then(|item| item.text(name::REFUSAL)))
        });
        // One by one: a batch of DynamoDB replaces whole items, and a worker may have written the product's record
        // meanwhile.
        let updates = changed.map(|(((_, refusal), _), key)| {
            Update::new(key)
                .set(name::SHOP_ID, scope.shop_id.as_str())
                .set(name::INDEX_NAME, scope.index_name.as_str())
                .set(name::REFUSAL, to_text(refusal))
        });
        let update = |update: Update| async move { self.table.update(&update).await.map(drop) };
        let updates: Vec<_> = updates.map(update).collect();
        let done: Result<(), _> = stream::iter(updates).buffer_unordered(UPDATES_AT_ONCE).try_collect().await;
        done.map_err(|error| error.during(writing(scope)))
    }

    async fn page(
        &self,
        scope: &LedgerScope,
        after: Option<&ProductId>,
        limit: usize,
    ) -> Result<Vec<LedgerRecord>, StoreError> {
        let mut after = after.map_or_else(String::new, ToString::to_string);
        loop {
            let items = self.items_after(scope, &after, limit).await;
            let items = items.map_err(|error| error.during(reading(scope)))?;
            let records: Vec<_> = items.iter().filter_map(|item| parse_listed(scope, item)).collect();
            // The caller takes an empty page for the end of the ledger.
            match items.last() {
                Some(last) if records.is_empty() => after = product_of(last).to_owned(),
                _ => return Ok(records),
            }
        }
    }

    /// Removes the shop's records of all indexes. Reads the whole table, because of an index whose jobs have expired
    /// only the records themselves tell.
    async fn remove_shop(&self, shop_id: &str, dry_run: bool) -> Result<u64, StoreError> {
        let during = |error: TableError| error.during(format!("removing the ledger of {shop_id}"));
        let (mut records, mut after) = (0, None);
        loop {
            let (keys, next) = self.table.scan(name::SHOP_ID, shop_id, after).await.map_err(during)?;
            records += keys.len() as u64;
            if !dry_run {
                self.table.delete_batch(&keys).await.map_err(during)?;
            }
            if next.is_none() {
                return Ok(records);
            }
            after = next;
        }
    }
}

fn reading(scope: &LedgerScope) -> String {
    format!("reading the ledger of index {} of {}", scope.index_name, scope.shop_id)
}

fn writing(scope: &LedgerScope) -> String {
    format!("writing the ledger of index {} of {}", scope.index_name, scope.shop_id)
}

#[cfg(test)]
mod tests {
    use super::*;
    use host_core::{clock::SystemClock, model::JobId};
    use jiff::Timestamp;
    use std::sync::Mutex;

    /// Records what is written.
    #[derive(Default)]
    struct Written(Mutex<Vec<Update>>);

    #[async_trait]
    impl Table for Written {
        async fn get(&self, _: &Key) -> Result<Option<Item>, TableError> {
            Ok(None)
        }

        async fn update(&self, update: &Update) -> Result<Updated, TableError> {
            self.0.lock().unwrap().push(update.clone());
            Ok(Updated::Applied(Item::default()))
        }

        async fn delete(&self, _: &Key) -> Result<bool, TableError> {
            Ok(false)
        }

        async fn delete_when(&self, _: &Key, _: &Condition) -> Result<bool, TableError> {
            Ok(false)
        }

        async fn query(&self, _: &str, _: &str, _: bool, _: Option<usize>) -> Result<Vec<Item>, TableError> {
            Ok(Vec::new())
        }
    }

    fn record(id: &str, state: ProductState) -> LedgerRecord {
        let job = JobId::new("job").unwrap();
        LedgerRecord { state, ..LedgerRecord::new(ProductId::new(id).unwrap(), job, Timestamp::UNIX_EPOCH) }
    }

    fn scope() -> LedgerScope {
        LedgerScope { shop_id: "shop".to_owned(), target: "marqo".into(), index_name: "products".to_owned() }
    }

    #[tokio::test]
    async fn only_tombstones_expire_and_later_than_any_message() {
        for (retention, days) in [(DAY, 30), (30 * DAY, 32), (90 * DAY, 92)] {
            let table = Arc::new(Written::default());
            let records = DynamoLedger::new(table.clone(), Arc::new(SystemClock), retention);
            let states =
                [ProductState::Live, ProductState::Refused, ProductState::Removed, ProductState::Absent];
            let changes = states.map(|state| RecordChange { before: None, after: record("1", state) });
            records.replace(&scope(), &changes).await.unwrap();
            let now = Timestamp::now().as_second();
            let expiry = |update: &Update| {
                let attribute = update.set.iter().find(|(name, _)| *name == name::EXPIRES_AT)?;
                let Value::Number(expiry) = attribute.1 else { panic!("{attribute:?}") };
                Some((expiry - now + 3_600) / 86_400)
            };
            let written = table.0.lock().unwrap();
            let expiries: Vec<_> = written.iter().map(expiry).collect();
            assert_eq!(expiries, [None, None, Some(days), Some(days)], "{retention:?}");
        }
    }

    #[test]
    fn products_are_spread_over_all_partitions() {
        let ids = (0..1_000).map(|n| ProductId::new(format!("gid://shopify/Product/{n}")).unwrap());
        let mut sizes = std::collections::BTreeMap::new();
        ids.for_each(|id| *sizes.entry(key(&scope(), &id).pk).or_insert(0) += 1);
        assert_eq!(sizes.len() as u64, BUCKETS);
        assert!(sizes.values().all(|size| (30..100).contains(size)), "{sizes:?}");
    }
}
