//! The measured parts of `cargo xtask bench catalog`, each in its own process.
//!
//! `load URL COMPLEXITY LANES DOCUMENTS` writes a file of documents to an empty database, twice, and prints the seconds of
//! the first load, of seeing them all again as a worker does, and of writing the same again, then rows, statements of the
//! first load, and the longest transaction in milliseconds. `copy FROM TO`, `rows FROM TO PRODUCTS` and `loop FROM TO
//! PRODUCTS` write the rows of one database to another and print seconds, rows and statements.

use futures::{StreamExt, TryStreamExt, stream};
use host_core::{
    clock::SystemClock,
    index::{Index, Outcome, Precondition, Write, WriteTarget},
    model::{Document, DocumentId},
    secret::Secret,
};
use host_index_catalog::{Catalog, CatalogConfig};
use serde_json::Map;
use std::{
    sync::Arc,
    time::{Duration, Instant},
};
use tokio_postgres::{Client, NoTls, Row, types::ToSql};

/// As in a chunk.
const CHUNK: usize = 1000;

/// The tables that a load fills, those that others point at first.
const TABLES: [&str; 5] = ["products", "skus", "attributes", "seen", "to_embed"];

type Failed = Box<dyn std::error::Error + Send + Sync>;

fn main() -> Result<(), Failed> {
    // Cargo adds `--bench`.
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    runtime.block_on(async {
        match arguments[..] {
            ["load", url, complexity, lanes, documents] => {
                load(url, complexity.parse()?, lanes.parse()?, documents).await
            }
            ["copy", from, to] => copy(from, to).await,
            ["rows", from, to, products] => row_by_row(from, to, products.parse()?, Style::Upsert).await,
            ["loop", from, to, products] => row_by_row(from, to, products.parse()?, Style::Loop).await,
            // `cargo test --benches` and the like start it without arguments.
            _ => {
                eprintln!("nothing to measure: `cargo xtask bench catalog` says what");
                Ok(())
            }
        }
    })
}

async fn connect(url: &str) -> Result<Client, Failed> {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await?;
    tokio::spawn(connection);
    Ok(client)
}

async fn empty_catalog(url: &str, config: &CatalogConfig) -> Result<Catalog, Failed> {
    let catalog = Catalog::postgres(&Secret::new(url), config, Arc::new(SystemClock))?;
    catalog.migrate().await?;
    Ok(catalog)
}

fn target(job_id: &str) -> WriteTarget {
    WriteTarget {
        shop_id: "bench.myshopify.com".to_owned(),
        index_name: "bench".to_owned(),
        job_id: job_id.to_owned(),
    }
}

fn chunks(path: &str) -> Result<Vec<Vec<Write>>, Failed> {
    let text = std::fs::read_to_string(path)?;
    let mut writes = Vec::new();
    for line in text.lines() {
        let document = Document::from_line(line)?;
        let content_hash = host_core::model::Digest::of(line.as_bytes()).to_string();
        writes.push(Write { document, version: Map::new(), content_hash, precondition: Precondition::None });
    }
    Ok(writes.chunks(CHUNK).map(<[Write]>::to_vec).collect())
}

async fn load(url: &str, complexity: usize, lanes: usize, documents: &str) -> Result<(), Failed> {
    let chunks = chunks(documents)?;
    let config = CatalogConfig {
        batch_complexity: complexity.try_into()?,
        batch_rows: (complexity.max(100) * 50).try_into()?,
        ..CatalogConfig::default()
    };
    let catalog = empty_catalog(url, &config).await?;
    let watch = connect(url).await?;
    watch.batch_execute("CREATE EXTENSION IF NOT EXISTS pg_stat_statements").await?;
    let watching = tokio::spawn(longest_transaction(connect(url).await?));
    let before = statements(&watch).await?;
    let first = timed(write_all(&catalog, &target("first"), &chunks, lanes)).await?;
    let statements = statements(&watch).await? - before;
    let longest = *watching.await??.borrow();
    watch.batch_execute("VACUUM ANALYZE").await?;
    let seen = timed(see_all(&catalog, &target("second"), &chunks, lanes)).await?;
    let again = timed(write_all(&catalog, &target("third"), &chunks, lanes)).await?;
    let rows = count(&watch).await?;
    println!("{first} {seen} {again} {rows} {statements} {}", longest.as_secs_f64() * 1e3);
    Ok(())
}

async fn timed(work: impl Future<Output = Result<(), Failed>>) -> Result<f64, Failed> {
    let started = Instant::now();
    work.await?;
    Ok(started.elapsed().as_secs_f64())
}

