//! How a worker shuts down while it waits at an empty queue. `shops.rs` tests what an idle worker costs.

use super::{
    MONTH,
    chaos::{Chaos, ChaosChunks},
    intercepted::InterceptedQueues,
    simulation::{index, worker},
    sqs, table,
};
use host_core::{
    clock::SharedClock,
    model::{Job, JobStatus},
    storage::Stores,
};
use host_storage_aws::{
    Names, QueueService, QueueSpec, breakers_on, jobs_on, ledger_on, queue_with_jobs_on, settings_on,
};
use host_testing::{
    VirtualClock,
    build::{MINUTE, chunk, job},
};
use std::{
    sync::{Arc, Mutex, atomic::AtomicU64},
    time::Duration,
};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// The queue of a shop, and a worker for all shops.
struct Harness {
    clock: SharedClock,
    stores: Stores,
    cancel: CancellationToken,
    working: JoinHandle<bool>,
}

impl Harness {
    /// Starts the worker. The shop has an open job, so that the worker waits at its queue.
    async fn start(job: &Job) -> Self {
        let clock: SharedClock = Arc::new(VirtualClock::paused(1));
        let chaos = Arc::new(Chaos { clock: clock.clone(), is_on: false.into(), calls: AtomicU64::new(0) });
        let names = Names::new("test", None);
        let queues = Arc::new(sqs::Model::new(clock.clone()));
        let (name, shop_id) = (names.queue(&job.shop_id), job.shop_id.clone());
        queues.create(&QueueSpec { name, shop_id, dead_letters: None }).await.unwrap();
        let table = Arc::new(table::Model::default());
        let stores = Stores {
            chunks: Arc::new(ChaosChunks(Mutex::default(), chaos.clone())),
            queue: queue_with_jobs_on(
                Arc::new(InterceptedQueues(queues, chaos.clone())),
                table.clone(),
                names,
                clock.clone(),
                MONTH,
            ),
            jobs: jobs_on(table.clone(), clock.clone(), MONTH),
            settings: settings_on(table.clone()),
            ledger: ledger_on(Arc::new(table::Model::default()), clock.clone(), MONTH),
            breakers: breakers_on(table.clone()),
        };
        stores.jobs.create(job).await.unwrap();
        stores.jobs.add_chunk(&chunk(&job.id, 0, 0)).await.unwrap();
        let worker = Arc::new(worker(stores.clone(), index(&chaos), &clock));
        let cancel = CancellationToken::new();
        let working = {
            let cancel = cancel.clone();
            tokio::spawn(async move { worker.run_all(None, &cancel).await.is_ok() })
        };
        Self { clock, stores, cancel, working }
    }
}

#[tokio::test(start_paused = true)]
async fn a_worker_that_shuts_down_releases_the_message_of_a_call_in_flight() {
    let job = job(&VirtualClock::new(1), "example.myshopify.com");
    let harness = Harness::start(&job).await;
    // The worker is now in the middle of a call that waits for a message.
    harness.clock.sleep(MINUTE + Duration::from_secs(10)).await;
    harness.cancel.cancel();
    let cancelled_at = harness.clock.now();
    harness.clock.sleep(Duration::from_secs(1)).await;
    let queue = &harness.stores.queue;
    queue.send(&job, &chunk(&job.id, 0, 0), 0).await.unwrap();
    assert!(harness.working.await.unwrap());
    let took = harness.clock.now().duration_since(cancelled_at).unsigned_abs();
    assert!(took <= Duration::from_secs(21), "leaving took {took:?}");
    let received = queue.receive(&job.shop_id, 1, MINUTE).await.unwrap();
    assert_eq!(received.len(), 1, "the message is invisible, and no worker has it");
    let status = harness.stores.jobs.get(&job.id).await.unwrap().unwrap().status;
    assert_eq!(status, JobStatus::Pending, "work was begun");
}
