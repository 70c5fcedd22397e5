//! The error of one attempt of a worker at a chunk (some of a job's documents), or of an ingest, as storage keeps it.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// Why an attempt at a chunk, or an ingest, failed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AttemptError {
    /// Stable kebab-case name.
    pub code: String,
    /// What happened, to which thing.
    pub message: String,
    /// The causes, outermost first.
    pub causes: Vec<String>,
    /// Which attempt at the chunk it was, from 1; always 1 for an ingest.
    pub attempt: u32,
    /// When the attempt failed.
    pub at: Timestamp,
    /// How many attempts such an error may take; none if it ends or stops the work, and in records of older versions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_attempts: Option<u32>,
    /// When the next attempt begins, if a worker runs; none while this one is under way.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_at: Option<Timestamp>,
}

/// Longest message or cause that is kept, in bytes: a chunk's row holds two errors, the first and the last, and has
/// little room.
const MAX_TEXT_BYTES: usize = 1 << 10;
/// Most causes that are kept, for the same reason.
const MAX_CAUSES: usize = 4;

impl AttemptError {
    /// The record of a failed attempt.
    pub fn new(code: &str, error: &dyn std::error::Error, attempt: u32, at: Timestamp) -> Self {
        let mut causes = Vec::new();
        let mut cause = error.source();
        while let Some(error) = cause {
            causes.push(truncated(error.to_string()));
            cause = error.source();
        }
        // Keeps the outermost causes and the root cause, which says more than those between.
        if causes.len() > MAX_CAUSES {
            causes.drain(MAX_CAUSES - 1..causes.len() - 1);
        }
        let (code, message) = (code.to_owned(), truncated(error.to_string()));
        Self { code, message, causes, attempt, at, max_attempts: None, retry_at: None }
    }
}

fn truncated(mut text: String) -> String {
    text.truncate(text.floor_char_boundary(MAX_TEXT_BYTES));
    text
}
