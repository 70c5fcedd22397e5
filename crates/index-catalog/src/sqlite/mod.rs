//! The relational catalog in the SQLite file of a data directory: implements the port `Dialect` with statements in
//! SQLite's dialect.

use super::{
    WriteTarget,
    batch::Batch,
    current_state::{CurrentProduct, CurrentSku, CurrentState},
    dialect::{Dialect, Failed, Hit, StoredRow},
    embed::{Embedded, Unembedded},
    loads::{CatalogSummary, Load},
    rows::{Attribute, SkuColumns},
    text::TextConfig,
    words::Query,
};
use async_trait::async_trait;
use host_core::{
    clock::SharedClock,
    index::{Outcome, Removal},
    model::DocumentId,
    storage::StoreErrorKind,
};
use host_sqlite::{Cause, Database, DatabaseError, time, to_json};
use rusqlite::{CachedStatement, Transaction, params};
use std::{
    any::Any,
    cell::Cell,
    collections::{BTreeSet, HashMap},
    fs::{File, TryLockError},
    sync::Arc,
};

mod embeddings;
mod list;
mod loads;
#[cfg(test)]
mod tests;
mod words;
mod write;

/// The catalog of a data directory, in the same file as queue and jobs.
pub(super) struct Sqlite {
    database: Arc<Database>,
    clock: SharedClock,
}

impl Sqlite {
    pub(super) fn new(database: Arc<Database>, clock: SharedClock) -> Self {
        Self { database, clock }
    }

    async fn write<T: Send + 'static>(
        &self,
        target: &WriteTarget,
        work: impl FnOnce(&Session<'_>) -> Result<T, Cause> + Send + 'static,
    ) -> Result<T, Failed> {
        let target = target.clone();
        Ok(self.database.write(move |tx| work(&Session::new(tx, &target))).await?)
    }

    async fn query<T: Send + 'static>(
        &self,
        target: &WriteTarget,
        work: impl FnOnce(&Session<'_>) -> Result<T, Cause> + Send + 'static,
    ) -> Result<T, Failed> {
        let target = target.clone();
        Ok(self.database.read(move |tx| work(&Session::new(tx, &target))).await?)
    }
}

impl From<DatabaseError> for Failed {
    fn from(error: DatabaseError) -> Self {
        Self { transient: error.kind() == StoreErrorKind::Transient, source: Box::new(error) }
    }
}

/// A transaction on the products of one shop and index.
struct Session<'a> {
    tx: &'a Transaction<'a>,
    target: &'a WriteTarget,
    /// Number of statements so far, for logs and tests.
    statements: Cell<usize>,
}

impl<'a> Session<'a> {
    fn new(tx: &'a Transaction<'a>, target: &'a WriteTarget) -> Self {
        Self { tx, target, statements: Cell::new(0) }
    }

