//! Builds the HTTP requests of Marqo's API.

use super::{client::Request, payload::Payload, server_info::ServerInfo, settings::IndexSettings};
use reqwest::Method;
use serde_json::{Value, json};

fn request(method: Method, path: &[&str], body: Option<Vec<u8>>) -> Request {
    let path = path.iter().map(|segment| (*segment).to_owned()).collect();
    Request { method, path, query: None, body }
}

/// Adds or replaces documents.
pub(super) fn add<'a>(
    index: &str,
    settings: &IndexSettings,
    server_info: &ServerInfo,
    documents: impl Iterator<Item = &'a Payload<'a>> + Clone,
) -> Request {
    let mut head = json!({ "useExistingTensors": settings.use_existing_tensors });
    if !server_info.is_structured {
        // Required by an unstructured index; a structured one has its own and refuses them.
        head["tensorFields"] = json!(settings.tensor_fields);
    }
    if !settings.mappings.is_empty() {
        head["mappings"] = settings.mappings.clone().into();
    }
    if !settings.media_download_headers.is_empty() {
        // The key was renamed in 2.14.
        let name = if server_info.is_before(2, 14) { "imageDownloadHeaders" } else { "mediaDownloadHeaders" };
        head[name] = settings.media_download_headers.clone().into();
    }
    let body = with_documents(&head, documents);
    request(Method::POST, &["indexes", index, "documents"], Some(body))
}

/// Changes fields of documents.
pub(super) fn update<'a>(index: &str, documents: impl Iterator<Item = &'a Payload<'a>> + Clone) -> Request {
    let body = with_documents(&json!({}), documents);
    request(Method::PATCH, &["indexes", index, "documents"], Some(body))
}

/// The object `head` with one more member, `documents`. Their JSON is copied, not serialized again.
fn with_documents<'a>(head: &Value, documents: impl Iterator<Item = &'a Payload<'a>> + Clone) -> Vec<u8> {
    let head = head.to_string();
    // 20 bytes for the member's name and brackets.
    let capacity = documents.clone().map(|document| document.json.len() + 1).sum::<usize>() + head.len() + 20;
    let mut body = Vec::with_capacity(capacity);
    body.extend_from_slice(&head.as_bytes()[..head.len() - 1]);
    if body.len() > 1 {
        body.push(b',');
    }
    body.extend_from_slice(br#""documents":["#);
    for (index, document) in documents.enumerate() {
        if index > 0 {
            body.push(b',');
        }
        body.extend_from_slice(document.json);
    }
    body.extend_from_slice(b"]}");
    body
}

/// Removes documents.
pub(super) fn delete<'a>(index: &str, ids: impl Iterator<Item = &'a str>) -> Request {
    let body = json!(ids.collect::<Vec<_>>()).to_string().into_bytes();
    request(Method::POST, &["indexes", index, "documents", "delete-batch"], Some(body))
}

/// Reads documents. By POST where the server can, because some proxies drop the body of a GET. With facets, the answer
/// has the documents' vectors as well.
pub(super) fn get(index: &str, ids: &[&str], by_post: bool, with_facets: bool) -> Request {
    let mut get = if by_post {
        let body = json!({ "documentIds": ids }).to_string().into_bytes();
        request(Method::POST, &["indexes", index, "documents", "get-batch"], Some(body))
    } else {
        let body = json!(ids).to_string().into_bytes();
        request(Method::GET, &["indexes", index, "documents"], Some(body))
    };
    get.query = with_facets.then_some("expose_facets=true");
    get
}

/// Lists a page of ids, by a search that finds everything.
pub(super) fn list(index: &str, offset: usize, limit: usize) -> Request {
    let body = json!({
        "q": "*", "searchMethod": "LEXICAL", "limit": limit, "offset": offset,
        "attributesToRetrieve": ["_id"], "showHighlights": false,
    });
    let body = body.to_string().into_bytes();
    request(Method::POST, &["indexes", index, "search"], Some(body))
}

/// Counts documents.
pub(super) fn stats(index: &str) -> Request {
    request(Method::GET, &["indexes", index, "stats"], None)
}

/// The server's settings of an index.
pub(super) fn settings(index: &str) -> Request {
    request(Method::GET, &["indexes", index, "settings"], None)
}

/// The health of an index.
pub(super) fn health(index: &str) -> Request {
    request(Method::GET, &["indexes", index, "health"], None)
}

/// The server's version.
pub(super) fn version() -> Request {
    request(Method::GET, &[], None)
}

/// Marqo Cloud's indexes and their addresses.
pub(super) fn list_indexes() -> Request {
    request(Method::GET, &["api", "v2", "indexes"], None)
}
