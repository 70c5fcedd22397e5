//! Records of loads, and how much a catalog holds.

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
    /// Products that it wrote or found as they should be.
    pub products: u64,
    /// Products that were archived because it did not have them.
    pub archived: u64,
    /// Why nothing was archived after it, or not all.
    #[serde(default)]
    pub remark: Option<String>,
}

/// How much a catalog holds of one shop and index.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct CatalogSummary {
    /// Products that are part of the index.
    pub active: u64,
    /// Products that a full sync did not have any more.
    pub archived: u64,
    /// SKUs of active products.
    pub skus: u64,
    /// Active products with an embedding of their present text.
    pub embedded: u64,
    /// Active products that wait for one.
    pub to_embed: u64,
    /// Active products whose text the embedding endpoint refused.
    pub refused: u64,
}
