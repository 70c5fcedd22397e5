//! The records of loads (jobs that wrote to the catalog), and how much the catalog holds.

use super::{Postgres, bounded};
use crate::{
    dialect::Failed,
    loads::{CatalogSummary, Load},
};
use host_core::index::WriteTarget;
use std::time::SystemTime;
use tokio_postgres::Row;

fn count(row: &Row, at: usize) -> u64 {
    row.get::<_, i64>(at).unsigned_abs()
}

impl Postgres {
    pub(super) async fn summarise(&self, target: &WriteTarget) -> Result<CatalogSummary, Failed> {
        let rows = self
            .rows(
                "SELECT count(*) FILTER (WHERE status = 'active'), count(*) FILTER (WHERE status = 'archived'),
                    (SELECT count(*) FROM catalog.skus s JOIN catalog.products p ON p.id = s.product_id
                        WHERE p.merchant = $1 AND p.index_name = $2 AND p.status = 'active'),
                    count(*) FILTER (WHERE status = 'active' AND e.text_hash = p.text_hash),
                    count(*) FILTER (WHERE status = 'active' AND t.product_id IS NOT NULL AND t.refused IS NULL),
                    count(*) FILTER (WHERE status = 'active' AND t.refused IS NOT NULL)
                FROM catalog.products p LEFT JOIN catalog.embeddings e ON e.product_id = p.id
                    LEFT JOIN catalog.to_embed t ON t.product_id = p.id
                WHERE p.merchant = $1 AND p.index_name = $2",
                &[&target.shop_id, &target.index_name],
            )
            .await?;
        let summary = |row: &Row| CatalogSummary {
            active: count(row, 0),
            archived: count(row, 1),
            skus: count(row, 2),
            embedded: count(row, 3),
            to_embed: count(row, 4),
            refused: count(row, 5),
        };
        Ok(rows.first().map(summary).unwrap_or_default())
    }

    pub(super) async fn store_load(&self, target: &WriteTarget, load: &Load) -> Result<(), Failed> {
        let json = serde_json::to_string(load).map_err(|error| self.unreadable(error))?;
        self.execute(
            "INSERT INTO catalog.loads VALUES ($1, $2, $3, $4, $5::text::json)
            ON CONFLICT (merchant, index_name, job_id) DO UPDATE SET load = excluded.load",
            &[&target.shop_id, &target.index_name, &load.job_id, &SystemTime::from(load.began_at), &json],
        )
        .await?;
        Ok(())
    }

    pub(super) async fn newest_loads(&self, target: &WriteTarget, limit: usize) -> Result<Vec<Load>, Failed> {
        let rows = self
            .rows(
                "SELECT load::text FROM catalog.loads WHERE merchant = $1 AND index_name = $2
                ORDER BY began_at DESC LIMIT $3",
                &[&target.shop_id, &target.index_name, &bounded(limit)],
            )
            .await?;
        let load = |row: &Row| serde_json::from_str(row.get(0)).map_err(|error| self.unreadable(error));
        rows.iter().map(load).collect()
    }
}
