//! What a write costs: statements and rows.

use super::{Catalog, ProductRow, Session, Target, Write, upsert};
use crate::{
    env::RealEnv,
    index::Index,
    model::{Document, DocumentId},
    store::embedded::{Database, Embedded},
};
use serde_json::{Map, Value, json};
use std::sync::Arc;

fn document(id: usize, color: &str, variants: usize) -> Write {
    let variants: Vec<Value> = (0..variants)
        .map(|n| json!({"id": n, "sku": "s", "attributes": {"Color": color, "n": "1"}}))
        .collect();
    let fields = json!({"title": "Mug", "variants": variants});
    let Value::Object(fields) = fields else { unreachable!() };
    let id = DocumentId::new(id.to_string()).unwrap();
    Write { document: Document { id, fields }, version: Map::new(), content_hash: color.to_owned() }
}

fn target(job_id: &str) -> Target {
    Target { shop_id: "shop".to_owned(), index_name: "products".to_owned(), job_id: job_id.to_owned() }
}

/// Statements run and rows changed by writing a batch.
async fn cost(database: &Arc<Database>, job_id: &str, batch: Vec<Write>, now: i64) -> (usize, u64) {
    let target = target(job_id);
    let rows: Vec<_> = batch.iter().map(|write| ProductRow::of(write).unwrap()).collect();
    let write = database.write(move |tx| {
        let session = Session::new(tx, &target);
        let before = tx.total_changes();
        upsert::write(&session, &rows, now)?;
        Ok((session.statements(), tx.total_changes() - before))
    });
    write.await.unwrap()
}

#[tokio::test]
async fn the_number_of_statements_does_not_depend_on_the_number_of_products() {
    let mut costs = Vec::new();
    for products in [1, 5, 200] {
        let dir = tempfile::tempdir().unwrap();
        let database = Embedded::open(dir.path(), Arc::new(RealEnv)).unwrap().database;
        let batch =
            |color, variants| (0..products).map(|id| document(id, color, variants)).collect::<Vec<_>>();
        costs.push([
            cost(&database, "1", batch("red", 4), 1).await.0,
            cost(&database, "1", batch("red", 4), 2).await.0,
            cost(&database, "1", batch("blue", 2), 3).await.0,
        ]);
    }
    // First load: products, then an insert a table. Same again: a query a table. Change: these, products, vanished
    // SKUs, attributes out and in.
    assert_eq!(costs, [[4, 3, 7]; 3]);
}

#[tokio::test]
async fn rows_that_stand_as_wanted_are_not_touched() {
    let dir = tempfile::tempdir().unwrap();
    let embedded = Embedded::open(dir.path(), Arc::new(RealEnv)).unwrap();
    let database = embedded.database.clone();
    let batch = || (0..10).map(|id| document(id, "red", 3)).collect::<Vec<_>>();
    assert_eq!(cost(&database, "1", batch(), 1).await.1, 10 * (1 + 3 + 6));
    assert_eq!(cost(&database, "1", batch(), 2).await.1, 0);
    let updated = |at: &'static str| {
        let sql = format!("SELECT count(*) FROM products WHERE created_at = 1 AND updated_at = {at}");
        database.read(move |tx| Ok(tx.query_row(&sql, [], |row| row.get::<_, u64>(0))?))
    };
    // Another job leaves its name on the products, and nothing else.
    assert_eq!(cost(&database, "2", batch(), 3).await.1, 10);
    assert_eq!(updated("1").await.unwrap(), 10);
    // One attribute of one SKU of one product: its row out, another in, and the product with its new hash.
    let mut one = batch();
    one[4].content_hash = "new".to_owned();
    let variant = &mut one[4].document.fields["variants"][1];
    variant["attributes"] = json!({"Color": "blue", "n": "1"});
    assert_eq!(cost(&database, "2", one, 4).await.1, 3);
    assert_eq!((updated("1").await.unwrap(), updated("4").await.unwrap()), (9, 1));
    // Removal takes SKUs and attributes along.
    let ids: Vec<_> = (0..10).map(|id| DocumentId::new(id.to_string()).unwrap()).collect();
    Catalog::new(&embedded).delete(&target("2"), &ids).await.unwrap();
    let left = "SELECT (SELECT count(*) FROM skus) + (SELECT count(*) FROM attributes)";
    let left = database.read(move |tx| Ok(tx.query_row(left, [], |row| row.get::<_, u64>(0))?));
    assert_eq!(left.await.unwrap(), 0);
}
