//! The schedules of shops over months on a data directory.

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
        // Processes of one machine have one clock.
        process: |storage, _| Arc::new(storage.clone()),
        // A poll takes as long as in reality.
        poll_interval: Duration::from_secs(600),
    });
}
