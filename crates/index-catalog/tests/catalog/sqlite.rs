//! A catalog in SQLite, in the file of a data directory.

use crate::backend::{Backend, catalog_tests, config};
use host_core::{clock::SharedClock, storage::Storage};
use host_index_catalog::Catalog;
use host_storage_sqlite::SqliteStorage;
use host_testing::{
    VirtualClock,
    conformance::{IndexBackend, properties},
};
use std::sync::Arc;

fn sqlite() -> Backend {
    let dir = tempfile::tempdir().unwrap();
    let clock: SharedClock = Arc::new(VirtualClock::new(1));
    let embedded = SqliteStorage::open(dir.path(), clock.clone()).unwrap();
    let catalog = Catalog::sqlite(embedded.database().clone(), &config((7, 20)), clock.clone());
    Backend::new(catalog, clock, Box::new(dir))
}

fn index() -> IndexBackend {
    sqlite().into_index()
}

/// Queue and jobs in the same file as the catalog, so that they wait for each other.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_workers_the_highest_version_wins() {
    let dir = tempfile::tempdir().unwrap();
    let clock: SharedClock = Arc::new(VirtualClock::new(1));
    let embedded = SqliteStorage::open(dir.path(), clock.clone()).unwrap();
    let catalog = Catalog::sqlite(embedded.database().clone(), &config((7, 20)), clock);
    crate::overlap::the_highest_version_wins(&embedded.stores(), [catalog.clone(), catalog]).await;
}

#[test]
fn a_catalog_equals_a_map() {
    properties::an_index_equals_a_map(index);
}

host_testing::index_tests!(index);
catalog_tests!(sqlite);
