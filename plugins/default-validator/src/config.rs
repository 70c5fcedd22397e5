//! The configuration: which rules hold beyond those of every index.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use host_index_rules::{MAX_DOCUMENT_LEN, is_field_name};
use serde::Deserialize;

use crate::issue::quoted;
use crate::json;

/// What a document is judged by, beside the rules of every index. `config-schema.json` says the same to users.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// `max-size`: most characters that `json.dumps` may write for a document, `_id` included.
    pub max_size: u64,
    /// `required`: fields that every document must have, and not empty.
    pub required: Vec<String>,
    /// `vectors`: fields with a vector of the sender's own, and its length.
    pub vectors: BTreeMap<String, u32>,
    /// `price-fields`: fields that should be numbers, not negative.
    pub price_fields: Vec<String>,
    /// `compare-at-prices`: pairs of price and former price, which should be above it.
    pub compare_at_prices: Vec<[String; 2]>,
    /// `price-ranges`: pairs of lowest and highest price.
    pub price_ranges: Vec<[String; 2]>,
    /// `url-fields`: fields that should hold absolute URLs; `*` at the start or end matches anything.
    pub url_fields: Vec<String>,
}

/// The configuration cannot be used; says in one sentence why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InvalidConfiguration(String);

impl InvalidConfiguration {
    /// Kebab-case name of the failure.
    pub const CODE: &'static str = "invalid-configuration";
}

impl fmt::Display for InvalidConfiguration {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl std::error::Error for InvalidConfiguration {}

impl Default for Config {
    fn default() -> Self {
        let owned = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        let pair = |low: &str, high: &str| [low.to_owned(), high.to_owned()];
        Self {
            max_size: MAX_DOCUMENT_LEN as u64,
            required: Vec::new(),
            vectors: BTreeMap::new(),
            price_fields: owned(&["price"]),
            compare_at_prices: vec![pair("price", "compare_at_price")],
            price_ranges: vec![pair("price_min", "price_max"), pair("min_price", "max_price")],
            url_fields: owned(&["url", "image", "images", "*_url"]),
        }
    }
}

impl Config {
    /// Reads a configuration; a missing key keeps its default.
    ///
    /// # Errors
    /// Names the key that is unknown, there twice, or of a wrong value.
    pub fn parse(text: &str) -> Result<Self, InvalidConfiguration> {
        let mut config = Self::default();
        let mut keys = BTreeSet::new();
        let mut first_problem = None;
        json::entries(text, |key, raw| {
            let taken = if keys.insert(key.clone()) {
                config.take(&key, raw)
            } else {
                Err(InvalidConfiguration(format!("The key {} is there more than once.", quoted(&key))))
            };
            if let Err(problem) = taken {
                first_problem.get_or_insert(problem);
            }
        })
        .map_err(|error| InvalidConfiguration(format!("The configuration is not a JSON object: {error}.")))?;
        match first_problem {
            Some(problem) => Err(problem),
            None => Ok(config),
        }
    }

