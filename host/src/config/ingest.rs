use host_pipeline::ingest::chunk::ChunkBounds;
use serde::{Deserialize, Serialize};
use std::num::{NonZeroU16, NonZeroUsize};

/// How an export becomes chunks.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct IngestConfig {
    /// How lines become products: `auto` looks first; `adjacent` trusts that children follow their product and stops at
    /// the first that does not; `spill` sorts on disk.
    pub grouping: GroupingMode,
    /// Most documents in a chunk.
    pub chunk_documents: NonZeroUsize,
    /// Most bytes in a chunk.
    pub chunk_bytes: usize,
    /// Chunks of a shop that may be written side by side; a product stays in its lane. Without a number, one in a
    /// catalog, and `worker.concurrency` where a server is written to.
    pub lanes: Option<NonZeroU16>,
    /// A longer line is refused, in bytes.
    pub max_line_bytes: usize,
    /// Memory that sorting on disk may use, in bytes.
    pub spill_memory_bytes: usize,
    /// Bytes of products that a job keeps of those that a plug-in trapped on or refused; `host plugin replay` feeds them again.
    pub quarantine_bytes: u64,
    /// Whether an export is the whole shop: products that it does not have are archived at the end.
    pub full: bool,
}

/// How lines become products.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum GroupingMode {
    /// Look first, then choose.
    #[default]
    Auto,
    /// Children follow their product; stop at the first that does not.
    Adjacent,
    /// Sort on disk.
    Spill,
}

impl IngestConfig {
    /// When a chunk is full.
    pub fn bounds(&self) -> ChunkBounds {
        ChunkBounds { documents: self.chunk_documents.get(), bytes: self.chunk_bytes }
    }
}

impl Default for IngestConfig {
    fn default() -> Self {
        Self {
            grouping: GroupingMode::Auto,
            // The seed's chunk.
            chunk_documents: const { NonZeroUsize::new(1000).expect("is not 0") },
            // A chunk is read, checked and parsed as a whole.
            chunk_bytes: 8 << 20,
            lanes: None,
            // Shopify's longest legal line is a 2 MB metafield, escaped up to sixfold.
            max_line_bytes: 64 << 20,
            spill_memory_bytes: 32 << 20,
            // Some ten thousand products of usual size: a plug-in that fails on more needs another export, not a replay.
            quarantine_bytes: 64 << 20,
            // Taking a part for the whole shop would archive the rest.
            full: false,
        }
    }
}
