//! The relational catalog, an index in SQL tables: a document becomes a row of `products`, its variants become rows of
//! `skus` with `attributes`. It is *embedded* (in the SQLite file of the data directory) or on a PostgreSQL server.
//!
//! `rows` turns documents into rows and back, `batch` splits a write into transactions, `current_state` is what the
//! catalog holds, `changes` is what has to be written. None of these knows a database: `sqlite` and `postgres`
//! implement the port `dialect`.

use async_trait::async_trait;
use batch::{Batch, Bounds};
use dialect::{Dialect, Failed};
use host_core::{
    clock::SharedClock,
    index::{
        Index, IndexError, LoadLog, Outcome, Precondition, Removal, StoredVersion, TargetId, Write,
        WriteTarget,
    },
    model::DocumentId,
    secret::Secret,
};
use host_sqlite::Database;
use serde_json::{Map, Value};
use std::sync::Arc;
use text::TextConfig;
use words::Query;

mod batch;
mod changes;
mod config;
mod current_state;
mod dialect;
mod embed;
mod load_log;
mod loads;
mod postgres;
mod rows;
mod sqlite;
mod text;
mod words;

pub use config::{CatalogConfig, EmbeddingsConfig};
pub use dialect::Hit;
pub use embed::{CallError, EmbedError, EmbedReport, Embedder};
pub use loads::{CatalogSummary, Load};
pub use postgres::InvalidUrl;

/// The kind of index, as the setting `target` names it.
pub const KIND: &str = "catalog";

/// Number of products that one statement deletes when a shop is removed. Other writers wait for the statement, so it is
/// bounded.
const REMOVAL_BATCH: usize = 1_000;

/// Number of products whose words one transaction makes anew. Other writers wait for it, so it is bounded.
const RENEWAL_BATCH: usize = 200;

/// A catalog, embedded or on a PostgreSQL server. Cheap to clone.
#[derive(Clone)]
pub struct Catalog {
    dialect: Arc<dyn Dialect>,
    id: TargetId,
    bounds: Bounds,
    texts: Arc<TextConfig>,
}

impl Catalog {
    /// The catalog in the SQLite file of a data directory, which has queue and jobs, too.
    pub fn sqlite(database: Arc<Database>, config: &CatalogConfig, clock: SharedClock) -> Self {
        Self::on(Arc::new(sqlite::Sqlite::new(database, clock)), "embedded", config)
    }

    /// The catalog of the PostgreSQL database at `url`, connected to when it is first needed.
    ///
    /// # Errors
    /// The address is not one of a PostgreSQL database.
    pub fn postgres(url: &Secret, config: &CatalogConfig, clock: SharedClock) -> Result<Self, InvalidUrl> {
        let postgres = postgres::Postgres::new(url, config.connections, clock)?;
        let instance = postgres.address().to_owned();
        Ok(Self::on(Arc::new(postgres), &instance, config))
    }

    fn on(dialect: Arc<dyn Dialect>, instance: &str, config: &CatalogConfig) -> Self {
        let (bounds, texts) = (config.bounds(), Arc::new(config.texts()));
        Self { dialect, id: TargetId::of_instance(KIND, instance), bounds, texts }
    }

    /// Migrates the schema; returns a sentence that says what was done.
    pub async fn migrate(&self) -> Result<String, IndexError> {
        self.dialect.migrate().await.map_err(|failed| failed.into_error("bringing the catalog up to date"))
    }

    /// How much the catalog holds of a shop and index.
    pub async fn summary(&self, target: &WriteTarget) -> Result<CatalogSummary, IndexError> {
        self.dialect.summary(target).await.map_err(|failed| failed.during("counting", target))
    }

    /// Records of the newest loads (jobs that wrote to the catalog), newest first.
    pub async fn loads(&self, target: &WriteTarget, limit: usize) -> Result<Vec<Load>, IndexError> {
        self.dialect
            .loads(target, limit)
            .await
            .map_err(|failed| failed.during("reading the loads of", target))
    }

    /// Active products that have all the words of `text`, or words that begin with them, best first: those with the
    /// text as SKU or barcode, then those with exact words, the title before other fields. If other fields are searched
    /// than before (`catalog.search_fields`), the words of all products are made anew first.
    pub async fn search(
        &self,
        target: &WriteTarget,
        text: &str,
        limit: usize,
    ) -> Result<Vec<Hit>, IndexError> {
        let search = async {
            let Some(query) = Query::of(text).map_err(Failed::permanent)? else { return Ok(Vec::new()) };
            let mut is_first = true;
            while self.dialect.renew_words(target, &self.texts, RENEWAL_BATCH).await? > 0 {
                if std::mem::take(&mut is_first) {
                    tracing::warn!(
                        "this search takes longer: it first makes words of products anew that were made of other \
                         `catalog.search_fields`, or by an older version"
                    );
                }
            }
            self.dialect.search(target, &query, limit).await
        };
        search.await.map_err(|failed| failed.during("searching", target))
    }
}

