//! Something around every call of the stores.

use async_trait::async_trait;
use host_core::{
    model::{ArchiveRefused, ChunkRef, Digest, Job, JobId, LastRefusal, LedgerRecord, ProductId, Seal},
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

/// A call of a store.
#[derive(Clone, Copy, Debug)]
pub struct StoreCall<'a> {
    /// The name of the port and the method, such as `jobs.add_chunk`.
    pub name: &'static str,
    /// What it is about.
    pub subject: Subject<'a>,
}

/// What a call of a store is about, as far as a test asks.
#[derive(Clone, Copy, Debug)]
pub enum Subject<'a> {
    /// Not known.
    Unknown,
    /// The object that is written.
    Object(&'a str, &'a [u8]),
    /// Number of records that are read or changed, or the most of a page.
    Records(usize),
}

/// Watches, delays or fails the calls of stores: it makes each by awaiting `answer`, or does not make it.
pub trait StoreInterceptor: Send + Sync {
    /// Runs around a call.
    fn around<T: Send>(
        &self,
        call: StoreCall<'_>,
        answer: impl Future<Output = Result<T, StoreError>> + Send,
    ) -> impl Future<Output = Result<T, StoreError>> + Send;
}

/// Runs before each call of a store, with its name; an error is the answer, and the call is not made.
pub type StoreGate = Arc<dyn Fn(&'static str) -> Result<(), StoreError> + Send + Sync>;

impl<F: Fn(&'static str) -> Result<(), StoreError> + Send + Sync + ?Sized> StoreInterceptor for F {
    async fn around<T: Send>(
        &self,
        call: StoreCall<'_>,
        answer: impl Future<Output = Result<T, StoreError>> + Send,
    ) -> Result<T, StoreError> {
        self(call.name)?;
        answer.await
    }
}

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

/// The same stores behind an interceptor.
pub fn intercepted<I: StoreInterceptor + ?Sized + 'static>(stores: Stores, interceptor: Arc<I>) -> Stores {
    let Stores { chunks, queue, jobs, settings, ledger, breakers } = stores;
    Stores {
        chunks: Arc::new(InterceptedStore { store: chunks, interceptor: interceptor.clone() }),
        queue: Arc::new(InterceptedStore { store: queue, interceptor: interceptor.clone() }),
        jobs: Arc::new(InterceptedStore { store: jobs, interceptor: interceptor.clone() }),
        settings: Arc::new(InterceptedStore { store: settings, interceptor: interceptor.clone() }),
        ledger: Arc::new(InterceptedStore { store: ledger, interceptor: interceptor.clone() }),
        breakers: Arc::new(InterceptedStore { store: breakers, interceptor }),
    }
}

struct InterceptedStore<P: ?Sized, I: ?Sized> {
    store: Arc<P>,
    interceptor: Arc<I>,
}

/// Implements a port by asking the interceptor to make the store's call.
macro_rules! intercept {
    ($port:ident as $prefix:literal {
        $($method:ident($($argument:ident: $type:ty),*) -> $result:ty $(as $subject:expr)?;)*
    } $($other:item)?) => {
        #[async_trait]
        impl<I: StoreInterceptor + ?Sized> $port for InterceptedStore<dyn $port, I> {
            $(async fn $method(&self, $($argument: $type),*) -> Result<$result, StoreError> {
                #[allow(unused_mut, unused_assignments, reason = "few calls name their subject")]
                let mut subject = Subject::Unknown;
                $(subject = $subject;)?
                let call = StoreCall { name: concat!($prefix, ".", stringify!($method)), subject };
                self.interceptor.around(call, self.store.$method($($argument),*)).await
            })*
            $($other)?
        }
    };
}

intercept!(Chunks as "chunks" {
    put_if_absent(key: &str, bytes: &[u8]) -> Put as Subject::Object(key, bytes);
    put(key: &str, bytes: &[u8]) -> () as Subject::Object(key, bytes);
    get(key: &str, sha256: Option<Digest>) -> Option<Vec<u8>>;
    delete(key: &str) -> ();
    delete_all(keys: &[String]) -> ();
    remove_shop(shop_id: &str, dry_run: bool) -> u64;
});

intercept!(Jobs as "jobs" {
    create(job: &Job) -> Job;
    find_unfinished(shop_id: &str, fingerprint: Digest) -> Option<Job>;
    get(id: &JobId) -> Option<JobSnapshot>;
    has_ended(id: &JobId) -> bool;
    list(shop_id: Option<&str>, limit: usize) -> Vec<JobSnapshot>;
    list_open(shop_id: Option<&str>, limit: usize) -> Vec<JobSnapshot>;
    supersede(job: &Job) -> Vec<JobId>;
    cancel(id: &JobId, message: &str) -> bool;
    record_error(id: &JobId, error: &AttemptError) -> ();
    record_archiving(id: &JobId, refused: Option<&ArchiveRefused>) -> ();
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

intercept!(Queue as "queue" {
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

intercept!(Settings as "settings" {
    get(index_name: &str) -> Option<IndexDocument>;
    put(index_name: &str, document: &IndexDocument) -> ();
    list() -> Vec<String>;
    delete(index_name: &str) -> bool;
});

intercept!(Ledger as "ledger" {
    get(scope: &LedgerScope, products: &[ProductId]) -> Vec<Option<LedgerRecord>>
        as Subject::Records(products.len());
    replace(scope: &LedgerScope, changes: &[RecordChange]) -> Vec<bool> as Subject::Records(changes.len());
    refuse(scope: &LedgerScope, refusals: &[(ProductId, LastRefusal)]) -> ();
    page(scope: &LedgerScope, after: Option<&ProductId>, limit: usize) -> Vec<LedgerRecord>
        as Subject::Records(limit);
    remove_shop(shop_id: &str, dry_run: bool) -> u64;
});

intercept!(Breakers as "breakers" {
    get(scope: &BreakerScope) -> Option<Breaker>;
    replace(expected: Option<&Breaker>, breaker: &Breaker) -> bool;
    close(scope: &BreakerScope, cleared: Cleared) -> Option<Breaker>;
    list(shop_id: Option<&str>) -> Vec<Breaker>;
    last_cleared(shop_id: &str) -> Vec<Breaker>;
    remove_shop(shop_id: &str) -> ();
});

/// A storage behind an interceptor, which also makes `storage.acquire_ingest`.
pub struct InterceptedStorage<I: ?Sized> {
    /// The storage.
    pub storage: Arc<dyn Storage>,
    /// What makes each call.
    pub interceptor: Arc<I>,
}

#[async_trait]
impl<I: StoreInterceptor + ?Sized + 'static> Storage for InterceptedStorage<I> {
    fn stores(&self) -> Stores {
        intercepted(self.storage.stores(), self.interceptor.clone())
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
        let call = StoreCall { name: "storage.acquire_ingest", subject: Subject::Unknown };
        self.interceptor.around(call, self.storage.acquire_ingest(job)).await
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
