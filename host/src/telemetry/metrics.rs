//! Names of all metrics. Labels are few and bounded: never a shop, a job or a document.

/// Histogram: seconds of each request to a Marqo server, by `operation` and `outcome`.
pub const REQUEST_SECONDS: &str = "host_marqo_request_seconds";
/// Counter: documents, by `operation` and `outcome`.
pub const MARQO_ITEMS: &str = "host_marqo_items_total";
/// Counter: what was tried again, by `reason`.
pub const RETRIES: &str = "host_marqo_retries_total";
/// Gauge: how many requests may write at once.
pub const CONCURRENCY: &str = "host_marqo_concurrency";
/// Histogram: documents of each request that writes.
pub const BATCH_DOCUMENTS: &str = "host_marqo_batch_documents";
/// Histogram: seconds that the server says it took for a batch, most of them to make vectors.
pub const EMBEDDING_SECONDS: &str = "host_marqo_embedding_seconds";
/// Counter: changes between a primary endpoint and its fallback.
pub const ENDPOINT_SWITCHES: &str = "host_marqo_endpoint_switches_total";
/// Counter: documents that lacked vectors after they were written (seed: PartialDocumentsDetected).
pub const PARTIAL_DETECTED: &str = "host_partial_documents_detected_total";
/// Counter: of these, those whose vectors appeared later (seed: PartialDocumentsRecoveredAfterRetry).
pub const PARTIAL_RECOVERED: &str = "host_partial_documents_recovered_total";

/// Counter: items whose class is final, by `class`: processed, failed, skipped, conflict.
pub const ITEMS: &str = "host_items_total";
/// Counter: chunks that were settled, by `outcome`: done, quarantined.
pub const CHUNKS: &str = "host_chunks_total";
/// Histogram: seconds that a chunk took from its claim until it was settled.
pub const CHUNK_SECONDS: &str = "host_chunk_seconds";
/// Counter: attempts at a chunk that failed, by `disposition`: retry, quarantine, abandon, stop.
pub const CHUNK_FAULTS: &str = "host_chunk_faults_total";