async fn write_all(
    catalog: &Catalog,
    target: &WriteTarget,
    chunks: &[Vec<Write>],
    lanes: usize,
) -> Result<(), Failed> {
    let write = async |chunk: &Vec<Write>| {
        let outcomes = catalog.write(target, chunk).await?;
        assert!(outcomes.iter().all(|outcome| *outcome == Outcome::Done), "{outcomes:?}");
        Ok::<_, Failed>(())
    };
    stream::iter(chunks).map(write).buffer_unordered(lanes).try_collect().await
}

/// What a worker does with documents that have not changed.
async fn see_all(
    catalog: &Catalog,
    target: &WriteTarget,
    chunks: &[Vec<Write>],
    lanes: usize,
) -> Result<(), Failed> {
    let see = async |chunk: &Vec<Write>| {
        let ids: Vec<DocumentId> = chunk.iter().map(|write| write.document.id.clone()).collect();
        let stored = catalog.stored(target, &ids).await?;
        assert!(stored.iter().all(Option::is_some), "all documents are there");
        Ok::<_, Failed>(())
    };
    stream::iter(chunks).map(see).buffer_unordered(lanes).try_collect().await
}

/// Rows of products, SKUs and attributes.
async fn count(client: &Client) -> Result<i64, Failed> {
    let sql = "SELECT (SELECT count(*) FROM catalog.products) + (SELECT count(*) FROM catalog.skus)
        + (SELECT count(*) FROM catalog.attributes)";
    Ok(client.query_one(sql, &[]).await?.get(0))
}

/// Statements that the server has run for this database, by its own count.
async fn statements(client: &Client) -> Result<i64, Failed> {
    let sql = "SELECT coalesce(sum(calls), 0)::bigint FROM pg_stat_statements s JOIN pg_database d ON d.oid = s.dbid
        WHERE datname = current_database()";
    Ok(client.query_one(sql, &[]).await?.get(0))
}

