//! Checks a document for a structured index, whose schema declares its fields.

use super::collector::Collector;
use super::fields::{self, structured_value};
use super::mappings::Plan;
use super::{AddRefusal, Prepared};
use crate::index::{FieldKind, Index, NumberKind, Schema};
use crate::names;
use crate::rules::*;
use serde_json::{Map, Value};

/// Checks the fields of a document and makes of them what is kept.
pub(super) fn prepare(
    index: &Index,
    schema: &Schema,
    plan: &Plan,
    collector: &mut Collector,
    sent: &Map<String, Value>,
    prepared: &mut Prepared,
) -> Result<(), AddRefusal> {
    for (name, value) in sent.iter().filter(|(name, _)| *name != "_id") {
        names::check_structured(name)?;
        let Some(field) = schema.fields.get(name) else {
            let names: Vec<&str> = schema.fields.keys().map(String::as_str).collect();
            let message = format!(
                "Field {name} is not a valid field for structured index {}. Valid fields are: {}",
                index.name,
                names.join(", ")
            );
            return Err(AddRefusal::Item(&STRUCTURED_FIELD_UNKNOWN, message));
        };
        let kept = match field.kind {
            FieldKind::Multimodal => {
                let message =
                    format!("Field {name} is a multimodal combination field and cannot be assigned a value.");
                return Err(AddRefusal::Item(&STRUCTURED_MULTIMODAL_GIVEN, message));
            }
            FieldKind::CustomVector => {
                Value::String(fields::take_custom_vector(index, plan, collector, name, value, prepared)?)
            }
            _ => structured_value(name, field, value)?,
        };
        match field.kind {
            FieldKind::Number(NumberKind::Float) => collector.note(&STRUCTURED_FLOAT),
            FieldKind::Texts | FieldKind::Numbers(_) | FieldKind::NumberMap(_) => {
                collector.note(&STRUCTURED_KEPT);
            }
            _ => {}
        }
        if field.kind != FieldKind::CustomVector {
            fields::take_text_vector(index, plan, name, value, &mut prepared.document)?;
        }
        prepared.document.fields.insert(name.clone(), kept);
    }
    Ok(())
}
