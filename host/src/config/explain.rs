//! Turns errors of figment, the library that reads the settings, into sentences without the names of Rust's types.

use figment::error::{Actual, Error, Kind};

/// One sentence for an error in a setting from `origin`: a file, the environment or a flag.
pub(super) fn explain(error: &Error, origin: &str) -> String {
    let key = error.path.join(".");
    let place = place(&key, origin);
    match &error.kind {
        Kind::InvalidType(actual, expected) | Kind::InvalidValue(actual, expected) => {
            format!("{place} must be {}, not {}", expected_in_words(expected), actual_in_words(actual))
        }
        Kind::UnknownVariant(actual, known) => {
            format!("{place} must be {}, not `{actual}`", known.join(" or "))
        }
        Kind::UnknownField(_, known) => {
            let section = match key.rsplit_once('.') {
                Some((section, _)) => format!("the settings of `{section}`"),
                None => "the settings".to_owned(),
            };
            format!("{place} is not a setting; {section} are {}", known.join(", "))
        }
        other => format!("{place}: {other}"),
    }
}

/// A setting and where it is set. `origin` is the path of a file, `environment`, `flag --NAME`, or empty if unknown; an
/// empty `key` means the settings as a whole.
pub fn place(key: &str, origin: &str) -> String {
    match (key, origin) {
        ("", "") => "the settings".to_owned(),
        ("", origin) => origin.to_owned(),
        (key, "") => format!("`{key}`"),
        (key, "environment") => {
            format!("`{key}` in the environment (HOST_{})", key.replace('.', "__").to_uppercase())
        }
        (key, origin) if origin.starts_with("flag ") => format!("`{key}` of the {origin}"),
        (key, origin) => format!("`{key}` in {origin}"),
    }
}

/// What serde expects (`u16`, `a nonzero u32`, `path string`), in words.
fn expected_in_words(expected: &str) -> String {
    let (above_zero, kind) = match expected.strip_prefix("a nonzero ") {
        Some(kind) => (true, kind),
        None => (false, expected),
    };
    let max = match kind {
        "u8" => Some(u64::from(u8::MAX)),
        "u16" => Some(u64::from(u16::MAX)),
        "u32" => Some(u64::from(u32::MAX)),
        "u64" | "u128" | "usize" => None,
        "a boolean" => return "true or false".to_owned(),
        "a string" | "path string" => return "a string".to_owned(),
        other if other.starts_with("enum ") => return "a string".to_owned(),
        "a sequence" => return "a list".to_owned(),
        other if other == "a map" || other.starts_with("struct ") => return "a table of settings".to_owned(),
        other => return other.to_owned(),
    };
    match (above_zero, max) {
        (true, None) => "a whole number above 0".to_owned(),
        (false, None) => "a whole number, 0 or more".to_owned(),
        (above_zero, Some(max)) => format!("a whole number from {} to {max}", u8::from(above_zero)),
    }
}

/// The value that was set, as a person would write it.
fn actual_in_words(actual: &Actual) -> String {
    match actual {
        Actual::Bool(value) => value.to_string(),
        Actual::Unsigned(value) => value.to_string(),
        Actual::Signed(value) => value.to_string(),
        Actual::Float(value) => value.to_string(),
        Actual::Str(value) => format!("{value:?}"),
        Actual::Seq => "a list".to_owned(),
        Actual::Map => "a table".to_owned(),
        other => other.to_string(),
    }
}
