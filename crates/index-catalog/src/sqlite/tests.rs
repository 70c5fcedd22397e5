//! Tests of what a write to the catalog costs: the number of statements, and of rows written.

use super::{Batch, Session, WriteTarget};
use crate::{Catalog, CatalogConfig};
use host_core::{
    clock::SystemClock,
    index::{Index, Precondition, Removal, Write},
    model::{Document, DocumentId},
};
use host_sqlite::Database;
use jiff::Timestamp;
use serde_json::{Map, Value, json};
use std::sync::Arc;

fn document(id: usize, color: &str, variants: usize) -> Write {
    let variants: Vec<Value> = (0..variants)
        .map(|n| json!({"id": n, "sku": "s", "attributes": {"Color": color, "n": "1"}}))
        .collect();
    let fields = json!({"title": "Mug", "variants": variants});
    let Value::Object(fields) = fields else { unreachable!() };
    let id = DocumentId::new(id.to_string()).unwrap();
    let document = Document { id, fields };
    Write { document, version: Map::new(), content_hash: color.to_owned(), precondition: Precondition::None }
}

fn target(job_id: &str) -> WriteTarget {
    WriteTarget { shop_id: "shop".to_owned(), index_name: "products".to_owned(), job_id: job_id.to_owned() }
}

/// Starts counting the rows written to products, SKUs and attributes, with triggers.
async fn count_row_writes(database: &Arc<Database>) {
    let mut sql = "CREATE TEMP TABLE written (count INTEGER); INSERT INTO written VALUES (0);".to_owned();
    for table in ["products", "skus", "attributes"] {
        for operation in ["INSERT", "UPDATE", "DELETE"] {
            sql += &format!(
                "CREATE TEMP TRIGGER {table}_{operation} AFTER {operation} ON main.{table} BEGIN
                    UPDATE written SET count = count + 1; END;"
            );
        }
    }
    database.write(move |tx| Ok(tx.execute_batch(&sql)?)).await.unwrap();
}

/// Writes a batch; returns how many statements ran, and how many rows were written if [`count_row_writes`] was called.
async fn measure_write(
    database: &Arc<Database>,
    job_id: &str,
    batch: Vec<Write>,
    now: i64,
) -> (usize, Option<u64>) {
    let target = target(job_id);
    let batch = Batch::of_writes(&batch, &Arc::new(CatalogConfig::default().texts()));
    let write = database.write(move |tx| {
        let session = Session::new(tx, &target);
        let count = || tx.query_row("SELECT count FROM temp.written", [], |row| row.get::<_, u64>(0)).ok();
        let current = count();
        session.change(&batch, Timestamp::from_microsecond(now).unwrap())?;
        Ok((session.statements.get(), count().zip(current).map(|(after, current)| after - current)))
    });
    write.await.unwrap()
}

#[tokio::test]
async fn the_number_of_statements_does_not_depend_on_the_number_of_products() {
    let mut costs = Vec::new();
    for products in [1, 5, 200] {
        let dir = tempfile::tempdir().unwrap();
        let database = Arc::new(Database::open(&dir.path().join("host.db")).unwrap());
        let batch =
            |color, variants| (0..products).map(|id| document(id, color, variants)).collect::<Vec<_>>();
        costs.push([
            measure_write(&database, "1", batch("red", 4), 1).await.0,
            measure_write(&database, "1", batch("red", 4), 2).await.0,
            measure_write(&database, "1", batch("blue", 2), 3).await.0,
        ]);
    }
    // First load, 7: query products, allocate ids, insert products, SKUs, attributes, to embed, words.
    // Unchanged, 4: query three tables, allocate ids.
    // Changed, 9: the same 4, then update products, delete SKUs, delete and insert attributes, update words.
    assert_eq!(costs, [[7, 4, 9]; 3]);
}

#[tokio::test]
async fn unchanged_rows_are_not_written() {
    let dir = tempfile::tempdir().unwrap();
    let database = Arc::new(Database::open(&dir.path().join("host.db")).unwrap());
    count_row_writes(&database).await;
    let batch = || (0..10).map(|id| document(id, "red", 3)).collect::<Vec<_>>();
    assert_eq!(measure_write(&database, "1", batch(), 1).await.1, Some(10 * (1 + 3 + 6)));
    assert_eq!(measure_write(&database, "1", batch(), 2).await.1, Some(0));
    let updated = |at: &'static str| {
        let sql = format!("SELECT count(*) FROM products WHERE created_at = 1 AND updated_at = {at}");
        database.read(move |tx| Ok(tx.query_row(&sql, [], |row| row.get::<_, u64>(0))?))
    };
    // Another job updates only `job_id`.
    assert_eq!(measure_write(&database, "2", batch(), 3).await.1, Some(10));
    assert_eq!(updated("1").await.unwrap(), 10);
    // One attribute of one SKU of one product changes: its row is deleted, another one inserted, and the product gets
    // its new hash.
    let mut one = batch();
    one[4].content_hash = "new".to_owned();
    let variant = &mut one[4].document.fields["variants"][1];
    variant["attributes"] = json!({"Color": "blue", "n": "1"});
    assert_eq!(measure_write(&database, "2", one, 4).await.1, Some(3));
    assert_eq!((updated("1").await.unwrap(), updated("4").await.unwrap()), (9, 1));
    // A removal cascades to SKUs and attributes.
    let removal = |id: u32| Removal::of(DocumentId::new(id.to_string()).unwrap());
    let removals: Vec<_> = (0..10).map(removal).collect();
    Catalog::sqlite(database.clone(), &CatalogConfig::default(), Arc::new(SystemClock))
        .delete(&target("2"), &removals)
        .await
        .unwrap();
    let left = "SELECT (SELECT count(*) FROM skus) + (SELECT count(*) FROM attributes)";
    let left = database.read(move |tx| Ok(tx.query_row(left, [], |row| row.get::<_, u64>(0))?));
    assert_eq!(left.await.unwrap(), 0);
}
