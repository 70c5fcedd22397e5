//! What a database must be able to do for the catalog. The algorithm is above this seam; below it are statements.

use super::{
    Target,
    batch::Batch,
    before::Before,
    embed::{Embedded, Unembedded},
    loads::{Load, Summary},
};
use async_trait::async_trait;
use host_core::{
    index::{Outcome, Removal},
    model::DocumentId,
};
use jiff::Timestamp;
use std::{any::Any, collections::HashMap, error::Error};

/// Version and origin of a product.
#[derive(Debug)]
pub(super) struct StoredRow {
    pub(super) version: String,
    pub(super) content_hash: String,
    pub(super) job_id: String,
}

/// A call to the database failed.
#[derive(Debug)]
pub(super) struct Failed {
    /// Whether it may go away by itself.
    pub(super) transient: bool,
    pub(super) source: Box<dyn Error + Send + Sync>,
}

impl Failed {
    pub(super) fn for_good(source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
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

/// A database of catalogs. Each method is one transaction, repeated by itself where the database asks for it; what
/// writes is idempotent. `target` names shop and index.
#[async_trait]
pub(super) trait Dialect: Send + Sync {
    /// Whether the database can be reached and has the schema that this host knows.
    async fn check(&self) -> Result<(), Failed>;

    /// Brings the schema up to date; says what was done.
    async fn migrate(&self) -> Result<String, Failed>;

    /// Locks the products of a batch, compares them with how they shall stand, and writes what differs.
    async fn change(&self, target: &Target, batch: Batch) -> Result<Vec<Outcome>, Failed>;

    /// Notes that a job has seen products; those that are archived are active again.
    async fn touch(&self, target: &Target, ids: &[DocumentId]) -> Result<(), Failed>;

    /// Locks products, and removes those that still stand as they were seen, with all that belongs to them.
    async fn delete(&self, target: &Target, batch: &[Removal]) -> Result<Vec<Outcome>, Failed>;

    /// Version and origin of products, archived ones too: they are protected as well.
    async fn stored(&self, target: &Target, ids: &[DocumentId])
    -> Result<HashMap<String, StoredRow>, Failed>;

    /// A product with all its rows, of one moment.
    async fn read(&self, target: &Target, id: &DocumentId) -> Result<Before, Failed>;

    /// Ids of active products in their order.
    async fn list(&self, target: &Target, after: &str, limit: usize) -> Result<Vec<String>, Failed>;

    /// What there is.
    async fn summary(&self, target: &Target) -> Result<Summary, Failed>;

    /// Stores what is known of a load, over what was known before.
    async fn put_load(&self, target: &Target, load: &Load) -> Result<(), Failed>;

    /// The newest loads, newest first.
    async fn loads(&self, target: &Target, limit: usize) -> Result<Vec<Load>, Failed>;

    /// How many active products were last seen by a job that began before `since`.
    async fn count_unseen(&self, target: &Target, since: Timestamp) -> Result<u64, Failed>;

    /// Ids of these products in their order.
    async fn unseen(
        &self,
        target: &Target,
        since: Timestamp,
        after: &str,
        limit: usize,
    ) -> Result<Vec<String>, Failed>;

    /// Archives some of these products, leaving those that somebody else holds; says how many.
    async fn archive(&self, target: &Target, since: Timestamp, limit: usize) -> Result<usize, Failed>;

    /// Queues products again whose embedding is of another model; says how many.
    async fn queue_other_models(&self, target: &Target, model: &str) -> Result<u64, Failed>;

    /// Queued products after `after`, in the order of their row ids; not those that the endpoint refused.
    async fn to_embed(&self, target: &Target, after: i64, limit: usize) -> Result<Vec<Unembedded>, Failed>;

    /// Stores vectors of products whose text is still the same, and takes these off the queue; says how many.
    async fn put_embeddings(&self, model: &str, embedded: &[Embedded]) -> Result<u64, Failed>;

    /// Notes that the endpoint refuses a text, so that it is asked again only when the text has changed.
    async fn refuse_embedding(&self, product: &Unembedded, reason: &str) -> Result<(), Failed>;

    /// Makes the caller the only one that embeds, until the value is dropped; none if somebody else does.
    async fn embed_alone(&self, target: &Target) -> Result<Option<Box<dyn Any + Send>>, Failed>;

    /// Lets others embed at once; dropping the value does so a little later.
    async fn let_others_embed(&self, alone: Box<dyn Any + Send>) -> Result<(), Failed>;

    /// Active products that have all the words, best first.
    async fn search(&self, target: &Target, words: &[String], limit: usize) -> Result<Vec<Hit>, Failed>;

    /// Active products whose current embedding of the model is nearest, best first.
    async fn nearest(
        &self,
        target: &Target,
        model: &str,
        vector: &[f32],
        limit: usize,
    ) -> Result<Vec<Hit>, Failed>;
}
