//! Services that count what is asked of them, and how many requests are open at once.

use super::intercepted::{QueueCall, QueueInterceptor, TableCall, TableInterceptor};
use host_core::{clock::SharedClock, storage::StoreError};
use host_storage_aws::TableError;
use host_testing::fakes::{StoreCall, StoreInterceptor};
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
}

impl TableInterceptor for Meter {
    async fn of_table<T: Send>(
        &self,
        _: TableCall<'_>,
        answer: impl Future<Output = Result<T, TableError>> + Send,
    ) -> Result<T, TableError> {
        self.request(answer).await
    }
}

impl QueueInterceptor for Meter {
    async fn of_queue<T: Send>(
        &self,
        call: QueueCall<'_>,
        answer: impl Future<Output = Result<T, StoreError>> + Send,
    ) -> Result<T, StoreError> {
        self.sqs.fetch_add(1, Relaxed);
        self.tags.fetch_add(u64::from(call.name == "shop"), Relaxed);
        let queue = call.queue.filter(|_| call.name != "depth").map(str::to_owned);
        self.queues.lock().unwrap().extend(queue);
        self.request(answer).await
    }

    fn listed(&self, queues: usize) {
        self.sqs.fetch_add((queues as u64).div_ceil(QUEUES_A_PAGE).saturating_sub(1), Relaxed);
    }
}

impl StoreInterceptor for Meter {
    async fn around<T: Send>(
        &self,
        call: StoreCall<'_>,
        answer: impl Future<Output = Result<T, StoreError>> + Send,
    ) -> Result<T, StoreError> {
        match call.name {
            "chunks.put" | "chunks.put_if_absent" => _ = self.puts.fetch_add(1, Relaxed),
            "chunks.get" => _ = self.gets.fetch_add(1, Relaxed),
            _ => {}
        }
        self.request(answer).await
    }
}
