//! Reduced prices: which one a product shows, and by how much it is reduced.

use crate::config::Config;
use crate::offer::Offer;
use crate::price::Price;
use crate::record::CompareAtRange;
use crate::writer::DocumentWriter;

/// The earlier price of what is sold at the lowest price: the highest of those variants' earlier prices, so that it does
/// not depend on their order.
pub(crate) fn before_lowest(offers: &[Offer<'_, '_, '_>], lowest: Option<Price>) -> Option<Price> {
    let lowest = lowest?;
    offers.iter().filter(|offer| offer.price == Some(lowest)).filter_map(|offer| offer.compare_at_price).max()
}

/// Writes the added fields about prices; `own` if the document is that of a variant.
pub(crate) fn write(
    writer: &mut DocumentWriter<'_>,
    config: &Config,
    offers: &[Offer<'_, '_, '_>],
    range: Option<&CompareAtRange<'_>>,
    is_product: bool,
) {
    let lowest = offers.iter().filter_map(|offer| offer.price).min();
    let mut float = |name: &str, price: Option<Price>| {
        if let Some(price) = price.filter(|_| config.adds(name)) {
            writer.float(name, price.amount());
        }
    };
    if is_product {
        let available = offers.iter().filter(|offer| offer.available == Some(true));
        float("min_available_price", available.filter_map(|offer| offer.price).min());
        let before = || offers.iter().filter_map(|offer| offer.compare_at_price);
        let of_range = |price: &crate::record::Money<'_>| Price::of(Some(price)).ok().flatten();
        let range = range.filter(|_| lowest.is_none());
        float("min_compare_at_price", before().min().or_else(|| of_range(&range?.min)));
        float("max_compare_at_price", before().max().or_else(|| of_range(&range?.max)));
    }
    let (Some(price), Some(before)) = (lowest, before_lowest(offers, lowest)) else { return };
    let (price, before) = (price.amount(), before.amount());
    if config.adds("discount") {
        writer.float("discount", rounded(before - price));
    }
    if config.adds("discount_percent") {
        writer.integer("discount_percent", percent(price, before));
    }
}

/// A difference of amounts without the noise of floats: no currency has more than four digits after the point.
fn rounded(amount: f64) -> f64 {
    (amount * 1e4).round() / 1e4
}

/// By how many whole percent a price is below an earlier one.
fn percent(price: f64, before: f64) -> i64 {
    // 23.92 instead of 29.9 is 19.999999999999996 percent less.
    ((before - price) / before * 100.0 + 1e-6).floor() as i64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn discounts_are_free_of_the_noise_of_floats() {
        for (price, before, discount, in_percent) in [
            (14.99, 19.99, 5.0, 25),
            (23.92, 29.9, 5.98, 20),
            (9.0, 12.0, 3.0, 25),
            (0.0, 10.0, 10.0, 100),
            (0.1, 100.0, 99.9, 99),
            (1.234, 1.235, 0.001, 0),
            (800_000.0, 1_050_000.0, 250_000.0, 23),
        ] {
            assert_eq!((rounded(before - price), percent(price, before)), (discount, in_percent), "{price}");
        }
    }
}
