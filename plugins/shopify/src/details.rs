//! What a search seldom needs, but some shops do: trade numbers, weights, unit prices, swatches, plans and bundles.

use std::borrow::Cow;

use crate::assemble::Product;
use crate::config::Config;
use crate::document::short_text;
use crate::media::absolute_url;
use crate::offer::Offer;
use crate::options;
use crate::price::Price;
use crate::record::{OptionValue, Record, Swatch};
use crate::units;
use crate::writer::DocumentWriter;

/// Writes the added fields of a document about what is sold: `own` is the variant of a variant's document.
pub(crate) fn write(
    writer: &mut DocumentWriter<'_>,
    config: &Config,
    product: &Product<'_, '_>,
    offers: &[Offer<'_, '_, '_>],
    own: Option<&Offer<'_, '_, '_>>,
) {
    let root = product.root;
    let gtins = || offers.iter().filter_map(|offer| offer.barcode.as_deref().filter(|code| is_gtin(code)));
    match own {
        Some(_) if config.adds("gtin") => writer.text("gtin", gtins().next().unwrap_or_default()),
        None if config.adds("gtins") => writer.list("gtins", options::dedupe(gtins().map(Cow::from))),
        _ => {}
    }
    if config.adds("weight_grams")
        && let Some(weight) = same(offers.iter().map(|offer| weight_of(offer.variant.record)))
    {
        writer.float("weight_grams", weight);
    }
    if let Some(offer) = own {
        let record = offer.variant.record;
        if let Some(policy) = record.inventory_policy.get().filter(|_| config.adds("inventory_policy")) {
            writer.text("inventory_policy", &short_text(policy).to_lowercase());
        }
        if let Some((price, unit)) = unit_price(offer) {
            if config.adds("unit_price") {
                writer.float("unit_price", price);
            }
            if config.adds("unit_price_measure") {
                writer.text("unit_price_measure", &unit);
            }
        }
    }
    write_swatches(writer, config, root, offers, own.is_some());
    if let Some(required) = root.requires_selling_plan.0.filter(|_| config.adds("requires_selling_plan")) {
        writer.boolean("requires_selling_plan", required);
    }
    if config.adds("selling_plans") {
        let plans = root.selling_plan_groups.0.iter().chain(product.selling_plan_groups.iter().copied());
        let mut names: Vec<Cow<'_, str>> = plans.filter_map(|plan| plan.name.get()).map(short_text).collect();
        names.sort();
        writer.list("selling_plans", options::dedupe(names));
    }
    let bundles = offers.iter().filter_map(|offer| offer.variant.record.requires_components.0);
    if let Some(is_bundle) = bundles.reduce(|one, other| one || other).filter(|_| config.adds("is_bundle")) {
        writer.boolean("is_bundle", is_bundle);
    }
    if config.adds("bundle_components") {
        let of_variants = offers.iter().flat_map(|offer| &offer.variant.record.components.0);
        let components = root.components.0.iter().chain(of_variants);
        let titles = components.filter_map(|component| {
            let sold = component.product.as_deref().or(component.variant.as_deref())?;
            sold.display_name.get().or(sold.title.get()).map(short_text)
        });
        writer.list("bundle_components", options::dedupe(titles));
    }
}

/// The value that all have.
fn same<T: PartialEq>(mut values: impl Iterator<Item = Option<T>>) -> Option<T> {
    let first = values.next()??;
    values.all(|value| value.as_ref() == Some(&first)).then_some(first)
}

/// Whether a barcode is a trade number: of 8, 12, 13 or 14 digits, the last one being right.
fn is_gtin(code: &str) -> bool {
    if ![8, 12, 13, 14].contains(&code.len()) || !code.bytes().all(|byte| byte.is_ascii_digit()) {
        return false;
    }
    // From the right, digits count once and three times by turns.
    let digits = code.bytes().rev().zip([1_u32, 3].into_iter().cycle());
    digits.map(|(digit, weight)| u32::from(digit - b'0') * weight).sum::<u32>() % 10 == 0
}

/// The weight of a variant in grams: GraphQL says it with its unit, REST in grams.
fn weight_of(record: &Record<'_>) -> Option<f64> {
    let measurement = record.inventory_item.as_deref().and_then(|item| item.measurement.as_deref());
    let grams = match measurement.and_then(|measurement| measurement.weight.as_deref()) {
        Some(weight) => units::convert(weight.value.get()?.parse().ok()?, weight.unit.get()?, "g")?,
        None => record.grams.get()?.parse().ok()?,
    };
    // Shopify says 0 where the merchant has weighed nothing.
    (grams > 0.0 && grams.is_finite()).then_some(grams)
}

/// What a variant costs by measure, and by which: `0.89` for `100 ml`.
fn unit_price(offer: &Offer<'_, '_, '_>) -> Option<(f64, String)> {
    let record = offer.variant.record;
    let measure = record.unit_price_measurement.as_deref()?;
    let (reference, unit) =
        (measure.reference_value.get()?.parse::<f64>().ok()?, measure.reference_unit.get()?);
    let said = Price::of(record.unit_price.as_deref()).ok().flatten().map(Price::amount);
    let computed = || {
        let quantity = measure.quantity_value.get()?.parse().ok()?;
        let quantity = units::convert(quantity, measure.quantity_unit.get()?, unit)?;
        let price = offer.price?.amount() * reference / quantity;
        // As precise as amounts are.
        (price.is_finite() && quantity > 0.0).then(|| (price * 1e4).round() / 1e4)
    };
    Some((said.or_else(computed)?, format!("{reference} {}", short_text(unit).to_lowercase())))
}

/// Writes how options look: of a product all that its variants have, of a variant its own.
fn write_swatches(
    writer: &mut DocumentWriter<'_>,
    config: &Config,
    root: &Record<'_>,
    offers: &[Offer<'_, '_, '_>],
    is_variant: bool,
) {
    if !["swatches", "swatch_color", "swatch_image"].into_iter().any(|field| config.adds(field)) {
        return;
    }
    let is_chosen = |name: &str, value: &OptionValue<'_>| {
        let mut chosen = offers.iter().flat_map(|offer| &offer.options);
        let value = value.name.get().map(short_text);
        chosen.any(|option| option.name == name && Some(&option.value) == value.as_ref())
    };
    let swatches: Vec<(Cow<'_, str>, &Swatch<'_>)> = root
        .options
        .0
        .iter()
        .flat_map(|option| {
            let name = option.name.get().map(short_text).unwrap_or_default();
            let chosen = option.option_values.0.iter().filter(move |value| is_chosen(&name, value));
            chosen.filter_map(|value| Some((short_text(value.name.get()?), value.swatch.as_deref()?)))
        })
        .collect();
    let color = |swatch: &Swatch<'_>| swatch.color.get().map(|color| short_text(color).into_owned());
    let image = |swatch: &Swatch<'_>| {
        let picture = swatch.image.as_deref().and_then(|medium| medium.image.as_deref());
        picture.and_then(|picture| picture.url.get()).and_then(absolute_url)
    };
    if is_variant {
        if let Some(color) =
            swatches.iter().find_map(|(_, swatch)| color(swatch)).filter(|_| config.adds("swatch_color"))
        {
            writer.text("swatch_color", &color);
        }
        if let Some(image) =
            swatches.iter().find_map(|(_, swatch)| image(swatch)).filter(|_| config.adds("swatch_image"))
        {
            writer.text("swatch_image", &image);
        }
    } else if config.adds("swatches") {
        let shown = |(value, swatch): &(Cow<'_, str>, &Swatch<'_>)| {
            Some(Cow::from(format!("{value}: {}", color(swatch).or_else(|| image(swatch))?)))
        };
        writer.list("swatches", swatches.iter().filter_map(shown));
    }
}

#[cfg(test)]
mod tests {
    use super::is_gtin;

    #[test]
    fn trade_numbers_have_a_right_last_digit() {
        for code in ["4006381333931", "036000291452", "96385074", "10012345678902"] {
            assert!(is_gtin(code), "{code}");
        }
        for code in ["4006381333930", "036000291453", "12345", "'036000291452", "400638133393a", ""] {
            assert!(!is_gtin(code), "{code}");
        }
    }
}
