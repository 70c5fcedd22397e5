//! The body of a request to add documents, checked as pydantic does, the library by which Marqo validates requests.

use crate::options::Version;
use crate::reply::Refusal;
use crate::rules::*;
use serde_json::{Map, Value};

/// The most documents in a request, Marqo's default.
pub(crate) const BATCH_LIMIT: usize = 128;

/// The keys that a body may have in all versions.
const KEYS: [&str; 9] = [
    "documents",
    "tensorFields",
    "useExistingTensors",
    "mappings",
    "modelAuth",
    "imageDownloadHeaders",
    "imageDownloadThreadCount",
    "mediaDownloadThreadCount",
    "textChunkPrefix",
];

/// Marqo's default for the number of threads that download media files.
const DEFAULT_THREADS: u64 = 20;

/// The parts of the body that the stand-in uses.
pub(crate) struct AddBody {
    pub(crate) documents: Vec<Value>,
    /// The fields that get vectors; `None` if the request does not say.
    pub(crate) tensor_fields: Option<Vec<String>>,
    /// Whether vectors of unchanged content are kept instead of made again.
    pub(crate) reuses_tensors: bool,
    /// Settings of some fields, by their names.
    pub(crate) mappings: Map<String, Value>,
}

/// Checks the body.
pub(crate) fn parse(version: Version, body: Value) -> Result<AddBody, Refusal> {
    let Value::Object(mut body) = body else { return Err(Refusal::wrong_type(&[], "dict")) };
    check_keys(version, &body)?;
    check_media_options(&body)?;
    let documents = match body.remove("documents") {
        Some(Value::Array(documents)) => documents,
        Some(_) => return Err(Refusal::wrong_type(&["documents"], "sequence")),
        None => return Err(missing("documents")),
    };
    if !version.is_old() && documents.iter().any(|document| !document.is_object()) {
        let message = "value is not a valid dict";
        return Err(Refusal::shape(&DOCUMENT_NOT_OBJECT_BATCH, &["documents"], message, "type_error.dict"));
    }
    let present = |key: &str| body.get(key).filter(|value| !value.is_null());
    let tensor_fields = match present("tensorFields") {
        None => None,
        Some(Value::Array(names)) => Some(names.iter().map(crate::python::text).collect()),
        Some(_) => return Err(Refusal::wrong_type(&["tensorFields"], "list")),
    };
    let reuses_tensors = match body.get("useExistingTensors") {
        None => false,
        Some(Value::Bool(reuses)) => *reuses,
        Some(_) => return Err(Refusal::wrong_type(&["useExistingTensors"], "boolean")),
    };
    let mappings = match present("mappings") {
        None => Map::new(),
        Some(Value::Object(mappings)) => mappings.clone(),
        Some(_) => return Err(Refusal::wrong_type(&["mappings"], "dict")),
    };
    if present("textChunkPrefix").is_some_and(|prefix| !prefix.is_string()) {
        return Err(Refusal::wrong_type(&["textChunkPrefix"], "str"));
    }
    check_model_auth(present("modelAuth"))?;
    check_count(documents.len())?;
    Ok(AddBody { documents, tensor_fields, reuses_tensors, mappings })
}

/// Refuses keys that the version of Marqo does not know.
fn check_keys(version: Version, body: &Map<String, Value>) -> Result<(), Refusal> {
    for key in body.keys().filter(|key| !KEYS.contains(&key.as_str())) {
        let rule = match (key.as_str(), version.is_old()) {
            ("batchVectorisationMode", true) | ("mediaDownloadHeaders", false) => continue,
            ("batchVectorisationMode", false) => &VECTORISATION_MODE_GONE,
            _ => &BODY_UNKNOWN_KEY,
        };
        return Err(unknown_key(rule, key));
    }
    match body.get("batchVectorisationMode").map(|mode| mode.as_str().unwrap_or_default()) {
        None | Some("per_field" | "per_document" | "per_batch") => Ok(()),
        Some(_) => Err(Refusal::wrong_type(&["batchVectorisationMode"], "enum")),
    }
}

