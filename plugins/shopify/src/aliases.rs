//! What a query selects under a name of its own: single metafields, prices in a market, and translations.
//!
//! Shopify's `metafield(…)`, `contextualPricing(…)` and `translations(…)` take arguments, so a query that wants several of
//! one gives each an alias, and the alias becomes the key in the export.

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess};

use crate::record::{Aliased, Money, Pricing, Record, Translation};
use crate::scalar::{self, Lenient};

/// The values of those keys of a record that have no meaning of their own.
#[derive(Debug, Default)]
pub(crate) struct Aliases<'a> {
    pub(crate) metafields: Vec<Record<'a>>,
    pricings: Vec<(&'a str, Pricing<'a>)>,
    translations: Vec<(&'a str, Vec<Translation<'a>>)>,
}

impl<'a> Aliases<'a> {
    /// Adds a value if it is one of these; `key` is `None` if it is written with escapes, as no query can.
    pub(crate) fn add(&mut self, key: Option<&'a str>, value: Selected<'a>) {
        match value {
            Selected::Nothing => {}
            Selected::Translations(texts) => {
                if let Some(key) = key.filter(|_| !texts.is_empty()) {
                    self.translations.push((key, texts));
                }
            }
            Selected::Object(object) if object.is_metafield() => {
                self.metafields.push(object.into_metafield());
            }
            Selected::Object(object) => {
                let pricing = object.into_pricing();
                if let Some(key) = key.filter(|_| pricing.price.is_some()) {
                    self.pricings.push((key, pricing));
                }
            }
        }
    }

    /// Adds those of a copy, behind these: of one alias, the first counts.
    pub(crate) fn append(&mut self, mut copy: Aliases<'a>) {
        self.metafields.append(&mut copy.metafields);
        self.pricings.append(&mut copy.pricings);
        self.translations.append(&mut copy.translations);
    }

    /// The price and the earlier price under an alias.
    pub(crate) fn pricing(&self, alias: &str) -> Option<(&Money<'a>, Option<&Money<'a>>)> {
        let (_, pricing) = self.pricings.iter().find(|(key, _)| *key == alias)?;
        Some((pricing.price.as_deref()?, pricing.compare_at_price.as_deref()))
    }

    /// The translation of a text: under an alias, or of the locale that it names itself.
    pub(crate) fn translation(&self, source: &str, key: &str) -> Option<&str> {
        let is_meant = |alias: &str, text: &&Translation<'a>| {
            text.key.get() == Some(key)
                && match text.locale.get() {
                    Some(locale) if alias != source => locale.eq_ignore_ascii_case(source),
                    _ => alias == source,
                }
        };
        let mut all =
            self.translations.iter().flat_map(|(alias, texts)| texts.iter().map(move |text| (*alias, text)));
        all.find_map(|(alias, text)| text.value.get().filter(|_| is_meant(alias, &text)))
    }
}

/// The value of a key without a meaning of its own.
#[derive(Debug, Default)]
pub(crate) enum Selected<'a> {
    #[default]
    Nothing,
    Object(Box<Aliased<'a>>),
    Translations(Vec<Translation<'a>>),
}

impl<'de: 'a, 'a> Lenient<'de> for Selected<'a> {
    fn from_integer(_number: impl ToString + TryInto<i64>) -> Self {
        Selected::Nothing
    }

    fn from_seq<A: SeqAccess<'de>>(mut seq: A) -> Result<Self, A::Error> {
        let mut texts = Vec::new();
        while let Some(text) = seq.next_element::<Translation<'a>>()? {
            if text.key.get().is_some() && text.value.get().is_some() {
                texts.push(text);
            }
        }
        Ok(Selected::Translations(texts))
    }

    fn from_map<A: MapAccess<'de>>(map: A) -> Result<Self, A::Error> {
        Ok(Selected::Object(Box::new(Aliased::from_map(map)?)))
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Selected<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        scalar::read(deserializer)
    }
}
