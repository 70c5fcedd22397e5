//! The threads that guests (instances of plug-ins) run on. A call into a guest is synchronous and CPU-bound, so that it
//! would block tokio's threads.

use crate::{
    instance::{Instance, START_CODE},
    load::Loaded,
};
use host_core::plugin::BatchFailure;
use std::{
    collections::HashMap,
    io,
    num::NonZeroUsize,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, Mutex, PoisonError},
    thread,
};
use tokio::sync::{mpsc, oneshot};

/// Threads for guests, shared by all plug-ins of a process. When the pool is dropped, each thread ends after its
/// current work; the drop does not wait for that, because a guest may run for minutes and a program that is told to end
/// must end sooner.
#[derive(Debug)]
pub struct Pool {
    sender: mpsc::Sender<Task>,
    threads: usize,
}

/// Work for a thread, which lends it the thread's instances.
type Task = Box<dyn FnOnce(&mut InstanceCache) + Send>;

/// The thread panicked, so the work was not completed.
#[derive(Debug)]
pub(super) struct WorkerPanicked;

/// The instances that a thread keeps between calls, one a plug-in.
#[derive(Default)]
pub(super) struct InstanceCache {
    /// By [`Loaded::id`].
    instances: HashMap<u64, Instance>,
}

impl InstanceCache {
    /// Lends an instance of a plug-in: the one that the thread keeps, or a new one. Afterwards the thread keeps it for
    /// the next call, unless it must be discarded.
    pub(super) fn with<T>(
        &mut self,
        plugin: &Loaded,
        work: impl FnOnce(&mut Instance) -> T,
    ) -> Result<T, BatchFailure> {
        // Removed for the duration of the work, so that a panic leaves no inconsistent instance.
        let mut instance = match self.instances.remove(&plugin.id) {
            Some(instance) => instance,
            None => self.start(plugin)?,
        };
        let result = work(&mut instance);
        if !instance.must_be_discarded(&plugin.limits) {
            self.instances.insert(plugin.id, instance);
        }
        Ok(result)
    }

    fn start(&mut self, plugin: &Loaded) -> Result<Instance, BatchFailure> {
        match Instance::new(plugin) {
            // Memory or address space may be used up by idle instances of other plug-ins: drop them and try again.
            Err(failure) if failure.code == START_CODE && !self.instances.is_empty() => {
                self.instances.clear();
                Instance::new(plugin)
            }
            started => started,
        }
    }
}

impl Pool {
    /// Starts a number of threads.
    pub fn new(threads: NonZeroUsize) -> io::Result<Arc<Self>> {
        // Bounded: a caller with more work waits, so that batches do not pile up in memory.
        let (sender, receiver) = mpsc::channel(threads.get());
        let receiver = Arc::new(Mutex::new(receiver));
        let spawn = |number| {
            let receiver = receiver.clone();
            thread::Builder::new().name(format!("plugin-{number}")).spawn(move || work(&receiver)).map(drop)
        };
        (0..threads.get()).try_for_each(spawn)?;
        Ok(Arc::new(Self { sender, threads: threads.get() }))
    }

    /// How many threads there are.
    pub fn threads(&self) -> usize {
        self.threads
    }

    /// Runs work on one of the threads. The work is skipped if the caller drops this future before the work begins.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut InstanceCache) -> T + Send + 'static,
    ) -> Result<T, WorkerPanicked> {
        let (sender, receiver) = oneshot::channel();
        let task: Task = Box::new(move |instances| {
            if !sender.is_closed() {
                // Fails if the future was dropped meanwhile: then the result is not needed.
                let _ = sender.send(work(instances));
            }
        });
        self.sender.send(task).await.map_err(|_| WorkerPanicked)?;
        receiver.await.map_err(|_| WorkerPanicked)
    }
}

/// What each thread does until the pool is dropped.
fn work(receiver: &Mutex<mpsc::Receiver<Task>>) {
    let mut instances = InstanceCache::default();
    loop {
        // One idle thread waits for a task while it holds the lock, the others wait for the lock.
        let task = receiver.lock().unwrap_or_else(PoisonError::into_inner).blocking_recv();
        let Some(task) = task else { return };
        // The instances may be in any state after a panic, so none of them is kept.
        if catch_unwind(AssertUnwindSafe(|| task(&mut instances))).is_err() {
            tracing::error!("a thread for plug-ins panicked; it continues with new instances");
            instances = InstanceCache::default();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pool(threads: usize) -> Arc<Pool> {
        Pool::new(NonZeroUsize::new(threads).unwrap()).unwrap()
    }

    #[tokio::test]
    async fn a_panic_fails_its_own_work_only() {
        let pool = pool(1);
        assert!(pool.run(|_| panic!("on purpose")).await.map(|(): ()| ()).is_err());
        assert_eq!(pool.run(|_| 7).await.unwrap(), 7);
    }

    #[tokio::test]
    async fn dropping_the_pool_does_not_wait_for_abandoned_work() {
        let pool = pool(1);
        let (begin, begun) = std::sync::mpsc::channel();
        let (end, ended) = std::sync::mpsc::channel::<()>();
        let (done, is_done) = std::sync::mpsc::channel();
        let mut answer = Box::pin(pool.run(move |_| {
            begin.send(()).unwrap();
            let _ = ended.recv();
            done.send(()).unwrap();
        }));
        assert!(futures::poll!(&mut answer).is_pending());
        begun.recv().unwrap();
        drop(answer);
        drop(pool);
        drop(end);
        is_done.recv().unwrap();
    }

    #[tokio::test]
    async fn all_threads_work_at_the_same_time() {
        let pool = pool(3);
        let barrier = Arc::new(std::sync::Barrier::new(3));
        let wait = || {
            let barrier = barrier.clone();
            pool.run(move |_| barrier.wait().is_leader())
        };
        let leaders: [_; 3] = tokio::join!(wait(), wait(), wait()).into();
        assert_eq!(leaders.into_iter().filter(|leader| matches!(leader, Ok(true))).count(), 1);
    }

    #[tokio::test]
    async fn abandoned_work_is_not_begun() {
        let pool = pool(1);
        let (started, wait) = std::sync::mpsc::channel::<()>();
        let busy = tokio::spawn({
            let pool = pool.clone();
            async move { pool.run(move |_| wait.recv()).await }
        });
        tokio::task::yield_now().await;
        let queued =
            tokio::time::timeout(std::time::Duration::from_millis(1), pool.run(|_| panic!("begun"))).await;
        assert!(queued.map(|done: Result<(), WorkerPanicked>| done.is_ok()).is_err());
        drop(started);
        assert!(busy.await.unwrap().unwrap().is_err());
        assert!(pool.run(|_| ()).await.is_ok());
    }
}
