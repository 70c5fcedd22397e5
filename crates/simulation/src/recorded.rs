//! A storage that remembers the chunks that were ever written, since those of jobs that have ended are removed.

use crate::World;
use async_trait::async_trait;
use host_core::{
    model::{Digest, Job, JobId},
    storage::{Chunks, IngestGuard, JobRemover, Put, Storage, StoreError, Stores},
};
use std::{
    collections::HashMap,
    convert::Infallible,
    sync::{Arc, Mutex},
    time::Duration,
};

pub(crate) struct Recorded<W> {
    world: Arc<W>,
    chunks: Arc<RecordedChunks>,
}

struct RecordedChunks {
    chunks: Arc<dyn Chunks>,
    written: Mutex<HashMap<String, Vec<u8>>>,
}

impl<W: World> Recorded<W> {
    pub(crate) fn new(world: Arc<W>) -> Self {
        let chunks = world.storage().stores().chunks;
        Self { world, chunks: Arc::new(RecordedChunks { chunks, written: Mutex::default() }) }
    }

    /// A chunk that was written.
    pub(crate) fn written(&self, key: &str) -> String {
        String::from_utf8(self.chunks.written.lock().unwrap()[key].clone()).unwrap()
    }
}

#[async_trait]
impl<W: World> Storage for Recorded<W> {
    fn stores(&self) -> Stores {
        Stores { chunks: self.chunks.clone(), ..self.world.storage().stores() }
    }

    async fn register(&self) -> Result<(), StoreError> {
        self.world.storage().register().await
    }

    fn has_active_worker(&self) -> bool {
        self.world.storage().has_active_worker()
    }

    async fn has_active_ingest(&self, job: &Job) -> Result<bool, StoreError> {
        self.world.storage().has_active_ingest(job).await
    }

    async fn acquire_ingest(&self, job: &Job) -> Result<(Vec<JobId>, Box<dyn IngestGuard>), StoreError> {
        self.world.storage().acquire_ingest(job).await
    }

    async fn run_maintenance(&self) -> Infallible {
        self.world.storage().run_maintenance().await
    }

    fn job_remover(&self) -> Option<&dyn JobRemover> {
        self.world.storage().job_remover()
    }

    fn location(&self) -> String {
        self.world.storage().location()
    }

    fn poll_interval(&self) -> Option<Duration> {
        self.world.storage().poll_interval()
    }
}

#[async_trait]
impl Chunks for RecordedChunks {
    async fn put_if_absent(&self, key: &str, bytes: &[u8]) -> Result<Put, StoreError> {
        self.written.lock().unwrap().insert(key.to_owned(), bytes.to_vec());
        self.chunks.put_if_absent(key, bytes).await
    }

    async fn put(&self, key: &str, bytes: &[u8]) -> Result<(), StoreError> {
        self.chunks.put(key, bytes).await
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