impl Failed {
    /// The error of a call that was doing `action`.
    fn into_error(self, action: impl Into<String>) -> IndexError {
        IndexError { action: action.into(), transient: self.transient, source: self.source }
    }

    /// The error of a call that was doing `action` to the catalog of a shop and index.
    fn during(self, action: &str, target: &WriteTarget) -> IndexError {
        self.into_error(format!("{action} the catalog of {}, index {}", target.shop_id, target.index_name))
    }
}

#[async_trait]
impl Index for Catalog {
    fn id(&self) -> TargetId {
        self.id.clone()
    }

    async fn check(&self, _: &WriteTarget) -> Result<(), IndexError> {
        self.dialect.check().await.map_err(|failed| failed.into_error("opening the catalog"))
    }

    async fn stored(
        &self,
        target: &WriteTarget,
        ids: &[DocumentId],
    ) -> Result<Vec<Option<StoredVersion>>, IndexError> {
        let read = async {
            let found = self.dialect.stored(target, ids).await?;
            ids.iter()
                .map(|id| {
                    let Some(row) = found.get(id.as_str()) else { return Ok(None) };
                    Ok(Some(StoredVersion {
                        version: serde_json::from_str(&row.version).map_err(Failed::permanent)?,
                        content_hash: Some(row.content_hash.clone()),
                        job_id: Some(row.job_id.clone()),
                        is_archived: row.is_archived,
                    }))
                })
                .collect::<Result<Vec<_>, Failed>>()
        };
        read.await.map_err(|failed| failed.during("reading versions from", target))
    }

    async fn write(&self, target: &WriteTarget, batch: &[Write]) -> Result<Vec<Outcome>, IndexError> {
        let mut outcomes = Vec::with_capacity(batch.len());
        for range in self.bounds.cut(batch) {
            let change = self.dialect.change(target, Batch::of_writes(&batch[range], &self.texts)).await;
            outcomes.extend(change.map_err(|failed| failed.during("writing to", target))?);
        }
        Ok(outcomes)
    }

    async fn update(&self, target: &WriteTarget, batch: &[Write]) -> Result<Vec<Outcome>, IndexError> {
        let mut outcomes = Vec::with_capacity(batch.len());
        for range in self.bounds.cut(batch) {
            let change = self.dialect.change(target, Batch::of_updates(&batch[range], &self.texts)).await;
            outcomes.extend(change.map_err(|failed| failed.during("updating", target))?);
        }
        Ok(outcomes)
    }

    async fn delete(&self, target: &WriteTarget, batch: &[Removal]) -> Result<Vec<Outcome>, IndexError> {
        let mut outcomes = Vec::with_capacity(batch.len());
        // The variants of the products are not known here, so the bound counts products alone.
        for part in batch.chunks(self.bounds.complexity.max(1)) {
            let delete = self.dialect.delete(target, part).await;
            outcomes.extend(delete.map_err(|failed| failed.during("removing from", target))?);
        }
        Ok(outcomes)
    }

    async fn remove_shop(&self, target: &WriteTarget) -> Result<Option<u64>, IndexError> {
        let mut documents = 0;
        loop {
            let removed = self.dialect.remove_shop(&target.shop_id, REMOVAL_BATCH).await;
            let removed = removed.map_err(|failed| {
                failed.into_error(format!("removing {} from the catalog", target.shop_id))
            })?;
            documents += removed as u64;
            if removed == 0 {
                return Ok(Some(documents));
            }
        }
    }

    async fn get(
        &self,
        target: &WriteTarget,
        id: &DocumentId,
    ) -> Result<Option<Map<String, Value>>, IndexError> {
        let read = async {
            let current = self.dialect.read(target, id).await?;
            let product = current.active(id).map(|product| current.document(id, product));
            product.transpose().map_err(Failed::permanent)
        };
        read.await.map_err(|failed| failed.during("reading from", target))
    }

    async fn list(
        &self,
        target: &WriteTarget,
        after: Option<&DocumentId>,
        limit: usize,
    ) -> Result<Vec<DocumentId>, IndexError> {
        let read = async {
            // All ids are after the empty text.
            let ids = self.dialect.list(target, after.map_or("", DocumentId::as_str), limit).await?;
            ids.into_iter().map(|id| DocumentId::new(id).map_err(Failed::permanent)).collect::<Result<_, _>>()
        };
        read.await.map_err(|failed| failed.during("listing", target))
    }

    fn is_per_shop(&self) -> bool {
        true
    }

    async fn count(&self, target: &WriteTarget) -> Result<u64, IndexError> {
        Ok(self.summary(target).await?.active)
    }

    fn load_log(&self) -> Option<&dyn LoadLog> {
        Some(self)
    }
}
