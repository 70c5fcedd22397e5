//! The relational catalog on a PostgreSQL server: implements the port `Dialect` with statements in PostgreSQL's
//! dialect.

use super::{
    WriteTarget,
    batch::Batch,
    changes::Ids,
    current_state::CurrentState,
    dialect::{Dialect, Failed, Hit, StoredRow},
    embed::{Embedded, Unembedded},
    loads::{CatalogSummary, Load},
    text::TextConfig,
    words::Query,
};
use async_trait::async_trait;
use deadpool_postgres::{Client, Pool};
use error::{Attempts, Cause};
use host_core::{
    clock::SharedClock,
    index::{Outcome, Removal},
    model::DocumentId,
    secret::Secret,
};
use read::Lock;
use std::{
    any::Any,
    collections::HashMap,
    num::NonZeroUsize,
    sync::{Arc, Mutex, PoisonError},
};
use tokio_postgres::{IsolationLevel, Row, types::ToSql};

mod connect;
mod embeddings;
mod error;
mod loads;
mod migrate;
mod read;
mod words;
mod write;

pub use connect::InvalidUrl;

/// Number of database ids that one value of the sequence `catalog.id_blocks` stands for, so that a batch needs few of
/// them.
const BLOCK: i64 = 1_000;

/// A database on a PostgreSQL server.
pub(super) struct Postgres {
    pool: Pool,
    /// Name of the database, for messages.
    name: String,
    /// Address of the database without user and password.
    address: String,
    clock: SharedClock,
    /// Ids that were taken from the sequence and are not used yet.
    ids: Mutex<Ids>,
}

impl Postgres {
    pub(super) fn new(
        url: &Secret,
        connections: NonZeroUsize,
        clock: SharedClock,
    ) -> Result<Self, InvalidUrl> {
        let connect::Database { pool, name, address } = connect::database(url, connections)?;
        Ok(Self { pool, name, address, clock, ids: Mutex::default() })
    }

    pub(super) fn address(&self) -> &str {
        &self.address
    }

    /// Database ids that no row has had yet.
    async fn take_ids(&self, client: &Client, count: usize) -> Result<Ids, Cause> {
        loop {
            {
                let mut ids = self.ids.lock().unwrap_or_else(PoisonError::into_inner);
                if ids.len() >= count {
                    return Ok(ids.split(count));
                }
            }
            let blocks = count.div_ceil(usize::try_from(BLOCK).unwrap_or(1));
            let sql = "SELECT nextval('catalog.id_blocks') FROM generate_series(1, $1::bigint)";
            let blocks = i64::try_from(blocks).unwrap_or(i64::MAX);
            let rows = self.query(client, sql, &[&blocks]).await?;
            let mut ids = self.ids.lock().unwrap_or_else(PoisonError::into_inner);
            for row in rows {
                let first: i64 = row.get(0);
                ids.add(first..first + BLOCK);
            }
        }
    }

    async fn query(
        &self,
        client: &Client,
        sql: &str,
        params: &[&(dyn ToSql + Sync)],
    ) -> Result<Vec<Row>, Cause> {
        let statement = client.prepare_cached(sql).await?;
        Ok(client.query(&statement, params).await?)
    }

    /// Runs one statement as its own transaction, retried if it conflicts with another one; returns its rows.
    async fn rows(&self, sql: &str, params: &[&(dyn ToSql + Sync)]) -> Result<Vec<Row>, Failed> {
        let mut attempts = Attempts::new(&self.clock);
        loop {
            let tried = async { self.query(&self.pool.get().await?, sql, params).await };
            match tried.await {
                Err(cause) if attempts.should_retry(&cause).await => {}
                tried => return tried.map_err(|cause| cause.of(&self.name)),
            }
        }
    }

    /// Runs a statement that returns no rows in the same way; returns how many rows it changed.
    async fn execute(&self, sql: &str, params: &[&(dyn ToSql + Sync)]) -> Result<u64, Failed> {
        let mut attempts = Attempts::new(&self.clock);
        loop {
            let tried = async {
                let client = self.pool.get().await?;
                let statement = client.prepare_cached(sql).await?;
                Ok::<_, Cause>(client.execute(&statement, params).await?)
            };
            match tried.await {
                Err(cause) if attempts.should_retry(&cause).await => {}
                tried => return tried.map_err(|cause| cause.of(&self.name)),
            }
        }
    }

    fn unreadable(&self, error: serde_json::Error) -> Failed {
        Cause::Unreadable(error).of(&self.name)
    }
}

fn texts(ids: &[DocumentId]) -> Vec<&str> {
    ids.iter().map(DocumentId::as_str).collect()
}

/// A limit as a parameter of a statement.
fn bounded(limit: usize) -> i64 {
    i64::try_from(limit).unwrap_or(i64::MAX)
}

#[async_trait]
impl Dialect for Postgres {
    async fn check(&self) -> Result<(), Failed> {
        self.check_schema().await.map_err(|cause| cause.of(&self.name))
    }

    async fn migrate(&self) -> Result<String, Failed> {
        self.migrate_schema().await.map_err(|cause| cause.of(&self.name))
    }

