//! Runs the simulation on the storage in memory, which is the strictest: it allows nothing that a backend may refuse.

use host_simulation::{Pruned, run_schedules};
use host_testing::storage::Memory;
use std::{sync::Arc, time::Duration};

#[test]
fn the_index_has_the_newest_state_that_any_job_said() {
    run_schedules(5_000, |clock| Pruned {
        storage: Memory::new(clock.clone()),
        clock,
        process: |memory, clock| Arc::new(memory.process_with_clock(clock)),
        poll_interval: Duration::from_secs(60),
    });
}
