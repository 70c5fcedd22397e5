//! Names and descriptions of all metrics. Labels have few values: never a shop, a job or a document.
//!
//! The comment of each constant, `Kind: meaning` with the labels in backticks, is its row in
//! `docs/reference/metrics.md`. A *chunk* is a stored part of a job's documents, the unit in which workers claim, write
//! and count; an *item* is one document or removal, or a product or line of an export that became neither.

use crate::model::Counts;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

/// Histogram: duration of requests to a Marqo server in seconds, by `operation` (add, update, delete, get, list, stats,
/// settings, version, health, lookup) and `outcome`: ok, throttled (status 429 or 503), busy (409: the schema is being
/// changed), refused (another 4xx), failed (another status), lost (no answer, the request may have been sent),
/// unreachable (not sent).
pub const REQUEST_SECONDS: &str = "host_marqo_request_seconds";
/// Counter: documents with a final outcome at a Marqo server, by `operation` (add, update, delete) and `outcome`: done,
/// refused.
pub const MARQO_ITEMS: &str = "host_marqo_items_total";
/// Counter: retries of requests and documents at a Marqo server, by `reason`: throttled, busy (the schema is being
/// changed), unreachable, endpoint (sent to the other endpoint instead), unknown (it is unknown whether a request took
/// effect), item (the same of one document), refused-for-now (the server refused a document but may accept it later),
/// bisect (a refused request was split in two to find the document at fault), read (a failed read).
pub const RETRIES: &str = "host_marqo_retries_total";
/// Gauge: current limit of concurrent write requests to a Marqo server, which falls when the server throttles.
pub const CONCURRENCY: &str = "host_marqo_concurrency";
/// Histogram: documents per write request.
pub const BATCH_DOCUMENTS: &str = "host_marqo_batch_documents";
/// Histogram: time that a Marqo server took for a write request in seconds, as it reports it; most of it is embedding.
pub const EMBEDDING_SECONDS: &str = "host_marqo_embedding_seconds";
/// Counter: switches between a Marqo endpoint and its fallback endpoint, in either direction.
pub const ENDPOINT_SWITCHES: &str = "host_marqo_endpoint_switches_total";
/// Counter: documents that had no vectors when read back from Marqo after a write (in CloudWatch:
/// `PartialDocumentsDetected`).
pub const PARTIAL_DETECTED: &str = "host_partial_documents_detected_total";
/// Counter: documents whose missing vectors appeared after a retry (in CloudWatch:
/// `PartialDocumentsRecoveredAfterRetry`).
pub const PARTIAL_RECOVERED: &str = "host_partial_documents_recovered_total";

/// Counter: items (documents, removals, and refused products or lines) with a final class, by `class`: processed,
/// failed, skipped (never became a document), conflict (older than what the index holds).
pub const ITEMS: &str = "host_items_total";
/// Counter: finished chunks, by `outcome`: done, quarantined (counted as failed and moved to the dead letters).
pub const CHUNKS: &str = "host_chunks_total";
/// Histogram: time from a worker's claim of a chunk until the chunk is finished, in seconds.
pub const CHUNK_SECONDS: &str = "host_chunk_seconds";
/// Counter: deliveries of chunks, by the state that the worker `found`: first (never claimed before), again (an earlier
/// claim was released or its lease expired), held (another worker has it), done (counted already), unknown (no such
/// chunk: its job was deleted).
pub const CLAIMS: &str = "host_chunk_claims_total";
/// Counter: failed attempts at a chunk, by the failure policy's `disposition`: retry, quarantine (the chunk counts as
/// failed), defer (requeued without counting the attempt), abandon (left to another worker), stop (all work on the
/// index stops).
pub const CHUNK_FAULTS: &str = "host_chunk_faults_total";
/// Counter: items on which a plug-in failed, by `code`: plugin-trap, plugin-timeout, plugin-memory, plugin-output,
/// plugin-contract.
pub const PLUGIN_FAULTS: &str = "host_plugin_faults_total";
/// Counter: plug-ins stopped by the circuit breaker. Alert on any value above 0.
pub const PLUGINS_STOPPED: &str = "host_plugins_stopped_total";
/// Counter: full syncs after which nothing was archived, by `reason`: not-read, cancelled, rejected-lines, orphans,
/// more-pages, no-products, other-ingest, unidentified-products, too-many-missing (docs/archiving.md). Alert on any
/// value above 0: products that the shop no longer has stay in search.
pub const ARCHIVE_REFUSALS: &str = "host_archive_refusals_total";
/// Gauge: indexes of shops on which a circuit breaker has stopped all work, as far as this process has met them. Alert
/// on any value above 0.
pub const BREAKERS_OPEN: &str = "host_breakers_open";

/// Counts items with a final class.
pub fn count_items(counts: &Counts) {
    for (class, items) in [
        ("processed", counts.processed),
        ("failed", counts.failed),
        ("skipped", counts.skipped),
        ("conflict", counts.conflict),
    ] {
        metrics::counter!(ITEMS, "class" => class).increment(items);
    }
}

/// Whether metrics go to CloudWatch, where two of them are known by other names.
static TO_CLOUDWATCH: AtomicBool = AtomicBool::new(false);

/// Uses the names that CloudWatch knows from now on.
pub fn name_for_cloudwatch() {
    TO_CLOUDWATCH.store(true, Relaxed);
}

/// The name of [`PARTIAL_DETECTED`] where metrics go: another one in CloudWatch.
pub fn partial_detected() -> &'static str {
    if TO_CLOUDWATCH.load(Relaxed) { "PartialDocumentsDetected" } else { PARTIAL_DETECTED }
}

/// The name of [`PARTIAL_RECOVERED`] where metrics go: another one in CloudWatch.
pub fn partial_recovered() -> &'static str {
    if TO_CLOUDWATCH.load(Relaxed) { "PartialDocumentsRecoveredAfterRetry" } else { PARTIAL_RECOVERED }
}

/// Registers the help text of each metric.
pub fn describe() {
    use metrics::{Unit::Seconds, describe_counter, describe_gauge, describe_histogram};
    describe_histogram!(REQUEST_SECONDS, Seconds, "Duration of requests to a Marqo server");
    describe_counter!(MARQO_ITEMS, "Documents in the answers of a Marqo server");
    describe_counter!(RETRIES, "Retries of requests and documents at a Marqo server");
    describe_gauge!(CONCURRENCY, "Current limit of concurrent write requests to a Marqo server");
    describe_histogram!(BATCH_DOCUMENTS, "Documents per write request");
    describe_histogram!(
        EMBEDDING_SECONDS,
        Seconds,
        "Processing time of a batch as the server reports it, mostly embedding"
    );
    describe_counter!(ENDPOINT_SWITCHES, "Switches between an endpoint and its fallback");
    describe_counter!(partial_detected(), "Documents without vectors after a write");
    describe_counter!(partial_recovered(), "Documents whose missing vectors appeared after a retry");
    describe_counter!(ITEMS, "Items with a final class");
    describe_counter!(CHUNKS, "Finished chunks");
    describe_histogram!(CHUNK_SECONDS, Seconds, "Time from the claim of a chunk until it is finished");
    describe_counter!(CLAIMS, "Deliveries of chunks, by the state that the worker found");
    describe_counter!(PLUGIN_FAULTS, "Items on which a plug-in failed");
    describe_counter!(PLUGINS_STOPPED, "Plug-ins stopped by the circuit breaker");
    describe_counter!(CHUNK_FAULTS, "Failed attempts at a chunk, by the action taken");
    describe_gauge!(BREAKERS_OPEN, "Indexes of shops on which work is stopped");
}
