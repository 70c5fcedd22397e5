//! The checks of an index on a catalog in PostgreSQL with pgvector, which keeps embeddings as vectors.

use crate::{
    checks,
    make::{Backend, write},
    postgres::{backend, catalog, migrated},
};
use host::model::Secret;
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

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn embeddings_are_vectors_that_an_index_finds() {
    let url = database();
    let (client, connection) = tokio_postgres::connect(url.expose(), tokio_postgres::NoTls).await.unwrap();
    tokio::spawn(connection);
    let backend = backend(&url);
    let target = backend.target();
    let titles = ["Red shoes", "Blue shoes", "Red hat"];
    let writes: Vec<_> =
        titles.iter().enumerate().map(|(n, title)| write(&n.to_string(), json!({"title": title}))).collect();
    backend.index.write(&target, &writes).await.unwrap();
    let (endpoint, embedder) = crate::catalog::any_embedder(&backend);
    let catalog = catalog(&url, backend.env.clone());
    assert_eq!(catalog.embed(&target, &embedder).await.unwrap().embedded, 3);
    let sql = "SELECT count(*), min(vector_dims(vector)), bool_and(pg_typeof(vector)::text = 'vector')
        FROM catalog.embeddings";
    let row = client.query_one(sql, &[]).await.unwrap();
    let (rows, dimensions): (i64, i32) = (row.get(0), row.get(1));
    assert!(rows == 3 && dimensions > 1 && row.get::<_, bool>(2));
    // As the documentation says, for whoever has many.
    let index = format!(
        "ALTER TABLE catalog.embeddings ALTER vector TYPE vector({dimensions});
        CREATE INDEX by_meaning ON catalog.embeddings USING hnsw (vector vector_cosine_ops)"
    );
    client.batch_execute(&index).await.unwrap();
    let found = catalog.similar(&target, &embedder, "hat, red", 1).await.unwrap();
    assert_eq!(found[0].title.as_deref(), Some("Red hat"));
    // And what is embedded afterwards fits.
    backend.index.write(&target, &[write("0", json!({"title": "Green boots"}))]).await.unwrap();
    assert_eq!(catalog.embed(&target, &embedder).await.unwrap().embedded, 1);
    assert_eq!(catalog.similar(&target, &embedder, "green boots", 1).await.unwrap()[0].id, "0");
    drop(endpoint);
}

checks! { pgvector:
    index::a_document_comes_back_as_it_was_written,
    index::whatever_json_can_say_comes_back,
    index::a_document_is_replaced_as_a_whole,
    index::an_update_changes_what_it_gives_and_nothing_else,
    index::an_update_that_cannot_be_is_refused_alone,
    index::versions_are_read_in_the_order_asked,
    index::the_latest_writer_is_remembered,
    index::removal_is_done_also_for_what_is_not_there,
    index::ids_are_listed_in_order_and_in_pages,
    index::indexes_are_kept_apart,
    index::shops_are_kept_apart,
    index::an_update_changes_the_given_fields_alone,
    index::an_update_creates_nothing,
    index::an_update_of_a_product_keeps_its_variants,
    index::variants_come_back_exactly_and_in_order,
    index::a_new_variant_takes_nothing_over_from_one_that_vanished,
    index::a_bad_variant_refuses_its_document_alone,
    index::a_reader_never_sees_half_a_product,
    catalog::a_product_of_any_size_is_written_as_a_whole,
    catalog::what_was_overtaken_is_refused,
    catalog::a_removal_that_was_overtaken_is_refused,
    catalog::of_writers_in_different_orders_none_fails,
    catalog::what_a_full_sync_did_not_see_is_archived,
    catalog::what_a_later_job_has_seen_is_not_archived,
    catalog::an_archived_product_comes_back,
    catalog::too_many_are_archived_only_by_force,
    catalog::loads_are_remembered,
    catalog::words_find_products,
    catalog::what_changed_is_embedded_once,
    catalog::a_text_that_changes_while_it_is_embedded_is_embedded_again,
    catalog::an_endpoint_that_fails_loses_nothing,
}
