//! The relational catalog: a row a product, its variants as SKUs, their attributes.
//!
//! `rows` turns documents into rows and back, `batch` cuts a write into transactions, `before` is what is there, `changes`
//! what has to be written. All of that knows no database: below the seam `dialect` are `sqlite` and `postgres`.

use async_trait::async_trait;
use batch::Batch;
use dialect::{Dialect, Failed};
use host_core::index::{Index, IndexError, Outcome, Over, Removal, Stored, Target, Write};
use host_core::{
    clock::SharedEnv,
    model::{DocumentId, Secret},
};
use host_sqlite::Database;
use serde_json::{Map, Value};
use std::{num::NonZeroUsize, sync::Arc};

mod archive;
mod batch;
mod before;
mod changes;
mod dialect;
mod embed;
mod loads;
mod postgres;
mod rows;
mod sqlite;
mod text;

pub use archive::Archived;
pub use batch::Bounds;
pub use dialect::Hit;
pub use embed::{CallError, EmbedError, EmbedOptions, EmbedReport, Embedder};
pub use loads::{Load, Summary};
pub use postgres::InvalidUrl;
pub use text::TextFields;

/// A catalog, embedded or on a PostgreSQL server. Cheap to clone.
#[derive(Clone)]
pub struct Catalog {
    dialect: Arc<dyn Dialect>,
    kind: Arc<str>,
    env: SharedEnv,
    bounds: Bounds,
    texts: Arc<TextFields>,
}

impl Catalog {
    /// The catalog of a data directory, in the same file as queue and jobs.
    pub fn sqlite(database: Arc<Database>, env: SharedEnv) -> Self {
        Self::on(Arc::new(sqlite::Sqlite::new(database, env.clone())), "catalog:embedded", env)
    }

    /// The catalog of a PostgreSQL database, which is reached when it is first needed.
    ///
    /// # Errors
    /// The address is none of a PostgreSQL database.
    pub fn postgres(url: &Secret, connections: NonZeroUsize, env: SharedEnv) -> Result<Self, InvalidUrl> {
        let postgres = postgres::Postgres::new(url, connections, env.clone())?;
        let kind = format!("catalog:{}", postgres.place());
        Ok(Self::on(Arc::new(postgres), &kind, env))
    }

    fn on(dialect: Arc<dyn Dialect>, kind: &str, env: SharedEnv) -> Self {
        Self { dialect, kind: kind.into(), env, bounds: Bounds::default(), texts: Arc::default() }
    }

    /// Bounds what one transaction writes: others wait for the rows of its products, and for the whole embedded database.
    #[must_use]
    pub fn with_bounds(mut self, bounds: Bounds) -> Self {
        self.bounds = bounds;
        self
    }

    /// Chooses the fields that products are found by.
    #[must_use]
    pub fn with_texts(mut self, texts: TextFields) -> Self {
        self.texts = Arc::new(texts);
        self
    }

    /// Brings the schema up to date; says what was done.
    pub async fn migrate(&self) -> Result<String, IndexError> {
        self.dialect.migrate().await.map_err(|failed| failed.into_error("bringing the catalog up to date"))
    }

    /// How much there is of a shop and index.
    pub async fn summary(&self, target: &Target) -> Result<Summary, IndexError> {
        self.dialect.summary(target).await.map_err(|failed| failed.during("counting", target))
    }

    /// The newest loads, newest first.
    pub async fn loads(&self, target: &Target, limit: usize) -> Result<Vec<Load>, IndexError> {
        self.dialect
            .loads(target, limit)
            .await
            .map_err(|failed| failed.during("reading the loads of", target))
    }

    /// Active products that have all the words of a text, best first.
    pub async fn search(&self, target: &Target, text: &str, limit: usize) -> Result<Vec<Hit>, IndexError> {
        let words = text.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty());
        let words: Vec<String> = words.map(str::to_owned).collect();
        if words.is_empty() {
            return Ok(Vec::new());
        }
        let hits = self.dialect.search(target, &words, limit).await;
        hits.map_err(|failed| failed.during("searching", target))
    }
}

