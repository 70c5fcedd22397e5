//! What the stores need of DynamoDB: a few calls on single items, with updates and conditions as data. The client in
//! `dynamo.rs` turns them into DynamoDB's expressions; a table in memory, for tests, evaluates them itself.

use async_trait::async_trait;
use host_core::storage::{StoreError, StoreErrorKind, UnsupportedFormat};
use std::collections::{BTreeMap, BTreeSet};

mod batch;
mod dynamo;
mod expression;

pub use dynamo::Dynamo;

/// Largest item that is written. DynamoDB allows 400 KB, but bills each write of an item by its whole size.
pub(super) const MAX_ITEM_BYTES: usize = 64 << 10;

/// A value of an attribute, of the supported types.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// Text.
    Text(String),
    /// A whole number.
    Number(i64),
    /// A set of numbers, never empty.
    Numbers(BTreeSet<i64>),
}

impl Value {
    /// Its size as DynamoDB measures it, rounded up.
    pub fn size(&self) -> usize {
        // DynamoDB stores two digits in a byte, and up to two bytes more for each number.
        let number = |number: &i64| number.to_string().len() / 2 + 2;
        match self {
            Self::Text(text) => text.len(),
            Self::Number(value) => number(value),
            Self::Numbers(values) => 3 + values.iter().map(number).sum::<usize>(),
        }
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl From<i64> for Value {
    fn from(number: i64) -> Self {
        Self::Number(number)
    }
}

impl From<u32> for Value {
    fn from(number: u32) -> Self {
        Self::Number(number.into())
    }
}

impl From<u64> for Value {
    fn from(number: u64) -> Self {
        Self::Number(i64::try_from(number).unwrap_or(i64::MAX))
    }
}

/// The attributes of an item, key included.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Item(pub BTreeMap<String, Value>);

impl Item {
    /// A text; none if the attribute is absent or of another kind.
    pub fn text(&self, name: &str) -> Option<&str> {
        match self.0.get(name)? {
            Value::Text(text) => Some(text),
            _ => None,
        }
    }

    /// A number; none if the attribute is absent or of another kind.
    pub fn number(&self, name: &str) -> Option<i64> {
        match self.0.get(name)? {
            Value::Number(number) => Some(*number),
            _ => None,
        }
    }

    /// A set of numbers; empty if the attribute is absent.
    pub fn numbers(&self, name: &str) -> &BTreeSet<i64> {
        static NONE: BTreeSet<i64> = BTreeSet::new();
        match self.0.get(name) {
            Some(Value::Numbers(numbers)) => numbers,
            _ => &NONE,
        }
    }

    /// Whether the attribute is there.
    pub fn has(&self, name: &str) -> bool {
        self.0.contains_key(name)
    }

    /// Its size as DynamoDB measures it, rounded up.
    pub fn size(&self) -> usize {
        self.0.iter().map(|(name, value)| name.len() + value.size()).sum()
    }
}

/// The primary key of an item.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key {
    /// Partition key.
    pub pk: String,
    /// Sort key.
    pub sk: String,
}

impl Key {
    /// A key.
    pub fn new(pk: impl Into<String>, sk: impl Into<String>) -> Self {
        Self { pk: pk.into(), sk: sk.into() }
    }
}

/// A condition of an update (DynamoDB condition expression).
#[derive(Clone, Debug, PartialEq)]
pub enum Condition {
    /// The attribute is there.
    Exists(&'static str),
    /// The attribute is not there.
    Absent(&'static str),
    /// The attribute is there with this value.
    Equals(&'static str, Value),
    /// The attribute is there and below the number.
    Below(&'static str, i64),
    /// The attribute is there and not above the number.
    AtMost(&'static str, i64),
    /// The attribute is a number that is larger.
    MoreThan(&'static str, i64),
    /// The number is not in the set; also true if there is no set.
    NotContains(&'static str, i64),
    /// The number is in the set.
    Contains(&'static str, i64),
    /// All conditions of at least one of these lists hold.
    AnyOf(Vec<Vec<Condition>>),
}

/// An upsert of one item. Every caller makes it so that a repetition changes nothing: an addition is guarded by a
/// condition, or adds a member to a set.
#[derive(Clone, Debug, PartialEq)]
pub struct Update {
    /// The item.
    pub key: Key,
    /// Attributes that get a value.
    pub set: Vec<(&'static str, Value)>,
    /// Increments of numbers, or new members of sets; created if absent.
    pub add: Vec<(&'static str, Value)>,
    /// Members to delete from sets; the attribute is gone with the last one.
    pub delete: Vec<(&'static str, Value)>,
    /// Attributes to remove.
    pub remove: Vec<&'static str>,
    /// The conditions, which must all hold.
    pub when: Vec<Condition>,
}

impl Update {
    /// An empty update of an item.
    pub fn new(key: Key) -> Self {
        Self {
            key,
            set: Vec::new(),
            add: Vec::new(),
            delete: Vec::new(),
            remove: Vec::new(),
            when: Vec::new(),
        }
    }

    /// Sets an attribute.
    pub fn set(mut self, name: &'static str, value: impl Into<Value>) -> Self {
        self.set.push((name, value.into()));
        self
    }

    /// Increments a number.
    pub fn add(mut self, name: &'static str, value: impl Into<Value>) -> Self {
        self.add.push((name, value.into()));
        self
    }

    /// Puts a member into a set of numbers.
    pub fn add_member(mut self, name: &'static str, member: i64) -> Self {
        self.add.push((name, Value::Numbers(BTreeSet::from([member]))));
        self
    }

    /// Deletes a member of a set of numbers, if it is there.
    pub fn remove_member(mut self, name: &'static str, member: i64) -> Self {
        self.delete.push((name, Value::Numbers(BTreeSet::from([member]))));
        self
    }

    /// Removes an attribute.
    pub fn remove(mut self, name: &'static str) -> Self {
        self.remove.push(name);
        self
    }

    /// Adds a condition.
    pub fn when(mut self, condition: Condition) -> Self {
        self.when.push(condition);
        self
    }

    /// Rejects an item that would be larger than `MAX_ITEM_BYTES`.
    fn check_size(&self) -> Result<(), TableError> {
        let written = self.set.iter().chain(&self.add).map(|(name, value)| name.len() + value.size());
        let bytes = written.sum::<usize>() + self.key.pk.len() + self.key.sk.len();
        if bytes <= MAX_ITEM_BYTES {
            return Ok(());
        }
        let Key { pk, sk } = &self.key;
        Err(TableError {
            kind: StoreErrorKind::Permanent,
            source: format!("item {pk} {sk} would have {bytes} bytes; at most {MAX_ITEM_BYTES} are stored")
                .into(),
        })
    }
}

/// The result of an update.
#[derive(Clone, Debug, PartialEq)]
pub enum Updated {
    /// The item as it is now.
    Applied(Item),
    /// A condition did not hold; the item as it is, if it is there.
    ConditionFailed(Option<Item>),
}

/// A call of the table failed.
#[derive(Debug)]
pub struct TableError {
    /// What it means to the caller.
    pub kind: StoreErrorKind,
    /// What happened.
    pub source: Box<dyn std::error::Error + Send + Sync>,
}

impl TableError {
    /// The item cannot be decoded.
    pub fn corrupt(source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self { kind: StoreErrorKind::Corrupt, source: source.into() }
    }

    /// A newer version of host or another program wrote the item.
    pub fn unsupported(source: UnsupportedFormat) -> Self {
        Self { kind: StoreErrorKind::Unsupported, source: Box::new(source) }
    }

    /// A permanent error.
    pub fn permanent(source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self { kind: StoreErrorKind::Permanent, source: source.into() }
    }

    /// The failure of a store's call.
    pub fn during(self, action: impl Into<String>) -> StoreError {
        StoreError { action: action.into(), kind: self.kind, source: self.source }
    }
}

/// One table with a partition key `pk` and a sort key `sk`. Reads are strongly consistent.
#[async_trait]
pub trait Table: Send + Sync {
    /// The item; none if there is none.
    async fn get(&self, key: &Key) -> Result<Option<Item>, TableError>;

    /// Changes one item if the conditions hold, atomically.
    async fn update(&self, update: &Update) -> Result<Updated, TableError>;

    /// Removes an item; false if there is none.
    async fn delete(&self, key: &Key) -> Result<bool, TableError>;

    /// Removes an item if the condition holds, atomically; false otherwise.
    async fn delete_when(&self, key: &Key, when: &Condition) -> Result<bool, TableError>;

    /// The items of a partition whose sort key begins with `prefix`, by sort key: the first `limit`, or the last ones
    /// in falling order if `newest_first`.
    async fn query(
        &self,
        pk: &str,
        prefix: &str,
        newest_first: bool,
        limit: Option<usize>,
    ) -> Result<Vec<Item>, TableError>;

    /// The items of a partition after a sort key, by sort key, at most `limit`.
    async fn query_after(&self, pk: &str, after: &str, limit: usize) -> Result<Vec<Item>, TableError> {
        let mut items = self.query(pk, "", false, None).await?;
        items.retain(|item| item.text("sk").is_some_and(|sk| sk > after));
        items.truncate(limit);
        Ok(items)
    }

    /// Items by distinct keys, one entry each, in the order of the keys; one after another where there are no batches.
    async fn get_batch(&self, keys: &[Key]) -> Result<Vec<Option<Item>>, TableError> {
        let mut items = Vec::with_capacity(keys.len());
        for key in keys {
            items.push(self.get(key).await?);
        }
        Ok(items)
    }

    /// Removes items by their keys; one after another where there are no batches. After an error any of them may be
    /// gone.
    async fn delete_batch(&self, keys: &[Key]) -> Result<(), TableError> {
        for key in keys {
            self.delete(key).await?;
        }
        Ok(())
    }

    /// Keys of the items that have this text as an attribute, among one page of all items after `after`, and where the
    /// next page begins; none if it was the last. Reads the whole table, page by page: for what is done once in a
    /// shop's life.
    async fn scan(
        &self,
        _name: &'static str,
        _text: &str,
        _after: Option<Key>,
    ) -> Result<(Vec<Key>, Option<Key>), TableError> {
        Err(TableError::permanent("this table cannot be searched"))
    }
}
