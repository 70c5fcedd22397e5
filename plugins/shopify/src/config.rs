//! The configuration of the plug-in: what a merchant can choose.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;

use crate::naming::Naming;
use crate::preset::Preset;
use crate::schema::check_field_name;
use crate::text::slug;
use crate::units;

/// Where the name of an option goes in the pattern of its field.
const NAME: &str = "{name}";

/// The JSON Schema of [`Config`], as in the manifest.
pub const CONFIG_SCHEMA: &str = include_str!("config.schema.json");

/// The configuration. Keys are written with hyphens or underscores; unknown keys are refused, so that a misspelt one is
/// noticed.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Config {
    /// What becomes a document.
    pub level: Level,
    /// The shop's currency (ISO 4217), for products whose export does not name one.
    pub currency: Option<String>,
    /// The shop's domain (`shop.example.com`), for the addresses of products that come without one.
    #[serde(alias = "shop_domain")]
    pub shop_domain: Option<String>,
    /// Metafields that become separate fields, by `namespace.key`.
    pub metafields: BTreeMap<String, MetafieldRule>,
    /// Options that become separate fields: option name, in any case, to field name.
    pub options: BTreeMap<String, String>,
    /// How the fields of all other options are called, such as `option_{name}`; without it they have none.
    #[serde(alias = "option_fields")]
    pub option_fields: Option<String>,
    /// Optional fields that are written; `*` at the start or end matches anything.
    pub add: Vec<String>,
    /// The optional fields that `add` names.
    #[serde(skip)]
    pub(crate) added: BTreeSet<&'static str>,
    /// The longest text by which the index filters, in characters.
    #[serde(alias = "filter_length")]
    pub filter_length: usize,
    /// What happens to metafields that have no separate field.
    #[serde(alias = "other_metafields")]
    pub other_metafields: OtherMetafields,
    /// Markets whose prices become fields: the end of their names to the alias of `contextualPricing` in the export, or
    /// to a currency of `presentmentPrices`.
    pub markets: BTreeMap<String, String>,
    /// Languages whose texts become fields: the end of their names to the alias of `translations` in the export, or to
    /// the locale that the translations name.
    pub locales: BTreeMap<String, String>,
    /// Ready-made names of fields.
    pub fields: Option<Preset>,
    /// Fields that are written under another name: field to name.
    pub rename: BTreeMap<String, String>,
    /// Fields that are not written.
    pub omit: Vec<String>,
    /// Fields that are written under further names: field to names.
    pub copy: BTreeMap<String, Names>,
    /// Values that every document holds: field name to text, number, boolean or list of texts.
    pub constants: BTreeMap<String, serde_json::Value>,
    /// The four settings above, checked.
    #[serde(skip)]
    pub(crate) naming: Naming,
    /// What happens to active products that the export says are not published in the online store.
    pub unpublished: ListingPolicy,
    /// What happens to gift cards.
    #[serde(alias = "gift_cards")]
    pub gift_cards: ListingPolicy,
    /// What happens to the version numbers in image addresses.
    #[serde(alias = "image_versions")]
    pub image_versions: ImageVersions,
    /// The width in pixels of which addresses of Shopify's image servers ask for pictures.
    #[serde(alias = "image_width")]
    pub image_width: Option<u32>,
    /// The longest description, in characters.
    #[serde(alias = "max_description_chars")]
    pub max_description_chars: usize,
    /// The longest document without its variants, in characters of JSON as Marqo counts them: 6 for most characters
    /// outside ASCII. Marqo takes 100,000; the difference is for fields that the host adds.
    #[serde(alias = "max_document_chars")]
    pub max_document_chars: usize,
}

