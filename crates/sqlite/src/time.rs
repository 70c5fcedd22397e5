//! Instants as the database keeps them: microseconds since 1970, so that they compare as numbers.

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

/// The column of the instant that comes `duration` after another; a duration beyond all calendars ends with them.
pub fn after(instant: Timestamp, duration: Duration) -> i64 {
    let micros = i64::try_from(duration.as_micros()).unwrap_or(i64::MAX);
    to_column(instant).saturating_add(micros).min(Timestamp::MAX.as_microsecond())
}
