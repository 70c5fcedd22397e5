//! Amounts of money: compared as decimals, sent as floating-point numbers.

use rust_decimal::Decimal;

use crate::record::Money;

/// An amount as the export gives it. `20`, `20.0` and `20.00` are equal; the number of decimals depends on the currency and
/// is not touched.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Price {
    exact: Decimal,
    /// The nearest floating-point number, which is what documents hold.
    pub(crate) float: f64,
}

impl Price {
    /// Reads an amount; a negative one is no price.
    pub(crate) fn parse(text: &str) -> Option<Price> {
        let text = text.trim();
        let exact = text.parse::<Decimal>().or_else(|_| Decimal::from_scientific(text)).ok()?;
        let float = text.parse::<f64>().ok()?;
        (!exact.is_sign_negative() || exact.is_zero()).then(|| Price { exact, float: float.abs() })
    }

    /// The price of a field: nothing if it is absent, null or blank, and the text itself if it is no amount.
    pub(crate) fn of<'m>(money: Option<&'m Money<'_>>) -> Result<Option<Price>, &'m str> {
        match money.and_then(|money| money.amount.get()) {
            None => Ok(None),
            Some(text) => Price::parse(text).map(Some).ok_or(text),
        }
    }
}

impl PartialEq for Price {
    fn eq(&self, other: &Price) -> bool {
        self.exact == other.exact
    }
}

impl Eq for Price {}

impl PartialOrd for Price {
    fn partial_cmp(&self, other: &Price) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Price {
    fn cmp(&self, other: &Price) -> std::cmp::Ordering {
        self.exact.cmp(&other.exact)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_are_read_in_every_notation() {
        for (text, float) in [
            ("19.99", 19.99),
            ("10.0", 10.0),
            ("1050000", 1_050_000.0),
            ("0.00", 0.0),
            ("-0", 0.0),
            ("1.234", 1.234),
            ("1e3", 1000.0),
            (" 5 ", 5.0),
        ] {
            assert_eq!(Price::parse(text).map(|price| price.float), Some(float), "{text}");
        }
        for text in ["", "abc", "1,99", "-1", "NaN", "inf", "$5"] {
            assert!(Price::parse(text).is_none(), "{text}");
        }
    }

    #[test]
    fn comparison_is_exact() {
        assert_eq!(Price::parse("10.0"), Price::parse("10.00"));
        assert!(Price::parse("0.30000000000000000001") > Price::parse("0.3"));
    }
}
