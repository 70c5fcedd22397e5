//! Turns a document into rows (a product, its variants as SKUs, their attributes), and rows back into exactly the same
//! document.

use super::{Outcome, Write, text::TextConfig, words::Words};
use host_core::model::{Digest, document::VARIANTS};
use serde_json::{Map, Value};
use std::collections::{BTreeSet, HashSet};

/// The rows of a product to write.
#[derive(Clone, Debug)]
pub(super) struct ProductRow {
    /// Id of the document.
    pub(super) source_id: String,
    pub(super) title: Option<String>,
    /// Fields of the document without its variants, JSON.
    pub(super) fields: String,
    /// Version fields of the document (such as `updated_at`), JSON.
    pub(super) version: String,
    /// Digest of the document's content.
    pub(super) content_hash: String,
    /// Digest of the text that is embedded.
    pub(super) text_hash: String,
    /// The words that it is found by.
    pub(super) words: Words,
    pub(super) skus: Vec<SkuRow>,
}

/// The rows of a variant to write.
#[derive(Clone, Debug)]
pub(super) struct SkuRow {
    /// Id of the variant.
    pub(super) source_id: String,
    pub(super) columns: SkuColumns,
    pub(super) attributes: BTreeSet<Attribute>,
}

/// The mutable columns of a SKU. `rest` is the JSON of the variant without what can be restored exactly from the
/// columns and the attributes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct SkuColumns {
    /// Position among the product's variants, from 0.
    pub(super) position: usize,
    pub(super) sku: Option<String>,
    pub(super) price: Option<String>,
    pub(super) rest: String,
}

/// Name and value of an attribute.
pub(super) type Attribute = (String, String);

/// A variant that the catalog cannot store; the text says which one and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct InvalidVariant(String);

impl From<InvalidVariant> for Outcome {
    fn from(invalid: InvalidVariant) -> Self {
        Self::Refused { code: "invalid-variant".to_owned(), message: invalid.0 }
    }
}

impl ProductRow {
    pub(super) fn of(write: &Write, texts: &TextConfig) -> Result<Self, InvalidVariant> {
        let mut fields = write.document.fields.clone();
        let variants = match fields.remove(VARIANTS) {
            None => Vec::new(),
            Some(Value::Array(variants)) => variants,
            Some(_) => return Err(InvalidVariant(format!("the field `{VARIANTS}` is not an array"))),
        };
        if variants.is_empty() && write.document.fields.contains_key(VARIANTS) {
            // An empty array has no rows, so it is kept in `fields`.
            fields.insert(VARIANTS.to_owned(), Value::Array(Vec::new()));
        }
        let mut skus = Vec::with_capacity(variants.len());
        let mut seen = HashSet::new();
        for (position, variant) in variants.into_iter().enumerate() {
            let Value::Object(variant) = variant else {
                return Err(InvalidVariant(format!("variant {position} is not an object")));
            };
            let sku = SkuRow::of(position, variant)?;
            if !seen.insert(sku.source_id.clone()) {
                return Err(InvalidVariant(format!("two variants have the id `{}`", sku.source_id)));
            }
            skus.push(sku);
        }
        let text_hash = Digest::of(texts.to_embed(&fields).as_bytes()).to_string();
        Ok(Self {
            source_id: write.document.id.to_string(),
            title: fields.get("title").and_then(Value::as_str).map(column_text),
            fields: Value::Object(fields).to_string(),
            version: Value::Object(write.version.clone()).to_string(),
            content_hash: write.content_hash.clone(),
            text_hash,
            words: Words::of(&write.document.fields, texts),
            skus,
        })
    }
}

/// Longest id of a variant, in bytes: it is part of a unique index, and PostgreSQL limits an entry of an index to about
/// 2,700 bytes.
const MAX_ID_BYTES: usize = 1_000;