    fn statement(&self, sql: &str) -> rusqlite::Result<CachedStatement<'_>> {
        self.statements.set(self.statements.get() + 1);
        self.tx.prepare_cached(sql)
    }

    fn stored(&self, ids: &[DocumentId]) -> Result<HashMap<String, StoredRow>, Cause> {
        let mut statement = self.statement(
            "SELECT source_id, version, content_hash, job_id, status = 'archived' FROM products
            WHERE merchant = ?1 AND index_name = ?2 AND source_id IN (SELECT value FROM json_each(?3))",
        )?;
        let params = params![self.target.shop_id, self.target.index_name, to_json(&ids)?];
        let rows = statement.query_map(params, |row| {
            let stored = StoredRow {
                version: row.get(1)?,
                content_hash: row.get(2)?,
                job_id: row.get(3)?,
                is_archived: row.get(4)?,
            };
            Ok((row.get(0)?, stored))
        })?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    fn current_state(&self, source_ids: Vec<&str>) -> Result<CurrentState, Cause> {
        let products = self.products(source_ids)?;
        if products.is_empty() {
            return Ok(CurrentState::default());
        }
        let product_ids: Vec<i64> = products.values().map(|product| product.id).collect();
        let product_ids = to_json(&product_ids)?;
        let skus = self.skus(&product_ids)?;
        let attributes = self.attributes(&product_ids)?;
        Ok(CurrentState { products, skus, attributes })
    }

    fn products(&self, source_ids: Vec<&str>) -> Result<HashMap<String, CurrentProduct>, Cause> {
        let mut statement = self.statement(
            "SELECT source_id, id, fields, version, content_hash, text_hash, job_id, status = 'active' FROM products
            WHERE merchant = ?1 AND index_name = ?2 AND source_id IN (SELECT value FROM json_each(?3))",
        )?;
        let params = params![self.target.shop_id, self.target.index_name, to_json(&source_ids)?];
        let rows = statement.query_map(params, |row| {
            let product = CurrentProduct {
                id: row.get(1)?,
                fields: row.get(2)?,
                version: row.get(3)?,
                content_hash: row.get(4)?,
                text_hash: row.get(5)?,
                job_id: row.get(6)?,
                is_active: row.get(7)?,
            };
            Ok((row.get(0)?, product))
        })?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// SKUs by the database ids of their products and their own source ids.
    fn skus(&self, product_ids: &str) -> Result<HashMap<i64, HashMap<String, CurrentSku>>, Cause> {
        let mut statement = self.statement(
            "SELECT product_id, source_id, id, position, sku, price, rest FROM skus
            WHERE product_id IN (SELECT value FROM json_each(?1))",
        )?;
        let mut rows = statement.query([product_ids])?;
        let mut skus: HashMap<i64, HashMap<String, CurrentSku>> = HashMap::new();
        while let Some(row) = rows.next()? {
            let columns =
                SkuColumns { position: row.get(3)?, sku: row.get(4)?, price: row.get(5)?, rest: row.get(6)? };
            let sku = CurrentSku { id: row.get(2)?, columns };
            skus.entry(row.get(0)?).or_default().insert(row.get(1)?, sku);
        }
        Ok(skus)
    }

    /// Attributes by the database ids of their SKUs.
    fn attributes(&self, product_ids: &str) -> Result<HashMap<i64, BTreeSet<Attribute>>, Cause> {
        let mut statement = self.statement(
            "SELECT sku_id, name, value FROM attributes WHERE sku_id IN (
                SELECT id FROM skus WHERE product_id IN (SELECT value FROM json_each(?1)))",
        )?;
        let mut rows = statement.query([product_ids])?;
        let mut attributes: HashMap<i64, BTreeSet<Attribute>> = HashMap::new();
        while let Some(row) = rows.next()? {
            attributes.entry(row.get(0)?).or_default().insert((row.get(1)?, row.get(2)?));
        }
        Ok(attributes)
    }

    fn list(&self, after: &str, limit: usize) -> Result<Vec<String>, Cause> {
        let mut statement = self.statement(
            "SELECT source_id FROM products
            WHERE merchant = ?1 AND index_name = ?2 AND source_id > ?3 AND status = 'active'
            ORDER BY source_id LIMIT ?4",
        )?;
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let params = params![self.target.shop_id, self.target.index_name, after, limit];
        let rows = statement.query_map(params, |row| row.get(0))?;
        Ok(rows.collect::<Result<_, _>>()?)
    }
}

#[async_trait]
impl Dialect for Sqlite {
    async fn check(&self) -> Result<(), Failed> {
        Ok(())
    }

    async fn migrate(&self) -> Result<String, Failed> {
        // Opening the file has migrated it.
        Ok("the embedded catalog is up to date".to_owned())
    }

