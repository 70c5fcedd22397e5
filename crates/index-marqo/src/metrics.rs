//! Records the metrics that [`host_core::metrics`] names.

use super::{
    client::{Answer, TransportError},
    operation::Operation,
};
use host_core::metrics as names;
use metrics::{counter, gauge, histogram};
use std::time::Duration;

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

pub(super) fn batch(documents: usize) {
    histogram!(names::BATCH_DOCUMENTS).record(documents as f64);
}

pub(super) fn embedding(milliseconds: f64) {
    histogram!(names::EMBEDDING_SECONDS).record(milliseconds / 1000.0);
}

pub(super) fn items(operation: Operation, outcome: &'static str, count: usize) {
    if count > 0 {
        counter!(names::MARQO_ITEMS, "operation" => operation.as_str(), "outcome" => outcome)
            .increment(count as u64);
    }
}

pub(super) fn retried(reason: &'static str) {
    counter!(names::RETRIES, "reason" => reason).increment(1);
}

pub(super) fn concurrency(limit: f64) {
    gauge!(names::CONCURRENCY).set(limit.floor());
}

pub(super) fn endpoint_switched() {
    counter!(names::ENDPOINT_SWITCHES).increment(1);
}

pub(super) fn partial_detected(count: usize) {
    counter!(names::partial_detected()).increment(count as u64);
}

pub(super) fn partial_recovered(count: usize) {
    counter!(names::partial_recovered()).increment(count as u64);
}
