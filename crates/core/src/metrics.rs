//! Names of all metrics. Labels are few and bounded: never a shop, a job or a document.

use crate::model::Counts;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

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
/// Counter: documents that lacked vectors after they were written (seed, and CloudWatch: PartialDocumentsDetected).
pub const PARTIAL_DETECTED: &str = "host_partial_documents_detected_total";
/// Counter: of these, those whose vectors appeared later (seed, and CloudWatch:
/// PartialDocumentsRecoveredAfterRetry).
pub const PARTIAL_RECOVERED: &str = "host_partial_documents_recovered_total";

/// Counter: items whose class is final, by `class`: processed, failed, skipped, conflict.
pub const ITEMS: &str = "host_items_total";
/// Counter: chunks that were completed, by `outcome`: done, quarantined.
pub const CHUNKS: &str = "host_chunks_total";
/// Histogram: seconds that a chunk took from its claim to its completion.
pub const CHUNK_SECONDS: &str = "host_chunk_seconds";
/// Counter: deliveries of chunks, by what was `found`: first, again (claimed before, then released or its lease expired), held,
/// done, unknown.
pub const CLAIMS: &str = "host_chunk_claims_total";
/// Counter: attempts at a chunk that failed, by `disposition`: retry, quarantine, defer (requeued
/// without counting), abandon (its lease was lost), stop.
pub const CHUNK_FAULTS: &str = "host_chunk_faults_total";
/// Counter: items that a plug-in failed on, by `code`: plugin-trap, plugin-timeout, plugin-memory, plugin-output, plugin-contract.
pub const PLUGIN_FAULTS: &str = "host_plugin_faults_total";
/// Counter: plug-ins that were stopped because they kept failing. Anything above 0 needs somebody now.
pub const PLUGINS_STOPPED: &str = "host_plugins_stopped_total";

/// Adds items whose class is final.
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

/// Whether metrics go to CloudWatch, where the seed has alarms on names of its own.
static TO_CLOUDWATCH: AtomicBool = AtomicBool::new(false);

/// Has metrics named as CloudWatch's alarms know them.
pub fn name_for_cloudwatch() {
    TO_CLOUDWATCH.store(true, Relaxed);
}

/// [`PARTIAL_DETECTED`], as it is named where metrics go.
pub fn partial_detected() -> &'static str {
    if TO_CLOUDWATCH.load(Relaxed) { "PartialDocumentsDetected" } else { PARTIAL_DETECTED }
}

/// [`PARTIAL_RECOVERED`], as it is named where metrics go.
pub fn partial_recovered() -> &'static str {
    if TO_CLOUDWATCH.load(Relaxed) { "PartialDocumentsRecoveredAfterRetry" } else { PARTIAL_RECOVERED }
}

/// What each metric is, for those who find it in a dashboard.
pub fn describe() {
    use metrics::{Unit::Seconds, describe_counter, describe_gauge, describe_histogram};
    describe_histogram!(REQUEST_SECONDS, Seconds, "Requests to a Marqo server");
    describe_counter!(MARQO_ITEMS, "Documents that a Marqo server answered for");
    describe_counter!(RETRIES, "What was tried again at a Marqo server, by reason");
    describe_gauge!(CONCURRENCY, "How many requests may write to a Marqo server at once");
    describe_histogram!(BATCH_DOCUMENTS, "Documents of each request that writes");
    describe_histogram!(
        EMBEDDING_SECONDS,
        Seconds,
        "What the server says a batch took, most of it for vectors"
    );
    describe_counter!(ENDPOINT_SWITCHES, "Changes between a primary endpoint and its fallback");
    describe_counter!(partial_detected(), "Documents that lacked vectors after they were written");
    describe_counter!(partial_recovered(), "Of these, those whose vectors appeared later");
    describe_counter!(ITEMS, "Items whose class is final");
    describe_counter!(CHUNKS, "Chunks that were settled");
    describe_histogram!(CHUNK_SECONDS, Seconds, "From a chunk's claim until it was settled");
    describe_counter!(CLAIMS, "Deliveries of chunks, by what was found");
    describe_counter!(PLUGIN_FAULTS, "Items that a plug-in failed on");
    describe_counter!(PLUGINS_STOPPED, "Plug-ins that were stopped because they kept failing");
    describe_counter!(CHUNK_FAULTS, "Attempts at a chunk that failed, by what was done then");
}