    async fn change(&self, target: &WriteTarget, batch: Batch) -> Result<Vec<Outcome>, Failed> {
        let clock = self.clock.clone();
        let change = move |session: &Session<'_>| {
            let outcomes = session.change(&batch, clock.now())?;
            tracing::debug!(
                documents = outcomes.len(),
                statements = session.statements.get(),
                "catalog batch"
            );
            Ok(outcomes)
        };
        self.write(target, change).await
    }

    async fn delete(&self, target: &WriteTarget, batch: &[Removal]) -> Result<Vec<Outcome>, Failed> {
        let batch = batch.to_vec();
        self.write(target, move |session| session.delete(&batch)).await
    }

    async fn remove_shop(&self, shop_id: &str, limit: usize) -> Result<usize, Failed> {
        let (shop, limit) = (shop_id.to_owned(), i64::try_from(limit).unwrap_or(i64::MAX));
        let remove = move |tx: &Transaction<'_>| {
            let removed = tx
                .prepare_cached(
                    "DELETE FROM products WHERE id IN (SELECT id FROM products WHERE merchant = ?1 LIMIT ?2)",
                )?
                .execute(params![shop, limit])?;
            if removed == 0 {
                tx.execute("DELETE FROM loads WHERE merchant = ?1", [shop])?;
            }
            Ok(removed)
        };
        Ok(self.database.write(remove).await?)
    }

    async fn stored(
        &self,
        target: &WriteTarget,
        ids: &[DocumentId],
    ) -> Result<HashMap<String, StoredRow>, Failed> {
        let ids = ids.to_vec();
        self.query(target, move |session| session.stored(&ids)).await
    }

    async fn read(&self, target: &WriteTarget, id: &DocumentId) -> Result<CurrentState, Failed> {
        let id = id.clone();
        self.query(target, move |session| session.current_state(vec![id.as_str()])).await
    }

    async fn list(&self, target: &WriteTarget, after: &str, limit: usize) -> Result<Vec<String>, Failed> {
        let after = after.to_owned();
        self.query(target, move |session| session.list(&after, limit)).await
    }

    async fn summary(&self, target: &WriteTarget) -> Result<CatalogSummary, Failed> {
        self.query(target, |session| session.summary()).await
    }

    async fn put_load(&self, target: &WriteTarget, load: &Load) -> Result<(), Failed> {
        let load = load.clone();
        self.write(target, move |session| session.put_load(&load)).await
    }

    async fn loads(&self, target: &WriteTarget, limit: usize) -> Result<Vec<Load>, Failed> {
        self.query(target, move |session| session.loads(limit)).await
    }

    async fn queue_other_models(&self, target: &WriteTarget, model: &str) -> Result<u64, Failed> {
        let model = model.to_owned();
        self.write(target, move |session| session.queue_other_models(&model)).await
    }

    async fn to_embed(
        &self,
        target: &WriteTarget,
        after: i64,
        limit: usize,
    ) -> Result<Vec<Unembedded>, Failed> {
        self.query(target, move |session| session.to_embed(after, limit)).await
    }

    async fn put_embeddings(&self, model: &str, embedded: &[Embedded]) -> Result<u64, Failed> {
        let (model, embedded, now) = (model.to_owned(), embedded.to_vec(), time::to_column(self.clock.now()));
        Ok(self.database.write(move |tx| embeddings::put(tx, &model, &embedded, now)).await?)
    }

    async fn refuse_embedding(&self, product: &Unembedded, reason: &str) -> Result<(), Failed> {
        let (id, hash, reason) = (product.product_id, product.text_hash.clone(), reason.to_owned());
        Ok(self.database.write(move |tx| embeddings::refuse(tx, id, &hash, &reason)).await?)
    }

    async fn lock_embedding(&self, _: &WriteTarget) -> Result<Option<Box<dyn Any + Send>>, Failed> {
        let path = self.database.path().with_file_name("embed.lock");
        let file =
            File::options().create(true).truncate(false).write(true).open(path).map_err(Failed::permanent)?;
        match file.try_lock() {
            Ok(()) => Ok(Some(Box::new(file))),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(error)) => Err(Failed::permanent(error)),
        }
    }

    async fn unlock_embedding(&self, lock: Box<dyn Any + Send>) -> Result<(), Failed> {
        drop(lock);
        Ok(())
    }

    async fn renew_words(
        &self,
        target: &WriteTarget,
        texts: &Arc<TextConfig>,
        limit: usize,
    ) -> Result<usize, Failed> {
        let config = texts.search_config();
        // Only reads where there is nothing to renew, so that a search waits for no writer.
        let stale = self.query(target, move |session| session.stale(&config, 1)).await?;
        if stale.is_empty() {
            return Ok(0);
        }
        let texts = texts.clone();
        self.write(target, move |session| session.renew_words(&texts, limit)).await
    }

    async fn search(&self, target: &WriteTarget, query: &Query, limit: usize) -> Result<Vec<Hit>, Failed> {
        let query = query.clone();
        self.query(target, move |session| session.search(&query, limit)).await
    }

    async fn nearest(
        &self,
        target: &WriteTarget,
        model: &str,
        vector: &[f32],
        limit: usize,
    ) -> Result<Vec<Hit>, Failed> {
        let (model, vector) = (model.to_owned(), vector.to_vec());
        self.query(target, move |session| session.nearest(&model, &vector, limit)).await
    }
}
