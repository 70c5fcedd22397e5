//! Services that count what is asked of them, and how many requests are open at once.

use super::{sqs, table};
use async_trait::async_trait;
use host_core::{
    clock::SharedClock,
    model::Digest,
    storage::{Chunks, Put, StoreError},
};
use host_storage_aws::{
    Condition, Depth, Incoming, Item, Key, Outgoing, QueueService, QueueSpec, ReceiveRequest, Table,
    TableError, Update, Updated,
};
use std::{
    collections::BTreeSet,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

/// How long an answer takes.
const LATENCY: Duration = Duration::from_millis(5);

/// Queues in one answer to a list.
const QUEUES_A_PAGE: u64 = 1000;

pub(super) struct Meter {
    clock: SharedClock,
    open: AtomicU64,
    most_open: AtomicU64,
    pub(super) sqs: AtomicU64,
    pub(super) puts: AtomicU64,
    pub(super) gets: AtomicU64,
    /// Queues that were asked for anything but their depth.
    queues: Mutex<BTreeSet<String>>,
    /// How often the tags of a queue were asked for.
    pub(super) tags: AtomicU64,
}

impl Meter {
    pub(super) fn new(clock: SharedClock) -> Arc<Self> {
        let zero = || AtomicU64::new(0);
        let (open, most_open, sqs, puts, gets, tags) = (zero(), zero(), zero(), zero(), zero(), zero());
        Arc::new(Self { clock, open, most_open, sqs, puts, gets, queues: Mutex::default(), tags })
    }

    /// The most requests that were open at once since the last call.
    pub(super) fn most_open(&self) -> u64 {
        self.most_open.swap(0, Relaxed)
    }

    /// Queues that were asked for anything but their depth since the last call.
    pub(super) fn queues(&self) -> BTreeSet<String> {
        std::mem::take(&mut *self.queues.lock().unwrap())
    }

    async fn request<T>(&self, answer: impl Future<Output = T>) -> T {
        struct Open<'a>(&'a AtomicU64);
        impl Drop for Open<'_> {
            fn drop(&mut self) {
                self.0.fetch_sub(1, Relaxed);
            }
        }
        let open = self.open.fetch_add(1, Relaxed) + 1;
        let _open = Open(&self.open);
        self.most_open.fetch_max(open, Relaxed);
        self.clock.sleep(LATENCY).await;
        answer.await
    }

    async fn sqs<T>(&self, answer: impl Future<Output = T>) -> T {
        self.sqs.fetch_add(1, Relaxed);
        self.request(answer).await
    }

    async fn sqs_of<T>(&self, url: &str, answer: impl Future<Output = T>) -> T {
        self.queues.lock().unwrap().insert(url.to_owned());
        self.sqs(answer).await
    }
}

pub(super) struct MeteredTable(pub(super) Arc<table::Model>, pub(super) Arc<Meter>);

#[async_trait]
impl Table for MeteredTable {
    async fn get(&self, key: &Key) -> Result<Option<Item>, TableError> {
        self.1.request(self.0.get(key)).await
    }

    async fn update(&self, update: &Update) -> Result<Updated, TableError> {
        self.1.request(self.0.update(update)).await
    }

    async fn delete(&self, key: &Key) -> Result<bool, TableError> {
        self.1.request(self.0.delete(key)).await
    }

    async fn delete_when(&self, key: &Key, when: &Condition) -> Result<bool, TableError> {
        self.1.request(self.0.delete_when(key, when)).await
    }

    async fn query(
        &self,
        pk: &str,
        prefix: &str,
        newest_first: bool,
        limit: Option<usize>,
    ) -> Result<Vec<Item>, TableError> {
        self.1.request(self.0.query(pk, prefix, newest_first, limit)).await
    }

    async fn get_batch(&self, keys: &[Key]) -> Result<Vec<Option<Item>>, TableError> {
        self.1.request(self.0.get_batch(keys)).await
    }
}

pub(super) struct MeteredQueues(pub(super) Arc<sqs::Model>, pub(super) Arc<Meter>);

#[async_trait]
impl QueueService for MeteredQueues {
    async fn find(&self, name: &str) -> Result<Option<String>, StoreError> {
        self.1.sqs_of(name, self.0.find(name)).await
    }

    async fn create(&self, spec: &QueueSpec) -> Result<String, StoreError> {
        self.1.sqs_of(&spec.name, self.0.create(spec)).await
    }

    async fn list(&self, prefix: &str) -> Result<Vec<(String, String)>, StoreError> {
        let listed = self.1.sqs(self.0.list(prefix)).await?;
        self.1.sqs.fetch_add((listed.len() as u64).div_ceil(QUEUES_A_PAGE).saturating_sub(1), Relaxed);
        Ok(listed)
    }

    async fn shop(&self, url: &str) -> Result<Option<String>, StoreError> {
        self.1.tags.fetch_add(1, Relaxed);
        self.1.sqs_of(url, self.0.shop(url)).await
    }

    async fn send(&self, url: &str, message: &Outgoing) -> Result<bool, StoreError> {
        self.1.sqs_of(url, self.0.send(url, message)).await
    }

    async fn receive(
        &self,
        url: &str,
        request: &ReceiveRequest,
    ) -> Result<Option<Vec<Incoming>>, StoreError> {
        self.1.sqs_of(url, self.0.receive(url, request)).await
    }

    async fn change_visibility(
        &self,
        url: &str,
        handle: &str,
        visibility: Duration,
    ) -> Result<bool, StoreError> {
        self.1.sqs_of(url, self.0.change_visibility(url, handle, visibility)).await
    }

    async fn delete(&self, url: &str, handle: &str) -> Result<bool, StoreError> {
        self.1.sqs_of(url, self.0.delete(url, handle)).await
    }

    async fn depth(&self, url: &str) -> Result<Depth, StoreError> {
        self.1.sqs(self.0.depth(url)).await
    }

    async fn remove(&self, url: &str) -> Result<(), StoreError> {
        self.1.sqs_of(url, self.0.remove(url)).await
    }
}

pub(super) struct MeteredChunks(pub(super) Arc<dyn Chunks>, pub(super) Arc<Meter>);

#[async_trait]
impl Chunks for MeteredChunks {
    async fn put_if_absent(&self, key: &str, bytes: &[u8]) -> Result<Put, StoreError> {
        self.1.puts.fetch_add(1, Relaxed);
        self.1.request(self.0.put_if_absent(key, bytes)).await
    }

    async fn put(&self, key: &str, bytes: &[u8]) -> Result<(), StoreError> {
        self.1.puts.fetch_add(1, Relaxed);
        self.1.request(self.0.put(key, bytes)).await
    }

    async fn get(&self, key: &str, sha256: Option<Digest>) -> Result<Option<Vec<u8>>, StoreError> {
        self.1.gets.fetch_add(1, Relaxed);
        self.1.request(self.0.get(key, sha256)).await
    }

    async fn delete(&self, key: &str) -> Result<(), StoreError> {
        self.1.request(self.0.delete(key)).await
    }

    async fn delete_all(&self, keys: &[String]) -> Result<(), StoreError> {
        self.1.request(self.0.delete_all(keys)).await
    }

    async fn remove_shop(&self, shop_id: &str, dry_run: bool) -> Result<u64, StoreError> {
        self.0.remove_shop(shop_id, dry_run).await
    }
}
