//! Tests how large a data directory is after a year of syncs, and measures it. The figures in docs/guide.md come from
//! `HOST_TEST_CHUNKS=100 HOST_TEST_HOURS=1 HOST_TEST_DAYS=365 cargo test --release --test year -- --ignored --nocapture`.

#![allow(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

use host_core::{
    clock::{SharedClock, SystemClock},
    storage::Storage,
};
use host_pipeline::retention::{Retention, prune};
use host_simulation::{Figures, MONTH, Plan, Pruned, Size, run_year};
use host_storage_sqlite::SqliteStorage;
use host_testing::{VirtualClock, build};
use std::{
    fs,
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

/// Number and total size of all files in a folder and below it.
fn size(folder: &Path) -> Size {
    let mut size = Size::default();
    for entry in fs::read_dir(folder).unwrap() {
        let (path, found) = (entry.as_ref().unwrap().path(), entry.unwrap().metadata().unwrap());
        let found = match found.is_dir() {
            true => self::size(&path),
            false => Size { items: 1, bytes: found.len() },
        };
        size.items += found.items;
        size.bytes += found.bytes;
    }
    size
}

/// Syncs a shop on virtual time in a data directory, as the plan says; returns what the directory holds afterwards.
async fn year(dir: &Path, plan: Plan) -> Figures {
    let clock: SharedClock = Arc::new(VirtualClock::paused(1));
    let storage = SqliteStorage::open(dir, clock.clone()).unwrap();
    storage.register().await.unwrap();
    let world = Pruned {
        storage,
        clock: clock.clone(),
        process: |storage, _| Arc::new(storage.clone()),
        poll_interval: Duration::from_secs(1),
    };
    run_year(&world, &clock, plan, async || {
        world.storage.flush().await.unwrap();
        size(dir)
    })
    .await
}

#[tokio::test(start_paused = true)]
async fn after_a_year_of_syncs_a_directory_is_about_as_large_as_after_the_first_month() {
    let dir = tempfile::tempdir().unwrap();
    // Fewer syncs and chunks than in reality, since each chunk is synced to the disk.
    let plan = Plan { days: 365, hours: 24, chunks: 2, pins: true };
    let figures = year(dir.path(), plan).await;
    let Figures { first, largest, jobs, reports, redriven, replayable } = figures;
    assert!(largest.bytes < first.bytes * 5 / 4 && largest.items < first.items * 5 / 4, "{figures:?}");
    assert!((30..45).contains(&jobs) && reports >= jobs && redriven > 30, "{figures:?}");
    assert!(replayable > 30, "{figures:?}");
}

#[tokio::test(start_paused = true)]
#[ignore = "measures"]
async fn size_and_start_after_a_year_of_hourly_syncs() {
    let number = |name, default| std::env::var(name).map_or(default, |number| number.parse().unwrap());
    let (days, hours) = (number("HOST_TEST_DAYS", 45), number("HOST_TEST_HOURS", 1));
    let plan = Plan { days, hours, chunks: number("HOST_TEST_CHUNKS", 100), pins: true };
    let dir = tempfile::tempdir().unwrap();
    let began = Instant::now();
    let Figures { first, largest, jobs, .. } = year(dir.path(), plan).await;
    println!("{plan:?} in {:?}: {jobs} jobs stay; {first:?}, at most {largest:?}", began.elapsed());
    assert!(largest.bytes < 1 << 30, "{largest:?}");
    let began = Instant::now();
    let storage = SqliteStorage::open(dir.path(), Arc::new(SystemClock)).unwrap();
    storage.register().await.unwrap();
    println!("opened and registered in {:?}", began.elapsed());
    let job = build::job(&SystemClock, "tests.myshopify.com");
    storage.stores().jobs.find_unfinished(&job.shop_id, job.fingerprint).await.unwrap();
    let (_, guard) = storage.acquire_ingest(&job).await.unwrap();
    println!("ready to ingest after {:?}", began.elapsed());
    guard.release().await.unwrap();
    let (retention, remover) = (Retention { age: MONTH * 12, keep_chunks: false }, storage.job_remover());
    let now = build::job(&SystemClock, "").created_at;
    prune(&storage, remover.unwrap(), Some(&job.shop_id), now, retention, true).await.unwrap();
    println!("looked for old jobs after {:?}", began.elapsed());
}