/// Looks again and again how long transactions have been running, until none has been for a while.
async fn longest_transaction(client: Client) -> Result<tokio::sync::watch::Receiver<Duration>, Failed> {
    let sql = "SELECT extract(epoch FROM max(clock_timestamp() - xact_start))::float8 FROM pg_stat_activity
        WHERE application_name = 'host' AND datname = current_database() AND state <> 'idle'";
    let sql = client.prepare(sql).await?;
    let (report, longest) = tokio::sync::watch::channel(Duration::ZERO);
    tokio::spawn(async move {
        while let Ok(row) = client.query_one(&sql, &[]).await {
            let age = Duration::from_secs_f64(row.get::<_, Option<f64>>(0).unwrap_or(0.0).max(0.0));
            report.send_if_modified(|longest| {
                let is_longer = age > *longest;
                *longest = age.max(*longest);
                is_longer
            });
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    });
    Ok(longest)
}

/// The limit: the same rows by `COPY`, a table at a time, in one transaction.
async fn copy(from: &str, to: &str) -> Result<(), Failed> {
    empty_catalog(to, &CatalogConfig::default()).await?;
    let (source, mut sink) = (connect(from).await?, connect(to).await?);
    let mut tables = Vec::new();
    for table in TABLES {
        let out = source.copy_out(&format!("COPY catalog.{table} TO STDOUT (FORMAT binary)")).await?;
        let parts: Vec<_> = out.try_collect().await?;
        tables.push((table, parts));
    }
    let started = Instant::now();
    let tx = sink.transaction().await?;
    for (table, parts) in tables {
        let copy = tx.copy_in(&format!("COPY catalog.{table} FROM STDIN (FORMAT binary)")).await?;
        let mut copy = std::pin::pin!(copy);
        for part in parts {
            futures::SinkExt::feed(&mut copy, part).await?;
        }
        copy.finish().await?;
    }
    tx.commit().await?;
    let seconds = started.elapsed().as_secs_f64();
    println!("{seconds} {} {}", count(&sink).await?, TABLES.len() + 2);
    Ok(())
}

#[derive(Clone, Copy)]
enum Style {
    /// One prepared upsert a row, a transaction a hundred products and SKUs.
    Upsert,
    /// A query and an insert a row, a transaction a product, as object mappers do.
    Loop,
}

const PRODUCT: &str = "INSERT INTO catalog.products SELECT (json_populate_record(NULL::catalog.products, $1::text::json)).*
    ON CONFLICT (merchant, index_name, source_id) DO UPDATE SET fields = excluded.fields, job_id = excluded.job_id";
const SKU: &str = "INSERT INTO catalog.skus VALUES ($1, $2, $3, $4, $5, $6, $7::text::json)
    ON CONFLICT (product_id, source_id) DO UPDATE SET sku = excluded.sku, price = excluded.price, rest = excluded.rest";
const ATTRIBUTE: &str = "INSERT INTO catalog.attributes VALUES ($1, $2, $3)";

/// One row after the other, of the first products of a loaded database.
async fn row_by_row(from: &str, to: &str, products: i64, style: Style) -> Result<(), Failed> {
    empty_catalog(to, &CatalogConfig::default()).await?;
    let (source, sink) = (connect(from).await?, connect(to).await?);
    let products = source
        .query(
            "SELECT id, source_id, row_to_json(p)::text FROM catalog.products p ORDER BY id LIMIT $1",
            &[&products],
        )
        .await?;
    let last: i64 = products.last().ok_or("no products")?.get(0);
    let skus = source
        .query(
            "SELECT id, product_id, source_id, position, sku, price, rest::text FROM catalog.skus
            WHERE product_id <= $1 ORDER BY product_id, position",
            &[&last],
        )
        .await?;
    let attributes = source
        .query(
            "SELECT a.sku_id, a.name, a.value FROM catalog.attributes a JOIN catalog.skus s ON s.id = a.sku_id
            WHERE s.product_id <= $1 ORDER BY s.product_id, s.position, a.name",
            &[&last],
        )
        .await?;
    let writer = Writer {
        product: sink.prepare(PRODUCT).await?,
        sku: sink.prepare(SKU).await?,
        attribute: sink.prepare(ATTRIBUTE).await?,
        find_product: sink
            .prepare(
                "SELECT * FROM catalog.products WHERE merchant = $1 AND index_name = $2 AND source_id = $3",
            )
            .await?,
        find_sku: sink.prepare("SELECT * FROM catalog.skus WHERE product_id = $1 AND source_id = $2").await?,
        find_attribute: sink
            .prepare("SELECT * FROM catalog.attributes WHERE sku_id = $1 AND name = $2 AND value = $3")
            .await?,
        sink,
        style,
    };
    let started = Instant::now();
    let statements = writer.write(&products, &skus, &attributes).await?;
    let seconds = started.elapsed().as_secs_f64();
    println!("{seconds} {} {statements}", count(&writer.sink).await?);
    Ok(())
}

struct Writer {
    sink: Client,
    style: Style,
    product: tokio_postgres::Statement,
    sku: tokio_postgres::Statement,
    attribute: tokio_postgres::Statement,
    find_product: tokio_postgres::Statement,
    find_sku: tokio_postgres::Statement,
    find_attribute: tokio_postgres::Statement,
}

impl Writer {
    async fn write(&self, products: &[Row], skus: &[Row], attributes: &[Row]) -> Result<u64, Failed> {
        let (mut statements, mut complexity) = (0, 0);
        let (mut skus, mut attributes) = (skus.iter().peekable(), attributes.iter().peekable());
        let is_loop = matches!(self.style, Style::Loop);
        self.sink.batch_execute("BEGIN").await?;
        for product in products {
            let (id, source_id, json) =
                (product.get::<_, i64>(0), product.get::<_, &str>(1), product.get::<_, &str>(2));
            if is_loop {
                let key: [&(dyn ToSql + Sync); 3] = [&"bench.myshopify.com", &"bench", &source_id];
                statements += self.find(&self.find_product, &key).await?;
            }
            statements += self.sink.execute(&self.product, &[&json]).await?;
            complexity += 1;
            while let Some(sku) = skus.next_if(|sku| sku.get::<_, i64>(1) == id) {
                let sku_id: i64 = sku.get(0);
                let (code, price) = (sku.get::<_, Option<&str>>(4), sku.get::<_, Option<&str>>(5));
                let (name, position, rest) =
                    (sku.get::<_, &str>(2), sku.get::<_, i32>(3), sku.get::<_, &str>(6));
                if is_loop {
                    statements += self.find(&self.find_sku, &[&id, &name]).await?;
                }
                let values: [&(dyn ToSql + Sync); 7] = [&sku_id, &id, &name, &position, &code, &price, &rest];
                statements += self.sink.execute(&self.sku, &values).await?;
                complexity += 1;
                while let Some(attribute) =
                    attributes.next_if(|attribute| attribute.get::<_, i64>(0) == sku_id)
                {
                    let (name, value) = (attribute.get::<_, &str>(1), attribute.get::<_, &str>(2));
                    if is_loop {
                        statements += self.find(&self.find_attribute, &[&sku_id, &name, &value]).await?;
                    }
                    statements += self.sink.execute(&self.attribute, &[&sku_id, &name, &value]).await?;
                }
            }
            if is_loop || complexity >= 100 {
                self.sink.batch_execute("COMMIT").await?;
                self.sink.batch_execute("BEGIN").await?;
                statements += 2;
                complexity = 0;
            }
        }
        self.sink.batch_execute("COMMIT").await?;
        Ok(statements + 2)
    }

    async fn find(
        &self,
        statement: &tokio_postgres::Statement,
        key: &[&(dyn ToSql + Sync)],
    ) -> Result<u64, Failed> {
        self.sink.query_opt(statement, key).await?;
        Ok(1)
    }
}
