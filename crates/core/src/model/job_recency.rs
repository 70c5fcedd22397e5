//! Which of two jobs of an index comes later (`docs/order.md`).

use super::Job;
use crate::clock::MAX_CLOCK_DIFFERENCE;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// What orders the jobs of an index of a shop: the number that storage gave, and when the data was taken from the shop.
/// Neither depends on the clock of a process that ran a job alone: clocks differ, and a job may read an old export.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobRecency {
    /// The job's number in its index, from 1.
    pub sequence: u64,
    /// When its export was taken; where that is not known, when the job was created.
    pub exported_at: Timestamp,
}

impl JobRecency {
    /// The order of a job.
    pub fn of(job: &Job) -> Self {
        Self { sequence: job.sequence, exported_at: job.exported_at.unwrap_or(job.created_at) }
    }

    /// Whether a job of this order was created after the other, or has data of a later time, so that the other's export does not
    /// say what became of its products. A time that is ahead of `now` decides nothing: the clock that it comes from was wrong.
    pub fn is_newer_than(self, other: Self, now: Timestamp) -> bool {
        let latest = now.saturating_add(MAX_CLOCK_DIFFERENCE).unwrap_or(Timestamp::MAX);
        self.sequence > other.sequence || (self.exported_at > other.exported_at && self.exported_at <= latest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn order(sequence: u64, hour: i64) -> JobRecency {
        JobRecency { sequence, exported_at: Timestamp::from_second(hour * 3_600).unwrap() }
    }

    #[test]
    fn a_later_number_or_a_later_export_is_later() {
        let now = Timestamp::from_second(100 * 3_600).unwrap();
        for (one, other, is_later) in [
            (order(2, 10), order(1, 10), true),
            (order(1, 10), order(1, 10), false),
            (order(1, 10), order(2, 10), false),
            (order(2, 5), order(1, 10), true),
            // An older export was read later.
            (order(1, 10), order(2, 5), true),
            // The clock was a year ahead.
            (order(1, 8_760), order(2, 99), false),
            (order(1, 101), order(2, 99), true),
            // The clock that asks is a day behind.
            (order(1, 124), order(2, 99), true),
        ] {
            assert_eq!(one.is_newer_than(other, now), is_later, "{one:?} {other:?}");
        }
    }
}