    fn take(&mut self, key: &str, raw: &str) -> Result<(), InvalidConfiguration> {
        let fields = "must hold names of fields";
        match key {
            "max-size" => read(key, raw, &mut self.max_size, |size| *size > 0, "must be above 0"),
            "required" => read(key, raw, &mut self.required, are_fields, fields),
            "vectors" => {
                read(key, raw, &mut self.vectors, are_vectors, "must map names of fields to lengths above 0")
            }
            "price-fields" => read(key, raw, &mut self.price_fields, are_fields, fields),
            "compare-at-prices" => read(key, raw, &mut self.compare_at_prices, are_pairs, fields),
            "price-ranges" => read(key, raw, &mut self.price_ranges, are_pairs, fields),
            "url-fields" => {
                read(key, raw, &mut self.url_fields, are_patterns, "may have * at the start or end only")
            }
            _ => Err(InvalidConfiguration(format!("The key {} is unknown.", quoted(key)))),
        }
    }
}

/// Reads the value of a key and checks it. `rule` says what a right value is, after the word "it".
fn read<'a, T: Deserialize<'a>>(
    key: &str,
    raw: &'a str,
    value: &mut T,
    is_right: impl Fn(&T) -> bool,
    rule: &str,
) -> Result<(), InvalidConfiguration> {
    *value = serde_json::from_str(raw)
        .map_err(|error| InvalidConfiguration(format!("The value of {} is wrong: {error}.", quoted(key))))?;
    if is_right(value) {
        Ok(())
    } else {
        Err(InvalidConfiguration(format!("The value of {} is wrong: it {rule}.", quoted(key))))
    }
}

#[expect(clippy::ptr_arg, reason = "called with the field's own type")]
fn are_fields(fields: &Vec<String>) -> bool {
    fields.iter().all(|field| is_field_name(field))
}

#[expect(clippy::ptr_arg, reason = "called with the field's own type")]
fn are_pairs(pairs: &Vec<[String; 2]>) -> bool {
    pairs.iter().flatten().all(|field| is_field_name(field))
}

fn are_vectors(vectors: &BTreeMap<String, u32>) -> bool {
    vectors.iter().all(|(field, length)| is_field_name(field) && *length > 0)
}

#[expect(clippy::ptr_arg, reason = "called with the field's own type")]
fn are_patterns(patterns: &Vec<String>) -> bool {
    let is_right = |pattern: &String| {
        let rest =
            pattern.strip_prefix('*').or_else(|| pattern.strip_suffix('*')).unwrap_or(pattern).to_owned();
        !rest.contains('*')
    };
    patterns.iter().all(is_right)
}

#[cfg(test)]
mod tests {
    use super::*;
    use insta::assert_snapshot;

    fn refusal(text: &str) -> String {
        Config::parse(text).unwrap_err().to_string()
    }

    #[test]
    fn nothing_configured_is_the_default() {
        assert_eq!(Config::parse("{}").unwrap(), Config::default());
    }

    #[test]
    fn a_refusal_names_the_key() {
        assert_snapshot!(refusal(r#"{"max-sise": 1}"#), @r#"The key "max-sise" is unknown."#);
        assert_snapshot!(refusal(r#"{"max-size": "1"}"#), @r#"The value of "max-size" is wrong: invalid type: string "1", expected u64 at line 1 column 3."#);
        assert_snapshot!(refusal(r#"{"max-size": 0}"#), @r#"The value of "max-size" is wrong: it must be above 0."#);
        assert_snapshot!(refusal(r#"{"required": [], "required": []}"#), @r#"The key "required" is there more than once."#);
        assert_snapshot!(refusal(r#"{"vectors": {"taste": -1}}"#), @r#"The value of "vectors" is wrong: invalid value: integer `-1`, expected u32 at line 1 column 12."#);
        assert_snapshot!(refusal(r#"{"url-fields": ["a*b"]}"#), @r#"The value of "url-fields" is wrong: it may have * at the start or end only."#);
        assert_snapshot!(refusal("[]"), @"The configuration is not a JSON object: invalid type: sequence, expected a JSON object at line 1 column 0.");
        assert_snapshot!(refusal(""), @"The configuration is not a JSON object: EOF while parsing a value at line 1 column 0.");
    }

    #[test]
    fn the_schema_describes_every_key_and_its_default() {
        let schema: serde_json::Value = serde_json::from_str(crate::manifest::CONFIG_SCHEMA).unwrap();
        assert_eq!(schema["additionalProperties"], false);
        let properties = schema["properties"].as_object().unwrap();
        let mut defaults = serde_json::Map::new();
        for (key, property) in properties {
            assert!(property["description"].as_str().is_some_and(|text| !text.is_empty()), "{key}");
            defaults.insert(key.clone(), property["default"].clone());
        }
        assert_eq!(properties.len(), 7);
        assert_eq!(Config::parse(&serde_json::to_string(&defaults).unwrap()).unwrap(), Config::default());
    }
}