/// A string as a column: databases end a string at a NUL, or reject it.
fn column_text(text: &str) -> String {
    text.replace('\0', "\u{fffd}")
}

/// Whether a column holds the string unchanged.
fn is_exact(text: &str) -> bool {
    !text.contains('\0')
}

/// The column's value of a field of a variant. A string is removed from the variant, because the column restores it; a
/// number, or a string with NUL, stays there.
fn take_column(variant: &mut Map<String, Value>, field: &str) -> Option<String> {
    match variant.get(field)? {
        Value::String(text) => {
            let taken = column_text(text);
            if is_exact(text) {
                variant.remove(field);
            }
            Some(taken)
        }
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}

impl SkuRow {
    fn of(position: usize, mut variant: Map<String, Value>) -> Result<Self, InvalidVariant> {
        let source_id = match variant.get("id") {
            Some(Value::String(id)) if id.len() > MAX_ID_BYTES => {
                return Err(InvalidVariant(format!(
                    "the id of variant {position} has {} bytes; {MAX_ID_BYTES} are allowed",
                    id.len()
                )));
            }
            Some(Value::String(id)) if !id.is_empty() && is_exact(id) => id.clone(),
            Some(Value::Number(id)) if id.is_i64() || id.is_u64() => id.to_string(),
            Some(_) => {
                return Err(InvalidVariant(format!(
                    "the id of variant {position} is neither a string nor an integer"
                )));
            }
            None => return Err(InvalidVariant(format!("variant {position} has no id"))),
        };
        if variant["id"].is_string() {
            variant.remove("id");
        }
        let sku = take_column(&mut variant, "sku");
        let price = take_column(&mut variant, "price");
        let attributes = take_attributes(&mut variant);
        let rest = Value::Object(variant).to_string();
        Ok(Self { source_id, columns: SkuColumns { position, sku, price, rest }, attributes })
    }
}

/// The attributes of a variant as rows, from `{name: value}` or `[{"name": …, "value": …}]`. Only an object of strings
/// is removed from the variant, because only that can be restored exactly from rows.
fn take_attributes(variant: &mut Map<String, Value>) -> BTreeSet<Attribute> {
    let text = |value: &Value| match value {
        Value::Null => None,
        Value::String(text) => Some(column_text(text)),
        other => Some(other.to_string()),
    };
    match variant.get("attributes") {
        Some(Value::Object(object)) => {
            let rows =
                object.iter().filter_map(|(name, value)| Some((column_text(name), text(value)?))).collect();
            let is_restorable =
                |(name, value): (&String, &Value)| is_exact(name) && value.as_str().is_some_and(is_exact);
            if !object.is_empty() && object.iter().all(is_restorable) {
                variant.remove("attributes");
            }
            rows
        }
        Some(Value::Array(pairs)) => pairs
            .iter()
            .filter_map(|pair| {
                let name = pair.get("name").and_then(Value::as_str)?;
                Some((column_text(name), pair.get("value").and_then(text)?))
            })
            .collect(),
        _ => BTreeSet::new(),
    }
}

/// The variant that a SKU's rows came from.
pub(super) fn variant(
    source_id: &str,
    columns: &SkuColumns,
    attributes: &BTreeSet<Attribute>,
) -> serde_json::Result<Value> {
    let mut variant: Map<String, Value> = serde_json::from_str(&columns.rest)?;
    let mut restore = |field: &str, value: Option<Value>| {
        if let (Some(value), false) = (value, variant.contains_key(field)) {
            variant.insert(field.to_owned(), value);
        }
    };
    restore("id", Some(source_id.into()));
    restore("sku", columns.sku.clone().map(Value::from));
    restore("price", columns.price.clone().map(Value::from));
    let attributes: Map<_, _> =
        attributes.iter().map(|(name, value)| (name.clone(), value.clone().into())).collect();
    restore("attributes", (!attributes.is_empty()).then_some(Value::Object(attributes)));
    Ok(Value::Object(variant))
}
