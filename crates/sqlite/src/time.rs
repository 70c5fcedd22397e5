//! Instants as the database stores them: microseconds since 1970 (UTC), so that SQL can compare them as numbers.

use super::Cause;
use jiff::Timestamp;
use std::time::Duration;

/// An instant as a column.
pub fn to_column(instant: Timestamp) -> i64 {
    instant.as_microsecond()
}

/// The instant of a column.
pub fn from_column(micros: i64) -> Result<Timestamp, Cause> {
    Timestamp::from_microsecond(micros).map_err(Cause::corrupt)
}

/// The column for the instant that comes `duration` after another, at most the latest one that a [`Timestamp`] can
/// have.
pub fn after(instant: Timestamp, duration: Duration) -> i64 {
    let micros = i64::try_from(duration.as_micros()).unwrap_or(i64::MAX);
    to_column(instant).saturating_add(micros).min(Timestamp::MAX.as_microsecond())
}
