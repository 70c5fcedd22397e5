//! The documents of a product, field by field.

use std::borrow::Cow;

use crate::added;
use crate::assemble::{Product, Variant};
use crate::config::{Config, FieldKind, Level, MetafieldRule, OtherMetafields};
use crate::entities::decode_entities;
use crate::html::{plain_to_text, to_text};
use crate::lines::text_of;
use crate::markets;
use crate::media::{self, Image};
use crate::metafield::{self, FieldValue};
use crate::offer::{self, Offer};
use crate::options;
use crate::record::Record;
use crate::report::Diagnostics;
use crate::scalar::{Nullable, Text};
use crate::text::{cut_chars, sanitize};
use crate::writer::DocumentWriter;

/// A title or other short text: entities decoded, unsupported characters dropped, edges trimmed.
pub(crate) fn short_text(text: &str) -> Cow<'_, str> {
    let sanitized = sanitize(text);
    if memchr::memchr(b'&', sanitized.as_bytes()).is_none() {
        return sanitized;
    }
    Cow::Owned(sanitize(&decode_entities(&sanitized)).into_owned())
}

/// Everything about a product that its documents share.
pub(crate) struct DocumentSource<'p, 'r, 'a> {
    product: &'p Product<'r, 'a>,
    product_id: &'p str,
    config: &'p Config,
    description: String,
    /// Its characters before it was cut.
    description_chars: Option<usize>,
    images: Vec<Image>,
    offers: Vec<Offer<'p, 'r, 'a>>,
    currency: Option<String>,
}

impl<'p, 'r, 'a> DocumentSource<'p, 'r, 'a> {
    pub(crate) fn new(
        product: &'p Product<'r, 'a>,
        product_id: &'p str,
        config: &'p Config,
        diagnostics: &mut Diagnostics<'_>,
    ) -> Self {
        let (description, description_chars) = description_of(product.root, config.max_description_chars);
        let images = media::images_of(product, media::Style::of(config));
        let offers = product
            .variants
            .iter()
            .map(|variant| Offer::new(variant, product, &images, config, diagnostics))
            .collect();
        let currency = offer::currency_of(product, config);
        DocumentSource {
            product,
            product_id,
            config,
            description,
            description_chars,
            images,
            offers,
            currency,
        }
    }

    /// The document of the whole product.
    pub(crate) fn product_document(&self, diagnostics: &mut Diagnostics<'_>) -> String {
        let mut writer = self.writer();
        let skus = self.offers.iter().filter_map(|offer| offer.sku.as_deref());
        let barcodes = self.offers.iter().filter_map(|offer| offer.barcode.as_deref());
        let skus = options::dedupe(skus.map(Cow::from));
        let barcodes = options::dedupe(barcodes.map(Cow::from));
        // By these, customers and staff look for one thing; so other fields give way to them.
        writer.reserve("skus", &skus);
        writer.reserve("barcodes", &barcodes);
        self.shared_start(&mut writer, None);
        offer::write_product_offer(&mut writer, self.product, &self.offers, diagnostics);
        self.shared_middle(&mut writer, None, diagnostics);
        writer.last_lists(("skus", &skus), ("barcodes", &barcodes));
        writer.integer("variant_count", i64::try_from(self.offers.len()).unwrap_or(i64::MAX));
        self.finish(writer, None, diagnostics)
    }

    /// The documents of those variants that have an id, with their ids.
    pub(crate) fn variant_documents(&self, diagnostics: &mut Diagnostics<'_>) -> Vec<(String, String)> {
        let mut documents = Vec::with_capacity(self.offers.len());
        for offer in &self.offers {
            let Some(id) = offer.id else { continue };
            let mut writer = self.writer();
            self.shared_start(&mut writer, Some(id));
            writer.text("variant_id", id);
            offer.write_fields(&mut writer);
            self.shared_middle(&mut writer, Some(offer), diagnostics);
            documents.push((id.to_owned(), self.finish(writer, Some(offer), diagnostics)));
        }
        documents
    }

