use host_pipeline::ingest::chunk::ChunkBounds;
use serde::{Deserialize, Serialize};
use std::num::{NonZeroU16, NonZeroUsize};

/// How an export becomes chunks.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct IngestConfig {
    /// How lines become products.
    pub grouping: GroupingMode,
    /// Maximum documents in a chunk.
    pub chunk_documents: NonZeroUsize,
    /// Maximum bytes in a chunk.
    pub chunk_bytes: usize,
    /// Number of lanes: chunks of a shop that are written in parallel. A product stays in its lane; while
    /// chunks of an index wait, their number of lanes holds. By default 1 for a catalog and
    /// `worker.concurrency` for a search server.
    pub lanes: Option<NonZeroU16>,
    /// Maximum length of a line in bytes; a longer one is skipped.
    pub max_line_bytes: usize,
    /// Maximum share of a source's lines that may be no records, from 0 to 1. It counts from ten such lines on; a source with more,
    /// or without any record, is refused before anything is published.
    pub max_skipped_share: f64,
    /// Memory for sorting on disk, in bytes.
    pub spill_memory_bytes: usize,
    /// Maximum bytes of products that a job keeps because a plug-in trapped on or refused them; `host plugin replay` feeds them again.
    pub quarantine_bytes: u64,
    /// Whether the export is the whole shop, so that products that it does not contain are archived at the end.
    pub full: bool,
    /// Whether products that the ledger knows to be unchanged are counted without being transformed, validated and looked up again.
    /// `--force` does all of it.
    pub skip_unchanged: bool,
}

/// How lines become products.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum GroupingMode {
    /// Scan the export first, then choose.
    #[default]
    Auto,
    /// Children follow their product; stop at the first line that does not.
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
            // The size that other readers of the queue expect.
            chunk_documents: const { NonZeroUsize::new(1000).expect("is not 0") },
            // A chunk is read, checked and parsed as a whole.
            chunk_bytes: 8 << 20,
            lanes: None,
            // Shopify's longest legal line is a 2 MB metafield, escaped up to sixfold.
            max_line_bytes: 64 << 20,
            // Other platforms' warnings between records are few; an error page or another format has no record at all.
            max_skipped_share: 0.1,
            spill_memory_bytes: 32 << 20,
            // Some ten thousand products of usual size: a plug-in that fails on more needs another export, not a replay.
            quarantine_bytes: 64 << 20,
            // Taking a part for the whole shop would archive the rest.
            full: false,
            skip_unchanged: true,
        }
    }
}
