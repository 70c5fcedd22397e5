//! Marqo's calls about indexes (create, delete, list, settings, statistics) and about the server itself.

use crate::add::unknown_key;
use crate::http::Request;
use crate::index::{FieldKind, Index};
use crate::names;
use crate::reply::{Refusal, Reply};
use crate::rules::*;
use crate::session::Session;
use serde_json::{Map, Value, json};

/// The settings that a new index may have.
const KEYS: [&str; 23] = [
    "type",
    "model",
    "modelProperties",
    "normalizeEmbeddings",
    "textPreprocessing",
    "imagePreprocessing",
    "videoPreprocessing",
    "audioPreprocessing",
    "vectorNumericType",
    "annParameters",
    "textQueryPrefix",
    "textChunkPrefix",
    "treatUrlsAndPointersAsImages",
    "treatUrlsAndPointersAsMedia",
    "filterStringMaxLength",
    "collapseFields",
    "allFields",
    "tensorFields",
    // Settings of Marqo Cloud, the hosted product, only.
    "inferenceType",
    "storageClass",
    "numberOfInferences",
    "numberOfShards",
    "numberOfReplicas",
];

pub(crate) fn root(session: &Session) -> Reply {
    Reply::json(json!({ "message": "Welcome to Marqo", "version": session.version.to_string() }))
}

pub(crate) fn health(session: &Session, name: &str) -> Result<Reply, Refusal> {
    if !name.is_empty() {
        session.store.index(name)?;
    }
    Ok(Reply::json(json!({
        "status": "green",
        "inference": { "status": "green" },
        "backend": { "status": "green", "memoryIsAvailable": true, "storageIsAvailable": true },
    })))
}

pub(crate) fn list(session: &Session) -> Reply {
    let results: Vec<Value> = session.store.indexes.keys().map(|name| json!({ "indexName": name })).collect();
    Reply::json(json!({ "results": results }))
}

/// The list of indexes as Marqo Cloud returns it.
pub(crate) fn list_of_cloud(session: &Session) -> Reply {
    let entry = |name| json!({ "indexName": name, "indexStatus": "READY", "marqoEndpoint": session.url });
    let results: Vec<Value> = session.store.indexes.keys().map(entry).collect();
    Reply::json(json!({ "results": results })).met(&CLOUD_INDEXES)
}

/// The status of an index as Marqo Cloud returns it.
pub(crate) fn status_of_cloud(session: &Session, name: &str) -> Result<Reply, Refusal> {
    session.store.index(name).map(|_| Reply::json(json!({ "indexStatus": "READY" })))
}

pub(crate) fn stats(session: &Session, name: &str) -> Result<Reply, Refusal> {
    let index = session.store.index(name)?;
    Ok(Reply::json(json!({
        "numberOfDocuments": index.documents.len(),
        "numberOfVectors": index.vectors(),
        "backend": { "memoryUsedPercentage": 1.0, "storageUsedPercentage": 1.0 },
    })))
}

pub(crate) fn settings(session: &Session, name: &str) -> Result<Reply, Refusal> {
    session.store.index(name).map(|index| Reply::json(index.settings.clone()))
}

pub(crate) fn delete(session: &mut Session, name: &str) -> Result<Reply, Refusal> {
    session.store.index(name)?;
    session.store.indexes.remove(name);
    Ok(Reply::json(json!({ "acknowledged": true })))
}

pub(crate) fn create(session: &mut Session, request: &Request, name: &str) -> Result<Reply, Refusal> {
    let settings = match request.body.is_empty() {
        true => Map::new(),
        false => match session.body(request)? {
            Value::Object(settings) => settings,
            _ => return Err(Refusal::wrong_type(&[], "dict")),
        },
    };
    let settings = &settings;
    check_keys(settings)?;
    names::check_index(name).map_err(|message| Refusal::new(&INDEX_NAME, message))?;
    check_values(session, settings).map_err(|message| Refusal::new(&INDEX_SETTING, message))?;
    if session.store.indexes.contains_key(name) {
        return Err(Refusal::new(&INDEX_EXISTS, format!("Index {name} already exists")));
    }
    let index = Index::from_settings(name, session.version, settings);
    session.store.indexes.insert(name.to_owned(), index);
    Ok(Reply::json(json!({ "acknowledged": true, "index": name })))
}

/// Refuses settings that Marqo does not know.
fn check_keys(settings: &Map<String, Value>) -> Result<(), Refusal> {
    let Some(key) = settings.keys().find(|key| !KEYS.contains(&key.as_str())) else { return Ok(()) };
    let rule = if key.contains('_') { &INDEX_KEY } else { &BODY_UNKNOWN_KEY };
    Err(unknown_key(rule, key))
}

/// Says what is wrong with the settings of an index.
fn check_values(session: &Session, settings: &Map<String, Value>) -> Result<(), String> {
    let is_structured = match settings.get("type").and_then(Value::as_str) {
        Some("structured") => true,
        None | Some("unstructured") => false,
        Some(other) => return Err(format!("Invalid index type: {other}")),
    };
    let settings_of_other_kind: &[&str] = if is_structured {
        &[
            "treatUrlsAndPointersAsImages",
            "treatUrlsAndPointersAsMedia",
            "filterStringMaxLength",
            "collapseFields",
        ]
    } else {
        &["allFields", "tensorFields"]
    };
    let kind = if is_structured { "structured" } else { "unstructured" };
    if let Some(key) = settings
        .iter()
        .find(|(key, value)| settings_of_other_kind.contains(&key.as_str()) && !value.is_null())
    {
        return Err(format!("{} cannot be specified for a {kind} index", key.0));
    }
    if settings.contains_key("collapseFields") && session.version.is_old() {
        return Err("collapseFields is not a setting of this version".to_owned());
    }
    if is_structured { check_fields(settings) } else { Ok(()) }
}

/// Says what is wrong with the fields of a structured index.
fn check_fields(settings: &Map<String, Value>) -> Result<(), String> {
    let list = |key: &str| settings.get(key).and_then(Value::as_array).ok_or(format!("{key} must be a list"));
    let (fields, tensor_fields) = (list("allFields")?, list("tensorFields")?);
    for field in fields {
        let name = field["name"].as_str().ok_or("a field has no name")?;
        names::check_structured(name).map_err(|(_, message)| message)?;
        let kind = field["type"].as_str().and_then(FieldKind::parse);
        let kind = kind.ok_or_else(|| format!("{name}: {} is not a type", field["type"]))?;
        let is_tensor_field = tensor_fields.iter().any(|tensor_field| tensor_field == name);
        if matches!(kind, FieldKind::Multimodal | FieldKind::CustomVector) && !is_tensor_field {
            return Err(format!("Field '{name}' has type {} and must be a tensor field.", field["type"]));
        }
        if kind == FieldKind::Multimodal && !field["dependentFields"].is_object() {
            return Err(format!(
                "{name}: dependentFields must be defined for a field of type multimodal_combination"
            ));
        }
    }
    for tensor_field in tensor_fields {
        if !fields.iter().any(|field| field["name"] == *tensor_field) {
            return Err(format!("Tensor field {tensor_field} is not a defined field"));
        }
    }
    Ok(())
}