    fn writer(&self) -> DocumentWriter<'p> {
        // The expected size is an estimate that saves growing the buffer.
        DocumentWriter::new(
            self.config.max_document_chars,
            self.description.len() + 1_024 + 256 * self.offers.len(),
            &self.config.naming,
        )
    }

    fn shared_start(&self, writer: &mut DocumentWriter<'_>, variant_id: Option<&str>) {
        let root = self.product.root;
        writer.text("product_id", self.product_id);
        short_field(writer, "title", &root.title);
        short_field(writer, "handle", &root.handle);
        if let Some(url) = self.url(variant_id) {
            writer.text("url", &url);
        }
        short_field(writer, "vendor", &root.vendor);
        short_field(writer, "product_type", &root.product_type);
        if let Some(category) = root.category.as_deref() {
            let name = if category.full_name.get().is_some() { &category.full_name } else { &category.name };
            short_field(writer, "category", name);
        }
        if let Some(seo) = root.seo.as_deref() {
            short_field(writer, "seo_title", &seo.title);
            if let Some(description) = seo.description.get() {
                writer.long_text("seo_description", &plain_to_text(description));
            }
        }
        for (name, time) in [
            ("created_at", root.created_at.get()),
            ("updated_at", root.updated_at.get()),
            ("published_at", root.published_at.get()),
        ] {
            writer.text(name, &sanitize(time.unwrap_or_default()));
        }
        if let Some(gift_card) = root.gift_card.0 {
            writer.boolean("gift_card", gift_card);
        }
        if let Some(currency) = &self.currency {
            writer.text("currency", currency);
        }
    }

    /// What is the same at both levels, except that a document of a variant, `own`, shows its picture and options.
    fn shared_middle(
        &self,
        writer: &mut DocumentWriter<'_>,
        own: Option<&Offer<'_, 'r, 'a>>,
        diagnostics: &mut Diagnostics<'_>,
    ) {
        let root = self.product.root;
        self.write_images(writer, own.and_then(|offer| offer.image.as_ref()));
        writer.list("tags", options::dedupe(root.tags.0.iter().map(|tag| short_text(tag))));
        let collections = &self.product.collections;
        let field = |text: &'p Text<'_>| text.get().map(short_text);
        writer.list(
            "collections",
            options::dedupe(collections.iter().filter_map(|record| field(&record.title))),
        );
        writer.list(
            "collection_handles",
            options::dedupe(collections.iter().filter_map(|record| field(&record.handle))),
        );
        let offers = own.map_or(&*self.offers, std::slice::from_ref);
        options::write_options(writer, offers, &root.options.0, self.config);
        self.write_metafields(writer, own.map(|offer| offer.variant), diagnostics);
        let offers = own.map_or(&*self.offers, std::slice::from_ref);
        markets::write_prices(writer, self.config, self.product, offers, own.is_none());
        markets::write_texts(writer, self.config, self.product);
        added::write(writer, self.config, self.product, offers, own);
    }

    fn write_images(&self, writer: &mut DocumentWriter<'_>, own: Option<&Image>) {
        let Some(first) = own.or(self.images.first()) else { return };
        writer.text("image", &first.url);
        let others: Vec<&Image> = self.images.iter().filter(|image| image.url != first.url).collect();
        let all = || std::iter::once(first).chain(others.iter().copied());
        writer.list("images", all().map(|image| Cow::from(&image.url)));
        let alts = all().map(|image| Cow::from(&image.alt));
        writer.list("image_alts", options::dedupe(alts));
    }

    fn write_metafields(
        &self,
        writer: &mut DocumentWriter<'_>,
        variant: Option<&Variant<'r, 'a>>,
        diagnostics: &mut Diagnostics<'_>,
    ) {
        let references = &self.product.references;
        let mut read = |name: &str, rule: &MetafieldRule, record: &Record<'_>| {
            metafield::value_of(record, rule, references).unwrap_or_else(|reason| {
                diagnostics.warn(
                    "invalid-metafield",
                    format!("the metafield {name} was omitted because {reason}; correct it in the shop, or configure another type for its field"),
                );
                None
            })
        };
        let own = variant.map_or(&[][..], |variant| &variant.metafields);
        for (name, rule) in &self.config.metafields {
            let named = |metafields: &[&'r Record<'a>]| {
                metafields.iter().copied().find(|record| metafield::is_named(record, name))
            };
            let record = named(own).or_else(|| named(&self.product.metafields));
            let of_variants = || match variant {
                Some(_) => Vec::new(),
                None => {
                    let variants = &self.product.variants;
                    variants.iter().filter_map(|variant| named(&variant.metafields)).collect()
                }
            };
            let records: Vec<&Record<'_>> = record.map_or_else(of_variants, |record| vec![record]);
            let value = match record {
                Some(record) => read(name, rule, record),
                None => metafield::united(rule, |rule| {
                    records.iter().filter_map(|record| read(name, rule, record)).collect()
                }),
            };
            let Some(value) = value else { continue };
            write_value(writer, &rule.field, value);
            if let Some(field) = &rule.currency_field
                && let Some(currency) = records.iter().find_map(|record| metafield::currency_of(record))
            {
                writer.text(field, &currency);
            }
        }
        if self.config.other_metafields == OtherMetafields::List {
            let of_variants = self.product.variants.iter().flat_map(|variant| &variant.metafields);
            let others = own.iter().chain(&self.product.metafields);
            let others = others.chain(of_variants.filter(|_| variant.is_none())).filter(|record| {
                !self.config.metafields.keys().any(|name| metafield::is_named(record, name))
            });
            let texts = others.filter_map(|record| listed(record, references));
            if variant.is_none() && self.product.variants.iter().any(|variant| !variant.metafields.is_empty())
            {
                // Variants often have the same.
                writer.list("metafields", options::dedupe(texts));
            } else {
                writer.list("metafields", texts);
            }
        }
    }

    fn url(&self, variant_id: Option<&str>) -> Option<String> {
        let root = self.product.root;
        let given = root.online_store_url.get().and_then(media::absolute_url);
        let mut url = given
            .or_else(|| Some(media::product_url(self.config.shop_domain.as_deref()?, root.handle.get()?)))?;
        if let Some(id) = variant_id {
            url.push(if url.contains('?') { '&' } else { '?' });
            url.push_str("variant=");
            url.push_str(id);
        }
        Some(url)
    }

    fn finish(
        &self,
        mut writer: DocumentWriter<'_>,
        own: Option<&Offer<'_, '_, '_>>,
        diagnostics: &mut Diagnostics<'_>,
    ) -> String {
        let offers = own.map_or(&*self.offers, std::slice::from_ref);
        writer.rest("description", &self.description, self.description_chars);
        if let Some(shortened) = writer.shortened() {
            diagnostics.warn(
                "shortened",
                format!(
                    "it has more content than a document may hold and was shortened: {shortened}; raise max-description-chars or max-document-chars if the index takes more"
                ),
            );
        }
        offer::write_variants(&mut writer, offers);
        writer.finish()
    }
}

