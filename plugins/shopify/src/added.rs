//! The fields that the setting `add` switches on.

use std::borrow::Cow;

use crate::assemble::{Product, gid_of};
use crate::category;
use crate::config::Config;
use crate::details;
use crate::document::short_text;
use crate::instant::instant;
use crate::offer::Offer;
use crate::options;
use crate::sale;
use crate::writer::DocumentWriter;

/// Writes the added fields of a document: of the product, or of the variant `own`.
pub(crate) fn write(
    writer: &mut DocumentWriter<'_>,
    config: &Config,
    product: &Product<'_, '_>,
    offers: &[Offer<'_, '_, '_>],
    own: Option<&Offer<'_, '_, '_>>,
) {
    if config.added.is_empty() {
        return;
    }
    let root = product.root;
    for (name, time) in [
        ("created_timestamp", root.created_at.get()),
        ("updated_timestamp", root.updated_at.get()),
        ("published_timestamp", root.published_at.get()),
    ] {
        if let Some(instant) = instant(time).filter(|_| config.adds(name)) {
            writer.integer(name, instant.as_second());
        }
    }
    sale::write(writer, config, offers, root.compare_at_range.as_deref(), own.is_none());
    if let Some(offer) = own.filter(|_| config.adds("variant_name")) {
        let titles = [root.title.get().map(short_text), offer.title.clone()];
        let titles: Vec<Cow<'_, str>> = titles.into_iter().flatten().collect();
        writer.text("variant_name", &titles.join(" - "));
    }
    details::write(writer, config, product, offers, own);
    if let Some(category) = root.category.as_deref() {
        category::write(writer, config, category);
    }
    if config.adds("collection_ids") {
        let ids = product.collections.iter().map(|collection| &*gid_of(collection).resource_id);
        writer.list("collection_ids", ids.map(Cow::from));
    }
    if own.is_none() && config.adds("option_combinations") {
        let combinations = offers.iter().map(|offer| Cow::from(options::combination(&offer.options)));
        writer.list("option_combinations", options::dedupe(combinations));
    }
}
