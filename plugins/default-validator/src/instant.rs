//! Points in time, in every spelling that shop platforms and their tools were seen to write.

use jiff::civil::DateTime;
use jiff::fmt::temporal::DateTimeParser;
use jiff::tz::Offset;
use jiff::{SignedDuration, Timestamp};

/// Bytes of the longest string that is parsed; longer ones are not times.
const MAX_LEN: usize = 64;

static PARSER: DateTimeParser = DateTimeParser::new();

/// Reads a point in time as nanoseconds since 1970.
///
/// RFC 3339 with any offset and up to nine digits of a second's fraction, and besides: a space instead of `T`, small
/// `t` and `z`, offsets such as `+0800` and `+08`, `UTC` or `GMT` instead of an offset, a space before the offset.
/// A time without an offset is read as UTC, and a date without a time as its first moment. Second 60 is the same
/// moment as second 0 of the next minute.
pub(crate) fn parse(text: &str) -> Option<i128> {
    let text = text.trim_ascii();
    if text.len() > MAX_LEN {
        return None;
    }
    let timestamp = read(text).or_else(|| read(&respelled(text)?))?;
    let leap = if is_leap_second(text) { SignedDuration::from_secs(1).as_nanos() } else { 0 };
    Some(timestamp.as_nanosecond() + leap)
}

fn read(text: &str) -> Option<Timestamp> {
    PARSER.parse_timestamp(text).ok().or_else(|| {
        if text.ends_with(']') {
            return None; // a time zone by name, whose rules are not known here
        }
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
    // After `YYYY-MM-DDTHH:MM`.
    text.get(16..19) == Some(":60")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn same(left: &str, right: &str) {
        assert!(parse(left).is_some(), "{left:?} was not read");
        assert_eq!(parse(left), parse(right), "{left:?} and {right:?}");
    }

    fn before(earlier: &str, later: &str) {
        assert!(parse(earlier).is_some(), "{earlier:?} was not read");
        assert!(parse(earlier) < parse(later), "{earlier:?} and {later:?}");
    }

    #[test]
    fn mixed_offsets() {
        before("2024-09-23T14:21:59+08:00", "2024-09-23T06:30:00Z");
        same("2024-09-23T14:21:59+08:00", "2024-09-23T06:21:59Z");
        same("2024-09-23T11:51:59+05:30", "2024-09-23T06:21:59Z");
    }

    #[test]
    fn daylight_saving_changes_the_offset_of_one_shop() {
        before("2024-11-03T01:30:00-04:00", "2024-11-03T01:10:00-05:00");
    }

    #[test]
    fn fractions_of_one_to_nine_digits() {
        before("2024-09-23T06:19:16Z", "2024-09-23T06:19:16.500Z");
        let mut fraction = String::new();
        for _ in 1..=9 {
            fraction.push('0');
            same(&format!("2024-09-23T06:19:16.{fraction}Z"), "2024-09-23T06:19:16Z");
        }
        same("2024-09-23T06:19:16.5Z", "2024-09-23T06:19:16.500000000Z");
        before("2024-09-23T06:19:16.123456Z", "2024-09-23T06:19:16.123456001Z");
    }

    #[test]
    fn zero_offset_in_every_spelling() {
        for zero in [
            "+00:00", "-00:00", "+0000", "+00", "z", " UTC", "UTC", " utc", " GMT", " Z", " +0000", " +00:00",
        ] {
            same(&format!("2024-09-23T06:19:16{zero}"), "2024-09-23T06:19:16Z");
        }
    }

    #[test]
    fn small_letters() {
        same("2024-09-23t06:19:16z", "2024-09-23T06:19:16Z");
    }

    #[test]
    fn space_instead_of_t() {
        same("2024-09-23 06:19:16Z", "2024-09-23T06:19:16Z");
        same("2024-09-23 06:19:16 UTC", "2024-09-23T06:19:16Z");
        same("2024-09-23 06:19:16.25 UTC", "2024-09-23T06:19:16.25Z");
        same("2024-09-23 14:19:16 +0800", "2024-09-23T06:19:16Z");
    }

    #[test]
    fn offset_without_a_colon() {
        same("2024-09-23T14:19:16+0800", "2024-09-23T06:19:16Z");
        same("2024-09-23T01:19:16-05", "2024-09-23T06:19:16Z");
    }

    #[test]
    fn second_sixty_is_the_next_minute() {
        same("2016-12-31T23:59:60Z", "2017-01-01T00:00:00Z");
        same("2016-12-31 23:59:60.5 UTC", "2017-01-01T00:00:00.5Z");
        before("2016-12-31T23:59:59.999999999Z", "2016-12-31T23:59:60Z");
        same("2017-01-01T07:59:60+08:00", "2017-01-01T00:00:00Z");
    }

    #[test]
    fn year_one() {
        before("0001-01-01T00:00:00Z", "1970-01-01T00:00:00Z");
        same("0001-01-01T00:00:00+01:00", "0000-12-31T23:00:00Z");
    }

    #[test]
    fn missing_offset_is_utc() {
        same("2024-09-23T06:19:16", "2024-09-23T06:19:16Z");
        same("2024-09-23 06:19:16.5", "2024-09-23T06:19:16.5Z");
        same("2024-09-23", "2024-09-23T00:00:00Z");
    }

    #[test]
    fn white_space_around_is_no_matter() {
        same(" 2024-09-23T06:19:16Z\n", "2024-09-23T06:19:16Z");
    }

    #[test]
    fn what_is_no_time() {
        for text in [
            "",
            " ",
            "UTC",
            "yesterday",
            "1727072356",
            "2024-13-01T00:00:00Z",
            "2024-02-30T00:00:00Z",
            "2024-09-23T24:00:01Z",
            "2024-09-23T06:19:61Z",
            "2024-09-23T06:19:16+99:00",
            "2024-09-23T06:19:16[Europe/Berlin]",
            "2024-09-23T06:19:16 +",
            "９９９９-09-23T06:19:16Z",
        ] {
            assert_eq!(parse(text), None, "{text:?}");
        }
        assert_eq!(parse(&"2".repeat(1_000_000)), None);
    }
}
