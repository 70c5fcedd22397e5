//! Measures the speed of the catalog in SQLite and checks nothing; run it by hand:
//! `cargo test --release --test catalog -- --ignored --nocapture speed`.

use host_core::{
    clock::SystemClock,
    index::{Index, Write, WriteTarget},
    model::DocumentId,
};
use host_index_catalog::{Catalog, CatalogConfig};
use host_storage_sqlite::SqliteStorage;
use host_testing::build::write;
use serde_json::{Value, json};
use std::{sync::Arc, time::Instant};

/// Number of documents that are written.
const DOCUMENTS: usize = 20_000;

/// A document of a usual size: a product with three variants, each with two attributes.
fn document(at: usize) -> Write {
    let variant = |n: usize| {
        json!({
            "id": (at * 10 + n).to_string(), "sku": format!("SKU-{at}-{n}"), "price": "19.90",
            "inventory": n, "attributes": {"Color": "red", "Size": format!("{n}")},
        })
    };
    let variants: Vec<Value> = (0..3).map(variant).collect();
    let fields = json!({
        "title": format!("Product {at}"), "vendor": "Vendor", "tags": ["one", "two", "three"],
        "description": "A sentence of a usual length about the product. ".repeat(12),
        "updated_at": "2026-01-01T00:00:00Z", "variants": variants,
    });
    write(&at.to_string(), fields)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "measures"]
async fn speed_of_the_catalog() {
    let dir = tempfile::tempdir().unwrap();
    let catalog = Catalog::sqlite(
        SqliteStorage::open(dir.path(), Arc::new(SystemClock)).unwrap().database().clone(),
        &CatalogConfig::default(),
        Arc::new(SystemClock),
    );
    let documents: Vec<Write> = (0..DOCUMENTS).map(document).collect();
    let ids: Vec<DocumentId> = documents.iter().map(|write| write.document.id.clone()).collect();
    for (what, job_id) in [("first load", "1"), ("same job again", "1"), ("same content, another job", "2")] {
        let target =
            WriteTarget { shop_id: "s".to_owned(), index_name: "i".to_owned(), job_id: job_id.to_owned() };
        let start = Instant::now();
        for chunk in documents.chunks(1000) {
            catalog.write(&target, chunk).await.unwrap();
        }
        let seconds = start.elapsed().as_secs_f64();
        // A product row, three SKU rows and six attribute rows per document.
        let rows = DOCUMENTS * (1 + 3 + 6);
        println!(
            "{what}: {seconds:.2} s, {:.0} documents/s, {:.0} rows/s",
            DOCUMENTS as f64 / seconds,
            rows as f64 / seconds
        );
        let start = Instant::now();
        for chunk in ids.chunks(1000) {
            catalog.stored(&target, chunk).await.unwrap();
        }
        println!("  reading versions: {:.0} documents/s", DOCUMENTS as f64 / start.elapsed().as_secs_f64());
    }
}
