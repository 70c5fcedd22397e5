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
/// newer: a time that cannot be read, on either side, must not lock a product out of the index for ever.
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
    /// Takes what can be read; of a key that is there twice the last value, as most readers of JSON do.
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
