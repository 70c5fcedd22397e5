//! The queue of products that wait for an embedding (a vector of their text), the embeddings, and search by similarity.

use super::Session;
use crate::{
    dialect::Hit,
    embed::{Embedded, Unembedded, cosine},
};
use host_sqlite::Cause;
use rusqlite::{Transaction, params};

impl Session<'_> {
    pub(super) fn queue_other_models(&self, model: &str) -> Result<u64, Cause> {
        let queued = self
            .statement(
                "INSERT INTO to_embed (product_id, text_hash)
                SELECT p.id, p.text_hash FROM products p JOIN embeddings e ON e.product_id = p.id
                WHERE p.merchant = ?1 AND p.index_name = ?2 AND e.model <> ?3
                ON CONFLICT (product_id) DO NOTHING",
            )?
            .execute(params![self.target.shop_id, self.target.index_name, model])?;
        Ok(queued as u64)
    }

    pub(super) fn to_embed(&self, after: i64, limit: usize) -> Result<Vec<Unembedded>, Cause> {
        let mut statement = self.statement(
            "SELECT p.id, p.source_id, p.text_hash, p.fields FROM to_embed t JOIN products p ON p.id = t.product_id
            WHERE p.merchant = ?1 AND p.index_name = ?2 AND p.status = 'active' AND t.refused IS NULL
                AND t.product_id > ?3
            ORDER BY t.product_id LIMIT ?4",
        )?;
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let params = params![self.target.shop_id, self.target.index_name, after, limit];
        let rows = statement.query_map(params, |row| {
            Ok(Unembedded {
                product_id: row.get(0)?,
                source_id: row.get(1)?,
                text_hash: row.get(2)?,
                fields: row.get(3)?,
            })
        })?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    pub(super) fn nearest(&self, model: &str, vector: &[f32], limit: usize) -> Result<Vec<Hit>, Cause> {
        let mut statement = self.statement(
            "SELECT p.source_id, p.title, e.vector FROM embeddings e JOIN products p ON p.id = e.product_id
            WHERE p.merchant = ?1 AND p.index_name = ?2 AND p.status = 'active' AND e.model = ?3
                AND e.text_hash = p.text_hash",
        )?;
        let mut rows = statement.query(params![self.target.shop_id, self.target.index_name, model])?;
        let mut hits = Vec::new();
        while let Some(row) = rows.next()? {
            let other = from_blob(row.get_ref(2)?.as_blob().map_err(Cause::corrupt)?);
            hits.push(Hit { id: row.get(0)?, title: row.get(1)?, score: cosine(vector, &other) });
        }
        hits.sort_by(|one, other| other.score.total_cmp(&one.score));
        hits.truncate(limit);
        Ok(hits)
    }
}

/// Stores vectors of products whose text is still the same, and removes these products from the queue; returns how
/// many.
pub(super) fn put(tx: &Transaction<'_>, model: &str, embedded: &[Embedded], now: i64) -> Result<u64, Cause> {
    let mut put = tx.prepare_cached(
        "INSERT INTO embeddings
        SELECT id, text_hash, ?3, ?4, ?5 FROM products WHERE id = ?1 AND text_hash = ?2
        ON CONFLICT (product_id) DO UPDATE SET text_hash = excluded.text_hash, model = excluded.model,
            vector = excluded.vector, embedded_at = excluded.embedded_at",
    )?;
    // Without a condition on the queued hash: products that were queued before the catalog had hashes have none.
    let mut done = tx.prepare_cached("DELETE FROM to_embed WHERE product_id = ?1")?;
    let mut stored = 0;
    for Embedded { product_id, text_hash, vector } in embedded {
        let blob: Vec<u8> = vector.iter().flat_map(|number| number.to_le_bytes()).collect();
        if put.execute(params![product_id, text_hash, model, blob, now])? > 0 {
            done.execute([product_id])?;
            stored += 1;
        }
    }
    Ok(stored)
}

/// Records why the endpoint refuses a product's text, if the product still has this text.
pub(super) fn refuse(tx: &Transaction<'_>, id: i64, text_hash: &str, reason: &str) -> Result<(), Cause> {
    tx.prepare_cached(
        "UPDATE to_embed SET refused = ?3 WHERE product_id = ?1
            AND EXISTS (SELECT 1 FROM products WHERE id = ?1 AND text_hash = ?2)",
    )?
    .execute(params![id, text_hash, reason])?;
    Ok(())
}

/// The vector in a column: 32-bit floats, little-endian.
fn from_blob(blob: &[u8]) -> Vec<f32> {
    blob.chunks_exact(4).map(|bytes| f32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]])).collect()
}
