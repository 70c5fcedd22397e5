//! Parses arguments that must be a whole number of at least 1.

use std::{
    num::{IntErrorKind, ParseIntError},
    str::FromStr,
};

/// Parses a `NonZero` number, with an error in plain words: clap's own names Rust's types.
pub(super) fn at_least_one<N: FromStr<Err = ParseIntError>>(text: &str) -> Result<N, String> {
    text.parse().map_err(|error: ParseIntError| match error.kind() {
        IntErrorKind::Zero => "must be at least 1".to_owned(),
        _ => error.to_string(),
    })
}