impl Default for Config {
    fn default() -> Self {
        Config {
            level: Level::default(),
            currency: None,
            shop_domain: None,
            metafields: BTreeMap::new(),
            options: BTreeMap::new(),
            other_metafields: OtherMetafields::default(),
            option_fields: None,
            add: Vec::new(),
            added: BTreeSet::new(),
            filter_length: 50,
            markets: BTreeMap::new(),
            locales: BTreeMap::new(),
            fields: None,
            rename: BTreeMap::new(),
            omit: Vec::new(),
            copy: BTreeMap::new(),
            constants: BTreeMap::new(),
            naming: Naming::default(),
            unpublished: ListingPolicy::default(),
            gift_cards: ListingPolicy::default(),
            image_versions: ImageVersions::default(),
            image_width: None,
            max_description_chars: 20_000,
            max_document_chars: 95_000,
        }
    }
}

/// What becomes a document.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// Each product, with its variants inside.
    #[default]
    Product,
    /// Each variant, with what it shares with the others of its product.
    Variant,
}

/// Whether some kind of product belongs into the index.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ListingPolicy {
    /// It does.
    #[default]
    Keep,
    /// It does not, and leaves the index if it is there.
    Remove,
}

/// What happens to metafields without a separate field.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OtherMetafields {
    /// They are omitted: apps keep things in metafields that are not meant for customers.
    #[default]
    Omit,
    /// They are listed in the field `metafields`.
    List,
}

/// What happens to the `?v=` in image addresses.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ImageVersions {
    /// It is removed. Shopify changes it with every edit, so with it a document would change although nothing in it
    /// did.
    #[default]
    Drop,
    /// It stays, so that a picture that was replaced under its old name is noticed.
    Keep,
}

/// The field that a metafield becomes.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct MetafieldRule {
    /// The name of the field.
    pub field: String,
    /// What the field holds in every document; without it the metafield's own type decides.
    #[serde(rename = "type")]
    pub kind: Option<FieldKind>,
    /// The unit of a measurement: the field holds its number in it.
    pub unit: Option<String>,
    /// The name of a field for the currency of an amount of money.
    #[serde(alias = "currency_field")]
    pub currency_field: Option<String>,
    /// Of a metaobject that the metafield refers to, the key of the field that counts.
    #[serde(alias = "reference_field")]
    pub reference_field: Option<String>,
}

/// One name or several.
#[derive(Debug, Clone, Deserialize)]
#[serde(untagged, expecting = "expected a name or a list of names")]
pub enum Names {
    /// One name.
    One(String),
    /// Several names.
    Several(Vec<String>),
}

/// What a field holds. An index wants the same in all documents.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum FieldKind {
    /// A text.
    Text,
    /// A number, always written with a decimal point.
    Number,
    /// A whole number.
    Integer,
    /// True or false.
    Boolean,
    /// An array of texts.
    List,
}

/// The settings of which it matters whether they are there.
#[derive(Deserialize)]
struct Named {
    level: Option<Level>,
}

impl Config {
    /// Reads a configuration; the error says what is wrong with it.
    pub fn from_json(json: &str) -> Result<Config, String> {
        if !json.trim_start().starts_with('{') {
            // Serde would take an array for the values in their order.
            return Err("it must be a JSON object".to_owned());
        }
        let mut config: Config = serde_json::from_str(json).map_err(|error| error.to_string())?;
        if let Some(preset) = config.fields {
            let named: Named = serde_json::from_str(json).map_err(|error| error.to_string())?;
            preset.apply(&mut config, named.level)?;
        }
        config.added = config.optional_fields()?;
        config.check()?;
        config.naming = Naming::new(&config)?;
        config.shop_domain = config.shop_domain.map(|domain| domain.trim().to_owned());
        Ok(config)
    }

