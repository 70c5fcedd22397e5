//! The names of all metrics. Labels are bounded: never a shop, a job or a document.

/// Items whose class is final, by `class`: processed, failed, skipped, conflict.
pub const ITEMS: &str = "host_items_total";
/// Chunks that were settled, by `outcome`: done, quarantined.
pub const CHUNKS: &str = "host_chunks_total";
/// How long a chunk took from its claim until it was settled.
pub const CHUNK_SECONDS: &str = "host_chunk_seconds";
/// Attempts at a chunk that failed, by `disposition`: retry, quarantine, abandon, stop.
pub const CHUNK_FAULTS: &str = "host_chunk_faults_total";
