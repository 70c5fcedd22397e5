//! The records of loads (jobs that wrote to the catalog), and how much the catalog holds.

use super::Session;
use crate::loads::{CatalogSummary, Load};
use host_sqlite::{Cause, from_json, time, to_json};
use rusqlite::params;

impl Session<'_> {
    pub(super) fn summary(&self) -> Result<CatalogSummary, Cause> {
        let mut statement = self.statement(
            "SELECT count(*) FILTER (WHERE status = 'active'), count(*) FILTER (WHERE status = 'archived'),
                (SELECT count(*) FROM skus s JOIN products p ON p.id = s.product_id
                    WHERE p.merchant = ?1 AND p.index_name = ?2 AND p.status = 'active'),
                count(*) FILTER (WHERE status = 'active' AND e.text_hash = p.text_hash),
                count(*) FILTER (WHERE status = 'active' AND t.product_id IS NOT NULL AND t.refused IS NULL),
                count(*) FILTER (WHERE status = 'active' AND t.refused IS NOT NULL)
            FROM products p LEFT JOIN embeddings e ON e.product_id = p.id LEFT JOIN to_embed t ON t.product_id = p.id
            WHERE merchant = ?1 AND index_name = ?2",
        )?;
        Ok(statement.query_row(params![self.target.shop_id, self.target.index_name], |row| {
            Ok(CatalogSummary {
                active: row.get(0)?,
                archived: row.get(1)?,
                skus: row.get(2)?,
                embedded: row.get(3)?,
                to_embed: row.get(4)?,
                refused: row.get(5)?,
            })
        })?)
    }

    pub(super) fn put_load(&self, load: &Load) -> Result<(), Cause> {
        let (merchant, index_name) = (&self.target.shop_id, &self.target.index_name);
        let began_at = time::to_column(load.began_at);
        self.statement("INSERT OR REPLACE INTO loads VALUES (?1, ?2, ?3, ?4, ?5)")?.execute(params![
            merchant,
            index_name,
            load.job_id,
            began_at,
            to_json(load)?
        ])?;
        Ok(())
    }

    pub(super) fn loads(&self, limit: usize) -> Result<Vec<Load>, Cause> {
        let mut statement = self.statement(
            "SELECT load FROM loads WHERE merchant = ?1 AND index_name = ?2 ORDER BY began_at DESC LIMIT ?3",
        )?;
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let rows = statement
            .query_map(params![self.target.shop_id, self.target.index_name, limit], |row| {
                row.get::<_, String>(0)
            })?;
        rows.map(|load| from_json(&load?)).collect()
    }
}
