//! Marqo's partial update of documents: `PATCH /indexes/{index}/documents`. It never creates a document and never makes
//! a new vector.

use crate::add::{BATCH_LIMIT, check_id, map_entry, missing, structured_value, unknown_key};
use crate::fault::Fault;
use crate::http::Request;
use crate::index::{Document, FieldKind, Index, Kind, Known, Schema};
use crate::reply::{Refusal, Reply, counted, object};
use crate::rules::*;
use crate::session::Session;
use crate::{ids, python, vespa};
use serde_json::{Map, Value, json};
use std::collections::HashSet;
use std::sync::Arc;

/// Why an item is not updated.
enum PatchRefusal {
    /// Marqo refuses it without a request to Vespa, the search engine that keeps the documents. The item has an `error`
    /// and no `message`.
    Marqo(&'static Rule, String),
    /// Vespa refuses it. The item has an `error` and a `message`.
    Vespa(&'static Rule, String),
}

pub(crate) fn patch(session: &mut Session, request: &Request, name: &str) -> Result<Reply, Refusal> {
    let body = session.body(request)?;
    let documents = documents(&body)?;
    let index = session.store.index(name)?;
    if session.version.is_old() && matches!(index.kind, Kind::Unstructured) {
        let message = "Partial document update is not supported for unstructured indexes. Please use add_documents with \
                       use_existing_tensor=True instead";
        return Err(Refusal::new(&PATCH_UNSUPPORTED, message));
    }
    let mut met = Vec::new();
    let latest = without_superseded(documents);
    if latest.len() < documents.len() {
        met.push(&PATCH_DUPLICATE);
    }
    let mut items = Vec::with_capacity(latest.len());
    for document in latest {
        items.push(match update(session, name, document, &mut met) {
            Ok(item) => item,
            Err(PatchRefusal::Marqo(rule, message)) => {
                met.push(rule);
                let id = document.get("_id").filter(|id| !id.is_null()).map(python::text).unwrap_or_default();
                json!({ "_id": id, "status": 400, "error": message })
            }
            Err(PatchRefusal::Vespa(rule, message)) => {
                met.push(rule);
                let status = if rule == &PATCH_MISSING { 404 } else { 400 };
                vespa_item(document["_id"].as_str().unwrap_or_default(), status, &message)
            }
        });
    }
    let has_errors = items.iter().any(|item| item["status"] != 200);
    let milliseconds = session.milliseconds();
    let answer =
        json!({ "errors": has_errors, "index_name": name, "items": items, "processingTimeMs": milliseconds });
    let mut reply = counted(Reply::json(answer), &items);
    reply.met.extend(met);
    Ok(reply)
}

/// The documents in a request's body.
fn documents(body: &Value) -> Result<&[Value], Refusal> {
    let Some(body) = body.as_object() else { return Err(Refusal::wrong_type(&[], "dict")) };
    if let Some(key) = body.keys().find(|key| *key != "documents") {
        return Err(unknown_key(&BODY_UNKNOWN_KEY, key));
    }
    let Some(documents) = body.get("documents") else { return Err(missing("documents")) };
    let Some(documents) = documents.as_array().filter(|all| all.iter().all(Value::is_object)) else {
        return Err(Refusal::wrong_type(&["documents"], "dict"));
    };
    let count = documents.len();
    if count == 0 {
        return Err(Refusal::new(&PATCH_EMPTY, "Received empty add documents request"));
    }
    if count > BATCH_LIMIT {
        let message = format!(
            "Number of docs in update_documents request ({count}) exceeds limit of {BATCH_LIMIT}. If using the Python \
             client, break up your `update_documents` request into smaller batches using its `client_batch_size` \
             parameter. "
        );
        return Err(Refusal::new(&PATCH_TOO_MANY, message));
    }
    Ok(documents)
}

/// The last document of each id, and those without an id.
fn without_superseded(documents: &[Value]) -> Vec<&Value> {
    let mut seen = HashSet::new();
    let is_latest = |document: &&Value| document["_id"].is_null() || seen.insert(document["_id"].to_string());
    let mut latest: Vec<&Value> = documents.iter().rev().filter(is_latest).collect();
    latest.reverse();
    latest
}

/// Updates a document; returns its item in the answer.
fn update(
    session: &mut Session,
    name: &str,
    update: &Value,
    met: &mut Vec<&'static Rule>,
) -> Result<Value, PatchRefusal> {
    let Some(id) = update.get("_id") else {
        return Err(PatchRefusal::Marqo(
            &PATCH_WITHOUT_ID,
            "'_id' is a required field in a partial update".to_owned(),
        ));
    };
    let id = check_id(id).map_err(|(_, message)| PatchRefusal::Marqo(&PATCH_ID_BAD, message))?;
    let kept = ids::kept(id);
    let Some(index) = session.store.indexes.get(name) else { return Err(refused()) };
    let stored = index.documents.get(&kept).filter(|document| document.id == id);
    let changes: Map<String, Value> =
        update.as_object().into_iter().flatten().filter(|(name, _)| *name != "_id").map(owned).collect();
    let mut document = match &index.kind {
        Kind::Structured(schema) => patch_structured(schema, stored, &changes)?,
        Kind::Unstructured => patch_unstructured(&index.known, index, stored, &changes, met)?,
    };
    Arc::make_mut(&mut document.sent).extend(changes);
    if let Some(Fault::Refused { rule, message }) = session.decision.items.get(id)
        && let Some(rule) = crate::fault::named(rule)
    {
        return Err(PatchRefusal::Marqo(rule, message.clone()));
    }
    if let Some(Fault::Item { status, applied }) = session.decision.items.get(id) {
        let (rule, status, message) = vespa::translated(session.version, *status);
        met.push(rule);
        if *applied {
            session.store.put(session.origin, name, &kept, document);
        }
        return Ok(vespa_item(id, status, &message));
    }
    session.store.put(session.origin, name, &kept, document);
    Ok(json!({ "_id": ids::reported(id), "status": 200 }))
}

fn owned((name, value): (&String, &Value)) -> (String, Value) {
    (name.clone(), value.clone())
}

/// The item in the answer for a document that Vespa refused or failed on.
fn vespa_item(id: &str, status: u16, message: &str) -> Value {
    let text = Value::from(message);
    object([
        ("_id", ids::reported(id).into()),
        ("status", status.into()),
        ("message", text.clone()),
        ("error", text),
    ])
}

/// Vespa refuses the update, because the stored document does not fulfil its condition.
fn refused() -> PatchRefusal {
    PatchRefusal::Vespa(&PATCH_REFUSED, vespa::NOT_UPDATED.to_owned())
}

/// The updated document in a structured index, whose schema says which fields may change.
fn patch_structured(
    schema: &Schema,
    stored: Option<&Document>,
    changes: &Map<String, Value>,
) -> Result<Document, PatchRefusal> {
    let mut kept = Map::new();
    for (name, value) in changes {
        let Some(field) = schema.fields.get(name) else {
            return Err(PatchRefusal::Marqo(
                &PATCH_FIELD_UNKNOWN,
                format!("Invalid field name {name}: it is not in the index"),
            ));
        };
        let is_sub_field = schema.fields.values().any(|field| field.weights.contains_key(name));
        if is_sub_field {
            let message =
                format!("{name} is a dependent field of a multimodal combination and cannot be updated");
            return Err(PatchRefusal::Marqo(&PATCH_SUB_FIELD, message));
        }
        if schema.tensor_fields.contains(name) || field.kind == FieldKind::Multimodal {
            return Err(PatchRefusal::Marqo(
                &PATCH_TENSOR_FIELD,
                format!("{name} is a tensor field and cannot be updated"),
            ));
        }
        let value = structured_value(name, field, value)
            .map_err(|(_, message)| PatchRefusal::Marqo(&PATCH_VALUE, message))?;
        kept.insert(name.clone(), value);
    }
    let Some(stored) = stored else {
        return Err(PatchRefusal::Vespa(&PATCH_MISSING, vespa::MISSING.to_owned()));
    };
    let mut document = stored.clone();
    document.fields.extend(kept);
    Ok(document)
}

/// The updated document in an unstructured index, where `known` are the fields that it has seen.
fn patch_unstructured(
    known: &Known,
    index: &Index,
    stored: Option<&Document>,
    changes: &Map<String, Value>,
    met: &mut Vec<&'static Rule>,
) -> Result<Document, PatchRefusal> {
    for (name, value) in changes {
        check_value(known, index, name, value)?;
    }
    let mut document = stored.ok_or_else(refused)?.clone();
    for (name, value) in changes {
        if kind_of(&document, name).is_some_and(|kind| kind != kind_of_value(value)) {
            return Err(refused());
        }
        match value {
            Value::Object(members) => {
                met.push(&PATCH_MAP_REPLACED);
                document.fields.retain(|present, _| !is_entry_of(present, name));
                let entries =
                    members.iter().map(|(key, member)| (format!("{name}.{key}"), map_entry(member)));
                document.fields.extend(entries);
            }
            _ => {
                document.fields.insert(name.clone(), value.clone());
            }
        }
    }
    Ok(document)
}

/// Checks that an unstructured index can take a new value for a field.
fn check_value(known: &Known, index: &Index, name: &str, value: &Value) -> Result<(), PatchRefusal> {
    crate::names::check_unstructured(name)
        .map_err(|(_, message)| PatchRefusal::Marqo(&PATCH_VALUE, message))?;
    let is_collapse_field = index.collapse_field.as_deref() == Some(name);
    match value {
        Value::String(_) if !known.strings.contains_key(name) && !is_collapse_field => {
            let message = format!(
                "{name} of type str does not exist in the original document. Marqo does not support adding new lexical \
                 fields in partial updates"
            );
            Err(PatchRefusal::Marqo(&PATCH_STRING_UNKNOWN, message))
        }
        Value::Array(members)
            if !known.string_arrays.contains(name) || !members.iter().all(Value::is_string) =>
        {
            let message = "Unstructured index updates only support updating existing string array fields";
            Err(PatchRefusal::Marqo(&PATCH_STRING_UNKNOWN, message.to_owned()))
        }
        Value::Object(members) if !members.values().all(python::is_number) => {
            let message = format!(
                "We only support int and float types for map values when updating a document: {name}"
            );
            Err(PatchRefusal::Marqo(&PATCH_VALUE, message))
        }
        Value::Null => {
            let message = format!("Unsupported field type <class 'NoneType'> for field {name}");
            Err(PatchRefusal::Marqo(&PATCH_VALUE, message))
        }
        _ => Ok(()),
    }
}

/// Whether a field is an entry of a map, which is kept as one field `MAP.KEY` for each entry.
fn is_entry_of(present: &str, map: &str) -> bool {
    present.strip_prefix(map).is_some_and(|rest| rest.starts_with('.'))
}

/// The Python type of what the stored document has under this name, or `tensor`; `None` if it has nothing. An update
/// must not change it: Marqo makes it a condition of the update.
fn kind_of(document: &Document, name: &str) -> Option<&'static str> {
    let has_vector = document.facets.iter().any(|facet| facet.field == name);
    let is_sub_field =
        document.multimodal.values().any(|parameters| parameters["weights"].get(name).is_some());
    if has_vector || is_sub_field {
        return Some("tensor");
    }
    if document.fields.keys().any(|present| is_entry_of(present, name)) {
        return Some("dict");
    }
    document.fields.get(name).map(kind_of_value)
}

fn kind_of_value(value: &Value) -> &'static str {
    python::type_name(value)
}
