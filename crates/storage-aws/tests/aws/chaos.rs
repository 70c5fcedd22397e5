//! What goes wrong between a worker and its services: calls that are refused, answers that are lost, calls that take
//! longer than a lease.

use super::{sqs, table};
use async_trait::async_trait;
use host_core::{
    clock::SharedClock,
    index::{IndexError, Outcome},
    model::Digest,
    storage::{Chunks, Put, StoreError, StoreErrorKind},
};
use host_storage_aws::{
    Condition, Depth, Incoming, Item, Key, Outgoing, QueueService, QueueSpec, ReceiveRequest, Table,
    TableError, Update, Updated,
};
use host_testing::fakes::{IndexCall, Interceptor};
use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

/// Decides what happens to each call, for as long as it is on.
pub(crate) struct Chaos {
    pub(crate) clock: SharedClock,
    pub(crate) is_on: AtomicBool,
    /// Number of calls so far.
    pub(crate) calls: AtomicU64,
}

impl Chaos {
    /// A random number from 0 below `of`.
    pub(crate) fn roll(&self, of: u64) -> u64 {
        self.clock.random() % of
    }

    /// Mostly some milliseconds, seldom longer than a lease.
    async fn delay(&self) {
        let millis = match self.roll(100) {
            0 => self.roll(90_000),
            1..6 => self.roll(5_000),
            _ => self.roll(40),
        };
        self.clock.sleep(Duration::from_millis(millis)).await;
    }

    /// Before a call: whether it is made.
    async fn begin<E>(&self, fails: impl Fn() -> E) -> Result<(), E> {
        self.calls.fetch_add(1, Relaxed);
        if !self.is_on.load(Relaxed) {
            // Time passes also where nothing goes wrong.
            self.clock.sleep(Duration::from_millis(1)).await;
            return Ok(());
        }
        self.delay_or_fail(fails).await
    }

    /// After a call: whether its answer arrives.
    async fn end<E>(&self, fails: impl Fn() -> E) -> Result<(), E> {
        if self.is_on.load(Relaxed) { self.delay_or_fail(fails).await } else { Ok(()) }
    }

    async fn delay_or_fail<E>(&self, fails: impl Fn() -> E) -> Result<(), E> {
        self.delay().await;
        if self.roll(25) == 0 { Err(fails()) } else { Ok(()) }
    }

    /// Makes a call, or not, and answers, or not.
    pub(crate) async fn call<T, E>(
        &self,
        call: impl Future<Output = Result<T, E>>,
        fails: impl Fn() -> E,
    ) -> Result<T, E> {
        self.begin(&fails).await?;
        let answer = call.await;
        self.end(&fails).await?;
        answer
    }
}

fn index_error() -> IndexError {
    IndexError { action: "calling".to_owned(), transient: true, source: "lost".into() }
}

#[async_trait]
impl Interceptor for Chaos {
    async fn before(&self, _: IndexCall<'_>) -> Result<(), IndexError> {
        self.begin(index_error).await
    }

    async fn after(&self, _: IndexCall<'_>, _: &[Outcome]) -> Result<(), IndexError> {
        self.end(index_error).await
    }
}

pub(crate) struct ChaosTable(pub(crate) Arc<table::Model>, pub(crate) Arc<Chaos>);

fn table_error() -> TableError {
    TableError { kind: StoreErrorKind::Transient, source: "lost".into() }
}

fn store_error() -> StoreError {
    StoreError { action: "calling".to_owned(), kind: StoreErrorKind::Transient, source: "lost".into() }
}

#[async_trait]
impl Table for ChaosTable {
    async fn get(&self, key: &Key) -> Result<Option<Item>, TableError> {
        self.1.call(self.0.get(key), table_error).await
    }

    async fn update(&self, update: &Update) -> Result<Updated, TableError> {
        self.1.call(self.0.update(update), table_error).await
    }

    async fn delete(&self, key: &Key) -> Result<bool, TableError> {
        self.1.call(self.0.delete(key), table_error).await
    }

    async fn delete_when(&self, key: &Key, when: &Condition) -> Result<bool, TableError> {
        self.1.call(self.0.delete_when(key, when), table_error).await
    }

