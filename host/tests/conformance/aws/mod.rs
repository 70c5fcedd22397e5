//! The checks on AWS's stores: on strict models in memory, which decide, and on a server that stands in for AWS.

mod chaos;
mod completion;
mod idle;
mod large;
mod needs_aws;
mod needs_dynoxide;
mod redrive;
mod simulation;
mod sqs;
mod stand_in;
mod sweep;
mod table;
mod terraform;

use crate::{clock::Clock, embedded::embedded, make::Backend};
use host_core::{clock::SharedEnv, storage::Stores};
use host_storage_aws::{Key, Names, Table, Update, jobs_on, queue_on, settings_on};
use std::{future::Future, sync::Arc, time::Duration};

const MONTH: Duration = Duration::from_secs(30 * 86_400);

/// Waits in a check that is not asynchronous.
fn wait<T>(future: impl Future<Output = T>) -> T {
    tokio::task::block_in_place(|| tokio::runtime::Handle::current().block_on(future))
}

/// The item of an index's settings, as a host of another version would write it.
async fn plant(table: &dyn Table, index_name: &str, json: &str) {
    let key = Key::new("INDEX_SETTINGS", format!("INDEX#{index_name}"));
    let update = Update::of(key).set("index_name", index_name).set("settings", json);
    table.update(&update).await.unwrap();
}

/// Everything but chunks on models.
pub(crate) fn model() -> Backend {
    let env: SharedEnv = Arc::new(Clock::new(1));
    let (jobs, settings) = (Arc::new(table::Model::default()), Arc::new(table::Model::default()));
    let queues = Arc::new(sqs::Model::new(env.clone()));
    let embedded = embedded();
    Backend {
        stores: Stores {
            chunks: embedded.stores.chunks.clone(),
            queue: queue_on(queues, Names::new("test", None), env.clone()),
            jobs: jobs_on(jobs, env.clone(), MONTH),
            settings: settings_on(settings.clone()),
        },
        index: embedded.index,
        catalog: None,
        env,
        plant_settings: |backend, index_name, json| {
            let keep = &backend.keep;
            let (settings, _) =
                keep.downcast_ref::<(Arc<table::Model>, Box<dyn std::any::Any + Send + Sync>)>().unwrap();
            wait(plant(&**settings, index_name, json));
        },
        keep: Box::new((settings, embedded.keep)),
    }
}

mod on_models {
    use super::model;
    use crate::checks::checks_of_stores;

    checks_of_stores!(model);
}
