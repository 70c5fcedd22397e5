//! Processes: workers and ingests.

use super::SharedState;
use async_trait::async_trait;
use host_core::{
    model::Job,
    storage::{IngestGuard, StoreError, latest_lease_end},
};
use jiff::Timestamp;
use std::{collections::BTreeMap, sync::Arc, time::Duration};

/// How long the ingest lease lasts that its holder can no longer release.
const INGEST_LEASE: Duration = Duration::from_secs(60);

/// How often a process checks whether the ingest lease is free.
const INGEST_POLL: Duration = Duration::from_secs(1);

/// Shop and index.
type IngestKey = (String, String);

fn ingest_key(job: &Job) -> IngestKey {
    (job.shop_id.clone(), job.index_name.clone())
}

/// The live processes.
#[derive(Default)]
pub(super) struct Processes {
    workers: usize,
    ingests: BTreeMap<IngestKey, Holder>,
}

/// The holder of an ingest lease.
enum Holder {
    Alive,
    /// It crashed, or dropped the guard; its lease ends then.
    Gone(Timestamp),
}

impl Processes {
    pub(super) fn has_worker(&self) -> bool {
        self.workers > 0
    }

    pub(super) fn has_ingest(&self, job: &Job, now: Timestamp) -> bool {
        match self.ingests.get(&ingest_key(job)) {
            Some(Holder::Alive) => true,
            Some(Holder::Gone(until)) => *until > now && *until <= latest_lease_end(now, INGEST_LEASE),
            None => false,
        }
    }
}

/// A process that works; it ends when this is dropped.
pub(super) struct Registration(Arc<SharedState>);

impl Registration {
    pub(super) fn new(shared: Arc<SharedState>) -> Self {
        {
            let state = &mut *shared.state();
            if !state.processes.has_worker() {
                state.queues.release_orphaned();
                state.jobs.values_mut().for_each(super::jobs::JobRecord::release_orphaned);
            }
            state.processes.workers += 1;
        }
        Self(shared)
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        self.0.state().processes.workers -= 1;
    }
}

/// The ingest lease of a shop and an index.
pub(super) struct IngestLease {
    shared: Arc<SharedState>,
    key: IngestKey,
}

impl IngestLease {
    pub(super) async fn acquire(shared: &Arc<SharedState>, job: &Job) -> Self {
        loop {
            {
                let processes = &mut shared.state().processes;
                if !processes.has_ingest(job, shared.clock.now()) {
                    processes.ingests.insert(ingest_key(job), Holder::Alive);
                    return Self { shared: shared.clone(), key: ingest_key(job) };
                }
            }
            shared.clock.sleep(INGEST_POLL).await;
        }
    }
}

#[async_trait]
impl IngestGuard for IngestLease {
    /// Its holder renews it for as long as it lives.
    async fn lost(&self) {
        std::future::pending::<()>().await;
    }

    async fn release(self: Box<Self>) -> Result<(), StoreError> {
        self.shared.state().processes.ingests.remove(&self.key);
        Ok(())
    }
}

impl Drop for IngestLease {
    fn drop(&mut self) {
        let until = self.shared.clock.now() + INGEST_LEASE;
        if let Some(holder) = self.shared.state().processes.ingests.get_mut(&self.key) {
            *holder = Holder::Gone(until);
        }
    }
}
