//! A storage in memory that is as strict as the ports allow, so that code that works on it relies on nothing that
//! another backend may refuse. The receipt of a delivery is void once the message is visible again or released, a
//! message that was sent is remembered for five minutes only, leases end exactly on time, and an ingest lease that was
//! dropped without a release lasts to its end.

use crate::conformance::Backend;
use async_trait::async_trait;
use host_core::{
    clock::SharedClock,
    model::{Job, JobId, ProductId},
    storage::{
        Breaker, BreakerScope, IngestGuard, JobRemover, LedgerScope, ShopRemoval, Storage, StoreError,
        StoreErrorKind, Stores,
    },
};
use std::{
    collections::{BTreeMap, HashMap},
    convert::Infallible,
    sync::{Arc, Mutex, MutexGuard, OnceLock},
    time::Duration,
};

mod breakers;
mod chunks;
mod jobs;
mod ledger;
mod lifecycle;
mod queue;
mod settings;

/// A process that works in the storage. Cheap to clone: all clones are the same process, which ends with the last of them.
#[derive(Clone)]
pub struct Memory {
    shared: Arc<SharedState>,
    registration: Arc<OnceLock<lifecycle::Registration>>,
}

/// What all processes share, as one of them sees it.
struct SharedState {
    /// The clock of the process.
    clock: SharedClock,
    /// The clock of the queues. As in SQS, it decides when messages are visible, whatever the processes' clocks say.
    queue_clock: SharedClock,
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    /// Chunks and reports, by key.
    objects: BTreeMap<String, Vec<u8>>,
    queues: queue::Queues,
    jobs: BTreeMap<JobId, jobs::JobRecord>,
    /// The last number that a job got, by shop and index.
    sequences: BTreeMap<(String, String), u64>,
    /// The shops, targets and indexes that jobs were created for.
    indexes: Vec<LedgerScope>,
    /// JSON texts, by name of the index.
    settings: BTreeMap<String, String>,
    ledgers: HashMap<LedgerScope, BTreeMap<ProductId, ledger::Stored>>,
    /// Circuit breakers that are open.
    breakers: BTreeMap<BreakerScope, Breaker>,
    /// Circuit breakers as they were cleared last.
    cleared_breakers: BTreeMap<BreakerScope, Breaker>,
    shop_removals: BTreeMap<String, ShopRemoval>,
    processes: lifecycle::Processes,
}

impl SharedState {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }
}

impl Memory {
    /// An empty storage.
    pub fn new(clock: SharedClock) -> Self {
        let shared = SharedState { clock: clock.clone(), queue_clock: clock, state: Arc::default() };
        Self { shared: Arc::new(shared), registration: Arc::default() }
    }

    /// Another process that works in the same storage.
    pub fn another_process(&self) -> Self {
        self.process_with_clock(self.shared.clock.clone())
    }

    /// Another process, with a clock of its own. The leases of its chunks end by that clock; messages become visible by
    /// the clock of the storage.
    pub fn process_with_clock(&self, clock: SharedClock) -> Self {
        let SharedState { queue_clock, state, .. } = &*self.shared;
        let shared = SharedState { clock, queue_clock: queue_clock.clone(), state: state.clone() };
        Self { shared: Arc::new(shared), registration: Arc::default() }
    }

    /// This storage as the conformance suites need it.
    pub fn backend(&self) -> Backend {
        Backend {
            stores: self.stores(),
            clock: self.shared.clock.clone(),
            insert_raw_settings: |backend, index_name, json| {
                let memory = backend.resources.downcast_ref::<Self>().unwrap();
                memory.shared.state().settings.insert(index_name.to_owned(), json.to_owned());
            },
            resources: Box::new(self.clone()),
        }
    }
}

#[async_trait]
impl Storage for Memory {
    fn stores(&self) -> Stores {
        Stores {
            chunks: self.shared.clone(),
            queue: self.shared.clone(),
            jobs: self.shared.clone(),
            settings: self.shared.clone(),
            ledger: self.shared.clone(),
            breakers: self.shared.clone(),
        }
    }

    async fn register(&self) -> Result<(), StoreError> {
        self.registration.get_or_init(|| lifecycle::Registration::new(self.shared.clone()));
        Ok(())
    }

    fn has_active_worker(&self) -> bool {
        self.shared.state().processes.has_worker()
    }

    async fn has_active_ingest(&self, job: &Job) -> Result<bool, StoreError> {
        Ok(self.shared.state().processes.has_ingest(job, self.shared.clock.now()))
    }

    async fn acquire_ingest(&self, job: &Job) -> Result<(Vec<JobId>, Box<dyn IngestGuard>), StoreError> {
        let guard = lifecycle::IngestLease::acquire(&self.shared, job).await;
        let superseded = self.stores().jobs.supersede(job).await?;
        Ok((superseded, Box::new(guard)))
    }

    /// Does nothing: the first process that registers after a crash releases what the crashed ones held.
    async fn run_maintenance(&self) -> Infallible {
        std::future::pending().await
    }

    fn job_remover(&self) -> Option<&dyn JobRemover> {
        Some(self)
    }

    fn location(&self) -> String {
        "memory".to_owned()
    }

    fn poll_interval(&self) -> Option<Duration> {
        None
    }
}

#[async_trait]
impl JobRemover for Memory {
    async fn may_be_worked(&self, job: &Job) -> Result<bool, StoreError> {
        let stores = self.stores();
        let has_ended = stores.jobs.get(&job.id).await?.is_none_or(|found| found.ended_at.is_some());
        Ok(!has_ended || self.shared.state().queues.has_messages_of(&job.id))
    }

    async fn remove_job(&self, job: &Job) -> Result<bool, StoreError> {
        if self.may_be_worked(job).await? {
            return Ok(false);
        }
        let mut state = self.shared.state();
        let folder = format!("{}/", job.folder());
        state.objects.retain(|key, _| !key.starts_with(&folder));
        state.jobs.remove(&job.id);
        Ok(true)
    }
}

/// An error that the same call meets again.
fn refused(action: &str, reason: String) -> StoreError {
    StoreError { action: action.to_owned(), kind: StoreErrorKind::Permanent, source: reason.into() }
}
