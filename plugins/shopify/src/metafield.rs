//! Metafields: values of a hundred types, all written as text, and the fields that documents make of them.

use std::borrow::Cow;

use serde_json::Value;

use crate::config::{FieldKind, MetafieldRule};
use crate::html;
use crate::lines::text_of;
use crate::options;
use crate::record::Record;
use crate::reference;
use crate::text::sanitize;
use crate::units;

/// What a metafield becomes in a document.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum FieldValue {
    Text(String),
    Number(f64),
    Integer(i64),
    Boolean(bool),
    List(Vec<String>),
}

/// Whether a record is the metafield `namespace.key`; both parts may hold dots.
pub(crate) fn is_named(record: &Record<'_>, name: &str) -> bool {
    let (Some(namespace), Some(key)) = (record.namespace.get(), record.key.get()) else { return false };
    name.strip_prefix(namespace).and_then(|rest| rest.strip_prefix('.')) == Some(key)
}

/// The value of a metafield as its rule wants it; nothing if it is blank. The error says what is wrong with it. `lines` are
/// the records of the product whose parent is a metafield.
pub(crate) fn value_of(
    record: &Record<'_>,
    rule: &MetafieldRule,
    lines: &[&Record<'_>],
) -> Result<Option<FieldValue>, String> {
    let Some(text) = raw_value(record) else { return Ok(None) };
    let text = sanitize(&text);
    if text.is_empty() {
        return Ok(None);
    }
    let kind = record.kind.get().unwrap_or_default();
    let value = match reference::texts(record, &text, rule.reference_field.as_deref(), lines) {
        texts if texts.is_empty() => read(kind, &text)?,
        texts if kind.starts_with("list.") => Read::List(texts),
        texts => Read::Text(texts.join(", ").into()),
    };
    let value = match &rule.unit {
        Some(unit) => value.in_unit(unit)?,
        None => value,
    };
    let value = match rule.kind {
        None => value.natural(),
        Some(FieldKind::Text) => FieldValue::Text(value.text()),
        Some(FieldKind::List) => FieldValue::List(value.list()),
        Some(FieldKind::Number) => FieldValue::Number(value.number().ok_or_else(|| not_a("number", &text))?),
        Some(FieldKind::Integer) => {
            // Beyond 9e15, a float cannot hold every whole number.
            let number = value.number().filter(|number| number.fract() == 0.0 && number.abs() < 9e15);
            FieldValue::Integer(number.ok_or_else(|| not_a("whole number", &text))? as i64)
        }
        Some(FieldKind::Boolean) => {
            FieldValue::Boolean(value.boolean().ok_or_else(|| not_a("boolean", &text))?)
        }
    };
    Ok(match value {
        FieldValue::Text(text) if text.is_empty() => None,
        FieldValue::List(list) if list.is_empty() => None,
        value => Some(value),
    })
}

/// The currency of an amount of money.
pub(crate) fn currency_of(record: &Record<'_>) -> Option<String> {
    let money: Value = serde_json::from_str(&raw_value(record)?).ok()?;
    currency(&money).map(|currency| sanitize(currency).into_owned())
}

fn currency(money: &Value) -> Option<&str> {
    money["currency_code"].as_str().or(money["currencyCode"].as_str()).filter(|currency| !currency.is_empty())
}

fn raw_value<'r>(record: &'r Record<'_>) -> Option<Cow<'r, str>> {
    record.value.and_then(text_of).or_else(|| record.json_value.and_then(text_of))
}

/// What the values that variants have become in the document of their product: every text once, whether any is true, and a
/// number only if it is the same of all.
pub(crate) fn united(
    rule: &MetafieldRule,
    read: impl FnOnce(&MetafieldRule) -> Vec<FieldValue>,
) -> Option<FieldValue> {
    let is_text = rule.kind == Some(FieldKind::Text);
    // A list that is written as one text is united before that.
    let kind = if is_text { Some(FieldKind::List) } else { rule.kind };
    let values = read(&MetafieldRule { kind, ..rule.clone() });
    match values.first()? {
        FieldValue::Text(_) | FieldValue::List(_) => {
            let texts = values.into_iter().flat_map(|value| match value {
                FieldValue::List(texts) => texts,
                FieldValue::Text(text) => vec![text],
                FieldValue::Number(number) => vec![number.to_string()],
                FieldValue::Integer(number) => vec![number.to_string()],
                FieldValue::Boolean(flag) => vec![flag.to_string()],
            });
            let texts: Vec<String> =
                options::dedupe(texts.map(Cow::from)).into_iter().map(Cow::into_owned).collect();
            Some(if is_text { FieldValue::Text(texts.join(", ")) } else { FieldValue::List(texts) })
        }
        FieldValue::Boolean(_) => Some(FieldValue::Boolean(values.contains(&FieldValue::Boolean(true)))),
        FieldValue::Number(_) | FieldValue::Integer(_) => {
            let mut values = values.into_iter();
            let first = values.next()?;
            values.all(|value| value == first).then_some(first)
        }
    }
}

/// A value before it is known what field it becomes.
enum Read<'t> {
    Text(Cow<'t, str>),
    Integer(i64, Cow<'t, str>),
    Number(f64, Cow<'t, str>),
    Boolean(bool),
    /// A number with a unit, which differs from product to product.
    Measure(f64, String),
    List(Vec<String>),
    /// An amount, as a number and as a text, with its currency.
    Money(f64, String, String),
}

impl Read<'_> {
    /// A measurement as the number of another unit; whatever has no unit stays.
    fn in_unit(self, unit: &str) -> Result<Self, String> {
        let Read::Measure(number, from) = self else { return Ok(self) };
        let converted = units::convert(number, &from, unit)
            .ok_or_else(|| format!("its unit `{from}` cannot be converted to `{unit}`"))?;
        Ok(Read::Number(converted, converted.to_string().into()))
    }

    fn natural(self) -> FieldValue {
        match self {
            Read::Integer(number, _) => FieldValue::Integer(number),
            Read::Number(number, _) | Read::Money(number, ..) => FieldValue::Number(number),
            Read::Boolean(flag) => FieldValue::Boolean(flag),
            Read::List(list) => FieldValue::List(list),
            Read::Text(_) | Read::Measure(..) => FieldValue::Text(self.text()),
        }
    }

    fn text(&self) -> String {
        match self {
            Read::Text(text) | Read::Integer(_, text) | Read::Number(_, text) => text.clone().into_owned(),
            Read::Boolean(flag) => flag.to_string(),
            Read::Measure(number, unit) => format!("{number} {unit}").trim_end().to_owned(),
            Read::List(list) => list.join(", "),
            Read::Money(_, amount, currency) => format!("{amount} {currency}").trim_end().to_owned(),
        }
    }

    fn list(self) -> Vec<String> {
        match self {
            Read::List(list) => list,
            Read::Text(text) => match serde_json::from_str(&text) {
                Ok(Value::Array(items)) => elements("", &items),
                _ => vec![text.into_owned()],
            },
            value => vec![value.text()],
        }
    }

    fn number(&self) -> Option<f64> {
        let number = match self {
            Read::Integer(_, text) | Read::Number(_, text) | Read::Text(text) => text.trim().parse().ok()?,
            Read::Measure(number, _) | Read::Money(number, ..) => *number,
            // An index takes no list of numbers, but one of them.
            Read::List(list) => match list.as_slice() {
                [only] => only.trim().parse().ok()?,
                _ => return None,
            },
            Read::Boolean(_) => return None,
        };
        number.is_finite().then_some(number)
    }

    fn boolean(&self) -> Option<bool> {
        match self {
            Read::Boolean(flag) => Some(*flag),
            value => match &*value.text().to_lowercase() {
                "true" | "1" => Some(true),
                "false" | "0" => Some(false),
                _ => None,
            },
        }
    }
}

fn read<'t>(kind: &str, text: &'t str) -> Result<Read<'t>, String> {
    if let Some(item) = kind.strip_prefix("list.") {
        return match parse(text)? {
            Value::Array(items) => Ok(Read::List(elements(item, &items))),
            _ => Err(not_a("list", text)),
        };
    }
    Ok(match kind {
        "boolean" => match text {
            "true" => Read::Boolean(true),
            "false" => Read::Boolean(false),
            _ => return Err(not_a("boolean", text)),
        },
        "number_integer" | "integer" => {
            Read::Integer(text.parse().map_err(|_| not_a("whole number", text))?, text.into())
        }
        "number_decimal" => Read::Number(finite(text).ok_or_else(|| not_a("number", text))?, text.into()),
        "json" | "json_string" => match parse(text)? {
            Value::String(content) => Read::Text(sanitize(&content).into_owned().into()),
            _ => Read::Text(text.into()),
        },
        "rich_text_field" => Read::Text(rich_text(&parse(text)?).into()),
        "html" => Read::Text(html::to_text(text).into()),
        "money" | "rating" | "link" => object(kind, &parse(text)?).ok_or_else(|| not_a(kind, text))?,
        // Some forty kinds of measurement, with more in each API version, have the same shape.
        _ if text.starts_with('{') => match parse(text) {
            Ok(value) => object(kind, &value).unwrap_or(Read::Text(text.into())),
            Err(error) if is_measurement(kind) => return Err(error),
            Err(_) => Read::Text(text.into()),
        },
        _ => Read::Text(text.into()),
    })
}

