//! What a variant is sold as: number, price, stock, picture and options; and what that makes of the whole product.

use std::borrow::Cow;

use crate::assemble::{Product, Variant};
use crate::config::Config;
use crate::document::short_text;
use crate::media::{self, Image};
use crate::options::{self, ChosenOption};
use crate::price::Price;
use crate::record::{Money, Record};
use crate::report::Diagnostics;
use crate::sale;
use crate::scalar::Nullable;
use crate::text::sanitize;
use crate::writer::{
    DocumentWriter, write_any_key, write_boolean, write_float, write_integer, write_key, write_string,
};

/// A variant with its texts cleaned and its amounts read.
pub(crate) struct Offer<'p, 'r, 'a> {
    pub(crate) variant: &'p Variant<'r, 'a>,
    /// None if the export does not say it: such a variant cannot be a document or a row of its own.
    pub(crate) id: Option<&'p str>,
    pub(crate) title: Option<Cow<'p, str>>,
    pub(crate) sku: Option<Cow<'p, str>>,
    pub(crate) barcode: Option<Cow<'p, str>>,
    pub(crate) price: Option<Price>,
    /// The former price; none unless it is above the price.
    pub(crate) compare_at_price: Option<Price>,
    /// Whether it can be bought; none if the export does not tell.
    pub(crate) available: Option<bool>,
    /// Pieces in stock, below zero if oversold; none if the export does not tell.
    stock: Option<i64>,
    pub(crate) image: Option<Image>,
    pub(crate) options: Vec<ChosenOption<'p>>,
}

impl<'p, 'r, 'a> Offer<'p, 'r, 'a> {
    pub(crate) fn new(
        variant: &'p Variant<'r, 'a>,
        product: &'p Product<'r, 'a>,
        images: &[Image],
        config: &Config,
        diagnostics: &mut Diagnostics<'_>,
    ) -> Self {
        let record = variant.record;
        let id = variant.document_id();
        let name = id.unwrap_or("without id");
        if id.is_none() {
            diagnostics.warn(
                "missing-variant-id",
                "a variant has no usable id and is not listed among the variants; select `id` of the variants in the export".to_owned(),
            );
        }
        let mut price_of = |field: &str, money: Option<&Money<'_>>| {
            Price::of(money).unwrap_or_else(|text| {
                let text = crate::text::cut_chars(text, 40);
                diagnostics.warn(
                    "invalid-price",
                    format!("the {field} `{text}` of variant {name} is not an amount and was omitted; correct it in the shop"),
                );
                None
            })
        };
        let price = price_of("price", record.price.as_deref());
        let compare_at_price = price_of("compare-at price", record.compare_at_price.as_deref());
        Offer {
            variant,
            id,
            title: record.title.get().map(short_text).filter(|title| title != options::DEFAULT_TITLE),
            sku: record.sku.get().map(sanitize),
            barcode: record.barcode.get().map(sanitize),
            // At or above the price it says nothing about a sale, whatever the shop meant by it.
            compare_at_price: compare_at_price.filter(|before| price.is_some_and(|price| *before > price)),
            price,
            available: availability(variant, product.root),
            stock: variant.stock(),
            image: media::image_of(variant, product, media::Style::of(config))
                .or_else(|| images.first().cloned()),
            options: options::of_variant(record, &product.root.options.0),
        }
    }

    /// The fields that only a document of a variant has, and those that mean the variant there.
    pub(crate) fn write_fields(&self, writer: &mut DocumentWriter<'_>) {
        writer.text("variant_title", self.title.as_deref().unwrap_or_default());
        writer.text("sku", self.sku.as_deref().unwrap_or_default());
        writer.text("barcode", self.barcode.as_deref().unwrap_or_default());
        if let Some(price) = self.price {
            writer.float("price", price.amount());
            writer.boolean("on_sale", self.compare_at_price.is_some());
        }
        if let Some(price) = self.compare_at_price {
            writer.float("compare_at_price", price.amount());
        }
        if let Some(available) = self.available {
            writer.boolean("available", available);
        }
        if let Some(stock) = self.stock {
            writer.integer("inventory_quantity", stock);
        }
        if let Some(position) = self.variant.record.position.0 {
            writer.integer("position", position);
        }
    }

    fn write_variant(&self, json: &mut String, id: &str) {
        json.push('{');
        let mut text = |name: &str, text: Option<&str>| {
            if let Some(text) = text.filter(|text| !text.is_empty()) {
                write_key(json, name);
                write_string(json, text);
            }
        };
        text("id", Some(id));
        text("title", self.title.as_deref());
        text("sku", self.sku.as_deref());
        text("barcode", self.barcode.as_deref());
        text("image", self.image.as_ref().map(|image| &*image.url));
        for (name, price) in [("price", self.price), ("compare_at_price", self.compare_at_price)] {
            if let Some(price) = price {
                write_key(json, name);
                write_float(json, price.amount());
            }
        }
        if let Some(available) = self.available {
            write_key(json, "available");
            write_boolean(json, available);
        }
        for (name, number) in
            [("inventory_quantity", self.stock), ("position", self.variant.record.position.0)]
        {
            if let Some(number) = number {
                write_key(json, name);
                write_integer(json, number);
            }
        }
        if !self.options.is_empty() {
            write_key(json, "attributes");
            json.push('{');
            for option in &self.options {
                write_any_key(json, &option.name);
                write_string(json, &option.value);
            }
            json.push('}');
        }
        json.push('}');
    }
}

