//! The queue of products that wait for an embedding (a vector of their text), the embeddings, and search by similarity.

use super::{Cause, Postgres, bounded, migrate::has_vectors};
use crate::{
    dialect::{Failed, Hit},
    embed::{Embedded, Unembedded, cosine},
    postgres::error::Attempts,
};
use deadpool_postgres::{Client, ClientWrapper, Object};
use host_core::index::WriteTarget;
use std::{any::Any, fmt::Write, time::SystemTime};
use tokio_postgres::Row;

impl Postgres {
    pub(super) async fn queue_models_but(&self, target: &WriteTarget, model: &str) -> Result<u64, Failed> {
        self.execute(
            "INSERT INTO catalog.to_embed (product_id, text_hash)
            SELECT p.id, p.text_hash FROM catalog.products p JOIN catalog.embeddings e ON e.product_id = p.id
            WHERE p.merchant = $1 AND p.index_name = $2 AND e.model <> $3 ORDER BY p.id
            ON CONFLICT (product_id) DO NOTHING",
            &[&target.shop_id, &target.index_name, &model],
        )
        .await
    }

    pub(super) async fn queued(
        &self,
        target: &WriteTarget,
        after: i64,
        limit: usize,
    ) -> Result<Vec<Unembedded>, Failed> {
        let rows = self
            .rows(
                "SELECT p.id, p.source_id, p.text_hash, p.fields::text
                FROM catalog.to_embed t JOIN catalog.products p ON p.id = t.product_id
                WHERE p.merchant = $1 AND p.index_name = $2 AND p.status = 'active' AND t.refused IS NULL
                    AND t.product_id > $3
                ORDER BY t.product_id LIMIT $4",
                &[&target.shop_id, &target.index_name, &after, &bounded(limit)],
            )
            .await?;
        let queued = |row: &Row| Unembedded {
            product_id: row.get(0),
            source_id: row.get(1),
            text_hash: row.get(2),
            fields: row.get(3),
        };
        Ok(rows.iter().map(queued).collect())
    }

    pub(super) async fn store_embeddings(&self, model: &str, embedded: &[Embedded]) -> Result<u64, Failed> {
        let mut attempts = Attempts::new(&self.clock);
        loop {
            match self.try_store_embeddings(model, embedded).await {
                Err(cause) if attempts.should_retry(&cause).await => {}
                tried => return tried.map_err(|cause| cause.of(&self.name)),
            }
        }
    }

