//! What a worker does while there is nothing to do, each call being paid for, and how it leaves then.

use super::{
    MONTH,
    chaos::{Chaos, ChaosChunks, ChaosQueues},
    simulation::{index, worker},
    sqs, table,
};
use host_core::{clock::SharedClock, storage::Stores};
use host_storage_aws::{
    Names, QueueService, QueueSpec, breakers_on, jobs_on, ledger_on, queue_on, settings_on,
};
use host_testing::{
    VirtualClock,
    build::{MINUTE, chunk, job},
};
use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

const SHOPS: u32 = 100;
const MINUTES: u32 = 60;

/// Queues of shops, and a worker that works them all.
struct Harness {
    clock: SharedClock,
    chaos: Arc<Chaos>,
    table: Arc<table::Model>,
    stores: Stores,
    cancel: CancellationToken,
    working: JoinHandle<bool>,
}

impl Harness {
    async fn start(shops: impl IntoIterator<Item = String>) -> Self {
        let clock: SharedClock = Arc::new(VirtualClock::paused(1));
        let chaos = Arc::new(Chaos { clock: clock.clone(), is_on: false.into(), calls: AtomicU64::new(0) });
        let names = Names::new("test", None);
        let queues = Arc::new(sqs::Model::new(clock.clone()));
        for shop_id in shops {
            let name = names.queue(&shop_id);
            queues.create(&QueueSpec { name, shop_id, dead_letters: None }).await.unwrap();
        }
        let table = Arc::new(table::Model::default());
        let stores = Stores {
            chunks: Arc::new(ChaosChunks(Mutex::default(), chaos.clone())),
            queue: queue_on(Arc::new(ChaosQueues(queues, chaos.clone())), names, clock.clone()),
            jobs: jobs_on(table.clone(), clock.clone(), MONTH),
            settings: settings_on(table.clone()),
            ledger: ledger_on(Arc::new(table::Model::default()), clock.clone(), MONTH),
            breakers: breakers_on(table.clone()),
        };
        let worker = Arc::new(worker(stores.clone(), index(&chaos), &clock));
        let cancel = CancellationToken::new();
        let working = {
            let cancel = cancel.clone();
            tokio::spawn(async move { worker.run_all(None, &cancel).await.is_ok() })
        };
        Self { clock, chaos, table, stores, cancel, working }
    }
}

#[tokio::test(start_paused = true)]
async fn an_empty_queue_is_asked_three_times_a_minute() {
    let harness = Harness::start((0..SHOPS).map(|number| format!("shop-{number}"))).await;
    let calls = || harness.chaos.calls.load(Relaxed);
    // Finding the queues and looking into each for the first time.
    harness.clock.sleep(MINUTE).await;
    let before = calls();
    harness.clock.sleep(MINUTE * MINUTES).await;
    let calls = u32::try_from(calls() - before).unwrap();
    harness.cancel.cancel();
    assert!(harness.working.await.unwrap());
    // Twice a minute the list of all queues.
    let lists = 2 * MINUTES + 1;
    assert!(calls <= 3 * SHOPS * MINUTES + lists, "{calls} calls in {MINUTES} minutes");
    assert!(calls >= 2 * SHOPS * MINUTES, "{calls} calls: the queues are not waited at");
    assert_eq!(harness.table.spent(), table::Spent::default(), "the table is left alone");
}

#[tokio::test(start_paused = true)]
async fn who_leaves_gives_back_what_a_call_in_flight_brings() {
    let job = job(&VirtualClock::new(1), "example.myshopify.com");
    let harness = Harness::start([job.shop_id.clone()]).await;
    // In the middle of a call.
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
    assert_eq!(harness.table.spent(), table::Spent::default(), "work was begun");
}
