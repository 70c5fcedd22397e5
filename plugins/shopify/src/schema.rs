//! Which fields documents can have under a configuration.

use std::collections::{BTreeMap, BTreeSet};

use crate::config::{Config, OtherMetafields};
use crate::fields::{FIELDS, Field, FieldLevel, METAFIELDS};
use crate::markets::{LOCALE_FIELDS, MARKET_FIELDS};
use crate::optional_fields::OPTIONAL_FIELDS;

/// Names that Marqo or host give a meaning, whatever the configuration.
const TAKEN: &[&str] = &["query", "id", "variants"];

impl Config {
    /// The optional fields that `add` names.
    pub(crate) fn optional_fields(&self) -> Result<BTreeSet<&'static str>, String> {
        let mut added = BTreeSet::new();
        for pattern in &self.add {
            let matching: Vec<&Field> =
                OPTIONAL_FIELDS.iter().filter(|field| matches(pattern, field.name)).collect();
            let before = added.len();
            let here = matching.iter().filter(|field| field.is_at(self.level));
            added.extend(here.map(|field| field.name));
            let is_known = || matching.iter().any(|field| added.contains(field.name));
            if added.len() == before && !is_known() {
                return Err(format!("`add` names `{pattern}`, {}", self.why_not_added(pattern, &matching)));
            }
        }
        Ok(added)
    }

    fn why_not_added(&self, pattern: &str, elsewhere: &[&Field]) -> String {
        if let Some(field) = elsewhere.first() {
            return only_at(field);
        }
        if FIELDS.iter().any(|field| field.name == pattern) {
            return "which is written anyway".to_owned();
        }
        "which is no optional field; docs/reference/shopify.md lists them".to_owned()
    }

    /// Whether an optional field is written.
    pub(crate) fn adds(&self, field: &str) -> bool {
        self.added.contains(field)
    }

    /// The fields that a document can have under this configuration, by the names that they have without `rename`.
    /// Those whose names depend on a shop's options are not among them.
    pub(crate) fn document_fields(&self) -> Result<BTreeSet<String>, String> {
        let suffixed = self.suffixed_fields();
        let mut owners: BTreeMap<&str, &str> = BTreeMap::new();
        for (name, field) in &self.options {
            check_own_field(field)?;
            owners.insert(field, name);
        }
        for (name, rule) in &self.metafields {
            for field in [&rule.field].into_iter().chain(&rule.currency_field) {
                check_own_field(field)?;
                if let Some(other) = owners.insert(field, name) {
                    return Err(used_twice(field, other, name));
                }
            }
        }
        for (field, owner) in &suffixed {
            check_own_field(field)?;
            if let Some(other) = owners.insert(field, owner) {
                return Err(used_twice(field, other, owner));
            }
        }
        for name in &self.added {
            if let Some(other) = owners.insert(name, "add") {
                return Err(used_twice(name, "add", other));
            }
        }
        let built_in = FIELDS.iter().filter(|field| {
            field.is_at(self.level)
                && (field.name != METAFIELDS || self.other_metafields == OtherMetafields::List)
        });
        let own = owners.into_keys().map(str::to_owned);
        Ok(built_in.map(|field| field.name.to_owned()).chain(own).collect())
    }

    /// The fields of markets and languages, each with what it is of.
    fn suffixed_fields(&self) -> Vec<(String, String)> {
        let market =
            |name: &str| MARKET_FIELDS.map(|field| (format!("{field}_{name}"), format!("markets.{name}")));
        let locale = |name: &str| {
            LOCALE_FIELDS.map(|(field, _)| (format!("{field}_{name}"), format!("locales.{name}")))
        };
        let of_markets = self.markets.keys().flat_map(|name| market(name));
        of_markets.chain(self.locales.keys().flat_map(|name| locale(name))).collect()
    }

    /// Refuses the name of a field that no document can have; `setting` is where it stands.
    pub(crate) fn check_documented(
        &self,
        setting: &str,
        field: &str,
        fields: &BTreeSet<String>,
    ) -> Result<(), String> {
        if fields.contains(field) {
            return Ok(());
        }
        let is_named = |known: &&Field| known.name == field;
        let optional = OPTIONAL_FIELDS.iter().find(is_named);
        let reason = match FIELDS.iter().find(is_named).or(optional) {
            Some(known) if known.name == METAFIELDS => {
                "which is written only with `other-metafields` = \"list\"".to_owned()
            }
            Some(known) if !known.is_at(self.level) => only_at(known),
            Some(_) => "which is written only where `add` names it".to_owned(),
            None => {
                "which is no field of the documents; docs/reference/shopify.md lists their fields".to_owned()
            }
        };
        Err(format!("`{setting}` names `{field}`, {reason}"))
    }
}

fn only_at(field: &Field) -> String {
    let level = if field.level == FieldLevel::Variant { "variants" } else { "products" };
    format!("which only documents of {level} have; see the setting `level`")
}

fn used_twice(field: &str, one: &str, other: &str) -> String {
    format!("the field `{field}` is used by both `{one}` and `{other}`; choose another name for one")
}

/// Whether a name matches a pattern with `*` at its start, at its end, or nowhere.
fn matches(pattern: &str, name: &str) -> bool {
    match (pattern.strip_prefix('*'), pattern.strip_suffix('*')) {
        (Some(end), _) => name.ends_with(end),
        (None, Some(start)) => name.starts_with(start),
        (None, None) => pattern == name,
    }
}

/// A field name for an index that is neither the host's (`_mq_…`) nor Marqo's.
pub(crate) fn check_field_name(field: &str) -> Result<(), String> {
    if field.starts_with('_') || host_index_rules::check_field_name(field).is_err() {
        return Err(format!(
            "`{field}` cannot be a field name: use letters, digits and underscores, and begin with a letter other than in `marqo__`"
        ));
    }
    if TAKEN.contains(&field) {
        return Err(format!(
            "`{field}` cannot be a field name, because it has a meaning of its own; choose another name"
        ));
    }
    Ok(())
}

/// A field name that no field has anyway.
fn check_own_field(field: &str) -> Result<(), String> {
    check_field_name(field)?;
    if FIELDS.iter().any(|known| known.name == field) {
        return Err(format!(
            "the field `{field}` already has a meaning in every document; choose another name"
        ));
    }
    Ok(())
}