    async fn try_store_embeddings(&self, model: &str, embedded: &[Embedded]) -> Result<u64, Cause> {
        let mut embedded: Vec<&Embedded> = embedded.iter().collect();
        embedded.sort_by_key(|embedded| embedded.product_id);
        let ids: Vec<i64> = embedded.iter().map(|embedded| embedded.product_id).collect();
        let hashes: Vec<&str> = embedded.iter().map(|embedded| embedded.text_hash.as_str()).collect();
        let client = self.pool.get().await?;
        let is_vector = has_vectors(&**client).await?;
        let vectors: Vec<String> =
            embedded.iter().map(|embedded| literal(&embedded.vector, is_vector)).collect();
        let now = SystemTime::from(self.clock.now());
        // The statement waits for a load that is writing the product, and then compares the text that the load has
        // left.
        let sql = format!(
            "WITH same AS MATERIALIZED (
                SELECT p.id, new.text_hash, new.vector
                FROM unnest($1::bigint[], $2::text[], $3::text[]) AS new (id, text_hash, vector)
                    JOIN catalog.products p ON p.id = new.id
                WHERE p.text_hash = new.text_hash
                ORDER BY p.source_id FOR NO KEY UPDATE OF p),
            stored AS (
                INSERT INTO catalog.embeddings SELECT id, text_hash, $4, vector::{}, $5 FROM same
                ON CONFLICT (product_id) DO UPDATE SET text_hash = excluded.text_hash, model = excluded.model,
                    vector = excluded.vector, embedded_at = excluded.embedded_at
                RETURNING product_id)
            DELETE FROM catalog.to_embed USING stored WHERE to_embed.product_id = stored.product_id",
            kind(is_vector)
        );
        let statement = client.prepare_cached(&sql).await?;
        Ok(client.execute(&statement, &[&ids, &hashes, &vectors, &model, &now]).await?)
    }

    pub(super) async fn note_refusal(&self, product: &Unembedded, reason: &str) -> Result<(), Failed> {
        self.execute(
            "UPDATE catalog.to_embed SET refused = $3 FROM catalog.products p
            WHERE to_embed.product_id = $1 AND p.id = $1 AND p.text_hash = $2",
            &[&product.product_id, &product.text_hash, &reason],
        )
        .await?;
        Ok(())
    }

    /// Takes an advisory lock, which the server holds as long as the connection lives: the value is the connection.
    /// `None` if another process holds the lock.
    pub(super) async fn try_lock_embedding(
        &self,
        target: &WriteTarget,
    ) -> Result<Option<Box<dyn Any + Send>>, Cause> {
        let client: Client = self.pool.get().await?;
        let name = format!("host embed {} {}", target.shop_id, target.index_name);
        let locked =
            client.query_one("SELECT pg_try_advisory_lock(hashtextextended($1, 0))", &[&name]).await?;
        Ok(locked.get::<_, bool>(0).then(|| -> Box<dyn Any + Send> { Box::new(Object::take(client)) }))
    }

    pub(super) async fn find_nearest(
        &self,
        target: &WriteTarget,
        model: &str,
        vector: &[f32],
        limit: usize,
    ) -> Result<Vec<Hit>, Failed> {
        let is_vector = async { has_vectors(&**self.pool.get().await?).await };
        if is_vector.await.map_err(|cause| cause.of(&self.name))? {
            let rows = self
                .rows(
                    "SELECT p.source_id, p.title, 1 - (e.vector <=> $4::text::vector)
                    FROM catalog.embeddings e JOIN catalog.products p ON p.id = e.product_id
                    WHERE p.merchant = $1 AND p.index_name = $2 AND p.status = 'active' AND e.model = $3
                        AND e.text_hash = p.text_hash
                    ORDER BY e.vector <=> $4::text::vector LIMIT $5",
                    &[&target.shop_id, &target.index_name, &model, &literal(vector, true), &bounded(limit)],
                )
                .await?;
            return Ok(rows.iter().map(hit).collect());
        }
        let rows = self
            .rows(
                "SELECT p.source_id, p.title, e.vector
                FROM catalog.embeddings e JOIN catalog.products p ON p.id = e.product_id
                WHERE p.merchant = $1 AND p.index_name = $2 AND p.status = 'active' AND e.model = $3
                    AND e.text_hash = p.text_hash",
                &[&target.shop_id, &target.index_name, &model],
            )
            .await?;
        // Without pgvector, the similarities are computed here.
        let hit = |row: &Row| {
            let score = cosine(vector, &row.get::<_, Vec<f32>>(2));
            Hit { id: row.get(0), title: row.get(1), score }
        };
        let mut hits: Vec<Hit> = rows.iter().map(hit).collect();
        hits.sort_by(|one, other| other.score.total_cmp(&one.score));
        hits.truncate(limit);
        Ok(hits)
    }
}

/// Releases the lock of [`Postgres::try_lock_embedding`] immediately; if the connection is only dropped, the server
/// notices that a little later.
pub(super) async fn unlock(lock: Box<dyn Any + Send>) -> Result<(), Cause> {
    if let Ok(client) = lock.downcast::<ClientWrapper>() {
        client.batch_execute("SELECT pg_advisory_unlock_all()").await?;
    }
    Ok(())
}

pub(super) fn hit(row: &Row) -> Hit {
    Hit { id: row.get(0), title: row.get(1), score: row.get(2) }
}

/// Type of the column of embeddings: pgvector's, or an array on a server without pgvector.
fn kind(is_vector: bool) -> &'static str {
    if is_vector { "vector" } else { "real[]" }
}

/// A vector as a literal of the column's type.
fn literal(vector: &[f32], is_vector: bool) -> String {
    let (open, close) = if is_vector { ('[', ']') } else { ('{', '}') };
    // A number and its comma take about 12 characters.
    let mut text = String::with_capacity(vector.len() * 12 + 2);
    text.push(open);
    for (at, number) in vector.iter().enumerate() {
        if at > 0 {
            text.push(',');
        }
        // Writing to a string cannot fail.
        let _ = write!(text, "{number}");
    }
    text.push(close);
    text
}
