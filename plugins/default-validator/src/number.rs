//! JSON numbers as Python reads and writes them, because Marqo is written in Python.

use std::fmt::{self, Write};

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
pub(crate) fn dumps_size(raw: &str) -> u64 {
    if is_written_as_is(raw) {
        return raw.len() as u64;
    }
    match Number::read(raw) {
        Number::Integer(0) => 1, // also for `-0`
        Number::Integer(_) | Number::LargeInteger => raw.len() as u64,
        Number::Float(float) => float_size(float),
        Number::Infinite => "Infinity".len() as u64 + u64::from(raw.starts_with('-')),
    }
}

/// Whether the number is too large for a float, found out without reading it where possible.
pub(crate) fn is_infinite(raw: &str) -> bool {
    const LONGEST_FINITE: usize = 300;
    (raw.len() > LONGEST_FINITE || raw.contains(['e', 'E'])) && Number::read(raw) == Number::Infinite
}

/// Whether Python certainly writes the number as it stands here. True of nearly all numbers, and found out without
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

/// Length of Python's `repr` of a float: the shortest digits that read back as the same float, written out for
/// exponents from -4 to 15 and in scientific notation, with two or more digits of exponent, otherwise.
fn float_size(float: f64) -> u64 {
    let mut scientific = Scientific::default();
    let _counting_cannot_fail = write!(scientific, "{:e}", float.abs());
    let Scientific { digits, exponent, negative_exponent, .. } = scientific;
    let sign = u64::from(float.is_sign_negative());
    sign + if negative_exponent {
        if exponent <= 4 {
            "0.".len() as u64 + (exponent - 1) + digits
        } else {
            scientific_size(digits, exponent)
        }
    } else if exponent >= 16 {
        scientific_size(digits, exponent)
    } else if digits > exponent + 1 {
        digits + ".".len() as u64
    } else {
        exponent + 1 + ".0".len() as u64
    }
}

fn scientific_size(digits: u64, exponent: u64) -> u64 {
    let point = u64::from(digits > 1);
    let exponent_digits = if exponent >= 100 { 3 } else { 2 };
    digits + point + "e+".len() as u64 + exponent_digits
}

/// Takes apart what Rust writes for `{:e}`, such as `1.25e-7`, without keeping the text.
#[derive(Default)]
struct Scientific {
    digits: u64,
    exponent: u64,
    negative_exponent: bool,
    in_exponent: bool,
}

impl Write for Scientific {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for byte in text.bytes() {
            match byte {
                b'e' => self.in_exponent = true,
                b'-' => self.negative_exponent = true,
                b'0'..=b'9' if self.in_exponent => {
                    self.exponent = self.exponent * 10 + u64::from(byte - b'0');
                }
                b'0'..=b'9' => self.digits += 1,
                _ => {}
            }
        }
        Ok(())
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
