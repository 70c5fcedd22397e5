//! Points in time, in every spelling that shop platforms and their tools were seen to write.

use jiff::civil::DateTime;
use jiff::fmt::temporal::DateTimeParser;
use jiff::tz::Offset;
use jiff::{SignedDuration, Timestamp};

/// Longer texts are no times, and are not worth a look.
const LONGEST: usize = 64;

static PARSER: DateTimeParser = DateTimeParser::new();

/// Reads a point in time as nanoseconds since 1970.
///
/// RFC 3339 with any offset and up to nine digits of a second's fraction, and besides: a space instead of `T`, small
/// `t` and `z`, offsets such as `+0800` and `+08`, `UTC` or `GMT` instead of an offset, a space before the offset.
/// A time without an offset is read as UTC, and a date without a time as its first moment. Second 60 is the same
/// moment as second 0 of the next minute.
pub(crate) fn parse(text: &str) -> Option<i128> {
    let text = text.trim_ascii();
    if text.len() > LONGEST {
        return None;
    }
    let timestamp = read(text).or_else(|| read(&respelled(text)?))?;
    let leap = if is_leap_second(text) { SignedDuration::from_secs(1).as_nanos() } else { 0 };
    Some(timestamp.as_nanosecond() + leap)
}

fn read(text: &str) -> Option<Timestamp> {
    PARSER.parse_timestamp(text).ok().or_else(|| {
        let without_offset: DateTime = PARSER.parse_datetime(text).ok()?;
        Offset::UTC.to_timestamp(without_offset).ok()
    })
}

/// The same time in a spelling that the parser takes, if the way it names its offset is odd.
fn respelled(text: &str) -> Option<String> {
    let zone_start = text.rfind(|character: char| character.is_ascii_digit() || character == ' ')? + 1;
    let (clock, zone) = text.split_at(zone_start);
    if ["utc", "gmt", "z"].iter().any(|name| zone.eq_ignore_ascii_case(name)) {
        return Some(format!("{}Z", clock.trim_ascii_end()));
    }
    let (clock, offset) = text.rsplit_once(' ')?;
    offset.starts_with(['+', '-']).then(|| format!("{}{offset}", clock.trim_ascii_end()))
}

/// Whether the seconds are 60, which the parser reads as 59.
fn is_leap_second(text: &str) -> bool {
    text.get(16..19) == Some(":60")
}
