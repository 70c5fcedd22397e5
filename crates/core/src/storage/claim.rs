use super::{AttemptError, QuarantineReason};
use crate::model::{Counts, JobId, ReportEntry};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// Tolerance for clocks that differ, and for other durations in the settings of other processes.
const CLOCK_TOLERANCE: Duration = Duration::from_secs(3_600);

/// The latest end that a lease or a visibility timeout of about this duration has. One that ends later was written by a clock that
/// is ahead, and counts as expired: otherwise a process that dies with such a clock would hold a lane for as long as that.
pub fn latest_lease_end(now: Timestamp, duration: Duration) -> Timestamp {
    let longest = duration.saturating_mul(2).saturating_add(CLOCK_TOLERANCE);
    now.saturating_add(longest).unwrap_or(Timestamp::MAX)
}

/// A worker's right to a chunk, until its duration ends without a renewal.
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
    /// How often the chunk has been redriven.
    pub redrive_count: u32,
    /// Why the first of these attempts failed, if one has ended.
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
    /// The chunk is counted; only its message is left to be acknowledged.
    Done {
        /// Why it was quarantined: its message goes to the dead letters instead.
        quarantined: Option<QuarantineReason>,
    },
    /// There is no such chunk: its job was deleted.
    Unknown,
}

/// How a chunk that is not done is released.
#[derive(Clone, Copy, Debug)]
pub enum Release<'a> {
    /// The attempt counts. Its error stays with the chunk if it is the first.
    CountAttempt(Option<&'a AttemptError>),
    /// The chunk is not at fault: attempts and first error are forgotten.
    ResetAttempts,
}

/// The result of [`Jobs::complete`](super::Jobs::complete).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Completion {
    /// The lease is lost: the caller neither counts nor acknowledges.
    LeaseLost,
    /// The chunk is counted, and its message may be acknowledged.
    Counted,
    /// The same, and with it the job has ended.
    JobEnded,
}

impl Completion {
    /// Whether the chunk is counted.
    pub fn is_counted(self) -> bool {
        self != Self::LeaseLost
    }
}

/// The result of a chunk.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChunkOutcome {
    /// Item counts.
    pub counts: Counts,
    /// Key of its report object, if any item has an entry.
    pub report: Option<String>,
    /// The first entries, at most 20 of each class.
    pub samples: Vec<ReportEntry>,
    /// Set if the chunk as a whole could not be handled: its message goes to the dead letters with this reason.
    pub quarantined: Option<QuarantineReason>,
}
