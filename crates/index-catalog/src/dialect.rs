//! The port to the catalog's database. The algorithm is above it; below are statements.

use super::{
    WriteTarget,
    batch::Batch,
    current_state::CurrentState,
    embed::{Embedded, Unembedded},
    loads::{CatalogSummary, Load},
};
use async_trait::async_trait;
use host_core::{
    index::{Outcome, Removal},
    model::DocumentId,
};
use std::{any::Any, collections::HashMap, error::Error};

/// Version and origin of a product.
#[derive(Debug)]
pub(super) struct StoredRow {
    pub(super) version: String,
    pub(super) content_hash: String,
    pub(super) job_id: String,
    pub(super) is_archived: bool,
}

/// A call to the database failed.
#[derive(Debug)]
pub(super) struct Failed {
    /// Whether it may succeed later without a change.
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
    /// Its title, if it has one.
    pub title: Option<String>,
    /// The higher the better; comparable within one search only.
    pub score: f64,
}

/// A database of catalogs. Each method is one transaction, which it retries where the database asks for that; writes are idempotent. `target` names shop and index.
#[async_trait]
pub(super) trait Dialect: Send + Sync {
    /// Whether the database can be reached and has the schema that this host knows.
    async fn check(&self) -> Result<(), Failed>;

    /// Migrates the schema; returns a sentence that says what was done.
    async fn migrate(&self) -> Result<String, Failed>;

    /// Locks the products of a batch, compares them with the wanted rows, and writes what differs.
    async fn change(&self, target: &WriteTarget, batch: Batch) -> Result<Vec<Outcome>, Failed>;

    /// Locks products, and removes or archives those whose precondition holds; what is removed, with all that belongs to it.
    async fn delete(&self, target: &WriteTarget, batch: &[Removal]) -> Result<Vec<Outcome>, Failed>;

    /// Removes at most `limit` products of a shop, whatever index and status, with all that belongs to them; returns how many. When
    /// there is none left, the records of its loads go.
    async fn remove_shop(&self, shop_id: &str, limit: usize) -> Result<usize, Failed>;

    /// Version and origin of products, archived ones too: they are protected as well.
    async fn stored(
        &self,
        target: &WriteTarget,
        ids: &[DocumentId],
    ) -> Result<HashMap<String, StoredRow>, Failed>;

    /// A product with all its rows, of one moment.
    async fn read(&self, target: &WriteTarget, id: &DocumentId) -> Result<CurrentState, Failed>;

    /// Ids of active products in their order.
    async fn list(&self, target: &WriteTarget, after: &str, limit: usize) -> Result<Vec<String>, Failed>;

    /// What there is.
    async fn summary(&self, target: &WriteTarget) -> Result<CatalogSummary, Failed>;

    /// Stores what is known of a load, over what was known before.
    async fn put_load(&self, target: &WriteTarget, load: &Load) -> Result<(), Failed>;

    /// The newest loads, newest first.
    async fn loads(&self, target: &WriteTarget, limit: usize) -> Result<Vec<Load>, Failed>;

    /// Queues products again whose embedding is of another model; returns how many.
    async fn queue_other_models(&self, target: &WriteTarget, model: &str) -> Result<u64, Failed>;

    /// Queued products after `after`, in the order of their row ids; not those that the endpoint refused.
    async fn to_embed(
        &self,
        target: &WriteTarget,
        after: i64,
        limit: usize,
    ) -> Result<Vec<Unembedded>, Failed>;

    /// Stores vectors of products whose text is still the same, and removes these from the queue; returns how many.
    async fn put_embeddings(&self, model: &str, embedded: &[Embedded]) -> Result<u64, Failed>;

    /// Records that the endpoint refuses a text, so that it is asked again only when the text has changed.
    async fn refuse_embedding(&self, product: &Unembedded, reason: &str) -> Result<(), Failed>;

    /// Takes the lock on embedding, held until the value is dropped; none if another process holds it.
    async fn lock_embedding(&self, target: &WriteTarget) -> Result<Option<Box<dyn Any + Send>>, Failed>;

    /// Releases the lock at once; after a drop the server notices it a little later.
    async fn unlock_embedding(&self, alone: Box<dyn Any + Send>) -> Result<(), Failed>;

    /// Active products that have all the words, best first.
    async fn search(&self, target: &WriteTarget, words: &[String], limit: usize) -> Result<Vec<Hit>, Failed>;

    /// Active products whose current embedding of the model is nearest, best first.
    async fn nearest(
        &self,
        target: &WriteTarget,
        model: &str,
        vector: &[f32],
        limit: usize,
    ) -> Result<Vec<Hit>, Failed>;
}