    fn check(&self) -> Result<(), String> {
        if let Some(currency) = &self.currency
            && !(currency.len() == 3 && currency.bytes().all(|letter| letter.is_ascii_uppercase()))
        {
            return Err(format!("`currency` must be three capital letters such as EUR, not `{currency}`"));
        }
        if let Some(domain) = &self.shop_domain {
            let usable = |byte: u8| byte.is_ascii_alphanumeric() || b"-.:".contains(&byte);
            if domain.trim().is_empty() || !domain.trim().bytes().all(usable) {
                return Err(format!(
                    "`shop-domain` must be a bare domain such as shop.example.com, not `{domain}`"
                ));
            }
        }
        if self.image_width == Some(0) {
            return Err("`image-width` must be at least 1".to_owned());
        }
        if self.max_document_chars < 10_000 {
            return Err(
                "`max-document-chars` must be at least 10000, or not even the short fields would fit"
                    .to_owned(),
            );
        }
        for name in self.metafields.keys() {
            if !name.split_once('.').is_some_and(|(namespace, key)| !namespace.is_empty() && !key.is_empty())
            {
                return Err(format!(
                    "metafields are named by namespace and key, as in `custom.material`, not `{name}`"
                ));
            }
        }
        for (name, rule) in &self.metafields {
            if let Some(unit) = rule.unit.as_deref().filter(|unit| !units::is_known(unit)) {
                return Err(format!(
                    "the unit `{unit}` of the metafield `{name}` is unknown; use one of {}",
                    units::known()
                ));
            }
        }
        if let Some(pattern) = &self.option_fields {
            let sample = pattern.replace(NAME, "x");
            if pattern.matches(NAME).count() != 1 || check_field_name(&sample).is_err() {
                return Err(format!(
                    "`option-fields` must be a field name with `{NAME}` where the option's name goes, such as `option_{NAME}`, not `{pattern}`"
                ));
            }
        }
        Ok(())
    }

