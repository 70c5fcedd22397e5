//! Loads, what there is, and archiving.

use super::{Postgres, bounded};
use crate::{
    dialect::Failed,
    loads::{CatalogSummary, Load},
};
use host_core::index::WriteTarget;
use jiff::Timestamp;
use std::time::SystemTime;
use tokio_postgres::Row;

/// Active products that were last seen by a job that began before $3.
macro_rules! unseen {
    () => {
        " FROM catalog.products p JOIN catalog.seen s ON s.product_id = p.id
        WHERE p.merchant = $1 AND p.index_name = $2 AND p.status = 'active' AND s.job_created_at < $3"
    };
}

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

    pub(super) async fn number_of_unseen(
        &self,
        target: &WriteTarget,
        since: Timestamp,
    ) -> Result<u64, Failed> {
        let since = SystemTime::from(since);
        let sql = concat!("SELECT count(*)", unseen!());
        let rows = self.rows(sql, &[&target.shop_id, &target.index_name, &since]).await?;
        Ok(rows.first().map_or(0, |row| count(row, 0)))
    }

    pub(super) async fn ids_of_unseen(
        &self,
        target: &WriteTarget,
        since: Timestamp,
        after: &str,
        limit: usize,
    ) -> Result<Vec<String>, Failed> {
        let since = SystemTime::from(since);
        let sql =
            concat!("SELECT p.source_id", unseen!(), " AND p.source_id > $4 ORDER BY p.source_id LIMIT $5");
        let rows =
            self.rows(sql, &[&target.shop_id, &target.index_name, &since, &after, &bounded(limit)]).await?;
        Ok(rows.iter().map(|row| row.get(0)).collect())
    }

    /// Locks the rows of `seen` as well as the products: a writer that sees one of them now waits, and finds it archived.
    pub(super) async fn archive_some(
        &self,
        target: &WriteTarget,
        since: Timestamp,
        limit: usize,
    ) -> Result<usize, Failed> {
        let since = SystemTime::from(since);
        let sql = concat!(
            "WITH gone AS MATERIALIZED (SELECT p.id",
            unseen!(),
            " ORDER BY p.id LIMIT $4 FOR UPDATE OF p, s SKIP LOCKED)
            UPDATE catalog.products SET status = 'archived' FROM gone WHERE products.id = gone.id"
        );
        let archived =
            self.execute(sql, &[&target.shop_id, &target.index_name, &since, &bounded(limit)]).await?;
        Ok(usize::try_from(archived).unwrap_or(usize::MAX))
    }
}
