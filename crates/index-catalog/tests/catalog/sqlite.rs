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

pub(crate) fn sqlite() -> Backend {
    let dir = tempfile::tempdir().unwrap();
    let clock: SharedClock = Arc::new(VirtualClock::new(1));
    let embedded = SqliteStorage::open(dir.path(), clock.clone()).unwrap();
    let (database, of_catalog) = (embedded.database().clone(), clock.clone());
    let open = move |config: &_| Catalog::sqlite(database.clone(), config, of_catalog.clone());
    Backend::new(&config(SMALL), open, clock, Box::new(dir))
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

/// The test goes back to schema 11, the last one with a single column of words.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn products_of_an_older_version_are_found() {
    let backend = sqlite();
    let path = backend.resources.downcast_ref::<tempfile::TempDir>().unwrap().path().join("host.db");
    let file = || rusqlite::Connection::open(&path).unwrap();
    let downgrade = async || {
        file()
            .execute_batch(
                "DROP TABLE product_words;
                CREATE VIRTUAL TABLE product_words USING fts5 (
                    text, content = '', contentless_delete = 1, tokenize = 'unicode61 remove_diacritics 2'
                );
                INSERT INTO product_words (rowid, text) SELECT id, title FROM products;
                DROP INDEX products_by_search_config;
                ALTER TABLE products DROP COLUMN search_config;
                ALTER TABLE job DROP COLUMN archive_refused;
                PRAGMA user_version = 11;",
            )
            .unwrap();
    };
    let upgrade = async || drop(host_sqlite::Database::open(&path).unwrap());
    crate::search::products_of_an_older_version_are_found(&backend, downgrade, upgrade).await;
}

#[test]
fn a_catalog_equals_a_map() {
    properties::an_index_equals_a_map(index);
}

host_testing::index_tests!(index);
catalog_tests!(sqlite);