fn short_field(writer: &mut DocumentWriter<'_>, name: &str, text: &Text<'_>) {
    if let Some(text) = text.get() {
        writer.text(name, &short_text(text));
    }
}

/// The text of the first description that is not blank, and its length if it was longer than allowed.
fn description_of(root: &Record<'_>, max_chars: usize) -> (String, Option<usize>) {
    let html = root.description_html.get().or(root.body_html.get());
    let text = match html {
        Some(html) => to_text(html),
        None => root.description.and_then(text_of).map(|text| plain_to_text(&text)).unwrap_or_default(),
    };
    let kept = cut_chars(&text, max_chars).len();
    let total_chars = (kept < text.len()).then(|| text.chars().count());
    let mut text = text;
    text.truncate(kept);
    (text, total_chars)
}

fn write_value(writer: &mut DocumentWriter<'_>, field: &str, value: FieldValue) {
    match value {
        FieldValue::Text(text) => writer.long_text(field, &text),
        FieldValue::Number(number) => writer.float(field, number),
        FieldValue::Integer(number) => writer.integer(field, number),
        FieldValue::Boolean(flag) => writer.boolean(field, flag),
        FieldValue::List(items) => writer.list(field, items.into_iter().map(Cow::from)),
    }
}

/// A metafield for the list of those without a field of their own. One with a broken value is left out there without a
/// warning.
fn listed(record: &Record<'_>, references: &[&Record<'_>]) -> Option<Cow<'static, str>> {
    let rule = MetafieldRule { kind: Some(FieldKind::Text), ..MetafieldRule::default() };
    let value = metafield::value_of(record, &rule, references).ok()??;
    let FieldValue::Text(text) = value else { return None };
    let (namespace, key) = (record.namespace.get()?, record.key.get()?);
    Some(Cow::Owned(format!("{}: {text}", sanitize(&format!("{namespace}.{key}")))))
}

/// Whether the export says that the product is not in the online store.
pub(crate) fn is_unpublished(root: &Record<'_>) -> bool {
    [&root.published_at, &root.online_store_url].into_iter().any(Nullable::is_null)
        || root.published_on_publication.0 == Some(false)
}

/// The ids whose removal takes a product out of the index: those of the documents that it would have, or its own if the
/// export has none of its variants. From any of these ids, host finds all documents that it knows of the product.
pub(crate) fn removed_ids(product: &Product<'_, '_>, product_id: &str, level: Level) -> Vec<String> {
    let own = || vec![product_id.to_owned()];
    let variants = product.variants.iter().filter_map(|variant| variant.document_id().map(str::to_owned));
    match level {
        Level::Product => own(),
        Level::Variant => {
            let ids: Vec<String> = variants.collect();
            if ids.is_empty() { own() } else { ids }
        }
    }
}
