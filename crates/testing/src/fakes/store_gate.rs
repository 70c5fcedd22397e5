//! Something before every call of the stores.

use async_trait::async_trait;
use host_core::{
    model::{ChunkRef, Digest, Job, JobId, LastRefusal, LedgerRecord, ProductId, Seal},
    storage::{
        AttemptError, Backlog, Breaker, BreakerScope, Breakers, ChunkLease, ChunkOutcome, Chunks, Claim,
        Cleared, Completion, DeadLetter, Delivery, IndexDocument, IngestGuard, JobRemover, JobSnapshot, Jobs,
        LeasedDeadLetter, Ledger, LedgerScope, Put, QuarantineReason, Queue, Receipt, RecordChange, Release,
        Settings, ShopIndex, ShopRemoval, Storage, StoreError, StoreErrorKind, Stores, UnreadableMessage,
    },
};
use std::{
    convert::Infallible,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering::Relaxed},
    },
    time::Duration,
};

/// Runs before each call of a store, which has a name such as `jobs.add_chunk`; an error is the answer, and the call is not made.
pub type StoreGate = Arc<dyn Fn(&'static str) -> Result<(), StoreError> + Send + Sync>;

/// A gate that refuses the first calls of this name, and the number of such calls so far.
pub fn refuse_first(call: &'static str, failures: u32, kind: StoreErrorKind) -> (StoreGate, Arc<AtomicU32>) {
    let count = Arc::new(AtomicU32::new(0));
    let counted = count.clone();
    let gate = move |name: &'static str| {
        if name != call || counted.fetch_add(1, Relaxed) >= failures {
            return Ok(());
        }
        Err(StoreError { action: name.to_owned(), kind, source: "as the test says".into() })
    };
    (Arc::new(gate), count)
}

/// The same stores behind a gate.
pub fn gated(stores: Stores, gate: StoreGate) -> Stores {
    let Stores { chunks, queue, jobs, settings, ledger, breakers } = stores;
    Stores {
        chunks: Arc::new(Gated { store: chunks, gate: gate.clone() }),
        queue: Arc::new(Gated { store: queue, gate: gate.clone() }),
        jobs: Arc::new(Gated { store: jobs, gate: gate.clone() }),
        settings: Arc::new(Gated { store: settings, gate: gate.clone() }),
        ledger: Arc::new(Gated { store: ledger, gate: gate.clone() }),
        breakers: Arc::new(Gated { store: breakers, gate }),
    }
}

struct Gated<T: ?Sized> {
    store: Arc<T>,
    gate: StoreGate,
}

/// Implements a port by asking the gate and then the store.
macro_rules! gate {
    ($port:ident as $prefix:literal {
        $($method:ident($($argument:ident: $type:ty),*) -> $result:ty;)*
    } $($other:item)?) => {
        #[async_trait]
        impl $port for Gated<dyn $port> {
            $(async fn $method(&self, $($argument: $type),*) -> Result<$result, StoreError> {
                (self.gate)(concat!($prefix, ".", stringify!($method)))?;
                self.store.$method($($argument),*).await
            })*
            $($other)?
        }
    };
}

gate!(Chunks as "chunks" {
    put_if_absent(key: &str, bytes: &[u8]) -> Put;
    put(key: &str, bytes: &[u8]) -> ();
    get(key: &str, sha256: Option<Digest>) -> Option<Vec<u8>>;
    delete(key: &str) -> ();
    delete_all(keys: &[String]) -> ();
    remove_shop(shop_id: &str, dry_run: bool) -> u64;
});