/// Whether the platform would sell a variant. Where the export does not say it, it follows from stock, which counts only
/// if it is tracked and may not go below zero.
fn availability(variant: &Variant<'_, '_>, root: &Record<'_>) -> Option<bool> {
    let record = variant.record;
    let public = || match record.available.get() {
        Some("true") => Some(true),
        Some("false") => Some(false),
        _ => None,
    };
    let computed = || {
        let of_item = record.inventory_item.as_deref().and_then(|item| item.tracked.0);
        let of_rest = match &record.inventory_management {
            Nullable::Absent => None,
            Nullable::Null => Some(false),
            Nullable::Value(_) => Some(true),
        };
        let is_tracked = of_item.or(of_rest).or(root.tracks_inventory.0);
        let oversells = record.inventory_policy.get().map(|policy| policy.eq_ignore_ascii_case("continue"));
        match (is_tracked, oversells, variant.stock()) {
            (Some(false), ..) | (_, Some(true), _) => Some(true),
            (Some(true), _, Some(stock)) => Some(stock > 0),
            // In stock it is sold, tracked or not. Without stock, it depends on what the export does not say.
            (None, Some(false), Some(1..)) => Some(true),
            _ => None,
        }
    };
    record.available_for_sale.0.or_else(public).or_else(computed)
}

/// The currency of a product's prices: what the export says, else what is configured; it is never guessed.
pub(crate) fn currency_of(product: &Product<'_, '_>, config: &Config) -> Option<String> {
    let range = product.root.price_range.as_deref();
    let of_range = range.and_then(|range| range.min.currency.get().or(range.max.currency.get()));
    let of_variant =
        || product.variants.iter().find_map(|variant| variant.record.price.as_deref()?.currency.get());
    let exported = of_range.or_else(of_variant).map(|currency| sanitize(currency).into_owned());
    exported.or_else(|| config.currency.clone())
}

/// The fields that sum up the variants of a product.
pub(crate) fn write_product_offer(
    writer: &mut DocumentWriter<'_>,
    product: &Product<'_, '_>,
    offers: &[Offer<'_, '_, '_>],
    diagnostics: &mut Diagnostics<'_>,
) {
    let root = product.root;
    let prices = || offers.iter().filter_map(|offer| offer.price);
    let mut amount_of_range = |money: &Money<'_>| {
        Price::of(Some(money)).unwrap_or_else(|text| {
            let text = crate::text::cut_chars(text, 40);
            diagnostics.warn("invalid-price", format!("the price range has `{text}`, which is not an amount and was omitted; correct it in the shop"));
            None
        })
    };
    let (min, max) = match (prices().min(), prices().max(), root.price_range.as_deref()) {
        (None, None, Some(range)) => (amount_of_range(&range.min), amount_of_range(&range.max)),
        (min, max, _) => (min, max),
    };
    if let Some(min) = min {
        writer.float("price", min.amount());
        writer.float("min_price", min.amount());
    }
    if let Some(max) = max.or(min) {
        writer.float("max_price", max.amount());
    }
    // What is shown is the lowest price, so a sale and the earlier price must be those of the same variant.
    let before = sale::before_lowest(offers, min);
    if let Some(before) = before {
        writer.float("compare_at_price", before.amount());
    }
    if prices().next().is_some() {
        writer.boolean("on_sale", before.is_some());
    }
    let of_variants = offers.iter().filter_map(|offer| offer.available).reduce(|one, other| one || other);
    if let Some(available) = of_variants.or(root.available_for_sale.0) {
        writer.boolean("available", available);
    }
    let of_variants = || offers.iter().filter_map(|offer| offer.stock).reduce(i64::saturating_add);
    if root.tracks_inventory.0 != Some(false)
        && let Some(stock) = root.total_inventory.0.or_else(of_variants)
    {
        writer.integer("inventory_quantity", stock);
    }
}

/// The field `variants`: an array of objects that the relational catalog (SQLite or PostgreSQL) loads as its SKUs. A
/// Marqo index does not get it.
pub(crate) fn write_variants(writer: &mut DocumentWriter<'_>, offers: &[Offer<'_, '_, '_>]) {
    let mut offers = offers.iter().filter_map(|offer| Some((offer, offer.id?))).peekable();
    if offers.peek().is_none() {
        return;
    }
    let Some(json) = writer.uncounted("variants") else { return };
    json.push('[');
    for (index, (offer, id)) in offers.enumerate() {
        if index > 0 {
            json.push(',');
        }
        offer.write_variant(json, id);
    }
    json.push(']');
}
