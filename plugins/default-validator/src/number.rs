//! JSON numbers as Python reads and writes them, because Marqo is written in Python.

use host_index_rules::json_dumps_float_len;

/// What a JSON number is to Marqo.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Number {
    /// An integer of 64 bits.
    Integer(i64),
    /// A finite float: a number with a point or an exponent.
    Float(f64),
    /// An integer that does not fit 64 bits.
    LargeInteger,
    /// A float that would be infinite.
    Infinite,
}

impl Number {
    /// Reads the text of a JSON number.
    pub(crate) fn read(raw: &str) -> Self {
        if raw.contains(['.', 'e', 'E']) {
            match raw.parse::<f64>() {
                Ok(float) if float.is_finite() => Self::Float(float),
                _ => Self::Infinite,
            }
        } else {
            raw.parse().map_or(Self::LargeInteger, Self::Integer)
        }
    }

    /// The number for comparisons; `None` if it is out of range.
    pub(crate) fn value(self) -> Option<f64> {
        match self {
            Self::Integer(integer) => Some(integer as f64),
            Self::Float(float) => Some(float),
            Self::LargeInteger | Self::Infinite => None,
        }
    }
}

/// How many characters `json.dumps` writes for the number with this JSON text.
pub(crate) fn json_dumps_len(raw: &str) -> usize {
    if is_written_as_is(raw) {
        return raw.len();
    }
    match Number::read(raw) {
        Number::Integer(0) => "0".len(), // also for `-0`
        Number::Integer(_) | Number::LargeInteger => raw.len(),
        Number::Float(float) => json_dumps_float_len(float),
        Number::Infinite => "Infinity".len() + usize::from(raw.starts_with('-')),
    }
}

/// Whether the number is too large for a float, found out without reading it where possible.
pub(crate) fn is_infinite(raw: &str) -> bool {
    // Without an exponent, 300 digits and signs always fit a float, whose largest value has 309 digits.
    const MAX_FINITE_LEN: usize = 300;
    (raw.len() > MAX_FINITE_LEN || raw.contains(['e', 'E'])) && Number::read(raw) == Number::Infinite
}

/// Whether Python certainly writes the number as it is here. True of nearly all numbers, and found out without
/// reading them: up to 15 digits always survive a float, if they are not written in an odd way.
fn is_written_as_is(raw: &str) -> bool {
    let unsigned = raw.strip_prefix('-').unwrap_or(raw);
    if unsigned.len() > 16 || unsigned.contains(['e', 'E']) {
        return false;
    }
    match unsigned.split_once('.') {
        None => unsigned != "0",
        Some((_, "0")) => true,
        Some((_, fraction)) if fraction.ends_with('0') => false,
        Some((whole, fraction)) => whole != "0" || !fraction.starts_with("0000"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_have_sixty_four_bits() {
        assert_eq!(Number::read("9223372036854775807"), Number::Integer(i64::MAX));
        assert_eq!(Number::read("-9223372036854775808"), Number::Integer(i64::MIN));
        assert_eq!(Number::read("9223372036854775808"), Number::LargeInteger);
        assert_eq!(Number::read(&"9".repeat(100_000)), Number::LargeInteger);
    }

    #[test]
    fn a_point_or_exponent_makes_a_float() {
        assert_eq!(Number::read("20.0"), Number::Float(20.0));
        assert_eq!(Number::read("2E1"), Number::Float(20.0));
        assert_eq!(Number::read("1e400"), Number::Infinite);
        assert_eq!(Number::read("1e-400"), Number::Float(0.0));
        assert_eq!(Number::read("1e99999999999999999999"), Number::Infinite);
    }
}
