//! What goes wrong between a worker and its services: calls that are refused, answers that are lost, calls that take
//! longer than a lease.

use super::intercepted::{QueueCall, QueueInterceptor, TableCall, TableInterceptor};
use async_trait::async_trait;
use host_core::{
    clock::SharedClock,
    index::{IndexError, Outcome},
    model::Digest,
    storage::{Chunks, Put, StoreError, StoreErrorKind},
};
use host_storage_aws::TableError;
use host_testing::fakes::{IndexCall, Interceptor};
use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

/// Decides what happens to each call, for as long as it is on.
pub(crate) struct Chaos {
    pub(crate) clock: SharedClock,
    pub(crate) is_on: AtomicBool,
    /// Number of calls so far.
    pub(crate) calls: AtomicU64,
}

impl Chaos {
    /// A random number from 0 below `of`.
    pub(crate) fn roll(&self, of: u64) -> u64 {
        self.clock.random() % of
    }

    /// Mostly some milliseconds, seldom longer than a lease.
    async fn delay(&self) {
        let millis = match self.roll(100) {
            0 => self.roll(90_000),
            1..6 => self.roll(5_000),
            _ => self.roll(40),
        };
        self.clock.sleep(Duration::from_millis(millis)).await;
    }

    /// Before a call: whether it is made.
    async fn begin<E>(&self, fails: impl Fn() -> E) -> Result<(), E> {
        self.calls.fetch_add(1, Relaxed);
        if !self.is_on.load(Relaxed) {
            // Time passes also where nothing goes wrong.
            self.clock.sleep(Duration::from_millis(1)).await;
            return Ok(());
        }
        self.delay_or_fail(fails).await
    }

    /// After a call: whether its answer arrives.
    async fn end<E>(&self, fails: impl Fn() -> E) -> Result<(), E> {
        if self.is_on.load(Relaxed) { self.delay_or_fail(fails).await } else { Ok(()) }
    }

    async fn delay_or_fail<E>(&self, fails: impl Fn() -> E) -> Result<(), E> {
        self.delay().await;
        if self.roll(25) == 0 { Err(fails()) } else { Ok(()) }
    }

    /// Makes a call, or not, and answers, or not.
    pub(crate) async fn call<T, E>(
        &self,
        call: impl Future<Output = Result<T, E>>,
        fails: impl Fn() -> E,
    ) -> Result<T, E> {
        self.begin(&fails).await?;
        let answer = call.await;
        self.end(&fails).await?;
        answer
    }
}

fn index_error() -> IndexError {
    IndexError { action: "calling".to_owned(), transient: true, source: "lost".into() }
}

#[async_trait]
impl Interceptor for Chaos {
    async fn before(&self, _: IndexCall<'_>) -> Result<(), IndexError> {
        self.begin(index_error).await
    }

    async fn after(&self, _: IndexCall<'_>, _: &[Outcome]) -> Result<(), IndexError> {
        self.end(index_error).await
    }
}

fn table_error() -> TableError {
    TableError { kind: StoreErrorKind::Transient, source: "lost".into() }
}

fn store_error() -> StoreError {
    StoreError { action: "calling".to_owned(), kind: StoreErrorKind::Transient, source: "lost".into() }
}

impl TableInterceptor for Chaos {
    async fn of_table<T: Send>(
        &self,
        _: TableCall<'_>,
        answer: impl Future<Output = Result<T, TableError>> + Send,
    ) -> Result<T, TableError> {
        self.call(answer, table_error).await
    }
}

impl QueueInterceptor for Chaos {
    async fn of_queue<T: Send>(
        &self,
        call: QueueCall<'_>,
        answer: impl Future<Output = Result<T, StoreError>> + Send,
    ) -> Result<T, StoreError> {
        if call.name == "depth" { answer.await } else { self.call(answer, store_error).await }
    }
}

/// Objects in memory.
pub(crate) struct ChaosChunks(pub(crate) Mutex<BTreeMap<String, Vec<u8>>>, pub(crate) Arc<Chaos>);

#[async_trait]
impl Chunks for ChaosChunks {
    async fn put_if_absent(&self, key: &str, bytes: &[u8]) -> Result<Put, StoreError> {
        let put = async {
            let mut objects = self.0.lock().unwrap();
            match objects.get(key) {
                Some(there) if there == bytes => return Ok(Put::AlreadyExists),
                Some(_) => return Ok(Put::ContentMismatch),
                None => {}
            }
            objects.insert(key.to_owned(), bytes.to_vec());
            Ok(Put::Created)
        };
        self.1.call(put, store_error).await
    }

    async fn put(&self, key: &str, bytes: &[u8]) -> Result<(), StoreError> {
        let put = async {
            self.0.lock().unwrap().insert(key.to_owned(), bytes.to_vec());
            Ok(())
        };
        self.1.call(put, store_error).await
    }

    async fn get(&self, key: &str, sha256: Option<Digest>) -> Result<Option<Vec<u8>>, StoreError> {
        let get = async {
            let bytes = self.0.lock().unwrap().get(key).cloned();
            match (&bytes, sha256) {
                (Some(bytes), Some(expected)) if Digest::of(bytes) != expected => {
                    Err(StoreError { kind: StoreErrorKind::Corrupt, ..store_error() })
                }
                _ => Ok(bytes),
            }
        };
        self.1.call(get, store_error).await
    }

    async fn delete(&self, key: &str) -> Result<(), StoreError> {
        self.0.lock().unwrap().remove(key);
        Ok(())
    }

    async fn delete_all(&self, keys: &[String]) -> Result<(), StoreError> {
        let delete = async {
            self.0.lock().unwrap().retain(|key, _| !keys.contains(key));
            Ok(())
        };
        self.1.call(delete, store_error).await
    }

    async fn remove_shop(&self, _: &str, _: bool) -> Result<u64, StoreError> {
        Err(store_error())
    }
}
