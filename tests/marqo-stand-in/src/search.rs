//! Marqo's search, `POST /indexes/{index}/search`, with as much as tests need to list documents: no ranking, and
//! filters by equality only.

use crate::add::{missing, unknown_key};
use crate::http::Request;
use crate::read::listed;
use crate::reply::{Refusal, Reply};
use crate::rules::*;
use crate::session::Session;
use serde_json::{Map, Value, json};

/// The most hits of a search, Marqo's default.
const LIMIT: u64 = 1_000;

/// The most that `limit` and `offset` add up to, Marqo's default.
const WINDOW: u64 = 10_000;

/// The keys that a request may have.
const KEYS: [&str; 24] = [
    "q",
    "searchableAttributes",
    "searchMethod",
    "limit",
    "offset",
    "efSearch",
    "approximate",
    "showHighlights",
    "reRanker",
    "filter",
    "attributesToRetrieve",
    "boost",
    "imageDownloadHeaders",
    "mediaDownloadHeaders",
    "context",
    "scoreModifiers",
    "modelAuth",
    "textQueryPrefix",
    "hybridParameters",
    "facets",
    "trackTotalHits",
    "rerankDepth",
    "language",
    "sortBy",
];

pub(crate) fn search(session: &mut Session, request: &Request, name: &str) -> Result<Reply, Refusal> {
    let body = session.body(request)?;
    let Some(body) = body.as_object() else { return Err(Refusal::wrong_type(&[], "dict")) };
    if let Some(key) = body.keys().find(|key| !KEYS.contains(&key.as_str())) {
        return Err(unknown_key(&BODY_UNKNOWN_KEY, key));
    }
    session.check_device(request)?;
    let query = body.get("q").ok_or_else(|| missing("q"))?;
    let (limit, offset) = (whole_number(body, "limit", 10)?, whole_number(body, "offset", 0)?);
    check_page(limit, offset)?;
    let wanted = match body.get("attributesToRetrieve").filter(|names| !names.is_null()) {
        None => None,
        Some(Value::Array(names)) => Some(names),
        Some(_) => return Err(Refusal::wrong_type(&["attributesToRetrieve"], "list")),
    };
    let filter = body.get("filter").and_then(Value::as_str).map(terms);
    let index = session.store.index(name)?;
    let mut hits = Vec::new();
    let found = listed(index).filter(|document| {
        is_found(document, query.as_str().unwrap_or("*"))
            && filter.as_ref().is_none_or(|terms| passes(document, terms))
    });
    for mut document in found.skip(offset as usize).take(limit as usize) {
        if let Some(wanted) = wanted {
            document.retain(|name, _| name == "_id" || wanted.iter().any(|wanted| is_wanted(wanted, name)));
        }
        document.insert("_score".to_owned(), json!(0.0));
        if body.get("showHighlights") != Some(&Value::Bool(false)) {
            document.insert("_highlights".to_owned(), json!([]));
        }
        hits.push(Value::Object(document));
    }
    let milliseconds = session.milliseconds();
    let answer = json!({ "hits": hits, "query": query, "limit": limit, "offset": offset, "processingTimeMs": milliseconds });
    let reply = Reply::json(answer).met(&SEARCH_ALL);
    Ok(if wanted.is_some() { reply.met(&SEARCH_ATTRIBUTES) } else { reply })
}

/// A whole number in the body.
fn whole_number(body: &Map<String, Value>, key: &str, default: u64) -> Result<u64, Refusal> {
    match body.get(key) {
        None => Ok(default),
        Some(value) => value.as_u64().ok_or_else(|| Refusal::wrong_type(&[key], "integer")),
    }
}

fn check_page(limit: u64, offset: u64) -> Result<(), Refusal> {
    if limit.saturating_add(offset) > WINDOW {
        let message = format!(
            "The search result limit + offset must be less than or equal to the MARQO_MAX_RETRIEVABLE_DOCS limit of \
             [{WINDOW}]. Marqo received search result limit of `{limit}` and offset of `{offset}`."
        );
        return Err(Refusal::new(&SEARCH_WINDOW, message));
    }
    if limit > LIMIT {
        let message = format!(
            "The search result limit must be less than or equal to the MARQO_MAX_SEARCH_LIMIT limit of [{LIMIT}]. Marqo \
             received search result limit of `{limit}`."
        );
        return Err(Refusal::new(&SEARCH_LIMIT, message));
    }
    Ok(())
}

/// Whether a field is one of `attributesToRetrieve`, or an entry of a map that is.
fn is_wanted(wanted: &Value, name: &str) -> bool {
    let Some(wanted) = wanted.as_str() else { return false };
    name == wanted || name.strip_prefix(wanted).is_some_and(|rest| rest.starts_with('.'))
}

/// Whether a query finds a document: `*` finds all, another text those that contain one of its words.
fn is_found(document: &Map<String, Value>, query: &str) -> bool {
    if query == "*" {
        return true;
    }
    let texts: Vec<String> = document.values().filter_map(Value::as_str).map(str::to_lowercase).collect();
    query.to_lowercase().split_whitespace().any(|word| texts.iter().any(|text| text.contains(word)))
}

/// Field and value of each condition `field:value` or `field:(value)` of a filter.
fn terms(filter: &str) -> Vec<(String, String)> {
    let parts = filter.split(" AND ").filter_map(|part| part.trim().split_once(':'));
    parts.map(|(field, value)| (field.to_owned(), value.trim_matches(['(', ')']).to_owned())).collect()
}

/// Whether a document fulfils all conditions of a filter.
fn passes(document: &Map<String, Value>, terms: &[(String, String)]) -> bool {
    terms.iter().all(|(field, wanted)| match document.get(field) {
        Some(Value::String(text)) => text == wanted,
        Some(Value::Array(members)) => members.iter().any(|member| member == wanted.as_str()),
        Some(Value::Bool(flag)) => wanted.parse() == Ok(*flag),
        Some(other) => other.as_f64().is_some_and(|number| wanted.parse() == Ok(number)),
        None => false,
    })
}
