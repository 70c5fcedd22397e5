//! The ports to storage: chunk objects (JSON Lines with some of a job's documents), the queue of messages that refer to
//! them, jobs, settings of indexes, the ledger (what host remembers of products), circuit breakers (what stops work on
//! an index), and the life cycle of a backend. One crate implements all of them for one backend.
//!
//! Each method says whether it is idempotent, what `Ok` means, who retries, and whether it may be cancelled.

use async_trait::async_trait;
use std::{sync::Arc, time::Duration};

mod attempt_error;
mod breaker;
mod chunks;
mod claim;
mod envelope;
mod jobs;
mod ledger;
mod lifecycle;
mod quarantine_reason;
mod queue;
mod settings;
mod shop_removal;

pub use attempt_error::AttemptError;
pub use breaker::{Breaker, BreakerScope, Breakers, CLEARED_RETENTION, Cleared, ClearedBy};
pub use chunks::{Chunks, Put};
pub use claim::{ChunkLease, ChunkOutcome, Claim, Completion, Release, latest_lease_end};
pub use envelope::{SCHEMA, UnsupportedFormat, from_envelope, to_envelope};
pub use jobs::{JobSnapshot, Jobs};
pub use ledger::{ChangeDecision, Ledger, LedgerScope, RecordChange};
pub use lifecycle::{IngestGuard, JobRemover, Storage};
pub use quarantine_reason::{FailureContext, QuarantineReason};
pub use queue::{
    Backlog, DeadLetter, Delivery, LeasedDeadLetter, MessagePlace, Queue, Receipt, ShopBacklog,
    UNREADABLE_VISIBILITY, UnreadableMessage,
};
pub use settings::{IndexDocument, Settings};
pub use shop_removal::{DocumentsLeft, LeftReason, ShopCounts, ShopIndex, ShopRemoval};

/// A storage call failed; it may or may not have taken effect.
#[derive(Debug, thiserror::Error)]
#[error("{action} failed")]
pub struct StoreError {
    /// What was being done, to what: `writing chunk shopify/…/chunk_0000.jsonl`.
    pub action: String,
    /// What the failure means to the caller.
    pub kind: StoreErrorKind,
    /// The backend's own error.
    #[source]
    pub source: Box<dyn std::error::Error + Send + Sync>,
}

impl StoreError {
    /// Whether a newer version of host or another program wrote what was read.
    pub fn is_unsupported(&self) -> bool {
        self.kind == StoreErrorKind::Unsupported
    }
}

/// What a storage failure means to the caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StoreErrorKind {
    /// Temporary; worth a retry: a lock, a throttle, a broken connection.
    Transient,
    /// A person must act first: disk full, permission denied, object missing.
    Permanent,
    /// What was read is not what was written.
    Corrupt,
    /// A newer version of host or another program wrote what was read: it is left for that one.
    Unsupported,
}

/// All stores of one backend.
#[derive(Clone)]
pub struct Stores {
    /// Chunk and report objects.
    pub chunks: Arc<dyn Chunks>,
    /// Messages, one per chunk.
    pub queue: Arc<dyn Queue>,
    /// Jobs, the records of their chunks, and their counters.
    pub jobs: Arc<dyn Jobs>,
    /// Settings of indexes.
    pub settings: Arc<dyn Settings>,
    /// The ledger of products.
    pub ledger: Arc<dyn Ledger>,
    /// Circuit breakers, which stop work on indexes.
    pub breakers: Arc<dyn Breakers>,
}
