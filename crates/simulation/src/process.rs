//! The processes of a schedule: each has a clock of its own, which may be wrong and jump, and one that ingests may
//! crash.

use async_trait::async_trait;
use host_core::{
    clock::{Clock, SharedClock},
    model::{Digest, Job, JobId},
    storage::{Chunks, IngestGuard, JobRemover, Put, Storage, StoreError, Stores},
};
use jiff::{SignedDuration, Timestamp};
use std::{
    collections::HashMap,
    convert::Infallible,
    future::pending,
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};
use tokio::sync::Notify;

/// A clock that is ahead or behind by some time, which may change.
#[derive(Debug)]
pub(crate) struct WrongClock {
    clock: SharedClock,
    offset: Mutex<SignedDuration>,
}

impl WrongClock {
    pub(crate) fn new(clock: &SharedClock, offset: SignedDuration) -> Arc<Self> {
        Arc::new(Self { clock: clock.clone(), offset: Mutex::new(offset) })
    }

    /// The clock jumps.
    pub(crate) fn set(&self, offset: SignedDuration) {
        *self.offset.lock().unwrap() = offset;
    }

    pub(crate) fn offset(&self) -> SignedDuration {
        *self.offset.lock().unwrap()
    }
}

#[async_trait]
impl Clock for WrongClock {
    fn now(&self) -> Timestamp {
        self.clock.now() + self.offset()
    }

    async fn sleep(&self, duration: Duration) {
        self.clock.sleep(duration).await;
    }

    fn random(&self) -> u64 {
        self.clock.random()
    }
}

/// What happens to a process after it has begun or ended so many writes of objects.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Fate {
    pub(crate) crash: Option<u64>,
    pub(crate) jump: Option<(u64, SignedDuration)>,
}

/// All chunks that were ever written, since those of jobs that have ended are removed.
pub(crate) type WrittenChunks = Arc<Mutex<HashMap<String, Vec<u8>>>>;

/// The storage as a process sees it.
pub(crate) struct Process {
    storage: Arc<dyn Storage>,
    chunks: Arc<ProcessChunks>,
}

struct ProcessChunks {
    chunks: Arc<dyn Chunks>,
    written: WrittenChunks,
    clock: Arc<WrongClock>,
    fate: Mutex<(u64, Fate)>,
    crashed: Notify,
}

impl Process {
    pub(crate) fn new(
        storage: Arc<dyn Storage>,
        written: WrittenChunks,
        clock: Arc<WrongClock>,
        fate: Fate,
    ) -> Self {
        let (chunks, fate) = (storage.stores().chunks, Mutex::new((0, fate)));
        Self {
            storage,
            chunks: Arc::new(ProcessChunks { chunks, written, clock, fate, crashed: Notify::new() }),
        }
    }

    /// Its clock.
    pub(crate) fn clock(&self) -> SharedClock {
        self.chunks.clock.clone()
    }

    /// Completes when the process is to crash: what it does then never ends.
    pub(crate) async fn crashed(&self) {
        self.chunks.crashed.notified().await;
    }
}

impl ProcessChunks {
    async fn survive(&self) {
        let (step, fate) = {
            let mut fate: MutexGuard<'_, (u64, Fate)> = self.fate.lock().unwrap();
            fate.0 += 1;
            *fate
        };
        if let Some((_, offset)) = fate.jump.filter(|(at, _)| *at == step) {
            self.clock.set(offset);
        }
        if fate.crash == Some(step) {
            self.crashed.notify_one();
            pending::<()>().await;
        }
    }
}

#[async_trait]
impl Storage for Process {
    fn stores(&self) -> Stores {
        Stores { chunks: self.chunks.clone(), ..self.storage.stores() }
    }

    async fn register(&self) -> Result<(), StoreError> {
        self.storage.register().await
    }

    fn has_active_worker(&self) -> bool {
        self.storage.has_active_worker()
    }

    async fn has_active_ingest(&self, job: &Job) -> Result<bool, StoreError> {
        self.storage.has_active_ingest(job).await
    }

    async fn acquire_ingest(&self, job: &Job) -> Result<(Vec<JobId>, Box<dyn IngestGuard>), StoreError> {
        self.storage.acquire_ingest(job).await
    }

    async fn run_maintenance(&self) -> Infallible {
        self.storage.run_maintenance().await
    }

    fn job_remover(&self) -> Option<&dyn JobRemover> {
        self.storage.job_remover()
    }

    fn location(&self) -> String {
        self.storage.location()
    }

    fn poll_interval(&self) -> Option<Duration> {
        self.storage.poll_interval()
    }
}

#[async_trait]
impl Chunks for ProcessChunks {
    async fn put_if_absent(&self, key: &str, bytes: &[u8]) -> Result<Put, StoreError> {
        self.survive().await;
        let put = self.chunks.put_if_absent(key, bytes).await?;
        self.written.lock().unwrap().insert(key.to_owned(), bytes.to_vec());
        self.survive().await;
        Ok(put)
    }

    async fn put(&self, key: &str, bytes: &[u8]) -> Result<(), StoreError> {
        self.survive().await;
        self.chunks.put(key, bytes).await?;
        self.survive().await;
        Ok(())
    }

    async fn get(&self, key: &str, sha256: Option<Digest>) -> Result<Option<Vec<u8>>, StoreError> {
        self.chunks.get(key, sha256).await
    }

    async fn delete(&self, key: &str) -> Result<(), StoreError> {
        self.chunks.delete(key).await
    }

    async fn delete_all(&self, keys: &[String]) -> Result<(), StoreError> {
        self.chunks.delete_all(keys).await
    }

    async fn remove_shop(&self, shop_id: &str, dry_run: bool) -> Result<u64, StoreError> {
        self.chunks.remove_shop(shop_id, dry_run).await
    }
}
