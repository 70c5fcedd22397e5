//! The values of a document's fields: which are refused, which get vectors, and how they are kept.

use super::collector::Collector;
use super::mappings::Plan;
use super::{AddRefusal, Prepared};
use crate::index::{Document, Field, FieldKind, Index, NumberKind};
use crate::python;
use crate::reply::Refusal;
use crate::rules::*;
use crate::vectors::{Facet, normalised};
use serde_json::{Map, Value, json};

/// The largest number of the type `int`.
const LARGEST_INT: i64 = 2_147_483_647;

/// Takes a custom vector (a vector that the client sends): makes a facet of it, and returns its content, the text that
/// it stands for.
pub(super) fn take_custom_vector(
    index: &Index,
    plan: &Plan,
    collector: &mut Collector,
    name: &str,
    value: &Value,
    prepared: &mut Prepared,
) -> Result<String, AddRefusal> {
    let numbers = check_custom_vector(index, value)?;
    collector.note(&VECTOR_CONTENT);
    let chunk = value["content"].as_str().unwrap_or_default().to_owned();
    if !plan.tensor_fields.contains(name) {
        collector.note(&VECTOR_UNLISTED);
        return Ok(chunk);
    }
    let given = if index.normalises {
        collector.note(&VECTOR_NORMALISED);
        let Some(vector) = normalised(&numbers) else {
            let message = format!("Field {name} has zero magnitude vector, cannot normalize.");
            return Err(AddRefusal::Item(&VECTOR_ZERO, message));
        };
        vector
    } else {
        numbers.iter().map(|&number| number as f32).collect()
    };
    prepared.document.facets.push(Facet { field: name.to_owned(), chunk: chunk.clone(), given: Some(given) });
    Ok(chunk)
}

/// Checks a custom vector. An invalid one fails the whole request, with a message that does not name the document.
fn check_custom_vector(index: &Index, value: &Value) -> Result<Vec<f64>, Refusal> {
    let refused = |reason: String| {
        let message = format!("Invalid custom_vector field format. Reason: \n{reason}");
        Refusal::new(
            &VECTOR_DIMENSION,
            json!([{ "loc": ["__root__"], "msg": message, "type": "value_error" }]).to_string(),
        )
    };
    let Some(members) = value.as_object() else {
        return Err(refused(format!("{} is not of type 'object'", python::repr(value))));
    };
    if let Some(key) = members.keys().find(|key| !["vector", "content"].contains(&key.as_str())) {
        return Err(refused(format!("Additional properties are not allowed ('{key}' was unexpected)")));
    }
    if members.get("content").is_some_and(|content| !content.is_string()) {
        return Err(refused(format!("{} is not of type 'string'", python::repr(&value["content"]))));
    }
    let Some(vector) = value["vector"].as_array() else {
        return Err(refused("'vector' is a required property".to_owned()));
    };
    let numbers: Option<Vec<f64>> = vector.iter().map(Value::as_f64).collect();
    let Some(numbers) = numbers else {
        return Err(refused(format!("{} is not of type 'number'", python::repr(&value["vector"]))));
    };
    if numbers.len() != index.dimension {
        let what = if numbers.len() < index.dimension { "short" } else { "long" };
        return Err(refused(format!("{} is too {what}", python::repr(&value["vector"]))));
    }
    Ok(numbers)
}

/// Makes facets (chunks of a text with their vectors) of a tensor field. Its value must be text, and so must that of a
/// sub-field of a multimodal field, which combines several fields into one vector.
pub(super) fn take_text_vector(
    index: &Index,
    plan: &Plan,
    name: &str,
    value: &Value,
    document: &mut Document,
) -> Result<(), AddRefusal> {
    let is_tensor_field = plan.tensor_fields.contains(name);
    if !is_tensor_field && !plan.has_sub_field(name) {
        return Ok(());
    }
    let Some(text) = value.as_str() else {
        let kind = python::type_name(value);
        return Err(AddRefusal::Item(
            &TENSOR_VALUE,
            format!("Invalid type <class '{kind}'> for tensor field {name}"),
        ));
    };
    if is_tensor_field {
        let chunks = index.split.chunks(text).into_iter();
        document.facets.extend(chunks.map(|chunk| Facet { field: name.to_owned(), chunk, given: None }));
    }
    Ok(())
}

/// Adds the facets of multimodal fields.
pub(super) fn combine(plan: &Plan, sent: &Map<String, Value>, document: &mut Document) {
    for (name, weights) in plan.multimodal.iter().filter(|(name, _)| plan.tensor_fields.contains(*name)) {
        let contents: Map<String, Value> = weights
            .keys()
            .filter_map(|sub_field| Some((sub_field.clone(), sent.get(sub_field)?.clone())))
            .collect();
        if contents.is_empty() {
            continue;
        }
        let chunk = python::dumps(&Value::Object(contents));
        document.facets.push(Facet { field: name.clone(), chunk, given: None });
        let parameters = json!({ "weights": weights, "type": "multimodal_combination" });
        document.multimodal.insert(name.clone(), parameters);
    }
}

/// The value of an entry of a map as Vespa (the search engine that keeps the documents) keeps it: bools are numbers.
pub(crate) fn map_entry(value: &Value) -> Value {
    value.as_bool().map_or_else(|| value.clone(), |flag| Value::from(i64::from(flag)))
}

