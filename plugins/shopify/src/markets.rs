//! Prices of markets and texts in other languages, in fields that the configuration names.

use crate::assemble::{Product, Variant};
use crate::config::Config;
use crate::document::short_text;
use crate::html::to_text;
use crate::offer::Offer;
use crate::price::Price;
use crate::record::Money;
use crate::text::{cut_chars, sanitize};
use crate::writer::DocumentWriter;

/// The beginnings of the names of a market's fields.
pub(crate) const MARKET_FIELDS: [&str; 3] = ["price", "compare_at_price", "currency"];

/// The beginnings of the names of a language's fields, each with the key under which Shopify translates it.
pub(crate) const LOCALE_FIELDS: [(&str, &str); 5] = [
    ("title", "title"),
    ("description", "body_html"),
    ("product_type", "product_type"),
    ("seo_title", "meta_title"),
    ("seo_description", "meta_description"),
];

/// What something costs in a market.
struct MarketPrice<'p> {
    price: Price,
    before: Option<Price>,
    currency: Option<&'p str>,
}

impl<'p> MarketPrice<'p> {
    fn new(price: &'p Money<'_>, before: Option<&Money<'_>>) -> Option<Self> {
        let read = |money: Option<&Money<'_>>| Price::of(money).ok().flatten();
        let amount = read(Some(price))?;
        let before = read(before).filter(|before| *before > amount);
        Some(MarketPrice { price: amount, before, currency: price.currency.get() })
    }
}

/// The price of a variant in a market: `source` is the alias of its `contextualPricing`, or a currency of its
/// `presentmentPrices`.
fn of_variant<'p>(variant: &'p Variant<'_, '_>, source: &str) -> Option<MarketPrice<'p>> {
    let record = variant.record;
    if let Some((price, before)) = record.aliased.pricing(source) {
        return MarketPrice::new(price, before);
    }
    let nested = record.presentment_prices.0.iter();
    nested.chain(variant.prices.iter().copied()).find_map(|pair| {
        let price = pair.price.as_deref().filter(|price| price.currency.get() == Some(source))?;
        MarketPrice::new(price, pair.compare_at_price.as_deref())
    })
}

/// Writes the prices of all markets: of the offers of a document, the lowest.
pub(crate) fn write_prices(
    writer: &mut DocumentWriter<'_>,
    config: &Config,
    product: &Product<'_, '_>,
    offers: &[Offer<'_, '_, '_>],
    is_product: bool,
) {
    for (market, source) in &config.markets {
        let prices = || offers.iter().filter_map(|offer| of_variant(offer.variant, source));
        // Of equally low prices the one that is reduced most, whatever their order.
        let lowest = prices().min_by_key(|price| (price.price, std::cmp::Reverse(price.before)));
        let of_product = || {
            let (price, before) = product.root.aliased.pricing(source).filter(|_| is_product)?;
            MarketPrice::new(price, before)
        };
        let Some(MarketPrice { price, before, currency }) = lowest.or_else(of_product) else { continue };
        let [price_field, before_field, currency_field] =
            MARKET_FIELDS.map(|field| format!("{field}_{market}"));
        writer.float(&price_field, price.amount());
        if let Some(before) = before {
            writer.float(&before_field, before.amount());
        }
        writer.text(&currency_field, &sanitize(currency.unwrap_or_default()));
    }
}

/// Writes the texts of a product in all configured languages.
pub(crate) fn write_texts(writer: &mut DocumentWriter<'_>, config: &Config, product: &Product<'_, '_>) {
    for (locale, source) in &config.locales {
        for (field, key) in LOCALE_FIELDS {
            let Some(text) = product.root.aliased.translation(source, key) else { continue };
            let name = format!("{field}_{locale}");
            match field {
                "description" => {
                    let text = to_text(text);
                    writer.long_text(&name, cut_chars(&text, config.max_description_chars));
                }
                "seo_description" => writer.long_text(&name, &to_text(text)),
                _ => writer.text(&name, &short_text(text)),
            }
        }
    }
}
