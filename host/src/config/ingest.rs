//! The settings `[ingest]`: how the lines of an export become products, and their documents chunks. A chunk is a file
//! of documents with one operation that a worker writes as one unit of work. A lane is a sequence of chunks that are
//! written one after the other; lanes are written in parallel, and all chunks of a product are in one lane.

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
    /// Maximum bytes of products that a job keeps because a plug-in trapped on or refused them; `host plugin replay`
    /// feeds them again.
    pub quarantine_bytes: u64,
    /// Whether the export is the whole shop, so that products that it does not contain are archived at the end.
    pub full: bool,
    /// Whether products that the ledger knows to be unchanged are counted without being transformed, validated and
    /// looked up again. `--force` does all of it.
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
    /// Fails with a sentence if a value has the right type and is impossible all the same.
    pub fn check(&self) -> Result<(), String> {
        match self.max_skipped_share {
            share if (0.0..=1.0).contains(&share) => Ok(()),
            share => Err(format!("`ingest.max_skipped_share` must be a number from 0 to 1, not {share}")),
        }
    }

    /// The number of documents and bytes at which a chunk is full.
    pub fn bounds(&self) -> ChunkBounds {
        ChunkBounds { documents: self.chunk_documents.get(), bytes: self.chunk_bytes }
    }
}

impl Default for IngestConfig {
    fn default() -> Self {
        Self {
            grouping: GroupingMode::Auto,
            // Programs other than host may read the queue, and expect chunks of this size.
            chunk_documents: const { NonZeroUsize::new(1000).expect("is not 0") },
            // 8 MiB: a worker holds a chunk in memory as a whole to check and parse it.
            chunk_bytes: 8 << 20,
            lanes: None,
            // 64 MiB: Shopify's longest legal line is a 2 MB metafield, which JSON escapes make up to six times as
            // long.
            max_line_bytes: 64 << 20,
            // A few lines may be warnings that the platform wrote between records.
            max_skipped_share: 0.1,
            spill_memory_bytes: 32 << 20, // 32 MiB
            // 64 MiB, some ten thousand products of usual size: after a plug-in that fails on more, run the export
            // again.
            quarantine_bytes: 64 << 20,
            // Off: an export of a part that is taken for the whole shop would archive the rest of the shop.
            full: false,
            skip_unchanged: true,
        }
    }
}
