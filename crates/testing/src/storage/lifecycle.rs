//! The processes that work in the storage: registered workers, and ingests, of which a shop and index may have one at a
//! time.

use super::SharedState;
use async_trait::async_trait;
use host_core::{
    model::Job,
    storage::{IngestGuard, StoreError, latest_lease_end},
};
use jiff::Timestamp;
use std::{collections::BTreeMap, sync::Arc, time::Duration};

/// How long an ingest lease lasts after its holder ended without releasing it.
const INGEST_LEASE: Duration = Duration::from_secs(60);

/// Interval at which a waiting process checks whether the ingest lease is free.
const INGEST_POLL: Duration = Duration::from_secs(1);

/// Shop and index.
type IngestKey = (String, String);

fn ingest_key(job: &Job) -> IngestKey {
    (job.shop_id.clone(), job.index_name.clone())
}

/// The live processes.
#[derive(Default)]
pub(super) struct Processes {
    /// Number of registered workers.
    workers: usize,
    ingests: BTreeMap<IngestKey, Holder>,
}

/// The holder of an ingest lease.
enum Holder {
    Alive,
    /// It crashed, or dropped the guard; the lease ends at this time.
    Gone(Timestamp),
}

impl Processes {
    pub(super) fn has_worker(&self) -> bool {
        self.workers > 0
    }

    /// Whether an ingest lease of the job's shop and index is held.
    pub(super) fn has_ingest(&self, job: &Job, now: Timestamp) -> bool {
        match self.ingests.get(&ingest_key(job)) {
            Some(Holder::Alive) => true,
            Some(Holder::Gone(until)) => *until > now && *until <= latest_lease_end(now, INGEST_LEASE),
            None => false,
        }
    }
}

/// The registration of a process; dropping it says that the process has ended.
pub(super) struct Registration(Arc<SharedState>);

impl Registration {
    /// Registers a process. If it is the only one, it releases what processes that have ended still held.
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
    /// Waits until the lease is free, and takes it.
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
    /// Never completes: a living holder does not lose its lease.
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
