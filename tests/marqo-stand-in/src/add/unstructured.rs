//! Checks a document for an unstructured index, which takes any field and remembers those that it has seen (`known`).

use super::collector::Collector;
use super::fields::{self, map_entry};
use super::mappings::Plan;
use super::{AddRefusal, FIELD_LIMIT, Prepared, too_many};
use crate::index::{Index, Known, TextField};
use crate::rules::*;
use crate::{names, python};
use serde_json::{Map, Value};

/// Checks the fields of a document and makes of them what is kept.
pub(super) fn prepare(
    index: &Index,
    plan: &Plan,
    known: &mut Known,
    collector: &mut Collector,
    sent: &Map<String, Value>,
    prepared: &mut Prepared,
) -> Result<(), AddRefusal> {
    for (name, value) in sent.iter().filter(|(name, _)| *name != "_id") {
        names::check_unstructured(name)?;
        if plan.custom_vectors.contains(name) {
            let content = fields::take_custom_vector(index, plan, collector, name, value, prepared)?;
            know_string(index, plan, known, name)?;
            prepared.document.fields.insert(name.clone(), Value::String(content));
            continue;
        }
        check_kind(name, value)?;
        fields::take_text_vector(index, plan, name, value, &mut prepared.document)?;
        keep(index, plan, known, collector, name, value, prepared)?;
    }
    Ok(())
}

/// Refuses values of kinds that Marqo does not take.
fn check_kind(name: &str, value: &Value) -> Result<(), AddRefusal> {
    // Only called for a value that is refused, because it copies the value.
    let shown_and_kind = || (python::text(value), python::type_name(value));
    match value {
        Value::Null => {
            let (shown, kind) = shown_and_kind();
            let message = format!(
                "Field content `{shown}` \nof type `{kind}` is not of valid content type!Allowed content types: ['str', \
                 'int', 'float', 'bool', 'list', 'dict']"
            );
            Err(AddRefusal::Item(&VALUE_KIND, message))
        }
        Value::Array(members) => {
            let kinds: Vec<&str> = members.iter().map(python::type_name).collect();
            let is_uniform = kinds.windows(2).all(|pair| pair[0] == pair[1]);
            if is_uniform && kinds.first().is_none_or(|kind| ["int", "float", "str"].contains(kind)) {
                return Ok(());
            }
            let (shown, kind) = shown_and_kind();
            let message = format!(
                "Field content '{shown}' of type {kind} is not of valid content type! All list elements must be of the \
                 same type and that type must be int, float or string"
            );
            Err(AddRefusal::Item(&ARRAY_KIND, message))
        }
        Value::Object(members) => match members.iter().find(|(_, member)| !python::is_number(member)) {
            None => Ok(()),
            Some((key, member)) => {
                let kind = python::type_name(member);
                let message = format!(
                    "Field {name} is a map field, and the value of its key {key} is of type {kind}: map values must be int or float"
                );
                Err(AddRefusal::Item(&MAP_VALUE, message))
            }
        },
        _ => Ok(()),
    }
}

/// Adds a field to what is kept of the document.
fn keep(
    index: &Index,
    plan: &Plan,
    known: &mut Known,
    collector: &mut Collector,
    name: &str,
    value: &Value,
    prepared: &mut Prepared,
) -> Result<(), AddRefusal> {
    let fields = &mut prepared.document.fields;
    match value {
        Value::String(_) => {
            know_string(index, plan, known, name)?;
            fields.insert(name.to_owned(), value.clone());
        }
        Value::Array(members) if members.iter().any(|member| !member.is_string()) => {
            prepared.number_array = Some(name.to_owned());
        }
        Value::Array(members) => {
            let is_old = index.version.is_old();
            if members.is_empty() {
                collector.note(if is_old { &EMPTY_ARRAY_ABSENT } else { &EMPTY_ARRAY_KEPT });
            }
            if !is_old {
                know_string_array(index, known, name)?;
            }
            if !(is_old && members.is_empty()) {
                fields.insert(name.to_owned(), value.clone());
            }
        }
        Value::Object(members) => {
            collector.note(if members.is_empty() { &EMPTY_MAP_ABSENT } else { &MAP_FLATTENED });
            if members.values().any(Value::is_boolean) {
                collector.note(&MAP_BOOL);
            }
            fields.extend(members.iter().map(|(key, member)| (format!("{name}.{key}"), map_entry(member))));
        }
        _ => {
            fields.insert(name.to_owned(), value.clone());
        }
    }
    Ok(())
}

/// Adds a text field to those that the index knows; refuses a different analysis of one that it knows.
fn know_string(index: &Index, plan: &Plan, known: &mut Known, name: &str) -> Result<(), AddRefusal> {
    let requested = plan.text_fields.get(name).cloned().unwrap_or_default();
    if index.collapse_field.as_deref() == Some(name) {
        return Ok(());
    }
    if let Some(TextField { language, stemming }) = known.strings.get(name) {
        let pairs = [("language", language, requested.language), ("stemming", stemming, requested.stemming)];
        for (what, present, requested) in pairs {
            if requested.is_some() && requested != *present {
                let [present, requested] =
                    [present, &requested].map(|text| text.as_deref().unwrap_or("None"));
                let message = format!(
                    "Field '{name}' already exists with a different {what} configuration. Cannot change {what} from \
                     '{present}' to '{requested}' for existing field."
                );
                return Err(AddRefusal::Item(&TEXT_FIELD_CHANGED, message));
            }
        }
        return Ok(());
    }
    let count = known.strings.len();
    if count >= FIELD_LIMIT {
        return Err(too_many(&STRING_FIELDS_TOO_MANY, &index.name, count, name, "lexical").into());
    }
    known.strings.insert(name.to_owned(), requested);
    Ok(())
}

/// Adds a field with an array of texts to those that the index knows.
fn know_string_array(index: &Index, known: &mut Known, name: &str) -> Result<(), AddRefusal> {
    let count = known.string_arrays.len();
    if !known.string_arrays.contains(name) && count >= FIELD_LIMIT {
        return Err(too_many(&STRING_ARRAYS_TOO_MANY, &index.name, count, name, "string array").into());
    }
    known.string_arrays.insert(name.to_owned());
    Ok(())
}
