//! Two workers, each with its own connections, load overlapping products in different orders: no caller sees a
//! deadlock, and the highest version wins.

use host_core::{
    clock::{SharedClock, SystemClock},
    index::{Index, WriteTarget},
    model::{JobStatus, Operation},
    storage::Stores,
};
use host_index_catalog::Catalog;
use host_pipeline::worker::{RunUntil, Worker, WorkerSettings};
use host_testing::{
    build::{self, id},
    fakes::FakePlugin,
};
use serde_json::json;
use std::{sync::Arc, time::Duration};
use tokio_util::sync::CancellationToken;

const PRODUCTS: usize = 30;
const CHUNKS: u32 = 16;
const SHOP: &str = "overlap";

/// The version of a chunk's products, a day; each chunk has another one. The days do not ascend with the numbers of the
/// chunks: 7 and 16 have no common divisor.
fn at(chunk: u32) -> String {
    format!("2026-01-{:02}T00:00:00Z", 1 + (chunk * 7) % CHUNKS)
}

/// The lines of a chunk: all products in its version, in an order of its own.
fn text(number: u32) -> String {
    let at = at(number);
    let line = |product: usize| {
        let variants: Vec<_> = (0..3)
            .map(|n| json!({"id": format!("{n}-{number}"), "sku": at, "attributes": {"Size": at}}))
            .chain([json!({"id": "always", "sku": at})])
            .collect();
        json!({"_id": format!("p{product:02}"), "title": at, "updated_at": at, "variants": variants})
            .to_string()
    };
    let mut products: Vec<usize> = (0..PRODUCTS).collect();
    products.rotate_left(number as usize * 5 % PRODUCTS);
    if number.is_multiple_of(2) {
        products.reverse();
    }
    products.into_iter().map(|product| line(product) + "\n").collect()
}

/// Runs two workers, each on one of the `catalogs`, which are of the same database.
pub(crate) async fn the_highest_version_wins(stores: &Stores, catalogs: [Catalog; 2]) {
    // With real time, because a transaction that waits for a lock waits for another real transaction.
    let clock: SharedClock = Arc::new(SystemClock);
    let rules = Arc::new(FakePlugin::with_version_field("updated_at"));
    let settings = WorkerSettings {
        concurrency: 4,
        lease: Duration::from_secs(3_600),
        poll_interval: Duration::from_millis(20),
        shutdown_timeout: Duration::from_secs(20),
        stopped_after: Duration::from_secs(24 * 3_600),
        keep_chunks: false,
    };
    let jobs = [(); 2].map(|()| build::job(&*clock, SHOP));
    for (job, parity) in jobs.iter().zip([0, 1]) {
        // Each chunk is in its own lane, so that all may be handled concurrently.
        let texts: Vec<String> = (0..CHUNKS / 2).map(|n| text(2 * n + parity)).collect();
        let chunks: Vec<_> =
            (0..).zip(&texts).map(|(lane, text)| (lane, Operation::AddDocuments, &**text)).collect();
        build::publish(stores, job, &chunks).await;
    }
    let cancel = CancellationToken::new();
    let workers: Vec<_> = catalogs
        .iter()
        .zip(&jobs)
        .map(|(catalog, job)| {
            let (index, rules) = (Arc::new(catalog.clone()), rules.clone());
            let worker = Worker::new(stores.clone(), index, rules.clone(), rules, clock.clone(), settings);
            let (worker, until, cancel) =
                (Arc::new(worker), RunUntil::JobEnds(job.id.clone()), cancel.clone());
            tokio::spawn(async move { worker.run(SHOP, until, &cancel).await })
        })
        .collect();
    for worker in workers {
        worker.await.unwrap().unwrap();
    }
    let mut conflicts = 0;
    for job in &jobs {
        let ended = stores.jobs.get(&job.id).await.unwrap().unwrap();
        assert!(matches!(ended.status, JobStatus::Completed | JobStatus::Conflict), "{ended:?}");
        assert_eq!(ended.counts.total(), u64::from(CHUNKS / 2) * PRODUCTS as u64);
        conflicts += ended.counts.conflict;
    }
    eprintln!("{conflicts} documents came too late");
    let newest = (0..CHUNKS).max_by_key(|number| at(*number)).unwrap();
    let target = WriteTarget::of(&jobs[0]);
    for product in 0..PRODUCTS {
        let got = catalogs[0].get(&target, &id(&format!("p{product:02}"))).await.unwrap().unwrap();
        assert_eq!(got["title"], at(newest), "{got:?}");
        let variants = got["variants"].as_array().unwrap();
        assert_eq!(variants.len(), 4, "{got:?}");
        assert!(variants.iter().all(|variant| variant["sku"] == at(newest)), "{got:?}");
    }
}
