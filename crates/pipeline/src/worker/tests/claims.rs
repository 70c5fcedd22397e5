//! Test doubles: a job store whose claims fail, and a subscriber that keeps what is logged.

use async_trait::async_trait;
use host_core::{
    model::{ChunkRef, Digest, Job, JobId, Seal},
    storage::{
        AttemptError, ChunkLease, ChunkOutcome, Claim, Completion, JobSnapshot, Jobs, Release, ShopIndex,
        ShopRemoval, StoreError, StoreErrorKind,
    },
};
use std::{
    fmt,
    sync::{Arc, Mutex},
    time::Duration,
};
use tracing::{
    Event, Metadata, Subscriber,
    field::{Field, Visit},
    span,
};

/// How claims fail.
#[derive(Clone, Copy, Debug)]
pub(super) enum Failing {
    /// With an error of this kind.
    With(StoreErrorKind),
    ByPanic,
}

/// A job store whose claims fail while `failing` is set.
pub(super) struct FailingClaims {
    pub(super) jobs: Arc<dyn Jobs>,
    pub(super) failing: Mutex<Option<Failing>>,
    /// Number of claims so far.
    pub(super) claims: Mutex<usize>,
}

#[async_trait]
impl Jobs for FailingClaims {
    async fn claim(&self, id: &JobId, seq: u32, duration: Duration) -> Result<Claim, StoreError> {
        *self.claims.lock().unwrap() += 1;
        let failing = *self.failing.lock().unwrap();
        match failing {
            None => self.jobs.claim(id, seq, duration).await,
            Some(Failing::With(kind)) => {
                Err(StoreError { action: "claiming".to_owned(), kind, source: "the test says so".into() })
            }
            Some(Failing::ByPanic) => panic!("the test says so"),
        }
    }

    async fn create(&self, job: &Job) -> Result<Job, StoreError> {
        self.jobs.create(job).await
    }

    async fn find_unfinished(&self, shop_id: &str, fingerprint: Digest) -> Result<Option<Job>, StoreError> {
        self.jobs.find_unfinished(shop_id, fingerprint).await
    }

    async fn get(&self, id: &JobId) -> Result<Option<JobSnapshot>, StoreError> {
        self.jobs.get(id).await
    }

    async fn has_ended(&self, id: &JobId) -> Result<bool, StoreError> {
        self.jobs.has_ended(id).await
    }

    async fn list(&self, shop_id: Option<&str>, limit: usize) -> Result<Vec<JobSnapshot>, StoreError> {
        self.jobs.list(shop_id, limit).await
    }

    async fn list_open(&self, shop_id: Option<&str>, limit: usize) -> Result<Vec<JobSnapshot>, StoreError> {
        self.jobs.list_open(shop_id, limit).await
    }

    async fn supersede(&self, job: &Job) -> Result<Vec<JobId>, StoreError> {
        self.jobs.supersede(job).await
    }

    async fn cancel(&self, id: &JobId, message: &str) -> Result<bool, StoreError> {
        self.jobs.cancel(id, message).await
    }

    async fn record_error(&self, id: &JobId, error: &AttemptError) -> Result<(), StoreError> {
        self.jobs.record_error(id, error).await
    }

    async fn chunk(&self, id: &JobId, seq: u32) -> Result<Option<ChunkRef>, StoreError> {
        self.jobs.chunk(id, seq).await
    }

    async fn uncounted(&self, id: &JobId, limit: usize) -> Result<Vec<ChunkRef>, StoreError> {
        self.jobs.uncounted(id, limit).await
    }

    async fn add_chunk(&self, chunk: &ChunkRef) -> Result<(), StoreError> {
        self.jobs.add_chunk(chunk).await
    }

    async fn seal(&self, id: &JobId, seal: &Seal) -> Result<(), StoreError> {
        self.jobs.seal(id, seal).await
    }

    async fn renew(&self, lease: &ChunkLease, duration: Duration) -> Result<bool, StoreError> {
        self.jobs.renew(lease, duration).await
    }

    async fn release(&self, lease: &ChunkLease, release: Release<'_>) -> Result<bool, StoreError> {
        self.jobs.release(lease, release).await
    }

    async fn complete(&self, lease: &ChunkLease, outcome: &ChunkOutcome) -> Result<Completion, StoreError> {
        self.jobs.complete(lease, outcome).await
    }

    async fn redrive(&self, id: &JobId, seq: u32, redrive_count: u32) -> Result<Option<u32>, StoreError> {
        self.jobs.redrive(id, seq, redrive_count).await
    }

    async fn reports(&self, id: &JobId) -> Result<Vec<String>, StoreError> {
        self.jobs.reports(id).await
    }

    async fn indexes(&self, shop_id: &str) -> Result<Vec<ShopIndex>, StoreError> {
        self.jobs.indexes(shop_id).await
    }

    async fn shop_removal(&self, shop_id: &str) -> Result<Option<ShopRemoval>, StoreError> {
        self.jobs.shop_removal(shop_id).await
    }

    async fn put_shop_removal(&self, shop_id: &str, removal: &ShopRemoval) -> Result<(), StoreError> {
        self.jobs.put_shop_removal(shop_id, removal).await
    }

    async fn remove_shop(&self, shop_id: &str, dry_run: bool) -> Result<u64, StoreError> {
        self.jobs.remove_shop(shop_id, dry_run).await
    }
}

/// A `tracing` subscriber that keeps the messages of all events.
#[derive(Clone, Default)]
pub(super) struct Log(pub(super) Arc<Mutex<Vec<String>>>);

impl Visit for &Log {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        if field.name() == "message" {
            self.0.lock().unwrap().push(format!("{value:?}"));
        }
    }
}

impl Subscriber for Log {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
        span::Id::from_u64(1)
    }

    fn record(&self, _: &span::Id, _: &span::Record<'_>) {}

    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}

    fn event(&self, event: &Event<'_>) {
        event.record(&mut &*self);
    }

    fn enter(&self, _: &span::Id) {}

    fn exit(&self, _: &span::Id) {}
}
