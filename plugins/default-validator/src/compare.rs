//! Decides which of two versions of a document is newer.

use std::borrow::Cow;
use std::cmp::Ordering;

use crate::instant;
use crate::integer::Integer;
use crate::json::{self, Kind};
use crate::manifest::{UPDATED_AT, VERSION_NUMBER};

/// What the incoming version is, seen from the stored one: `Greater` is newer, `Less` is older.
///
/// Both are JSON object text with the version fields. If both have an `updated_at` that can be read, the times decide.
/// Otherwise, if both have a whole number as `_mq_version`, the numbers decide. Otherwise the incoming version is
/// newer: a time that cannot be read, on either side, must not block a product's updates forever.
pub fn compare(incoming: &str, stored: &str) -> Ordering {
    let (incoming, stored) = (Version::read(incoming), Version::read(stored));
    by_time(&incoming, &stored).or_else(|| by_number(&incoming, &stored)).unwrap_or(Ordering::Greater)
}

fn by_time(incoming: &Version<'_>, stored: &Version<'_>) -> Option<Ordering> {
    let incoming = instant::parse(incoming.updated_at.as_deref()?)?;
    let stored = instant::parse(stored.updated_at.as_deref()?)?;
    Some(incoming.cmp(&stored))
}

fn by_number(incoming: &Version<'_>, stored: &Version<'_>) -> Option<Ordering> {
    let incoming = Integer::parse(incoming.number.as_deref()?)?;
    let stored = Integer::parse(stored.number.as_deref()?)?;
    Some(incoming.cmp(&stored))
}

/// The version fields of a document, as text.
#[derive(Default)]
struct Version<'a> {
    updated_at: Option<Cow<'a, str>>,
    number: Option<Cow<'a, str>>,
}

impl<'a> Version<'a> {
    /// Reads the version fields leniently; of duplicate keys the last one is used.
    fn read(text: &'a str) -> Self {
        let mut version = Self::default();
        let walked = json::entries(text, |key, raw| match &*key {
            UPDATED_AT => version.updated_at = json::decode(raw),
            VERSION_NUMBER if Kind::of(raw) == Kind::Number => version.number = Some(Cow::Borrowed(raw)),
            VERSION_NUMBER => version.number = json::decode(raw),
            _ => {}
        });
        if walked.is_ok() { version } else { Self::default() }
    }
}

#[cfg(test)]
mod tests {
    use std::cmp::Ordering::{Equal, Greater, Less};

    use proptest::prelude::*;

    use super::*;

