//! The port (trait) to the catalog's database, SQLite or PostgreSQL. What is the same for both is above it; the SQL
//! statements are in its implementations.

use super::{
    WriteTarget,
    batch::Batch,
    current_state::CurrentState,
    embed::{Embedded, Unembedded},
    loads::{CatalogSummary, Load},
    text::TextConfig,
    words::Query,
};
use async_trait::async_trait;
use host_core::{
    index::{Outcome, Removal},
    model::DocumentId,
};
use std::{any::Any, collections::HashMap, error::Error, sync::Arc};

/// Version and origin of a product.
#[derive(Debug)]
pub(super) struct StoredRow {
    /// Version fields of the document (such as `updated_at`), JSON.
    pub(super) version: String,
    pub(super) content_hash: String,
    pub(super) job_id: String,
    pub(super) is_archived: bool,
}

/// A call to the database failed.
#[derive(Debug)]
pub(super) struct Failed {
    /// Whether the same call may succeed later without anybody changing anything.
    pub(super) transient: bool,
    pub(super) source: Box<dyn Error + Send + Sync>,
}

impl Failed {
    pub(super) fn permanent(source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self { transient: false, source: source.into() }
    }
}

/// A product that a search found.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct Hit {
    /// Id of the document.
    pub id: String,
    /// Title of the document; `None` if it has none.
    pub title: Option<String>,
    /// How well it matches, the higher the better; comparable only within one search.
    pub score: f64,
}

/// A database with the catalogs of shops. Each method is one transaction, which the implementation retries if it
/// conflicts with another one; writes are idempotent. `target` names shop and index.
#[async_trait]
pub(super) trait Dialect: Send + Sync {
    /// Checks that the database can be reached and has the schema that this version of host knows.
    async fn check(&self) -> Result<(), Failed>;

    /// Migrates the schema; returns a sentence that says what was done.
    async fn migrate(&self) -> Result<String, Failed>;

    /// Locks the products of a batch, compares their rows with those that it is to hold, and writes what differs.
    /// Returns the outcome of each document, in the caller's order.
    async fn change(&self, target: &WriteTarget, batch: Batch) -> Result<Vec<Outcome>, Failed>;

    /// Locks products, and archives or deletes (with their SKUs, attributes and embeddings) those whose precondition
    /// holds.
    async fn delete(&self, target: &WriteTarget, batch: &[Removal]) -> Result<Vec<Outcome>, Failed>;

    /// Deletes at most `limit` products of a shop, of any index and status, with all that belongs to them; returns how
    /// many. If none was left, deletes the records of the shop's loads.
    async fn remove_shop(&self, shop_id: &str, limit: usize) -> Result<usize, Failed>;

    /// Version and origin of products by their documents' ids. Archived ones are included: an older version must not
    /// overwrite them either.
    async fn stored(
        &self,
        target: &WriteTarget,
        ids: &[DocumentId],
    ) -> Result<HashMap<String, StoredRow>, Failed>;

    /// A product with all its rows, as they were at one moment.
    async fn read(&self, target: &WriteTarget, id: &DocumentId) -> Result<CurrentState, Failed>;

    /// Ids of the documents of active products in ascending order, those after `after`.
    async fn list(&self, target: &WriteTarget, after: &str, limit: usize) -> Result<Vec<String>, Failed>;

    /// How much the catalog holds.
    async fn summary(&self, target: &WriteTarget) -> Result<CatalogSummary, Failed>;

    /// Stores the record of a load (one job's writes), in place of an earlier record of the same job.
    async fn put_load(&self, target: &WriteTarget, load: &Load) -> Result<(), Failed>;

    /// Records of the newest loads, newest first.
    async fn loads(&self, target: &WriteTarget, limit: usize) -> Result<Vec<Load>, Failed>;

    /// Queues the products whose embedding another model made, to be embedded again; returns how many.
    async fn queue_other_models(&self, target: &WriteTarget, model: &str) -> Result<u64, Failed>;

    /// Active products that wait for an embedding, in the order of their database ids, those after `after`; without
    /// those whose text the endpoint refused.
    async fn to_embed(
        &self,
        target: &WriteTarget,
        after: i64,
        limit: usize,
    ) -> Result<Vec<Unembedded>, Failed>;

    /// Stores vectors of products whose text is still the same, and removes these from the queue; returns how many.
    async fn put_embeddings(&self, model: &str, embedded: &[Embedded]) -> Result<u64, Failed>;

    /// Records that the endpoint refuses a product's text, so that it is sent again only once the text has changed.
    async fn refuse_embedding(&self, product: &Unembedded, reason: &str) -> Result<(), Failed>;

    /// Takes the lock under which one process at a time makes embeddings; it is held until the value is dropped. `None`
    /// if another process holds it.
    async fn lock_embedding(&self, target: &WriteTarget) -> Result<Option<Box<dyn Any + Send>>, Failed>;

    /// Releases the lock immediately. If the value is only dropped, a server releases the lock a little later.
    async fn unlock_embedding(&self, lock: Box<dyn Any + Send>) -> Result<(), Failed>;

    /// Makes the words of at most `limit` products anew whose words were made of other fields than `texts` names;
    /// returns of how many.
    async fn renew_words(
        &self,
        target: &WriteTarget,
        texts: &Arc<TextConfig>,
        limit: usize,
    ) -> Result<usize, Failed>;

    /// Active products that match the query, highest score first, then the shorter title, then the lower id.
    async fn search(&self, target: &WriteTarget, query: &Query, limit: usize) -> Result<Vec<Hit>, Failed>;

    /// Active products whose embedding by this model is current and most similar to `vector`, best first.
    async fn nearest(
        &self,
        target: &WriteTarget,
        model: &str,
        vector: &[f32],
        limit: usize,
    ) -> Result<Vec<Hit>, Failed>;
}
