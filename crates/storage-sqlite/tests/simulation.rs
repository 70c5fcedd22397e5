//! Runs random schedules of syncs of shops over months of virtual time on a data directory (`host_simulation`).

#![allow(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

use host_simulation::{Pruned, run_schedules};
use host_storage_sqlite::SqliteStorage;
use std::{sync::Arc, time::Duration};

#[test]
fn the_index_has_the_newest_state_that_any_job_said() {
    let dir = tempfile::tempdir().unwrap();
    run_schedules(40, |clock| Pruned {
        storage: SqliteStorage::open(dir.path().join(clock.random().to_string()), clock.clone()).unwrap(),
        clock,
        // All processes share one clock, because they run on one machine.
        process: |storage, _| Arc::new(storage.clone()),
        // An empty queue is polled every 10 minutes of virtual time, so that months need few polls.
        poll_interval: Duration::from_secs(600),
    });
}
