//! The relational catalog: a row a product, its variants as SKUs, their attributes.
//!
//! `rows` turns documents into rows and back, `batch` cuts a write into transactions, `prefetch` reads what is there,
//! `upsert` and `attributes` write what differs. They reach the database through `sql` alone.

use super::{Index, IndexError, Outcome, Stored, Target, Write};
use crate::{
    env::SharedEnv,
    model::DocumentId,
    store::{
        StoreErrorKind,
        embedded::{Cause, Database, DatabaseError, Embedded, from_json, time},
    },
};
use async_trait::async_trait;
use rows::ProductRow;
use serde_json::{Map, Value};
use sql::Session;
use std::sync::Arc;

mod attributes;
mod batch;
mod prefetch;
mod rows;
mod sql;
#[cfg(test)]
mod tests;
mod upsert;

/// Complexity of a batch if nothing else is said: the seed's bound.
const BATCH_COMPLEXITY: usize = 100;

/// The catalog in an embedded database.
#[derive(Clone)]
pub struct Catalog {
    database: Arc<Database>,
    env: SharedEnv,
    batch_complexity: usize,
}

impl Catalog {
    /// The catalog of a data directory, in the same file as queue and jobs.
    pub fn new(embedded: &Embedded) -> Self {
        let (database, env) = (embedded.database().clone(), embedded.env().clone());
        Self { database, env, batch_complexity: BATCH_COMPLEXITY }
    }

    /// Bounds the complexity of what one transaction writes: 1 a product and 1 a variant. It keeps others from waiting
    /// long for the database; only a product that is more complex by itself exceeds it, alone.
    #[must_use]
    pub fn with_batch_complexity(mut self, bound: usize) -> Self {
        self.batch_complexity = bound.max(1);
        self
    }
}

fn during(error: DatabaseError, action: &str, target: &Target) -> IndexError {
    IndexError {
        action: format!("{action} the catalog of {}, index {}", target.shop_id, target.index_name),
        transient: error.kind() == StoreErrorKind::Transient,
        source: Box::new(error),
    }
}

#[async_trait]
impl Index for Catalog {
    fn kind(&self) -> &'static str {
        "catalog"
    }

    /// Whoever opened the data directory has it all.
    async fn check(&self, _: &Target) -> Result<(), IndexError> {
        Ok(())
    }

    async fn stored(&self, target: &Target, ids: &[DocumentId]) -> Result<Vec<Option<Stored>>, IndexError> {
        let (scope, ids) = (target.clone(), ids.to_vec());
        let read = self.database.read(move |tx| {
            let found = Session::new(tx, &scope).stored(&ids)?;
            ids.iter()
                .map(|id| {
                    let Some(row) = found.get(id.as_str()) else { return Ok(None) };
                    Ok(Some(Stored {
                        version: from_json(&row.version)?,
                        content_hash: Some(row.content_hash.clone()),
                        job_id: Some(row.job_id.clone()),
                    }))
                })
                .collect()
        });
        read.await.map_err(|error| during(error, "reading versions from", target))
    }

    async fn write(&self, target: &Target, batch: &[Write]) -> Result<Vec<Outcome>, IndexError> {
        let mut outcomes = vec![Outcome::Done; batch.len()];
        for range in batch::by_complexity(batch, self.batch_complexity) {
            let mut rows = Vec::with_capacity(range.len());
            for at in range {
                match ProductRow::of(&batch[at]) {
                    Ok(row) => rows.push(row),
                    Err(invalid) => outcomes[at] = invalid.into(),
                }
            }
            if rows.is_empty() {
                continue;
            }
            let (scope, env) = (target.clone(), self.env.clone());
            let write = self.database.write(move |tx| {
                let session = Session::new(tx, &scope);
                upsert::write(&session, &rows, time::to_column(env.now()))?;
                tracing::debug!(products = rows.len(), statements = session.statements(), "catalog batch");
                Ok(())
            });
            write.await.map_err(|error| during(error, "writing to", target))?;
        }
        Ok(outcomes)
    }

    async fn update(&self, target: &Target, batch: &[Write]) -> Result<Vec<Outcome>, IndexError> {
        let mut outcomes = Vec::with_capacity(batch.len());
        for range in batch::by_complexity(batch, self.batch_complexity) {
            let (scope, env, updates) = (target.clone(), self.env.clone(), batch[range].to_vec());
            let update = self.database.write(move |tx| {
                upsert::update(&Session::new(tx, &scope), &updates, time::to_column(env.now()))
            });
            outcomes.extend(update.await.map_err(|error| during(error, "updating", target))?);
        }
        Ok(outcomes)
    }

    async fn delete(&self, target: &Target, ids: &[DocumentId]) -> Result<Vec<Outcome>, IndexError> {
        // Their variants are not known, so the bound counts products here.
        for some in ids.chunks(self.batch_complexity) {
            let (scope, ids) = (target.clone(), some.to_vec());
            let delete = self.database.write(move |tx| {
                Session::new(tx, &scope).delete_products(&ids)?;
                Ok(())
            });
            delete.await.map_err(|error| during(error, "removing from", target))?;
        }
        Ok(vec![Outcome::Done; ids.len()])
    }

    async fn get(&self, target: &Target, id: &DocumentId) -> Result<Option<Map<String, Value>>, IndexError> {
        let (scope, id) = (target.clone(), id.clone());
        let read = self.database.read(move |tx| {
            let session = Session::new(tx, &scope);
            let mut before = prefetch::Before::read(&session, std::iter::once(id.as_str()))?;
            before.products.remove(id.as_str()).map(|product| before.document(&id, &product)).transpose()
        });
        read.await.map_err(|error| during(error, "reading from", target))
    }

    async fn list(
        &self,
        target: &Target,
        after: Option<&DocumentId>,
        limit: usize,
    ) -> Result<Vec<DocumentId>, IndexError> {
        let (scope, after) = (target.clone(), after.cloned());
        let read = self.database.read(move |tx| {
            let ids = Session::new(tx, &scope).list(after.as_ref(), limit)?;
            ids.into_iter().map(|id| DocumentId::new(id).map_err(Cause::corrupt)).collect()
        });
        read.await.map_err(|error| during(error, "listing", target))
    }

    async fn count(&self, target: &Target) -> Result<u64, IndexError> {
        let scope = target.clone();
        let read = self.database.read(move |tx| Ok(Session::new(tx, &scope).count()?));
        read.await.map_err(|error| during(error, "counting", target))
    }
}
