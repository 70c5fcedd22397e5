//! Numbers among the arguments of which there cannot be none.

use std::{
    num::{IntErrorKind, ParseIntError},
    str::FromStr,
};

/// Parses a `NonZero` number; clap's own parser tells the user about types.
pub(super) fn at_least_one<N: FromStr<Err = ParseIntError>>(text: &str) -> Result<N, String> {
    text.parse().map_err(|error: ParseIntError| match error.kind() {
        IntErrorKind::Zero => "must be at least 1".to_owned(),
        _ => error.to_string(),
    })
}
