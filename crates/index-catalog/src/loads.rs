//! Data about a catalog: the records of its loads (jobs that wrote to it), and how much it holds.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// One job's load of a catalog.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Load {
    /// The job.
    pub job_id: String,
    /// When the job was created.
    pub began_at: Timestamp,
    /// Whether its export was the whole shop.
    pub full: bool,
    /// The status that the job ended with.
    pub status: String,
    /// Items that the job processed: documents that it wrote, removed, or found unchanged.
    pub products: u64,
    /// Products that were archived after the job because its export did not have them.
    pub archived: u64,
    /// Why nothing was archived after the job, or not all; `None` if there is nothing to say.
    #[serde(default)]
    pub remark: Option<String>,
}

/// How much a catalog holds of one shop and index.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct CatalogSummary {
    /// Products that are part of the index.
    pub active: u64,
    /// Products that are kept outside the index, because they were missing from a full sync (an export of the whole
    /// shop).
    pub archived: u64,
    /// SKUs of active products.
    pub skus: u64,
    /// Active products with an embedding of their present text.
    pub embedded: u64,
    /// Active products that wait for an embedding.
    pub to_embed: u64,
    /// Active products whose text the embedding endpoint refused.
    pub refused: u64,
}
