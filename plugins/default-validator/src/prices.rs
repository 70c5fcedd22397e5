//! Warnings about prices. Nothing here refuses a document: an odd price is still a price.

use std::collections::BTreeSet;

use crate::config::Config;
use crate::issue::{Report, Step, quoted};
use crate::json::Kind;
use crate::number::Number;

/// The price fields of a configuration, and how they must relate.
pub(crate) struct Prices {
    fields: Vec<String>,
    /// Positions in `fields`: price, and the former price that must be above it.
    former: Vec<[usize; 2]>,
    /// Positions in `fields`: lowest and highest price.
    ranges: Vec<[usize; 2]>,
}

/// The prices that a document has, by position in [`Prices::fields`].
pub(crate) type PriceValues = Vec<Option<f64>>;

impl Prices {
    pub(crate) fn new(config: &Config) -> Self {
        let pairs = config.compare_at_prices.iter().chain(&config.price_ranges).flatten();
        let fields: BTreeSet<&String> = config.price_fields.iter().chain(pairs).collect();
        let fields: Vec<String> = fields.into_iter().cloned().collect();
        let positions = |pairs: &[[String; 2]]| {
            let position = |field: &String| fields.binary_search(field).ok();
            pairs.iter().filter_map(|[low, high]| Some([position(low)?, position(high)?])).collect()
        };
        let (former, ranges) = (positions(&config.compare_at_prices), positions(&config.price_ranges));
        Self { fields, former, ranges }
    }

    /// The prices of a document before its first field is seen: none.
    pub(crate) fn unseen(&self) -> PriceValues {
        vec![None; self.fields.len()]
    }

    /// Looks at one field, whatever it is.
    pub(crate) fn see(&self, field: &str, raw: &str, seen: &mut PriceValues, report: &mut Report) {
        let Some(position) = self.fields.iter().position(|price| price == field) else { return };
        match Kind::of(raw) {
            Kind::Number => {
                let price = Number::read(raw).value();
                if price.is_some_and(|price| price < 0.0) {
                    report.warning("negative-price", &[Step::Key(field)], || {
                        format!(
                            "The price {} is negative: {}; look at the shop's data.",
                            quoted(field),
                            quoted(raw)
                        )
                    });
                }
                if let Some(place) = seen.get_mut(position) {
                    *place = price;
                }
            }
            Kind::Null => {} // an error already
            kind => report.warning("price-not-a-number", &[Step::Key(field)], || {
                let (field, noun) = (quoted(field), kind.noun());
                format!(
                    "The price {field} is {noun}; send a number, or it can be neither sorted nor filtered by."
                )
            }),
        }
    }

    /// Compares the prices of a document with each other.
    pub(crate) fn relate(&self, seen: &PriceValues, report: &mut Report) {
        let pair = |[low, high]: &[usize; 2]| {
            let price = |position: &usize| seen.get(*position).copied().flatten();
            let name = |position: &usize| self.fields.get(*position).map_or("", String::as_str);
            Some((price(low)?, price(high)?, name(low), name(high)))
        };
        for (price, former, price_name, former_name) in self.former.iter().filter_map(pair) {
            if former <= price {
                report.warning("compare-at-price", &[Step::Key(former_name)], || {
                    let (former_name, price_name) = (quoted(former_name), quoted(price_name));
                    format!("{former_name} is {former}, not above {price_name} {price}; leave it out unless reduced.")
                });
            }
        }
        for (low, high, low_name, high_name) in self.ranges.iter().filter_map(pair) {
            if low > high {
                report.warning("price-range", &[Step::Key(low_name)], || {
                    let (low_name, high_name) = (quoted(low_name), quoted(high_name));
                    format!("{low_name} is {low}, above {high_name} {high}; swap them.")
                });
            }
        }
    }
}
