//! Rules for the values of fields: an index without a schema takes strings, 64-bit integers, finite floats, booleans,
//! arrays of strings, and flat maps from string to number.

use crate::issue::{Report, Step, quoted};
use crate::json::{self, Kind};
use crate::keys::Keys;
use crate::measure::measure;
use crate::number::{self, Number};
use crate::text;

/// Checks the value of a field without rules of its own; returns how many characters `json.dumps` writes for it.
pub(crate) fn check(field: &str, raw: &str, report: &mut Report) -> usize {
    match Kind::of(raw) {
        Kind::Text => {
            let text = text::scan(raw);
            check_characters(&[Step::Key(field)], text.illegal, text.lone_surrogate, report);
            text.len
        }
        Kind::Array => check_array(field, raw, report),
        Kind::Object => check_map(field, raw, report),
        Kind::Number => {
            check_number(&[Step::Key(field)], field, raw, report);
            number::json_dumps_len(raw)
        }
        Kind::Boolean => raw.len(),
        Kind::Null => {
            report.error("null-value", &[Step::Key(field)], || {
                format!("The field {} is null; leave it out instead.", quoted(field))
            });
            raw.len()
        }
    }
}

/// Reports what is wrong with the characters of a string or key.
pub(crate) fn check_characters(
    path: &[Step<'_>],
    illegal: Option<char>,
    lone_surrogate: Option<u16>,
    report: &mut Report,
) {
    if let Some(illegal) = illegal {
        report.error("illegal-character", path, || {
            format!("The text contains U+{:04X}, which an index refuses; remove it.", u32::from(illegal))
        });
    }
    if let Some(unit) = lone_surrogate {
        report.error("lone-surrogate", path, || {
            format!(
                "The text contains \\u{unit:04x}, half of a surrogate pair; write both halves or remove it."
            )
        });
    }
}

fn check_number(path: &[Step<'_>], field: &str, raw: &str, report: &mut Report) {
    match Number::read(raw) {
        Number::Integer(_) | Number::Float(_) => {}
        Number::LargeInteger => report.error("integer-out-of-range", path, || {
            let (field, raw) = (quoted(field), quoted(raw));
            format!("The integer {raw} in the field {field} does not fit 64 bits; send it as a string.")
        }),
        Number::Infinite => report.error("number-out-of-range", path, || {
            let (field, raw) = (quoted(field), quoted(raw));
            format!("The number {raw} in the field {field} is too large for a float; send it as a string.")
        }),
    }
}

fn check_array(field: &str, raw: &str, report: &mut Report) -> usize {
    let whole = measure(raw);
    let mut first = None;
    let mut odd = None;
    let walked = json::elements(raw, |position, element| {
        let kind = Kind::of(element);
        let first_kind = *first.get_or_insert(kind);
        if kind != first_kind && odd.is_none() {
            odd = Some((position, kind));
        }
        if kind == Kind::Text && (whole.illegal.is_some() || whole.lone_surrogate.is_some()) {
            let text = text::scan(element);
            check_characters(
                &[Step::Key(field), Step::Index(position)],
                text.illegal,
                text.lone_surrogate,
                report,
            );
        }
    });
    // The text was walked once already as part of the document, so this cannot fail.
    debug_assert!(walked.is_ok());
    let name = || quoted(field);
    match (first, odd) {
        (Some(kind), Some((position, other))) => {
            report.error("mixed-array", &[Step::Key(field), Step::Index(position)], || {
                let (kind, other) = (kind.noun(), other.noun());
                format!(
                    "The array {} starts with {kind} and has {other} as well; send an array of strings.",
                    name()
                )
            });
        }
        (None | Some(Kind::Text), None) => {}
        (Some(kind), None) => {
            let (code, what) = match kind {
                Kind::Number => ("array-of-numbers", "numbers"),
                Kind::Boolean => ("array-of-booleans", "booleans"),
                Kind::Null => ("array-of-nulls", "nulls"),
                Kind::Object => ("array-of-objects", "objects"),
                Kind::Array | Kind::Text => ("nested-array", "arrays"),
            };
            report.error(code, &[Step::Key(field)], || {
                format!(
                    "The field {} is an array of {what}, which an index refuses; send an array of strings.",
                    name()
                )
            });
        }
        (None, Some(_)) => {}
    }
    whole.len
}

fn check_map(field: &str, raw: &str, report: &mut Report) -> usize {
    let whole = measure(raw);
    let mut keys = Keys::default();
    check_characters(&[Step::Key(field)], whole.illegal, whole.lone_surrogate, report);
    let walked = json::entries(raw, |key, value| {
        let path = [Step::Key(field), Step::Key(&key)];
        match Kind::of(value) {
            Kind::Number => check_number(&path, field, value, report),
            Kind::Object | Kind::Array => report.error("nested-map", &path, || {
                let (field, key) = (quoted(field), quoted(&key));
                format!(
                    "The map {field} has another level at {key}; flatten it to a map from string to number."
                )
            }),
            Kind::Null => report.error("null-value", &path, || {
                format!("The map {} has null at {}; leave the key out instead.", quoted(field), quoted(&key))
            }),
            kind @ (Kind::Text | Kind::Boolean) => report.error("map-of-other-values", &path, || {
                let (field, key, noun) = (quoted(field), quoted(&key), kind.noun());
                format!(
                    "The map {field} has {noun} at {key}; a map holds numbers only, so use a separate field."
                )
            }),
        }
        if !keys.insert(&key) {
            duplicate_field(&path, &key, report);
        }
    });
    // Only a key with a lone surrogate stops the walk, and that is reported above.
    debug_assert!(walked.is_ok() || whole.lone_surrogate.is_some());
    whole.len
}

/// Whether a value is an array or map without members, null, or a blank string.
pub(crate) fn is_empty(raw: &str) -> bool {
    match Kind::of(raw) {
        Kind::Text => text::is_blank(raw),
        Kind::Null => true,
        Kind::Array | Kind::Object => measure(raw).len == "[]".len(),
        Kind::Number | Kind::Boolean => false,
    }
}

/// Reports a key that an object has twice: readers disagree about which value counts.
pub(crate) fn duplicate_field(path: &[Step<'_>], key: &str, report: &mut Report) {
    report.error("duplicate-field", path, || {
        format!("The key {} is there more than once; send it once.", quoted(key))
    });
}
