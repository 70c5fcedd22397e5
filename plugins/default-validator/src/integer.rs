//! Whole numbers of any size, as decimal text: a version number need not fit a machine word.

use std::cmp::Ordering;

/// A whole number of any size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Integer<'a> {
    negative: bool,
    /// Digits without leading zeros; none at all for zero.
    digits: &'a str,
}

impl<'a> Integer<'a> {
    /// Reads an optional sign and at least one digit.
    pub(crate) fn parse(text: &'a str) -> Option<Self> {
        let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
        if unsigned.is_empty() || !unsigned.bytes().all(|byte| byte.is_ascii_digit()) {
            return None;
        }
        let digits = unsigned.trim_start_matches('0');
        Some(Self { negative: text.starts_with('-') && !digits.is_empty(), digits })
    }
}

impl Ord for Integer<'_> {
    fn cmp(&self, other: &Self) -> Ordering {
        let magnitude = |left: &Self, right: &Self| {
            left.digits.len().cmp(&right.digits.len()).then_with(|| left.digits.cmp(right.digits))
        };
        match (self.negative, other.negative) {
            (false, false) => magnitude(self, other),
            (true, true) => magnitude(other, self),
            (false, true) => Ordering::Greater,
            (true, false) => Ordering::Less,
        }
    }
}

impl PartialOrd for Integer<'_> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn only_signs_and_digits_are_read() {
        for text in ["", "-", "+", "1.0", "1e3", " 1", "0x1", "٣", "--1"] {
            assert_eq!(Integer::parse(text), None, "{text:?}");
        }
        assert_eq!(Integer::parse("-000"), Integer::parse("0"));
        assert_eq!(Integer::parse("+0042"), Integer::parse("42"));
    }

    #[test]
    fn size_is_unlimited() {
        let large = format!("1{}", "0".repeat(500));
        assert!(Integer::parse(&large) > Integer::parse("340282366920938463463374607431768211455"));
    }

    proptest! {
        #[test]
        fn order_is_that_of_numbers(left: i128, right: i128) {
            let (left_text, right_text) = (left.to_string(), right.to_string());
            prop_assert_eq!(Integer::parse(&left_text).cmp(&Integer::parse(&right_text)), left.cmp(&right));
        }
    }
}
