//! Amounts of money, as the floating-point numbers that documents hold.

use std::cmp::Ordering;

use crate::record::Money;

/// A larger number is a broken value of the export and no amount in any currency.
const MAX: f64 = 1e28;

/// An amount that is not negative. Amounts compare as a document shows them: `20`, `20.0` and `20.00` are equal, and so are
/// two that differ in digits which no document can hold.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Price(f64);

impl Price {
    /// Reads an amount; a negative one is not a price.
    pub(crate) fn parse(text: &str) -> Option<Price> {
        let text = text.trim();
        // Rust also reads `inf` and `NaN`.
        let has_letters =
            text.bytes().any(|byte| byte.is_ascii_alphabetic() && !byte.eq_ignore_ascii_case(&b'e'));
        let amount: f64 = text.parse().ok().filter(|_| !has_letters)?;
        (0.0..=MAX).contains(&amount).then(|| Price(amount.abs()))
    }

    /// The price of a field: nothing if it is absent, null or blank, and the text itself if it is not an amount.
    pub(crate) fn of<'m>(money: Option<&'m Money<'_>>) -> Result<Option<Price>, &'m str> {
        match money.and_then(|money| money.amount.get()) {
            None => Ok(None),
            Some(text) => Price::parse(text).map(Some).ok_or(text),
        }
    }

    /// The number for a document.
    pub(crate) fn amount(self) -> f64 {
        self.0
    }
}

impl PartialEq for Price {
    fn eq(&self, other: &Price) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Price {}

impl PartialOrd for Price {
    fn partial_cmp(&self, other: &Price) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Price {
    fn cmp(&self, other: &Price) -> Ordering {
        self.0.total_cmp(&other.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_are_read_in_every_notation() {
        for (text, amount) in [
            ("19.99", 19.99),
            ("10.0", 10.0),
            ("1050000", 1_050_000.0),
            ("0.00", 0.0),
            ("-0", 0.0),
            ("1.234", 1.234),
            ("1e3", 1000.0),
            ("1E3", 1000.0),
            (" 5 ", 5.0),
        ] {
            let price = Price::parse(text).map(Price::amount);
            assert_eq!(price, Some(amount), "{text}");
            assert!(price.is_some_and(f64::is_sign_positive), "{text}");
        }
        for text in
            ["", "abc", "1,99", "-1", "NaN", "inf", "-inf", "infinity", "$5", "1_000", "1e29", "1e400"]
        {
            assert!(Price::parse(text).is_none(), "{text}");
        }
    }

    #[test]
    fn amounts_compare_as_documents_show_them() {
        assert_eq!(Price::parse("10.0"), Price::parse("10.00"));
        assert_eq!(Price::parse("-0"), Price::parse("0"));
        assert!(Price::parse("19.99") < Price::parse("20"));
        // Both become 0.3, so neither may be the reduced one.
        assert_eq!(Price::parse("0.30000000000000000001"), Price::parse("0.3"));
        assert!(Price::parse("0.30000000000000004") > Price::parse("0.3"));
    }
}