gate!(Jobs as "jobs" {
    create(job: &Job) -> Job;
    find_unfinished(shop_id: &str, fingerprint: Digest) -> Option<Job>;
    get(id: &JobId) -> Option<JobSnapshot>;
    has_ended(id: &JobId) -> bool;
    list(shop_id: Option<&str>, limit: usize) -> Vec<JobSnapshot>;
    list_open(shop_id: Option<&str>, limit: usize) -> Vec<JobSnapshot>;
    supersede(job: &Job) -> Vec<JobId>;
    cancel(id: &JobId, message: &str) -> bool;
    record_error(id: &JobId, error: &AttemptError) -> ();
    chunk(id: &JobId, seq: u32) -> Option<ChunkRef>;
    uncounted(id: &JobId, limit: usize) -> Vec<ChunkRef>;
    add_chunk(chunk: &ChunkRef) -> ();
    seal(id: &JobId, seal: &Seal) -> ();
    claim(id: &JobId, seq: u32, duration: Duration) -> Claim;
    renew(lease: &ChunkLease, duration: Duration) -> bool;
    release(lease: &ChunkLease, release: Release<'_>) -> bool;
    complete(lease: &ChunkLease, outcome: &ChunkOutcome) -> Completion;
    redrive(id: &JobId, seq: u32, redrive_count: u32) -> Option<u32>;
    reports(id: &JobId) -> Vec<String>;
    indexes(shop_id: &str) -> Vec<ShopIndex>;
    shop_removal(shop_id: &str) -> Option<ShopRemoval>;
    put_shop_removal(shop_id: &str, removal: &ShopRemoval) -> ();
    remove_shop(shop_id: &str, dry_run: bool) -> u64;
});

gate!(Queue as "queue" {
    send(job: &Job, chunk: &ChunkRef, redrive_count: u32) -> ();
    receive(shop_id: &str, max: usize, visibility: Duration) -> Vec<Delivery>;
    long_poll(shop_id: &str, visibility: Duration, wait_time: Duration) -> Option<Delivery>;
    shops() -> Vec<String>;
    ready_shops(visibility: Duration) -> Vec<String>;
    change_visibility(receipt: &Receipt, visibility: Duration) -> bool;
    release(receipt: &Receipt, delay: Duration) -> bool;
    ack(receipt: &Receipt) -> bool;
    dead_letter(receipt: &Receipt, reason: &QuarantineReason) -> bool;
    expedite(shop_id: &str) -> bool;
    depth(shop_id: &str) -> u64;
    backlog(shop_ids: &[String], others: bool) -> Backlog;
    dead_letters(shop_id: &str) -> Vec<DeadLetter>;
    unreadable(shop_id: &str) -> Vec<UnreadableMessage>;
    receive_dead_letters(shop_id: &str, visibility: Duration) -> Vec<LeasedDeadLetter>;
    resend(dead_letter: &DeadLetter) -> bool;
    remove_shop(shop_id: &str, dry_run: bool) -> u64;
} fn receive_limit(&self) -> Option<u32> {
    self.store.receive_limit()
});

gate!(Settings as "settings" {
    get(index_name: &str) -> Option<IndexDocument>;
    put(index_name: &str, document: &IndexDocument) -> ();
    list() -> Vec<String>;
    delete(index_name: &str) -> bool;
});

gate!(Ledger as "ledger" {
    get(scope: &LedgerScope, products: &[ProductId]) -> Vec<Option<LedgerRecord>>;
    replace(scope: &LedgerScope, changes: &[RecordChange]) -> Vec<bool>;
    refuse(scope: &LedgerScope, refusals: &[(ProductId, LastRefusal)]) -> ();
    page(scope: &LedgerScope, after: Option<&ProductId>, limit: usize) -> Vec<LedgerRecord>;
    remove_shop(shop_id: &str, dry_run: bool) -> u64;
});

gate!(Breakers as "breakers" {
    get(scope: &BreakerScope) -> Option<Breaker>;
    replace(expected: Option<&Breaker>, breaker: &Breaker) -> bool;
    close(scope: &BreakerScope, cleared: Cleared) -> Option<Breaker>;
    list(shop_id: Option<&str>) -> Vec<Breaker>;
    last_cleared(shop_id: &str) -> Vec<Breaker>;
    remove_shop(shop_id: &str) -> ();
});

/// A storage behind a gate, which also asks before `storage.acquire_ingest`.
pub struct GatedStorage<S> {
    /// The storage.
    pub storage: S,
    /// What is asked before each call.
    pub gate: StoreGate,
}

#[async_trait]
impl<S: Storage> Storage for GatedStorage<S> {
    fn stores(&self) -> Stores {
        gated(self.storage.stores(), self.gate.clone())
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
        (self.gate)("storage.acquire_ingest")?;
        self.storage.acquire_ingest(job).await
    }

    async fn run_maintenance(&self) -> Infallible {
        self.storage.run_maintenance().await
    }

    async fn flush(&self) -> Result<(), StoreError> {
        self.storage.flush().await
    }

    async fn erase(&self) -> Result<(), StoreError> {
        self.storage.erase().await
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