    fn at(time: &str) -> String {
        format!(r#"{{"updated_at":"{time}"}}"#)
    }

    fn numbered(number: &str) -> String {
        format!(r#"{{"_mq_version":{number}}}"#)
    }

    #[test]
    fn times_decide_when_both_have_one() {
        let (earlier, later) = (at("2024-09-23T14:21:59+08:00"), at("2024-09-23T06:30:00Z"));
        assert_eq!(compare(&earlier, &later), Less);
        assert_eq!(compare(&later, &earlier), Greater);
        assert_eq!(compare(&later, &at("2024-09-23 06:30:00.000 UTC")), Equal);
    }

    #[test]
    fn daylight_saving_makes_the_later_time_read_earlier() {
        let (summer, winter) = (at("2024-11-03T01:40:00-04:00"), at("2024-11-03T01:10:00-05:00"));
        assert_eq!(compare(&winter, &summer), Greater);
        assert_eq!(compare(&summer, &winter), Less);
        assert_eq!(compare(&winter, &at("2024-11-03T02:10:00-04:00")), Equal);
    }

    #[test]
    fn times_win_over_numbers() {
        let incoming = r#"{"updated_at":"2024-01-02T00:00:00Z","_mq_version":1}"#;
        let stored = r#"{"updated_at":"2024-01-01T00:00:00Z","_mq_version":2}"#;
        assert_eq!(compare(incoming, stored), Greater);
    }

    #[test]
    fn numbers_decide_when_a_time_is_missing() {
        let incoming = r#"{"updated_at":"2024-01-02T00:00:00Z","_mq_version":1}"#;
        assert_eq!(compare(incoming, &numbered("2")), Less);
        assert_eq!(compare(&numbered("2"), incoming), Greater);
        assert_eq!(compare(&numbered("2"), &numbered("2")), Equal);
    }

    #[test]
    fn numbers_are_compared_as_numbers() {
        assert_eq!(compare(&numbered("10"), &numbered("9")), Greater);
        assert_eq!(compare(&numbered(r#""10""#), &numbered("9")), Greater);
        assert_eq!(compare(&numbered(r#""007""#), &numbered("7")), Equal);
        assert_eq!(compare(&numbered("-10"), &numbered("-9")), Less);
        let (large, larger) =
            ("340282366920938463463374607431768211456", "340282366920938463463374607431768211457");
        assert_eq!(compare(&numbered(large), &numbered(larger)), Less);
    }

    #[test]
    fn non_integers_are_ignored() {
        for number in ["1.5", "1e9", r#""1.0""#, "null", "true", r#""""#, "[1]"] {
            assert_eq!(compare(&numbered(number), &numbered("5")), Greater, "{number}");
        }
    }

    #[test]
    fn an_unreadable_time_does_not_block_updates() {
        let (unreadable, readable) = (at("next Tuesday"), at("2024-09-23T06:30:00Z"));
        assert_eq!(compare(&unreadable, &readable), Greater);
        assert_eq!(compare(&readable, &unreadable), Greater);
        assert_eq!(compare(&unreadable, &unreadable), Greater);
        let stored = r#"{"updated_at":"2024-09-23T06:30:00Z","_mq_version":7}"#;
        assert_eq!(compare(r#"{"updated_at":"?","_mq_version":6}"#, stored), Less);
    }

    #[test]
    fn a_time_that_is_not_a_string_is_ignored() {
        assert_eq!(compare(r#"{"updated_at":1727072356}"#, &at("2024-09-23T06:30:00Z")), Greater);
        assert_eq!(compare(r#"{"updated_at":null}"#, &at("2024-09-23T06:30:00Z")), Greater);
    }

    #[test]
    fn without_versions_the_incoming_one_is_written() {
        assert_eq!(compare("{}", "{}"), Greater);
        assert_eq!(compare("", "nonsense"), Greater);
        assert_eq!(compare("[]", &numbered("1")), Greater);
    }

    #[test]
    fn escapes_in_a_time_are_read() {
        assert_eq!(
            compare(r#"{"updated_at":"2024-09-23T06:30:00\u002b00:00"}"#, &at("2024-09-23T06:30:00Z")),
            Equal
        );
    }

    prop_compose! {
        /// A few moments in many spellings, so that equal ones are frequent.
        fn any_time()(
            minute in 0..3_i32, second in 0..61_i32, offset in -3..4_i32,
            fraction in prop_oneof![Just(""), Just(".5"), Just(".500"), Just(".123456789")],
            between in prop_oneof![Just('T'), Just('t'), Just(' ')],
            colon in prop_oneof![Just(":"), Just("")],
        ) -> String {
            let hour = 12 + offset;
            let sign = if offset < 0 { '-' } else { '+' };
            let zone = format!("{sign}{:02}{colon}00", offset.abs());
            at(&format!("2024-09-23{between}{hour:02}:{minute:02}:{second:02}{fraction}{zone}"))
        }
    }

    proptest! {
        #[test]
        fn times_are_antisymmetric(left in any_time(), right in any_time()) {
            prop_assert_eq!(compare(&left, &right), compare(&right, &left).reverse());
            prop_assert_eq!(compare(&left, &left), Equal);
        }

        #[test]
        fn times_are_transitive(a in any_time(), b in any_time(), c in any_time()) {
            let mut times = [a, b, c];
            times.sort_by(|left, right| compare(left, right));
            prop_assert_ne!(compare(&times[0], &times[1]), Greater);
            prop_assert_ne!(compare(&times[1], &times[2]), Greater);
            prop_assert_ne!(compare(&times[0], &times[2]), Greater);
            if compare(&times[0], &times[1]) == Equal && compare(&times[1], &times[2]) == Equal {
                prop_assert_eq!(compare(&times[0], &times[2]), Equal);
            }
        }

        #[test]
        fn anything_is_compared_without_a_panic(left: String, right: String) {
            compare(&left, &right);
            compare(&at(&left.replace(['"', '\\'], "")), &at(&right.replace(['"', '\\'], "")));
        }

        #[test]
        fn anything_like_a_time_is_read_without_a_panic(text in "[0-9TtZzUC:.+\\- \\[\\]/éW]{0,40}") {
            compare(&at(&text), &at(&text));
        }
    }
}
