//! The checks on the embedded backend.

use crate::{
    checks::{checks_of_catalogs, checks_of_chunks, checks_of_stores},
    clock::Clock,
    make::Backend,
};
use host_core::clock::SharedEnv;
use host_core::storage::Storage;
use host_index_catalog::{Catalog, CatalogConfig};
use host_storage_sqlite::Embedded;
use std::sync::Arc;
use tempfile::TempDir;

/// A catalog's settings with these bounds of a transaction: complexity and rows.
pub(crate) fn config((complexity, rows): (usize, usize)) -> CatalogConfig {
    CatalogConfig {
        batch_complexity: complexity.try_into().unwrap(),
        batch_rows: rows.try_into().unwrap(),
        ..CatalogConfig::default()
    }
}

pub(crate) fn embedded() -> Backend {
    let dir = tempfile::tempdir().unwrap();
    let env: SharedEnv = Arc::new(Clock::new(1));
    let embedded = Embedded::open(dir.path(), env.clone()).unwrap();
    let clock = Arc::new(host_core::clock::RealEnv);
    let catalog = Catalog::sqlite(embedded.database().clone(), &config((7, 20)), clock);
    Backend {
        stores: embedded.stores(),
        index: Arc::new(catalog.clone()),
        catalog: Some(catalog),
        env,
        plant_settings,
        keep: Box::new(dir),
    }
}

fn plant_settings(backend: &Backend, index_name: &str, json: &str) {
    let dir = backend.keep.downcast_ref::<TempDir>().unwrap();
    let file = rusqlite::Connection::open(dir.path().join("host.db")).unwrap();
    file.execute("INSERT INTO index_settings VALUES (?1, ?2)", [index_name, json]).unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_workers_the_highest_version_wins() {
    let backend = embedded();
    let catalog = backend.catalog.clone().unwrap();
    crate::overlap::the_highest_version_wins(&backend, [catalog.clone(), catalog]).await;
}

checks_of_chunks!(embedded);
checks_of_stores!(embedded);
checks_of_catalogs!(embedded);