    /// The field of an option, if it has one. `position` is the place of the option in its product, from 1.
    pub(crate) fn option_field(&self, name: &str, position: usize) -> Option<Cow<'_, str>> {
        let same = |configured: &str| configured.trim().to_lowercase() == name.to_lowercase();
        if let Some((_, field)) = self.options.iter().find(|(configured, _)| same(configured)) {
            return Some(field.into());
        }
        let pattern = self.option_fields.as_ref()?;
        let slug = slug(name);
        // A name without a Latin letter or digit cannot be a field name in any spelling.
        let part = if slug.is_empty() { position.to_string() } else { slug };
        let field = pattern.replace(NAME, &part);
        let field = if check_field_name(&field).is_err() { format!("option_{field}") } else { field };
        Some(if self.naming.is_taken(&field) { format!("{field}_option") } else { field }.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_written_with_hyphens_or_underscores() {
        for json in [
            r#"{"level":"variant","shop-domain":"a.example","gift-cards":"remove","max-description-chars":5}"#,
            r#"{"level":"variant","shop_domain":"a.example","gift_cards":"remove","max_description_chars":5}"#,
        ] {
            let config = Config::from_json(json).unwrap();
            assert_eq!((config.level, config.gift_cards), (Level::Variant, ListingPolicy::Remove));
            assert_eq!((config.shop_domain.as_deref(), config.max_description_chars), (Some("a.example"), 5));
        }
        assert!(Config::from_json("{}").is_ok());
    }

    #[test]
    fn a_bad_configuration_is_refused_with_its_reason() {
        for (json, reason) in [
            (r#"{"levle":"product"}"#, "unknown field `levle`"),
            (r#"{"level":"sku"}"#, "unknown variant `sku`"),
            ("[]", "must be a JSON object"),
            ("{", "EOF"),
            (r#"{"currency":"euro"}"#, "three capital letters"),
            (r#"{"shop-domain":"https://a.example"}"#, "bare domain"),
            (r#"{"options":{"Size":"the size"}}"#, "cannot be a field name"),
            (r#"{"options":{"Size":"title"}}"#, "already has a meaning"),
            (r#"{"options":{"Size":"_id"}}"#, "cannot be a field name"),
            (r#"{"metafields":{"custom.a":{"field":"1a"}}}"#, "cannot be a field name"),
            (r#"{"metafields":{"material":{"field":"material"}}}"#, "namespace and key"),
            (r#"{"metafields":{"a.b":{"field":"x"},"c.d":{"field":"x"}}}"#, "used by both"),
            (r#"{"metafields":{"a.b":{"field":"x","as":"text"}}}"#, "unknown field `as`"),
            (r#"{"max-document-chars":5}"#, "at least 10000"),
            (r#"{"metafields":{"a.b":{"field":"x"}},"options":{"Size":"x"}}"#, "used by both"),
            (
                r#"{"metafields":{"a.b":{"field":"category_id"}},"add":["category_*"]}"#,
                "used by both `add` and `a.b`",
            ),
            (r#"{"option-fields":"size"}"#, "must be a field name with `{name}`"),
            (r#"{"option-fields":"{name}{name}"}"#, "must be a field name with `{name}`"),
            (r#"{"option-fields":"the {name}"}"#, "must be a field name with `{name}`"),
            (r#"{"option-fields":"_{name}"}"#, "must be a field name with `{name}`"),
            (
                r#"{"metafields":{"a.b":{"field":"x","unit":"stone"}}}"#,
                "the unit `stone` of the metafield `a.b`",
            ),
            (r#"{"metafields":{"a.b":{"field":"x","currency-field":"x"}}}"#, "used by both"),
            (r#"{"metafields":{"a.b":{"field":"x","currency-field":"title"}}}"#, "already has a meaning"),
            (r#"{"markets":{"d-e":"x"}}"#, "cannot be a field name"),
            (r#"{"markets":{"de":"x"},"metafields":{"a.b":{"field":"price_de"}}}"#, "used by both"),
            (r#"{"locales":{"x":"fr"},"options":{"Size":"title_x"}}"#, "used by both"),
            (r#"{"fields":"marqo"}"#, "unknown variant `marqo`"),
            (r#"{"fields":"marqo-ecommerce","level":"product"}"#, "remove the setting `level`"),
            (r#"{"fields":"marqo-ecommerce","rename":{"handle":"productTitle"}}"#, "would be written twice"),
            (r#"{"image-width":0}"#, "at least 1"),
            (r#"{"add":["titel"]}"#, "`add` names `titel`, which is no optional field"),
            (r#"{"add":["x*"]}"#, "`add` names `x*`, which is no optional field"),
            (r#"{"add":["title"]}"#, "`title`, which is written anyway"),
            (r#"{"level":"variant","add":["option_combinations"]}"#, "only documents of products have"),
            (r#"{"rename":{"category_id":"c"}}"#, "which is written only where `add` names it"),
        ] {
            let error = Config::from_json(json).unwrap_err();
            assert!(error.contains(reason), "{json}: {error}");
        }
    }

    #[test]
    fn the_schema_has_the_same_keys() {
        let schema: serde_json::Value = serde_json::from_str(CONFIG_SCHEMA).unwrap();
        let properties = schema["properties"].as_object().unwrap();
        for key in properties.keys() {
            let error = Config::from_json(&format!(r#"{{"{key}":{{"":[]}}}}"#)).unwrap_err();
            assert!(!error.contains("unknown field"), "{key} is in the schema only");
        }
        let error = Config::from_json(r#"{"?":0}"#).unwrap_err();
        let keys = error.split('`').skip(3).step_by(2).filter(|key| !key.contains('_')).count();
        assert_eq!(keys, properties.len(), "{error}");
    }

    #[test]
    fn option_names_match_in_any_case() {
        let config = Config::from_json(r#"{"options":{"Größe":"size","Size":"size"}}"#).unwrap();
        assert_eq!(config.option_field("GRÖSSE", 1), None);
        assert_eq!(config.option_field("GRÖßE", 1).as_deref(), Some("size"));
        assert_eq!(config.option_field("size", 1).as_deref(), Some("size"));
        assert_eq!(config.option_field("Color", 1), None);
    }
}
