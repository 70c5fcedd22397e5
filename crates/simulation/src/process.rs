//! The processes of a schedule. Each has a clock of its own, which may be wrong and may jump; one that ingests may
//! also crash, at a step between the writes of its objects.

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

/// A clock that is ahead of the right one by `offset`, or behind it if that is negative.
#[derive(Debug)]
pub(crate) struct WrongClock {
    clock: SharedClock,
    offset: Mutex<SignedDuration>,
}

impl WrongClock {
    /// `clock` is the right one.
    pub(crate) fn new(clock: &SharedClock, offset: SignedDuration) -> Arc<Self> {
        Arc::new(Self { clock: clock.clone(), offset: Mutex::new(offset) })
    }

    /// Has the clock jump.
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

/// What happens to a process. Each write of an object is two steps, its begin and its end, numbered from 1.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Fate {
    /// The step at which the process crashes.
    pub(crate) crash: Option<u64>,
    /// The step at which its clock jumps, and by how much it is wrong from then on.
    pub(crate) jump: Option<(u64, SignedDuration)>,
}

/// All chunks that were ever written, by their keys. The oracle needs them after the host has removed those of a job
/// that has ended.
pub(crate) type WrittenChunks = Arc<Mutex<HashMap<String, Vec<u8>>>>;

/// A process, which crashes or whose clock jumps as it writes objects.
pub(crate) struct Process {
    written: WrittenChunks,
    clock: Arc<WrongClock>,
    /// The number of steps so far, and what happens at which.
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

    /// The process's clock.
    pub(crate) fn clock(&self) -> SharedClock {
        self.clock.clone()
    }

    /// Returns when the process has reached the step at which it crashes. That step itself never returns, and the
    /// caller drops what the process was doing.
    pub(crate) async fn crashed(&self) {
        self.crashed.notified().await;
    }

    /// One step: the clock jumps, or the process crashes, if that is its fate.
    async fn take_step(&self) {
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
        self.take_step().await;
        let put = answer.await?;
        if call.name == "chunks.put_if_absent" {
            self.written.lock().unwrap().insert(key.to_owned(), bytes.to_vec());
        }
        self.take_step().await;
        Ok(put)
    }
}
