//! The processes of a schedule: each has a clock of its own, which may be wrong and jump, and one that ingests may crash.

use async_trait::async_trait;
use host_core::{
    clock::{Clock, SharedClock},
    storage::{Storage, StoreError},
};
use host_testing::fakes::{InterceptedStorage, StoreCall, StoreInterceptor, Subject};
use jiff::{SignedDuration, Timestamp};
use std::{
    collections::HashMap,
    future::pending,
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};
use tokio::sync::Notify;

/// A clock that is ahead or behind by some time, which may change.
#[derive(Debug)]
pub(crate) struct WrongClock {
    clock: SharedClock,
    offset: Mutex<SignedDuration>,
}

impl WrongClock {
    pub(crate) fn new(clock: &SharedClock, offset: SignedDuration) -> Arc<Self> {
        Arc::new(Self { clock: clock.clone(), offset: Mutex::new(offset) })
    }

    /// The clock jumps.
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

/// What happens to a process after it has begun or ended so many writes of objects.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Fate {
    pub(crate) crash: Option<u64>,
    pub(crate) jump: Option<(u64, SignedDuration)>,
}

/// All chunks that were ever written, since those of jobs that have ended are removed.
pub(crate) type WrittenChunks = Arc<Mutex<HashMap<String, Vec<u8>>>>;

/// A process, which crashes or whose clock jumps as it writes objects.
pub(crate) struct Process {
    written: WrittenChunks,
    clock: Arc<WrongClock>,
    fate: Mutex<(u64, Fate)>,
    crashed: Notify,
}

/// The storage as a process sees it.
pub(crate) type ProcessStorage = InterceptedStorage<Process>;

impl Process {
    /// The storage as a new process sees it.
    pub(crate) fn storage(
        storage: Arc<dyn Storage>,
        written: WrittenChunks,
        clock: Arc<WrongClock>,
        fate: Fate,
    ) -> ProcessStorage {
        let process = Self { written, clock, fate: Mutex::new((0, fate)), crashed: Notify::new() };
        InterceptedStorage { storage, interceptor: Arc::new(process) }
    }

    /// Its clock.
    pub(crate) fn clock(&self) -> SharedClock {
        self.clock.clone()
    }

    /// Completes when the process is to crash: what it does then never ends.
    pub(crate) async fn crashed(&self) {
        self.crashed.notified().await;
    }

    async fn survive(&self) {
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

impl StoreInterceptor for Process {
    async fn around<T: Send>(
        &self,
        call: StoreCall<'_>,
        answer: impl Future<Output = Result<T, StoreError>> + Send,
    ) -> Result<T, StoreError> {
        let Subject::Object(key, bytes) = call.subject else { return answer.await };
        self.survive().await;
        let put = answer.await?;
        if call.name == "chunks.put_if_absent" {
            self.written.lock().unwrap().insert(key.to_owned(), bytes.to_vec());
        }
        self.survive().await;
        Ok(put)
    }
}
