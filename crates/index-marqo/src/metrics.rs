//! Records the metrics of Marqo servers, whose names are in [`host_core::metrics`]. The label `operation` is
//! [`Operation::as_str`]; the values of the others are listed here.

use super::{
    client::{Answer, TransportError},
    operation::Operation,
};
use host_core::metrics as names;
use metrics::{counter, gauge, histogram};
use std::time::Duration;

/// Duration of a request, by `outcome`: `ok`, `throttled`, `busy` (409), `refused` (other 4xx), `failed` (any other
/// status), `lost` (no answer to a request that may have been sent) or `unreachable`.
pub(super) fn request(operation: Operation, answer: &Result<Answer, TransportError>, took: Duration) {
    let outcome = match answer {
        Ok(answer) => match answer.status {
            200..=299 => "ok",
            429 | 503 => "throttled",
            409 => "busy",
            400..=499 => "refused",
            _ => "failed",
        },
        Err(error) if error.maybe_sent => "lost",
        Err(_) => "unreachable",
    };
    histogram!(names::REQUEST_SECONDS, "operation" => operation.as_str(), "outcome" => outcome)
        .record(took.as_secs_f64());
}

/// Documents of a write request.
pub(super) fn batch(documents: usize) {
    histogram!(names::BATCH_DOCUMENTS).record(documents as f64);
}

/// Time that the server itself reports for a batch; most of it is spent on vectors.
pub(super) fn embedding(milliseconds: f64) {
    histogram!(names::EMBEDDING_SECONDS).record(milliseconds / 1000.0);
}

/// Documents by `outcome`: `done` or `refused`.
pub(super) fn items(operation: Operation, outcome: &'static str, count: usize) {
    if count > 0 {
        counter!(names::MARQO_ITEMS, "operation" => operation.as_str(), "outcome" => outcome)
            .increment(count as u64);
    }
}

/// A retry, by `reason`. Of a request: `endpoint` (at the other endpoint), `unreachable`, `throttled`, `read` (a read
/// that failed), `busy` (409), `unknown` (may have been written) or `bisect` (refused, so sent again in halves). Of a
/// document in an answer: `item` (may have been written), `throttled` or `refused-for-now`.
pub(super) fn retried(reason: &'static str) {
    counter!(names::RETRIES, "reason" => reason).increment(1);
}

/// Current limit of concurrent write requests to the server that answered last.
pub(super) fn concurrency(limit: f64) {
    gauge!(names::CONCURRENCY).set(limit.floor());
}

/// A switch between an endpoint and its fallback, in either direction.
pub(super) fn endpoint_switched() {
    counter!(names::ENDPOINT_SWITCHES).increment(1);
}

/// Documents that lack vectors when they are first read back.
pub(super) fn partial_detected(count: usize) {
    counter!(names::partial_detected()).increment(count as u64);
}

/// Documents that lacked vectors and have them at a later check.
pub(super) fn partial_recovered(count: usize) {
    counter!(names::partial_recovered()).increment(count as u64);
}