    async fn query(
        &self,
        pk: &str,
        prefix: &str,
        newest_first: bool,
        limit: Option<usize>,
    ) -> Result<Vec<Item>, TableError> {
        self.1.call(self.0.query(pk, prefix, newest_first, limit), table_error).await
    }
}

pub(crate) struct ChaosQueues(pub(crate) Arc<sqs::Model>, pub(crate) Arc<Chaos>);

#[async_trait]
impl QueueService for ChaosQueues {
    async fn find(&self, name: &str) -> Result<Option<String>, StoreError> {
        self.1.call(self.0.find(name), store_error).await
    }

    async fn create(&self, spec: &QueueSpec) -> Result<String, StoreError> {
        self.1.call(self.0.create(spec), store_error).await
    }

    async fn list(&self, prefix: &str) -> Result<Vec<(String, String)>, StoreError> {
        self.1.call(self.0.list(prefix), store_error).await
    }

    async fn send(&self, url: &str, message: &Outgoing) -> Result<bool, StoreError> {
        self.1.call(self.0.send(url, message), store_error).await
    }

    async fn receive(
        &self,
        url: &str,
        request: &ReceiveRequest,
    ) -> Result<Option<Vec<Incoming>>, StoreError> {
        self.1.call(self.0.receive(url, request), store_error).await
    }

    async fn change_visibility(
        &self,
        url: &str,
        handle: &str,
        visibility: Duration,
    ) -> Result<bool, StoreError> {
        self.1.call(self.0.change_visibility(url, handle, visibility), store_error).await
    }

    async fn delete(&self, url: &str, handle: &str) -> Result<bool, StoreError> {
        self.1.call(self.0.delete(url, handle), store_error).await
    }

    async fn shop(&self, url: &str) -> Result<Option<String>, StoreError> {
        self.1.call(self.0.shop(url), store_error).await
    }

    async fn depth(&self, url: &str) -> Result<Depth, StoreError> {
        self.0.depth(url).await
    }

    async fn remove(&self, url: &str) -> Result<(), StoreError> {
        self.1.call(self.0.remove(url), store_error).await
    }
}

/// Objects in memory.
pub(crate) struct ChaosChunks(pub(crate) Mutex<BTreeMap<String, Vec<u8>>>, pub(crate) Arc<Chaos>);

#[async_trait]
impl Chunks for ChaosChunks {
    async fn put_if_absent(&self, key: &str, bytes: &[u8]) -> Result<Put, StoreError> {
        let put = async {
            let mut objects = self.0.lock().unwrap();
            match objects.get(key) {
                Some(there) if there == bytes => return Ok(Put::AlreadyExists),
                Some(_) => return Ok(Put::ContentMismatch),
                None => {}
            }
            objects.insert(key.to_owned(), bytes.to_vec());
            Ok(Put::Created)
        };
        self.1.call(put, store_error).await
    }

    async fn put(&self, key: &str, bytes: &[u8]) -> Result<(), StoreError> {
        let put = async {
            self.0.lock().unwrap().insert(key.to_owned(), bytes.to_vec());
            Ok(())
        };
        self.1.call(put, store_error).await
    }

    async fn get(&self, key: &str, sha256: Option<Digest>) -> Result<Option<Vec<u8>>, StoreError> {
        let get = async {
            let bytes = self.0.lock().unwrap().get(key).cloned();
            match (&bytes, sha256) {
                (Some(bytes), Some(expected)) if Digest::of(bytes) != expected => {
                    Err(StoreError { kind: StoreErrorKind::Corrupt, ..store_error() })
                }
                _ => Ok(bytes),
            }
        };
        self.1.call(get, store_error).await
    }

    async fn delete(&self, key: &str) -> Result<(), StoreError> {
        self.0.lock().unwrap().remove(key);
        Ok(())
    }

    async fn delete_all(&self, keys: &[String]) -> Result<(), StoreError> {
        let delete = async {
            self.0.lock().unwrap().retain(|key, _| !keys.contains(key));
            Ok(())
        };
        self.1.call(delete, store_error).await
    }

    async fn remove_shop(&self, _: &str, _: bool) -> Result<u64, StoreError> {
        Err(store_error())
    }
}
