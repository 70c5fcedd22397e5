//! The processes of a schedule. Each has a clock of its own, which may be wrong and may jump; one that ingests may
//! also crash, at a step between the writes of its objects.

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

/// A clock that is ahead of the right one by `offset`, or behind it if that is negative.
#[derive(Debug)]
pub(crate) struct WrongClock {
    clock: SharedClock,
    offset: Mutex<SignedDuration>,
}

impl WrongClock {
    /// `clock` is the right one.
    pub(crate) fn new(clock: &SharedClock, offset: SignedDuration) -> Arc<Self> {
        Arc::new(Self { clock: clock.clone(), offset: Mutex::new(offset) })
    }

    /// Has the clock jump.
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

/// What happens to a process. Each write of an object is two steps, its begin and its end, numbered from 1.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Fate {
    /// The step at which the process crashes.
    pub(crate) crash: Option<u64>,
    /// The step at which its clock jumps, and by how much it is wrong from then on.
    pub(crate) jump: Option<(u64, SignedDuration)>,
}

/// All chunks that were ever written, by their keys. The oracle needs them after the host has removed those of a job
/// that has ended.
pub(crate) type WrittenChunks = Arc<Mutex<HashMap<String, Vec<u8>>>>;

/// The storage as one process of the schedule sees it.
pub(crate) struct Process {
    storage: Arc<dyn Storage>,
    chunks: Arc<ProcessChunks>,
}

/// The process's chunk store, whose writes are the steps at which it crashes.
struct ProcessChunks {
    chunks: Arc<dyn Chunks>,
    written: WrittenChunks,
    clock: Arc<WrongClock>,
    /// The number of steps so far, and what happens at which.
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

    /// The process's clock.
    pub(crate) fn clock(&self) -> SharedClock {
        self.chunks.clock.clone()
    }

    /// Returns when the process has reached the step at which it crashes. That step itself never returns, and the
    /// caller drops what the process was doing.
    pub(crate) async fn crashed(&self) {
        self.chunks.crashed.notified().await;
    }
}

impl ProcessChunks {
    /// One step: the clock jumps, or the process crashes, if that is its fate.
    async fn take_step(&self) {
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
        self.take_step().await;
        let put = self.chunks.put_if_absent(key, bytes).await?;
        self.written.lock().unwrap().insert(key.to_owned(), bytes.to_vec());
        self.take_step().await;
        Ok(put)
    }

    async fn put(&self, key: &str, bytes: &[u8]) -> Result<(), StoreError> {
        self.take_step().await;
        self.chunks.put(key, bytes).await?;
        self.take_step().await;
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