fn is_measurement(kind: &str) -> bool {
    matches!(kind, "dimension" | "weight" | "volume" | "temperature" | "area" | "length" | "duration")
}

/// A value that its type writes as a JSON object: an amount, a rating, a link, or a number with a unit.
fn object(kind: &str, value: &Value) -> Option<Read<'static>> {
    match kind {
        "money" => decimal(&value["amount"]).map(|(number, text)| {
            Read::Money(number, text, sanitize(currency(value).unwrap_or_default()).into_owned())
        }),
        "rating" => decimal(&value["value"]).map(|(number, text)| Read::Number(number, text.into())),
        "link" => {
            let text = [&value["text"], &value["url"]]
                .into_iter()
                .filter_map(Value::as_str)
                .map(sanitize)
                .find(|text| !text.is_empty())?;
            Some(Read::Text(text.into_owned().into()))
        }
        _ => {
            let unit = value["unit"].as_str()?;
            let (number, _) = decimal(&value["value"])?;
            Some(Read::Measure(number, sanitize(unit).into_owned()))
        }
    }
}

/// A number, which some types write as text.
fn decimal(value: &Value) -> Option<(f64, String)> {
    let text = match value {
        Value::Number(number) => number.to_string(),
        Value::String(text) => text.trim().to_owned(),
        _ => return None,
    };
    finite(&text).map(|number| (number, text))
}

