//! The seams to storage: chunk objects, the queue, jobs, settings of indexes. One folder below implements all of them for one backend.
//!
//! Every method may be called again after a crash or a lost answer: each says what the second call does.

use async_trait::async_trait;
use std::{sync::Arc, time::Duration};

mod chunks;
mod given_up;
mod jobs;
mod lifecycle;
mod queue;
mod settings;

pub use chunks::{Chunks, Put};
pub use given_up::{AttemptError, Evidence, GivenUp};
pub use jobs::{ChunkOutcome, Claim, JobSnapshot, Jobs};
pub use lifecycle::{IngestGuard, Storage};
pub use queue::{DeadLetter, Delivery, HeldLetter, Queue, Receipt};
pub use settings::{IndexDocument, Settings};

/// A storage call failed; nothing is known about whether it took effect.
#[derive(Debug, thiserror::Error)]
#[error("{action} failed")]
pub struct StoreError {
    /// What was being done, to what: `writing chunk shopify/…/chunk_0000.jsonl`.
    pub action: String,
    /// What decides what to do next.
    pub kind: StoreErrorKind,
    /// The backend's own error.
    #[source]
    pub source: Box<dyn std::error::Error + Send + Sync>,
}

/// What a storage failure means to the caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StoreErrorKind {
    /// May go away by itself: a lock, a throttle, a broken connection.
    Transient,
    /// Somebody must act: disk full, permission denied, object missing.
    Permanent,
    /// What was read is not what was written.
    Corrupt,
}

/// All stores of one backend.
#[derive(Clone)]
pub struct Stores {
    /// Chunk and report objects.
    pub chunks: Arc<dyn Chunks>,
    /// Messages, one a chunk.
    pub queue: Arc<dyn Queue>,
    /// Jobs, their chunk rows and counters.
    pub jobs: Arc<dyn Jobs>,
    /// Settings of indexes.
    pub settings: Arc<dyn Settings>,
}
