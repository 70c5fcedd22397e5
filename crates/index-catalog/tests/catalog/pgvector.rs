//! Runs all checks of a catalog on a PostgreSQL server with pgvector, the extension that stores embeddings as vectors
//! and finds similar ones with an index.

use crate::{
    backend::{Backend, catalog_tests},
    checks::any_embedder,
    postgres::{backend, catalog, migrated},
};
use host_core::secret::Secret;
use host_testing::{build::write, conformance::IndexBackend};
use serde_json::json;
use std::path::Path;
use xtask::postgres::Server;

fn database() -> Secret {
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap();
    migrated(Server::shared_with_vectors(target).unwrap(), "embeddings are vectors")
}

fn pgvector() -> Backend {
    backend(&database())
}

fn index() -> IndexBackend {
    pgvector().into_index()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn embeddings_are_vectors_and_can_have_an_hnsw_index() {
    let url = database();
    let (client, connection) = tokio_postgres::connect(url.expose(), tokio_postgres::NoTls).await.unwrap();
    tokio::spawn(connection);
    let backend = backend(&url);
    let target = backend.target();
    let titles = ["Red shoes", "Blue shoes", "Red hat"];
    let writes: Vec<_> =
        titles.iter().enumerate().map(|(n, title)| write(&n.to_string(), json!({"title": title}))).collect();
    backend.index.write(&target, &writes).await.unwrap();
    let (endpoint, embedder) = any_embedder(&backend);
    let catalog = catalog(&url, (100, 5_000), backend.clock.clone());
    assert_eq!(catalog.embed(&target, &embedder).await.unwrap().embedded, 3);
    let sql = "SELECT count(*), min(vector_dims(vector)), bool_and(pg_typeof(vector)::text = 'vector')
        FROM catalog.embeddings";
    let row = client.query_one(sql, &[]).await.unwrap();
    let (rows, dimensions): (i64, i32) = (row.get(0), row.get(1));
    assert!(rows == 3 && dimensions > 1 && row.get::<_, bool>(2));
    // The index that docs/catalog.md recommends for many products.
    let index = format!(
        "ALTER TABLE catalog.embeddings ALTER vector TYPE vector({dimensions});
        CREATE INDEX by_meaning ON catalog.embeddings USING hnsw (vector vector_cosine_ops)"
    );
    client.batch_execute(&index).await.unwrap();
    let found = catalog.similar(&target, &embedder, "hat, red", 1).await.unwrap();
    assert_eq!(found[0].title.as_deref(), Some("Red hat"));
    // Embeddings can still be written afterwards.
    backend.index.write(&target, &[write("0", json!({"title": "Green boots"}))]).await.unwrap();
    assert_eq!(catalog.embed(&target, &embedder).await.unwrap().embedded, 1);
    assert_eq!(catalog.similar(&target, &embedder, "green boots", 1).await.unwrap()[0].id, "0");
    drop(endpoint);
}

host_testing::index_tests!(index);
catalog_tests!(pgvector);
