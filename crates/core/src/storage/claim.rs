//! Claims: a worker claims a chunk (some of a job's documents) before it processes it, and holds a lease on it that
//! expires unless renewed. A *fencing token*, which grows with each claim, tells the current worker from earlier ones.

use super::{AttemptError, QuarantineReason};
use crate::model::{Counts, JobId, ReportEntry};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// Tolerance for clocks that differ, and for processes whose settings name another duration.
const CLOCK_TOLERANCE: Duration = Duration::from_secs(3_600);

/// The latest end that a lease or a visibility timeout of about this duration can have. One that ends later was written
/// by a clock that is ahead, and counts as expired: otherwise a process that dies with such a clock would block its
/// lane (the queue of chunks that are processed one after the other) until then.
pub fn latest_lease_end(now: Timestamp, duration: Duration) -> Timestamp {
    let longest = duration.saturating_mul(2).saturating_add(CLOCK_TOLERANCE);
    now.saturating_add(longest).unwrap_or(Timestamp::MAX)
}

/// A worker's right to process a chunk, until the lease ends without a renewal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChunkLease {
    /// The chunk's job.
    pub job_id: JobId,
    /// The chunk's number in its job.
    pub seq: u32,
    /// Grows with each claim of the chunk: calls with an older lease are rejected.
    pub fencing_token: u64,
    /// Claims since the chunk was published, redriven or released with [`Release::ResetAttempts`], this one included.
    pub attempts: u32,
    /// How often the chunk has been redriven: an operator sent its dead letter to the queue again.
    pub redrive_count: u32,
    /// Why the first of these attempts failed; `None` if none has failed yet.
    pub first_error: Option<AttemptError>,
}

/// The result of a claim.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(clippy::large_enum_variant, reason = "a claim is made once a chunk, and mostly acquired")]
pub enum Claim {
    /// The caller may work on the chunk.
    Acquired(ChunkLease),
    /// Another worker has the chunk.
    Held {
        /// End of its lease, unless renewed.
        until: Timestamp,
    },
    /// The chunk is counted; the caller only has to acknowledge its message.
    Done {
        /// Why the chunk was quarantined, and then the caller moves its message to the dead letters instead. `None` if
        /// it was not.
        quarantined: Option<QuarantineReason>,
    },
    /// There is no such chunk: its job was deleted.
    Unknown,
}

/// How a worker releases a chunk that is not done.
#[derive(Clone, Copy, Debug)]
pub enum Release<'a> {
    /// The attempt counts. Its error, if it has one, stays with the chunk if it is the first.
    CountAttempt(Option<&'a AttemptError>),
    /// The chunk is not at fault: its number of attempts and its first error are reset.
    ResetAttempts,
}

/// The result of [`Jobs::complete`](super::Jobs::complete).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Completion {
    /// The lease is lost: nothing was counted, and the caller must not acknowledge the message.
    LeaseLost,
    /// The chunk is counted, and the caller may acknowledge its message.
    Counted,
    /// The chunk is counted, and with it the job has ended.
    JobEnded,
}

impl Completion {
    /// Whether the chunk is counted.
    pub fn is_counted(self) -> bool {
        self != Self::LeaseLost
    }
}

/// What became of the items of a chunk.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChunkOutcome {
    /// Item counts.
    pub counts: Counts,
    /// Storage key of its report; `None` if no item has a report entry.
    pub report: Option<String>,
    /// The first report entries, at most 20 of each class.
    pub samples: Vec<ReportEntry>,
    /// Set if the chunk as a whole could not be handled: its message goes to the dead letters with this reason.
    pub quarantined: Option<QuarantineReason>,
}