/// The value as a structured index keeps it.
pub(crate) fn structured_value(
    name: &str,
    field: &Field,
    value: &Value,
) -> Result<Value, (&'static Rule, String)> {
    let refused = || {
        let (kind, shown) = (python::type_name(value), python::text(value));
        let message =
            format!("Invalid value {shown} of type {kind} for field {name} of type {}", field.kind_name);
        (&STRUCTURED_KIND, message)
    };
    let number = |value: &Value, kind| number_value(name, kind, value).unwrap_or_else(|| Err(refused()));
    match (field.kind, value) {
        (FieldKind::Text, Value::String(_)) | (FieldKind::Bool, Value::Bool(_)) => Ok(value.clone()),
        (FieldKind::Number(kind), _) => number(value, kind),
        (FieldKind::Texts, Value::Array(members)) if members.iter().all(Value::is_string) => {
            Ok(value.clone())
        }
        (FieldKind::Numbers(kind), Value::Array(members)) => {
            members.iter().map(|member| number(member, kind)).collect::<Result<Vec<_>, _>>().map(Value::Array)
        }
        (FieldKind::NumberMap(kind), Value::Object(members)) => {
            let entry = |(key, member): (&String, &Value)| Ok((key.clone(), number(member, kind)?));
            members.iter().map(entry).collect::<Result<Map<_, _>, _>>().map(Value::Object)
        }
        _ => Err(refused()),
    }
}

/// A number as a field of this kind keeps it; `None` if the value is not a number of this kind.
fn number_value(
    name: &str,
    kind: NumberKind,
    value: &Value,
) -> Option<Result<Value, (&'static Rule, String)>> {
    let out_of_range = || {
        let shown = python::text(value);
        Err((
            &STRUCTURED_RANGE,
            format!("Invalid value {shown} for field {name}: it is out of the range of its type"),
        ))
    };
    match kind {
        // In Python a bool is an int.
        NumberKind::Int | NumberKind::Long if value.is_boolean() => Some(Ok(map_entry(value))),
        NumberKind::Int | NumberKind::Long => {
            let is_whole = value.is_i64() || value.is_u64();
            let fits = |number: i64| kind == NumberKind::Long || number.abs() <= LARGEST_INT;
            is_whole.then(|| {
                value.as_i64().filter(|number| fits(*number)).map_or_else(out_of_range, |_| Ok(value.clone()))
            })
        }
        NumberKind::Double => value.as_f64().map(|number| Ok(Value::from(number))),
        NumberKind::Float => value.as_f64().map(|number| {
            let narrow = number as f32;
            if narrow.is_finite() { Ok(shortest(narrow)) } else { out_of_range() }
        }),
    }
}

/// The number with the fewest digits that identify it among 32-bit numbers.
fn shortest(number: f32) -> Value {
    Value::from(number.to_string().parse().unwrap_or(f64::from(number)))
}

/// The first field with a character that Vespa refuses, and the character; `None` if there is none.
pub(super) fn forbidden_character(document: &Map<String, Value>) -> Option<(&str, char)> {
    let fields = document.iter().filter(|(name, _)| *name != "_id");
    fields
        .into_iter()
        .find_map(|(name, value)| forbidden_in(value).map(|character| (name.as_str(), character)))
}

fn forbidden_in(value: &Value) -> Option<char> {
    match value {
        // Most texts are printable ASCII; this check without an early exit is the fastest.
        Value::String(text) if text.bytes().fold(true, |all, byte| all & matches!(byte, b' '..=b'~')) => None,
        Value::String(text) => text.chars().find(|&character| is_forbidden(character)),
        Value::Array(members) => members.iter().find_map(forbidden_in),
        Value::Object(members) => members.values().find_map(forbidden_in),
        _ => None,
    }
}

fn is_forbidden(character: char) -> bool {
    match character {
        '\t' | '\n' | '\r' => false,
        '\0'..='\u{1f}' | '\u{fdd0}'..='\u{fddf}' => true,
        _ => u32::from(character) & 0xfffe == 0xfffe,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn field(kind: &str) -> Field {
        Field { kind: FieldKind::parse(kind).unwrap(), kind_name: kind.to_owned(), weights: Map::new() }
    }

    #[test]
    fn structured_numbers_are_kept_in_their_kind() {
        let kept = |kind: &str, value: Value| {
            structured_value("f", &field(kind), &value).map_err(|(rule, _)| rule.name())
        };
        assert_eq!(kept("float", json!(19.99)), Ok(json!(19.99)));
        assert_eq!(kept("float", json!(16_777_217)), Ok(json!(16_777_216.0)));
        assert_eq!(kept("float", json!(5)), Ok(json!(5.0)));
        assert_eq!(kept("double", json!(5)), Ok(json!(5.0)));
        assert_eq!(kept("int", json!(true)), Ok(json!(1)));
        assert_eq!(kept("int", json!("3")), Err("structured-kind".to_owned()));
        assert_eq!(kept("int", json!(3.0)), Err("structured-kind".to_owned()));
        assert_eq!(kept("int", json!(2_147_483_648_i64)), Err("structured-range".to_owned()));
        assert_eq!(kept("long", json!(2_147_483_648_i64)), Ok(json!(2_147_483_648_i64)));
        assert_eq!(kept("float", json!(1e39)), Err("structured-range".to_owned()));
        assert_eq!(kept("bool", json!(1)), Err("structured-kind".to_owned()));
        assert_eq!(kept("array<text>", json!([])), Ok(json!([])));
        assert_eq!(kept("map<text, int>", json!({"a": 1})), Ok(json!({"a": 1})));
    }

    #[test]
    fn control_characters_other_than_white_space_are_forbidden() {
        for character in ['\0', '\u{8}', '\u{b}', '\u{c}', '\u{1f}', '\u{fffe}', '\u{ffff}', '\u{1ffff}'] {
            assert!(is_forbidden(character), "{character:?}");
        }
        for character in ['\t', '\n', '\r', ' ', '\u{7f}', '\u{fffd}', '😀'] {
            assert!(!is_forbidden(character), "{character:?}");
        }
    }
}