    async fn change(&self, target: &WriteTarget, batch: Batch) -> Result<Vec<Outcome>, Failed> {
        let mut attempts = Attempts::new(&self.clock);
        loop {
            match self.try_change(target, &batch).await {
                Err(cause) if attempts.should_retry(&cause).await => {}
                tried => return tried.map_err(|cause| cause.of(&self.name)),
            }
        }
    }

    async fn delete(&self, target: &WriteTarget, batch: &[Removal]) -> Result<Vec<Outcome>, Failed> {
        let mut attempts = Attempts::new(&self.clock);
        loop {
            match self.try_delete(target, batch).await {
                Err(cause) if attempts.should_retry(&cause).await => {}
                tried => return tried.map_err(|cause| cause.of(&self.name)),
            }
        }
    }

    async fn remove_shop(&self, shop_id: &str, limit: usize) -> Result<usize, Failed> {
        let removed = self
            .execute(
                "DELETE FROM catalog.products WHERE id IN (
                    SELECT id FROM catalog.products WHERE merchant = $1 ORDER BY id LIMIT $2 FOR UPDATE)",
                &[&shop_id, &bounded(limit)],
            )
            .await?;
        if removed == 0 {
            self.execute("DELETE FROM catalog.loads WHERE merchant = $1", &[&shop_id]).await?;
        }
        Ok(usize::try_from(removed).unwrap_or(usize::MAX))
    }

    async fn stored(
        &self,
        target: &WriteTarget,
        ids: &[DocumentId],
    ) -> Result<HashMap<String, StoredRow>, Failed> {
        let rows = self
            .rows(
                "SELECT source_id, version::text, content_hash, job_id, status = 'archived' FROM catalog.products
                WHERE merchant = $1 AND index_name = $2 AND source_id = ANY ($3)",
                &[&target.shop_id, &target.index_name, &texts(ids)],
            )
            .await?;
        Ok(rows.iter().map(read::stored).collect())
    }

    async fn read(&self, target: &WriteTarget, id: &DocumentId) -> Result<CurrentState, Failed> {
        let read = async {
            let mut client = self.pool.get().await?;
            let transaction = client.build_transaction().isolation_level(IsolationLevel::RepeatableRead);
            let tx = transaction.read_only(true).start().await?;
            let current = read::current_state(&tx, target, &[id.as_str()], Lock::None).await?;
            tx.commit().await?;
            Ok::<_, Cause>(current)
        };
        read.await.map_err(|cause| cause.of(&self.name))
    }

    async fn list(&self, target: &WriteTarget, after: &str, limit: usize) -> Result<Vec<String>, Failed> {
        let rows = self
            .rows(
                "SELECT source_id FROM catalog.products
                WHERE merchant = $1 AND index_name = $2 AND source_id > $3 AND status = 'active'
                ORDER BY source_id LIMIT $4",
                &[&target.shop_id, &target.index_name, &after, &bounded(limit)],
            )
            .await?;
        Ok(rows.iter().map(|row| row.get(0)).collect())
    }

    async fn summary(&self, target: &WriteTarget) -> Result<CatalogSummary, Failed> {
        self.summarise(target).await
    }

    async fn put_load(&self, target: &WriteTarget, load: &Load) -> Result<(), Failed> {
        self.store_load(target, load).await
    }

    async fn loads(&self, target: &WriteTarget, limit: usize) -> Result<Vec<Load>, Failed> {
        self.newest_loads(target, limit).await
    }

    async fn queue_other_models(&self, target: &WriteTarget, model: &str) -> Result<u64, Failed> {
        self.queue_models_but(target, model).await
    }

    async fn to_embed(
        &self,
        target: &WriteTarget,
        after: i64,
        limit: usize,
    ) -> Result<Vec<Unembedded>, Failed> {
        self.queued(target, after, limit).await
    }

    async fn put_embeddings(&self, model: &str, embedded: &[Embedded]) -> Result<u64, Failed> {
        self.store_embeddings(model, embedded).await
    }

    async fn refuse_embedding(&self, product: &Unembedded, reason: &str) -> Result<(), Failed> {
        self.note_refusal(product, reason).await
    }

    async fn lock_embedding(&self, target: &WriteTarget) -> Result<Option<Box<dyn Any + Send>>, Failed> {
        self.try_lock_embedding(target).await.map_err(|cause| cause.of(&self.name))
    }

    async fn unlock_embedding(&self, lock: Box<dyn Any + Send>) -> Result<(), Failed> {
        embeddings::unlock(lock).await.map_err(|cause| cause.of(&self.name))
    }

    async fn renew_words(
        &self,
        target: &WriteTarget,
        texts: &Arc<TextConfig>,
        limit: usize,
    ) -> Result<usize, Failed> {
        self.renew_stale_words(target, texts, limit).await
    }

    async fn search(&self, target: &WriteTarget, query: &Query, limit: usize) -> Result<Vec<Hit>, Failed> {
        self.find_words(target, query, limit).await
    }

    async fn nearest(
        &self,
        target: &WriteTarget,
        model: &str,
        vector: &[f32],
        limit: usize,
    ) -> Result<Vec<Hit>, Failed> {
        self.find_nearest(target, model, vector, limit).await
    }
}
