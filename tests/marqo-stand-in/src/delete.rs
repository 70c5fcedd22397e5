//! Marqo's deletion of documents by their ids: `POST /indexes/{index}/documents/delete-batch`.

use crate::fault::Fault;
use crate::http::Request;
use crate::reply::{Refusal, Reply};
use crate::rules::*;
use crate::session::Session;
use crate::{clock, ids};
use serde_json::{Value, json};
use std::time::SystemTime;

/// The most ids in a request, Marqo's default.
const LIMIT: usize = 10_000;

pub(crate) fn delete(session: &mut Session, request: &Request, name: &str) -> Result<Reply, Refusal> {
    let body = session.body(request)?;
    let Some(values) = body.as_array() else { return Err(Refusal::wrong_type(&[], "list")) };
    let mut met = Vec::new();
    let mut requested_ids = Vec::with_capacity(values.len());
    for id in values {
        match id {
            Value::String(id) => requested_ids.push(id.clone()),
            Value::Number(number) => {
                met.push(&DELETE_NUMBER);
                requested_ids.push(number.to_string());
            }
            _ => return Err(Refusal::wrong_type(&[], "str")),
        }
    }
    if requested_ids.is_empty() {
        return Err(Refusal::new(&DELETE_EMPTY, "doc_ids can't be empty!"));
    }
    if requested_ids.len() > LIMIT {
        let message = format!(
            "The number of documentIds to delete `{}` is greater than the limit `{LIMIT}` set by the env var \
             `MARQO_MAX_DELETE_DOCS_COUNT`. ",
            requested_ids.len()
        );
        return Err(Refusal::new(&DELETE_TOO_MANY, message));
    }
    if requested_ids.iter().any(String::is_empty) {
        return Err(Refusal::new(&DELETE_ID_EMPTY, "Document ID can't be empty"));
    }
    session.store.index(name)?;

    let started = SystemTime::now();
    let mut deleted = 0;
    let mut items = Vec::with_capacity(requested_ids.len());
    for id in &requested_ids {
        let reported = ids::reported(id);
        if let Some(Fault::Item { status, applied }) = session.decision.items.get(id) {
            met.push(&DELETE_ERROR);
            if *applied {
                session.store.remove(session.origin, name, &ids::kept(id));
            }
            items.push(json!({ "_id": reported, "status": status, "result": "error" }));
            continue;
        }
        if !session.store.remove(session.origin, name, &ids::kept(id)) {
            met.push(&DELETE_MISSING);
        }
        deleted += 1;
        items.push(json!({ "_id": reported, "status": 200, "result": "deleted" }));
    }
    let finished = SystemTime::now();
    let seconds = finished.duration_since(started).unwrap_or_default().as_secs_f64();
    let mut reply = Reply::json(json!({
        "index_name": name,
        "status": "succeeded",
        "type": "documentDeletion",
        "items": items,
        "details": { "receivedDocumentIds": requested_ids.len(), "deletedDocuments": deleted },
        "duration": format!("PT{seconds}S"),
        "startedAt": clock::iso(started),
        "finishedAt": clock::iso(finished),
    }));
    reply.met = met;
    Ok(reply)
}
