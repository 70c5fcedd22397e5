//! What a worker does while there is nothing to do: each call is paid for.

use super::{
    MONTH,
    chaos::{Chaos, ChaosChunks, ChaosQueues},
    simulation::{Shelf, VirtualEnv, worker},
    sqs, table,
};
use host::{
    env::SharedEnv,
    store::{
        Stores,
        aws::{Names, QueueService, QueueSpec, jobs_on, queue_on, settings_on},
    },
};
use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};
use tokio_util::sync::CancellationToken;

const SHOPS: u64 = 100;
const MINUTES: u64 = 60;

#[tokio::test(start_paused = true)]
async fn an_empty_queue_is_asked_three_times_a_minute() {
    let env: SharedEnv = Arc::new(VirtualEnv::new(1));
    let chaos = Arc::new(Chaos { env: env.clone(), is_on: false.into(), calls: AtomicU64::new(0) });
    let names = Names::new("test", None);
    let queues = Arc::new(sqs::Model::new(env.clone()));
    for number in 0..SHOPS {
        let shop_id = format!("shop-{number}");
        queues.create(&QueueSpec { name: names.queue(&shop_id), shop_id, dead_letters: None }).await.unwrap();
    }
    let table = Arc::new(table::Model::default());
    let stores = Stores {
        chunks: Arc::new(ChaosChunks(Mutex::default(), chaos.clone())),
        queue: queue_on(Arc::new(ChaosQueues(queues, chaos.clone())), names, env.clone()),
        jobs: jobs_on(table.clone(), env.clone(), MONTH),
        settings: settings_on(table.clone()),
    };
    let worker = Arc::new(worker(stores, Arc::new(Shelf::new("job", &chaos)), &env));
    let cancel = CancellationToken::new();
    let working = {
        let (worker, cancel) = (worker.clone(), cancel.clone());
        tokio::spawn(async move { worker.run_all(None, &cancel).await.is_ok() })
    };
    // Finding the queues and looking into each for the first time.
    env.sleep(Duration::from_secs(60)).await;
    let before = chaos.calls.load(Relaxed);
    env.sleep(Duration::from_secs(60 * MINUTES)).await;
    let calls = chaos.calls.load(Relaxed) - before;
    cancel.cancel();
    assert!(working.await.unwrap());
    // Twice a minute the list of all queues.
    let lists = 2 * MINUTES + 1;
    assert!(calls <= 3 * SHOPS * MINUTES + lists, "{calls} calls in {MINUTES} minutes");
    assert!(calls >= 2 * SHOPS * MINUTES, "{calls} calls: the queues are not waited at");
    assert_eq!(table.spent(), table::Spent::default(), "the table is left alone");
}
