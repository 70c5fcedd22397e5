//! Runs all checks of a catalog on SQLite, in the file of a data directory.

use crate::backend::{Backend, catalog_tests, config};
use host_core::{clock::SharedClock, storage::Storage};
use host_index_catalog::Catalog;
use host_storage_sqlite::SqliteStorage;
use host_testing::{
    VirtualClock,
    conformance::{IndexBackend, properties},
};
use std::sync::Arc;

/// Maximum complexity and number of rows of a transaction, so small that most writes need several transactions.
const SMALL: (usize, usize) = (7, 20);

fn sqlite() -> Backend {
    let dir = tempfile::tempdir().unwrap();
    let clock: SharedClock = Arc::new(VirtualClock::new(1));
    let embedded = SqliteStorage::open(dir.path(), clock.clone()).unwrap();
    let catalog = Catalog::sqlite(embedded.database().clone(), &config(SMALL), clock.clone());
    Backend::new(catalog, clock, Box::new(dir))
}

fn index() -> IndexBackend {
    sqlite().into_index()
}

/// Queue and jobs are in the same file as the catalog, so that their transactions wait for each other.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_workers_the_highest_version_wins() {
    let dir = tempfile::tempdir().unwrap();
    let clock: SharedClock = Arc::new(VirtualClock::new(1));
    let embedded = SqliteStorage::open(dir.path(), clock.clone()).unwrap();
    let catalog = Catalog::sqlite(embedded.database().clone(), &config(SMALL), clock);
    crate::overlap::the_highest_version_wins(&embedded.stores(), [catalog.clone(), catalog]).await;
}

#[test]
fn a_catalog_equals_a_map() {
    properties::an_index_equals_a_map(index);
}

host_testing::index_tests!(index);
catalog_tests!(sqlite);