impl Failed {
    fn into_error(self, action: impl Into<String>) -> IndexError {
        IndexError { action: action.into(), transient: self.transient, source: self.source }
    }

    fn during(self, action: &str, target: &Target) -> IndexError {
        self.into_error(format!("{action} the catalog of {}, index {}", target.shop_id, target.index_name))
    }
}

#[async_trait]
impl Index for Catalog {
    fn kind(&self) -> &str {
        &self.kind
    }

    async fn check(&self, _: &Target) -> Result<(), IndexError> {
        self.dialect.check().await.map_err(|failed| failed.into_error("opening the catalog"))
    }

    async fn stored(&self, target: &Target, ids: &[DocumentId]) -> Result<Vec<Option<Stored>>, IndexError> {
        let read = async {
            let found = self.dialect.stored(target, ids).await?;
            ids.iter()
                .map(|id| {
                    let Some(row) = found.get(id.as_str()) else { return Ok(None) };
                    Ok(Some(Stored {
                        version: serde_json::from_str(&row.version).map_err(Failed::for_good)?,
                        content_hash: Some(row.content_hash.clone()),
                        job_id: Some(row.job_id.clone()),
                    }))
                })
                .collect::<Result<Vec<_>, Failed>>()
        };
        read.await.map_err(|failed| failed.during("reading versions from", target))
    }

    async fn write(&self, target: &Target, batch: &[Write]) -> Result<Vec<Outcome>, IndexError> {
        let mut outcomes = Vec::with_capacity(batch.len());
        for range in self.bounds.cut(batch) {
            let change = self.dialect.change(target, Batch::of_writes(&batch[range], &self.texts)).await;
            outcomes.extend(change.map_err(|failed| failed.during("writing to", target))?);
        }
        Ok(outcomes)
    }

    async fn update(&self, target: &Target, batch: &[Write]) -> Result<Vec<Outcome>, IndexError> {
        let mut outcomes = Vec::with_capacity(batch.len());
        for range in self.bounds.cut(batch) {
            let change = self.dialect.change(target, Batch::of_updates(&batch[range], &self.texts)).await;
            outcomes.extend(change.map_err(|failed| failed.during("updating", target))?);
        }
        Ok(outcomes)
    }

    async fn touch(&self, target: &Target, ids: &[DocumentId]) -> Result<(), IndexError> {
        if ids.is_empty() {
            return Ok(());
        }
        let touch = self.dialect.touch(target, ids).await;
        touch.map_err(|failed| failed.during("noting what was seen in", target))
    }

    async fn delete(&self, target: &Target, batch: &[Removal]) -> Result<Vec<Outcome>, IndexError> {
        let mut outcomes = Vec::with_capacity(batch.len());
        // Their variants are not known, so the bound counts products here.
        for some in batch.chunks(self.bounds.complexity.max(1)) {
            let delete = self.dialect.delete(target, some).await;
            outcomes.extend(delete.map_err(|failed| failed.during("removing from", target))?);
        }
        Ok(outcomes)
    }

    async fn get(&self, target: &Target, id: &DocumentId) -> Result<Option<Map<String, Value>>, IndexError> {
        let read = async {
            let before = self.dialect.read(target, id).await?;
            let product = before.active(id).map(|product| before.document(id, product));
            product.transpose().map_err(Failed::for_good)
        };
        read.await.map_err(|failed| failed.during("reading from", target))
    }

    async fn list(
        &self,
        target: &Target,
        after: Option<&DocumentId>,
        limit: usize,
    ) -> Result<Vec<DocumentId>, IndexError> {
        let read = async {
            // No id is empty.
            let ids = self.dialect.list(target, after.map_or("", DocumentId::as_str), limit).await?;
            ids.into_iter().map(|id| DocumentId::new(id).map_err(Failed::for_good)).collect::<Result<_, _>>()
        };
        read.await.map_err(|failed| failed.during("listing", target))
    }

    async fn count(&self, target: &Target) -> Result<u64, IndexError> {
        Ok(self.summary(target).await?.active)
    }
}
