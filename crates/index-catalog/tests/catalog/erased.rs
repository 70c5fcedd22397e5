//! Tests that nothing of a shop is left in the files of a data directory after it was removed (`host shop forget`).

use host_core::{
    clock::{SharedClock, SystemClock},
    index::Index,
    model::{LedgerRecord, Operation, ProductId},
    storage::{IndexDocument, LedgerScope, QuarantineReason, ShopCounts, Storage},
};
use host_index_catalog::{Catalog, CatalogConfig};
use host_pipeline::{
    forget::{Forget, indexes},
    worker::{RunUntil, Worker, WorkerSettings},
};
use host_storage_sqlite::SqliteStorage;
use host_testing::{
    build::{self, MINUTE},
    fakes::FakePlugin,
};
use serde_json::{Map, json};
use std::{fs, path::Path, sync::Arc, time::Duration};
use tokio_util::sync::CancellationToken;

/// A word that all data of a shop contains.
fn word(shop: &str) -> &str {
    shop.strip_suffix(".example").unwrap()
}

/// Syncs a shop three times; writes settings, ledger records (what host remembers of products) and dead letters, too.
/// All of it contains the shop's word.
async fn fill(storage: &SqliteStorage, catalog: &Catalog, clock: &SharedClock, shop: &str, products: usize) {
    let (stores, word) = (storage.stores(), word(shop));
    let rules = Arc::new(FakePlugin::with_version_field("updated_at"));
    let settings = WorkerSettings {
        concurrency: 4,
        lease: MINUTE,
        poll_interval: Duration::from_millis(20),
        shutdown_timeout: MINUTE,
        stopped_after: MINUTE,
        keep_chunks: false,
    };
    let index = Arc::new(catalog.clone());
    let worker = Worker::new(stores.clone(), index, rules.clone(), rules, clock.clone(), settings);
    let worker = Arc::new(worker);
    for version in 1..=3 {
        let mut job = build::job(&**clock, shop);
        (job.index_name, job.sources) = (format!("shopify-{word}"), vec![format!("{word}.jsonl")]);
        let line = |number: usize| {
            let title = format!("{word} {} {}", "long title ".repeat(number % 90), number * version);
            let variants = json!([{"id": "1", "sku": word, "attributes": {"Size": word}}]);
            json!({
                "_id": format!("{word}-{number}"), "title": title, "updated_at": format!("2026-01-0{version}T00:00:00Z"),
                "variants": variants,
            })
            .to_string()
                + "\n"
        };
        let text: String = (0..products / version).map(line).collect();
        build::publish(&stores, &job, &[(0, Operation::AddDocuments, &text)]).await;
        worker.run(shop, RunUntil::JobEnds(job.id.clone()), &CancellationToken::new()).await.unwrap();
        let key = json!({"api_key": format!("{word}-key-{version}")});
        let key = IndexDocument(key.as_object().cloned().unwrap());
        stores.settings.put(&job.index_name, &key).await.unwrap();
        let mut record = LedgerRecord::new(ProductId::new(word).unwrap(), job.id.clone(), clock.now());
        record.set_version(Map::from_iter([("v".to_owned(), word.into())]));
        build::store_records(&*stores.ledger, &LedgerScope::of(&job, catalog.id()), &[record]).await;
        for seq in 0..2 {
            let sent = build::chunk(&job.id, 100 + seq, 0);
            stores.queue.send(&job, &sent, 0).await.unwrap();
            let delivery = stores.queue.receive(shop, 1, MINUTE).await.unwrap().remove(0);
            let reason = QuarantineReason::new("code", format!("{word} {}", "is broken ".repeat(500)));
            stores.queue.dead_letter(&delivery.receipt, &reason).await.unwrap();
        }
    }
}

/// How often a word is in the files of the database, the write-ahead log included.
fn count(dir: &Path, word: &str) -> usize {
    let found = ["host.db", "host.db-wal"].map(|file| {
        let bytes = fs::read(dir.join(file)).unwrap();
        bytes.windows(word.len()).filter(|window| *window == word.as_bytes()).count()
    });
    found.iter().sum()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_files_do_not_contain_the_word_of_a_removed_shop() {
    let dir = tempfile::tempdir().unwrap();
    let clock: SharedClock = Arc::new(SystemClock);
    let storage = SqliteStorage::open(dir.path(), clock.clone()).unwrap();
    let catalog = Catalog::sqlite(storage.database().clone(), &CatalogConfig::default(), clock.clone());
    let (leaves, stays) = ("leaveswithallthatitbrought.example", "stayswithallthatitbrought.example");
    for (shop, products) in [(stays, 400), (leaves, 20)] {
        fill(&storage, &catalog, &clock, shop, products).await;
    }
    // Merges the full-text index into one segment, in which the removed shop has few of many products: then SQLite does
    // not rewrite the segment by itself when they are removed.
    let merge = "INSERT INTO product_words (product_words) VALUES ('optimize')";
    storage.database().write(|tx| Ok(tx.execute(merge, [])?)).await.unwrap();
    assert!([leaves, stays].iter().all(|shop| count(dir.path(), word(shop)) > 100));
    let open = indexes(&storage.stores(), leaves).await.unwrap().into_iter();
    let indexes = open.map(|of_shop| (of_shop, Arc::new(catalog.clone()) as Arc<dyn Index>)).collect();
    let forget = Forget { storage: &storage, shop_id: leaves, indexes, gone: Vec::new(), clock };
    forget.run(ShopCounts::default()).await.unwrap();
    assert_eq!(count(dir.path(), word(leaves)), 0);
    assert!(count(dir.path(), word(stays)) > 500, "the other shop stays");
}
