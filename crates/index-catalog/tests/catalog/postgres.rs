//! Runs all checks of a catalog on a PostgreSQL server without pgvector, which is started for the tests.

use crate::backend::{Backend, catalog_tests, config};
use host_core::{
    clock::{SharedClock, SystemClock},
    index::{Index, Write},
    secret::Secret,
    storage::Storage,
};
use host_index_catalog::{Catalog, CatalogConfig};
use host_testing::{
    VirtualClock,
    build::{self, removals, write},
    conformance::IndexBackend,
    storage::Memory,
};
use serde_json::json;
use std::{num::NonZeroUsize, sync::Arc};
use xtask::postgres::Server;

/// An empty database with the schema.
pub(crate) fn database() -> Secret {
    migrated(Server::shared().unwrap(), "embeddings are arrays")
}

/// An empty database on the server with the catalog's schema. `embeddings` is what the migration must say about their
/// type.
pub(crate) fn migrated(server: &Server, embeddings: &str) -> Secret {
    let url = Secret::new(server.database().unwrap());
    let catalog = catalog(&url, SMALL, Arc::new(VirtualClock::new(1)));
    // On a thread and runtime of its own, because the caller runs in a runtime and cannot wait here.
    let migrate = move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(catalog.migrate()).unwrap()
    };
    let message = std::thread::spawn(migrate).join().unwrap();
    assert!(message.contains("created the catalog") && message.contains(embeddings), "{message}");
    url
}

/// Maximum complexity and number of rows of a transaction, so small that most writes need several transactions.
const SMALL: (usize, usize) = (7, 20);

pub(crate) fn catalog(url: &Secret, bounds: (usize, usize), clock: SharedClock) -> Catalog {
    opened(url, &config(bounds), clock)
}

fn opened(url: &Secret, config: &CatalogConfig, clock: SharedClock) -> Catalog {
    let config = CatalogConfig { connections: NonZeroUsize::new(4).unwrap(), ..config.clone() };
    Catalog::postgres(url, &config, clock).unwrap()
}

pub(crate) fn postgres() -> Backend {
    backend(&database())
}

fn index() -> IndexBackend {
    postgres().into_index()
}

pub(crate) fn backend(url: &Secret) -> Backend {
    let clock: SharedClock = Arc::new(VirtualClock::new(1));
    let (url, of_catalog) = (url.clone(), clock.clone());
    let open = move |config: &_| opened(&url, config, of_catalog.clone());
    Backend::new(&config(SMALL), open, clock, Box::new(()))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_workers_the_highest_version_wins() {
    let url = database();
    let catalogs = [(); 2].map(|()| catalog(&url, SMALL, Arc::new(SystemClock)));
    let stores = Memory::new(Arc::new(SystemClock)).stores();
    crate::overlap::the_highest_version_wins(&stores, catalogs).await;
}

/// The test goes back to schema 2, the last one with a text of words.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn products_of_an_older_version_are_found() {
    let url = database();
    let backend = backend(&url);
    let downgrade = async || {
        let (client, connection) =
            tokio_postgres::connect(url.expose(), tokio_postgres::NoTls).await.unwrap();
        tokio::spawn(connection);
        client
            .batch_execute(
                "ALTER TABLE catalog.products ADD COLUMN search_text text NOT NULL DEFAULT '';
                UPDATE catalog.products SET search_text = title;
                ALTER TABLE catalog.products ALTER COLUMN search_text DROP DEFAULT;
                CREATE INDEX ON catalog.products USING gin (to_tsvector('simple', search_text));
                DROP INDEX catalog.products_by_search_config;
                ALTER TABLE catalog.products DROP COLUMN search_config, DROP COLUMN words;
                DELETE FROM catalog.migrations WHERE version = 3",
            )
            .await
            .unwrap();
    };
    let upgrade = async || {
        let refused = backend.catalog.check(&backend.target()).await.unwrap_err();
        let message = host_core::error::chain(&refused);
        assert!(message.contains("`host catalog migrate` brings it up to date"), "{message}");
        let done = backend.catalog.migrate().await.unwrap();
        assert!(done.contains("from schema 2 to 3"), "{done}");
    };
    crate::search::products_of_an_older_version_are_found(&backend, downgrade, upgrade).await;
}

/// Numbers of statements that the server has run in this database: first all but those that take ids from a sequence,
/// then those.
async fn statements(client: &tokio_postgres::Client) -> (i64, i64) {
    let sql = "SELECT coalesce(sum(calls) FILTER (WHERE query NOT LIKE '%nextval%'), 0)::bigint,
            coalesce(sum(calls) FILTER (WHERE query LIKE '%nextval%'), 0)::bigint
        FROM pg_stat_statements JOIN pg_database ON dbid = pg_database.oid
        WHERE datname = current_database() AND query NOT LIKE '%pg_stat_statements%'";
    let row = client.query_one(sql, &[]).await.unwrap();
    (row.get(0), row.get(1))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_number_of_statements_does_not_depend_on_the_number_of_rows() {
    let url = database();
    let (client, connection) = tokio_postgres::connect(url.expose(), tokio_postgres::NoTls).await.unwrap();
    tokio::spawn(connection);
    client.batch_execute("CREATE EXTENSION pg_stat_statements").await.unwrap();
    let clock: SharedClock = Arc::new(VirtualClock::new(1));
    let (catalog, target) =
        (catalog(&url, (1_000_000, 1_000_000), clock), build::target(&VirtualClock::new(1)));
    // For each number of products, SKUs per product and attributes per SKU: the numbers of statements that add, change,
    // write again and remove them.
    let mut costs = Vec::new();
    for (products, skus, attributes) in [(1, 1, 1), (7, 3, 2), (40, 20, 5), (1, 900, 3), (300, 2, 1)] {
        let batch = |color: &str| -> Vec<Write> {
            let attributes: serde_json::Map<_, _> =
                (0..attributes).map(|n| (format!("a{n}"), color.into())).collect();
            let variants: Vec<_> = (0..skus)
                .map(|n| json!({"id": n.to_string(), "sku": format!("{color}{n}"), "attributes": attributes}))
                .collect();
            let fields = json!({"title": color, "variants": variants});
            (0..products).map(|n| write(&format!("{products}-{skus}-{n}"), fields.clone())).collect()
        };
        let mut cost = Vec::new();
        for writes in [batch("red"), batch("blue"), batch("blue")] {
            let before = statements(&client).await;
            catalog.write(&target, &writes).await.unwrap();
            let after = statements(&client).await;
            cost.push(after.0 - before.0);
            assert!(after.1 - before.1 <= 1, "ids come in blocks");
        }
        let ids: Vec<_> = batch("blue").into_iter().map(|write| write.document.id).collect();
        let before = statements(&client).await;
        catalog.delete(&target, &removals(&ids)).await.unwrap();
        cost.push(statements(&client).await.0 - before.0);
        costs.push(cost);
    }
    assert!(
        costs.iter().all(|cost| *cost == costs[0] && cost.iter().all(|one| (1..20).contains(one))),
        "{costs:?}"
    );
    eprintln!("statements of adding, changing, repeating and removing: {:?}", costs[0]);
}

host_testing::index_tests!(index);
catalog_tests!(postgres);
