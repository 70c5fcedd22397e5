//! Marqo's reading of documents by their ids.

use crate::add::{check_id, missing};
use crate::fault::Fault;
use crate::http::Request;
use crate::index::{Document, Index, Missing};
use crate::reply::{Refusal, Reply, counted};
use crate::rules::*;
use crate::session::Session;
use crate::{ids, vespa};
use serde_json::{Map, Value, json};

/// The most ids in a request, Marqo's default.
const LIMIT: usize = 10_000;

/// `GET /indexes/{index}/documents/{id}`.
pub(crate) fn one(session: &mut Session, request: &Request, name: &str, id: &str) -> Result<Reply, Refusal> {
    session.store.index(name)?;
    check_vespa(session, id)?;
    let mut met = Vec::new();
    let shown = show(session, name, id, request.flag("expose_facets"), &mut met);
    let not_found = || Refusal::new(&GET_ONE_MISSING, format!("Document with ID {id} not found"));
    let mut reply = Reply::json(Value::Object(shown.ok_or_else(not_found)?));
    reply.met = met;
    Ok(reply)
}

/// `GET /indexes/{index}/documents` with a list of ids, and `POST …/get-batch` with an object.
pub(crate) fn many(session: &mut Session, request: &Request, name: &str) -> Result<Reply, Refusal> {
    let body = session.body(request)?;
    let ids = if request.method == "POST" { ids_of_batch(&body)? } else { ids_of_list(&body)? };
    session.store.index(name)?;
    if ids.len() > LIMIT {
        let message = format!(
            "{} documents were requested, which is more than the allowed limit of [{LIMIT}], set by the environment \
             variable `MARQO_MAX_RETRIEVABLE_DOCS`",
            ids.len()
        );
        return Err(Refusal::new(&GET_TOO_MANY, message));
    }
    let exposes_facets = request.flag("expose_facets");
    let mut met = Vec::new();
    let mut results = Vec::with_capacity(ids.len());
    for id in ids {
        let id = match check_id(id) {
            Ok(id) => id,
            Err((_, message)) => {
                met.push(&GET_ID_BAD);
                results.push(json!({ "_id": id, "status": 400, "message": message }));
                continue;
            }
        };
        check_vespa(session, id)?;
        match show(session, name, id, exposes_facets, &mut met) {
            Some(mut shown) => {
                shown.insert("_found".to_owned(), json!(true));
                results.push(Value::Object(shown));
            }
            None => {
                met.push(&GET_MISSING);
                let id = ids::reported(id);
                results.push(json!({ "_id": id, "status": 404, "message": vespa::MISSING, "_found": false }));
            }
        }
    }
    let has_errors = results.iter().any(|result| result["_found"] != true);
    let mut reply = counted(Reply::json(json!({ "errors": has_errors, "results": results })), &results);
    reply.met.extend(met);
    Ok(reply)
}

/// The ids in a body that is a list.
fn ids_of_list(body: &Value) -> Result<&[Value], Refusal> {
    let Some(ids) = body.as_array() else { return Err(Refusal::wrong_type(&[], "list")) };
    if ids.is_empty() {
        return Err(Refusal::new(&GET_EMPTY, "Can't get empty collection of IDs!"));
    }
    Ok(ids)
}

/// The ids in a body `{"documentIds": [...]}`.
fn ids_of_batch(body: &Value) -> Result<&[Value], Refusal> {
    let Some(members) = body.as_object() else { return Err(Refusal::wrong_type(&[], "dict")) };
    if let Some(key) = members.keys().find(|key| *key != "documentIds") {
        return Err(crate::add::unknown_key(&BODY_UNKNOWN_KEY, key));
    }
    let Some(ids) = members.get("documentIds") else { return Err(missing("documentIds")) };
    let Some(ids) = ids.as_array().filter(|ids| ids.iter().all(Value::is_string)) else {
        return Err(Refusal::wrong_type(&["documentIds"], "list"));
    };
    if ids.is_empty() {
        let message = "ensure this value has at least 1 items";
        return Err(Refusal::shape(
            &GET_BATCH_EMPTY,
            &["documentIds"],
            message,
            "value_error.list.min_items",
        ));
    }
    Ok(ids)
}

/// Refuses the whole request if a fault has Vespa (the search engine that keeps the documents) fail for this id.
fn check_vespa(session: &Session, id: &str) -> Result<(), Refusal> {
    match session.decision.items.get(id) {
        Some(Fault::Item { status, .. }) => {
            Err(Refusal::new(&GET_VESPA_ERROR, format!("Vespa answered {status}")))
        }
        _ => Ok(()),
    }
}

/// The document as a client reads it, with facets (parts of tensor fields with their vectors) if it asks for them;
/// `None` if there is no such document.
fn show(
    session: &mut Session,
    name: &str,
    id: &str,
    exposes_facets: bool,
    met: &mut Vec<&'static Rule>,
) -> Option<Map<String, Value>> {
    let index = session.store.indexes.get_mut(name)?;
    let dimension = index.dimension;
    let document = index.documents.get_mut(&ids::kept(id))?;
    let mut shown = document.fields.clone();
    shown.insert("_id".to_owned(), Value::String(document.id.clone()));
    if exposes_facets {
        met.push(&FACETS);
        count_read(document);
        if !document.multimodal.is_empty() {
            shown.insert("multimodal_params".to_owned(), Value::Object(document.multimodal.clone()));
        }
        shown.insert("_tensor_facets".to_owned(), facets(document, dimension));
    }
    Some(shown)
}

/// Counts a read of a document with missing facets, which are there after a number of reads.
fn count_read(document: &mut Document) {
    match &mut document.missing {
        Some(Missing { reads: Some(0), .. }) => document.missing = None,
        Some(Missing { reads: Some(reads), .. }) => *reads -= 1,
        _ => {}
    }
}

/// The facets as a client reads them.
fn facets(document: &Document, dimension: usize) -> Value {
    let shown = document.facets_present();
    shown.map(|facet| json!({ &facet.field: facet.chunk, "_embedding": facet.vector(dimension) })).collect()
}

/// All documents of an index as a search shows them.
pub(crate) fn listed(index: &Index) -> impl Iterator<Item = Map<String, Value>> + '_ {
    index.documents.values().map(|document| {
        let mut shown = document.fields.clone();
        shown.insert("_id".to_owned(), Value::String(document.id.clone()));
        shown
    })
}