/// Checks the options for the download of media files.
fn check_media_options(body: &Map<String, Value>) -> Result<(), Refusal> {
    for key in ["imageDownloadHeaders", "mediaDownloadHeaders"] {
        if body.get(key).is_some_and(|headers| !headers.is_object() && !headers.is_null()) {
            return Err(Refusal::wrong_type(&[key], "dict"));
        }
    }
    for key in ["imageDownloadThreadCount", "mediaDownloadThreadCount"] {
        if body.get(key).is_some_and(|count| !count.is_i64() && !count.is_null()) {
            return Err(Refusal::wrong_type(&[key], "integer"));
        }
    }
    let is_set = |key: &str| body.get(key).is_some_and(|value| !value.is_null());
    let changes_image_threads = body
        .get("imageDownloadThreadCount")
        .is_some_and(|count| !count.is_null() && count.as_u64() != Some(DEFAULT_THREADS));
    if is_set("mediaDownloadThreadCount") && changes_image_threads {
        let message = "Cannot set both imageDownloadThreadCount and mediaDownloadThreadCount";
        return Err(Refusal::shape(&THREAD_COUNTS_TWICE, &["__root__"], message, "value_error"));
    }
    let has_headers = |key: &str| body.get(key).and_then(Value::as_object).is_some_and(|map| !map.is_empty());
    if has_headers("imageDownloadHeaders") && has_headers("mediaDownloadHeaders") {
        let message = "Cannot set both imageDownloadHeaders and mediaDownloadHeaders. 'imageDownloadHeaders' is \
                       deprecated and will be removed in the future. Use mediaDownloadHeaders instead.";
        return Err(Refusal::shape(&MEDIA_HEADERS_TWICE, &["__root__"], message, "value_error"));
    }
    Ok(())
}

/// Checks the credentials for the store of models, S3 or Hugging Face.
fn check_model_auth(auth: Option<&Value>) -> Result<(), Refusal> {
    let Some(auth) = auth else { return Ok(()) };
    let Some(auth) = auth.as_object() else { return Err(Refusal::wrong_type(&["modelAuth"], "dict")) };
    let has_texts = |store: &Value, names: &[&str]| names.iter().all(|name| store[*name].is_string());
    let is_valid = match auth.iter().next() {
        Some((name, store)) if auth.len() == 1 => match name.as_str() {
            "s3" => has_texts(store, &["aws_access_key_id", "aws_secret_access_key"]),
            "hf" => has_texts(store, &["token"]),
            _ => false,
        },
        _ => false,
    };
    if is_valid {
        return Ok(());
    }
    Err(Refusal::new(&MODEL_AUTH_BAD, "ModelAuth requires exactly one of s3 or hf auth to be provided."))
}

/// Checks the number of documents.
fn check_count(count: usize) -> Result<(), Refusal> {
    if count == 0 {
        return Err(Refusal::new(&ADD_EMPTY, "Received empty add documents request"));
    }
    if count > BATCH_LIMIT {
        let message = format!(
            "Number of docs in add documents request ({count}) exceeds limit of {BATCH_LIMIT}. If using the Python \
             client, break up your `add_documents` request into smaller batches using its `client_batch_size` parameter."
        );
        return Err(Refusal::new(&ADD_TOO_MANY, message));
    }
    Ok(())
}

/// The refusal of a body without a required key.
pub(crate) fn missing(key: &str) -> Refusal {
    Refusal::shape(&BODY_WRONG_TYPE, &[key], "field required", "value_error.missing")
}

/// The refusal of a body with an unknown key.
pub(crate) fn unknown_key(rule: &'static Rule, key: &str) -> Refusal {
    Refusal::shape(rule, &[key], "extra fields not permitted", "value_error.extra")
}