fn finite(text: &str) -> Option<f64> {
    text.parse().ok().filter(|number: &f64| number.is_finite())
}

/// The elements of a list as texts; blank ones and nulls are omitted.
fn elements(kind: &str, items: &[Value]) -> Vec<String> {
    let text = |item: &Value| match item {
        Value::Null => None,
        Value::String(text) => Some(sanitize(text).into_owned()),
        Value::Object(_) if kind == "rich_text_field" => Some(rich_text(item)),
        Value::Object(_) => Some(object(kind, item).map_or_else(|| item.to_string(), |value| value.text())),
        other => Some(other.to_string()),
    };
    items.iter().filter_map(text).filter(|text| !text.is_empty()).collect()
}

/// The words of a rich text tree: leaves of one paragraph concatenated, paragraphs separated.
fn rich_text(tree: &Value) -> String {
    fn walk(node: &Value, text: &mut String) {
        let leaf = node["value"].as_str();
        if let Some(leaf) = leaf {
            text.push_str(leaf);
        }
        if let Some(children) = node["children"].as_array() {
            for child in children {
                walk(child, text);
            }
        }
        if leaf.is_none() && node["type"] != "link" {
            text.push('\n');
        }
    }
    let (mut text, mut words) = (String::new(), String::new());
    walk(tree, &mut text);
    crate::text::push_collapsed(&mut words, &mut crate::text::Gap::None, &text);
    words
}

fn parse(text: &str) -> Result<Value, String> {
    serde_json::from_str(text).map_err(|error| format!("its value is not valid JSON: {error}"))
}

fn not_a(what: &str, text: &str) -> String {
    let shown = crate::text::cut_chars(text, 60);
    format!("its value `{shown}` is not a {what}")
}
