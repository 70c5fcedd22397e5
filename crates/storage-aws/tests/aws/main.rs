//! Tests of the storage on AWS: the conformance suites that every storage passes, and what AWS's stores alone promise.
//! They run on strict models of DynamoDB and SQS in memory (`table.rs`, `sqs.rs`), which decide what is right, and on a
//! stand-in: a local server that answers as AWS does.

#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests fail as tests do")]

mod bootstrap;
mod chaos;
mod completion;
mod costs;
mod envelopes;
mod expiry;
mod external;
mod forget;
mod idle;
mod intercepted;
mod lambda_event;
mod large;
mod metered;
mod needs_aws;
mod needs_dynoxide;
mod open_jobs;
mod record;
mod redrive;
mod shops;
mod simulation;
mod sqs;
mod stand_in;
mod status;
mod stopped;
mod sweep;
mod table;
mod terraform;
mod tombstones;
mod upgrade;
mod world;

use host_core::{
    clock::SharedClock,
    storage::{Storage, Stores},
};
use host_storage_aws::{
    Key, Names, Table, Update, breakers_on, jobs_on, ledger_on, queue_with_jobs_on, settings_on,
};
use host_testing::{VirtualClock, conformance::Backend, storage::Memory};
use std::{future::Future, sync::Arc, time::Duration};

const MONTH: Duration = Duration::from_secs(30 * 86_400);

/// Waits for a future in a function that is not asynchronous.
fn wait<T>(future: impl Future<Output = T>) -> T {
    tokio::task::block_in_place(|| tokio::runtime::Handle::current().block_on(future))
}

/// Writes the settings of an index as another version of host would.
async fn insert_raw(table: &dyn Table, index_name: &str, json: &str) {
    let key = Key::new("INDEX_SETTINGS", format!("INDEX#{index_name}"));
    let update = Update::new(key).set("index_name", index_name).set("settings", json);
    table.update(&update).await.unwrap();
}

/// A storage with everything but the chunks on models of AWS.
pub(crate) fn model() -> Backend {
    model_with(Arc::new(VirtualClock::new(1)))
}

pub(crate) fn model_with(clock: SharedClock) -> Backend {
    let (jobs, settings) = (Arc::new(table::Model::default()), Arc::new(table::Model::default()));
    let queues = Arc::new(sqs::Model::new(clock.clone()));
    Backend {
        stores: Stores {
            chunks: Memory::new(clock.clone()).stores().chunks,
            queue: queue_with_jobs_on(queues, jobs.clone(), Names::new("test", None), clock.clone(), MONTH),
            jobs: jobs_on(jobs, clock.clone(), MONTH),
            settings: settings_on(settings.clone()),
            ledger: ledger_on(Arc::new(table::Model::default()), clock.clone(), MONTH),
            breakers: breakers_on(Arc::new(table::Model::default())),
        },
        clock,
        insert_raw_settings: |backend, index_name, json| {
            let settings = backend.resources.downcast_ref::<Arc<table::Model>>().unwrap();
            wait(insert_raw(&**settings, index_name, json));
        },
        resources: Box::new(settings),
    }
}

mod on_models {
    use super::model;
    use host_testing::conformance::properties;

    host_testing::storage_tests!(model);

    #[test]
    fn counters_equal_a_recount_and_a_job_ends_once() {
        properties::counters_equal_a_recount_and_a_job_ends_once(model);
    }
}
