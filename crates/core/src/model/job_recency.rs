//! Decides which of two jobs of an index is newer (`docs/order.md`).

use super::Job;
use crate::clock::MAX_CLOCK_DIFFERENCE;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// What orders the jobs of an index of a shop: the number that storage assigned, and when the data was taken from the
/// shop. The clock of the process that ran a job is not enough: clocks differ, and a job may read an old export.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobRecency {
    /// The job's number in its index, from 1.
    pub sequence: u64,
    /// When its export was taken; where that is not known, when the job was created.
    pub exported_at: Timestamp,
}

impl JobRecency {
    /// The recency of a job.
    pub fn of(job: &Job) -> Self {
        Self { sequence: job.sequence, exported_at: job.exported_at.unwrap_or(job.created_at) }
    }

    /// Whether this job was created after the other, or has data of a later time, so that the other's export says
    /// nothing about what this job wrote. An export time that is more than [`MAX_CLOCK_DIFFERENCE`] after `now` is
    /// ignored: it comes from a wrong clock.
    pub fn is_newer_than(self, other: Self, now: Timestamp) -> bool {
        self.sequence > other.sequence || self.has_later_export_than(other, now)
    }

    /// Whether this job has data of a later time, by a clock that is right as far as [`Self::is_newer_than`] asks.
    pub fn has_later_export_than(self, other: Self, now: Timestamp) -> bool {
        let latest = now.saturating_add(MAX_CLOCK_DIFFERENCE).unwrap_or(Timestamp::MAX);
        self.exported_at > other.exported_at && self.exported_at <= latest
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn recency(sequence: u64, hour: i64) -> JobRecency {
        JobRecency { sequence, exported_at: Timestamp::from_second(hour * 3_600).unwrap() }
    }

    #[test]
    fn a_job_with_a_higher_number_or_a_later_export_is_newer() {
        let now = Timestamp::from_second(100 * 3_600).unwrap();
        for (one, other, is_newer) in [
            (recency(2, 10), recency(1, 10), true),
            (recency(1, 10), recency(1, 10), false),
            (recency(1, 10), recency(2, 10), false),
            (recency(2, 5), recency(1, 10), true),
            // The second job read an older export.
            (recency(1, 10), recency(2, 5), true),
            // The clock that the export time comes from was a year ahead.
            (recency(1, 8_760), recency(2, 99), false),
            (recency(1, 101), recency(2, 99), true),
            // The export time is a day after `now`, whose clock may be behind.
            (recency(1, 124), recency(2, 99), true),
        ] {
            assert_eq!(one.is_newer_than(other, now), is_newer, "{one:?} {other:?}");
        }
    }
}
