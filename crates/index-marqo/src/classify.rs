//! Classifies answers: the one function that says what any answer of a Marqo server means. An item is the part of an
//! answer about one document.
//!
//! | observed | class | consequence |
//! | --- | --- | --- |
//! | 200 that can be read | `Done` | each item is judged for itself |
//! | connection refused, name not found, TLS, connect timeout | `NotSent` | the other endpoint at once |
//! | timeout, reset, answer cut or not JSON, 408, 5xx | `Unknown` | read back, send again what is missing |
//! | 429, 503 | `Throttled` | wait, fewer requests at once; no attempt counted |
//! | 409 | `Busy` | wait, try again, 9 times in all, then stop |
//! | 413, 400 with the limit of documents | `TooLarge` | smaller batches from now on |
//! | 500 `backend_data_parsing_error`, other 400, 422 | `Refused` | halve until the bad document is alone |
//! | 401, 403, 404, 405, 3xx | `Misconfigured` | stop: an operator must act |
//! | 400 about `tensorFields`, `mappings` or the model, 422 about a key | `Misconfigured` | stop: no document is to blame |
//! | item 200 | `Done` | |
//! | item 429, 503 | `Throttled` | as above, for this document |
//! | item 409, other 5xx | `Unknown` | as above, for this document |
//! | item 400 of a media download; update: 404, 400 "couldn't update" | `Retryable` | 3 times, then refused |
//! | item 400 "out of memory or disk space" | `Misconfigured` | stop: the server is full |
//! | any other item | `Refused` | failed, with the server's message |

use super::{
    client::{Answer, TransportError},
    operation::Operation,
    response::{Refusal, excerpt},
};
use serde_json::Value;

/// The class of an answer: what follows from it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum AnswerClass {
    /// Done. Of a request: its items say what became of each document.
    Done,
    /// The server never got it.
    NotSent,
    /// It may have been done.
    Unknown,
    /// Not done: too much at once.
    Throttled,
    /// Not done: the server is changing the schema of the index for another request.
    Busy,
    /// Not done: too many documents or bytes; how many documents are allowed, if the server says so.
    TooLarge { limit: Option<usize> },
    /// Not done, however often it is tried.
    Refused,
    /// Not done, but may be accepted later.
    Retryable,
    /// Nothing will be done before an operator acts.
    Misconfigured { advice: &'static str },
}

/// What was observed of a request or an item.
#[derive(Clone, Copy, Debug)]
pub(super) enum Observed<'a> {
    /// No whole answer.
    TransportError(&'a TransportError),
    /// A status and what the body says.
    Answer { status: u16, refusal: &'a Refusal },
    /// A 2xx whose body is not what was expected.
    Unreadable,
    /// An item of an answer.
    Item { operation: Operation, status: u16, refusal: &'a Refusal },
}

/// What follows from an observation, by the table above.
pub(super) fn classify(observed: Observed<'_>) -> AnswerClass {
    match observed {
        Observed::TransportError(TransportError { maybe_sent: false, .. }) => AnswerClass::NotSent,
        Observed::TransportError(TransportError { maybe_sent: true, .. }) | Observed::Unreadable => {
            AnswerClass::Unknown
        }
        Observed::Answer { status, refusal } => of_answer(status, refusal),
        Observed::Item { operation, status, refusal } => of_item(operation, status, refusal),
    }
}

// What an operator can do.
const CHECK_KEY: &str = "give the index's settings an API key that may write to it: `host settings put INDEX --api-key-file FILE`";
const CHECK_INDEX: &str = "create the index on the server, or name another one";
const CHECK_ENDPOINT: &str =
    "point the endpoint of the index's settings to a Marqo server: `host settings put INDEX --endpoint URL`";
const CHECK_FIELDS: &str = "correct the index's settings, with --mappings if these are wrong: `host settings put INDEX --tensor-field FIELD`";
const CHECK_VERSION: &str =
    "this server cannot update documents of this index; send them whole, or use a newer server";
const CHECK_MODEL: &str = "make sure that the server can load the model of the index";
const CHECK_SERVER: &str = "this server does not support host's requests; use Marqo 2.13 or newer";
const CHECK_SPACE: &str = "give the server more memory or disk";

fn of_answer(status: u16, refusal: &Refusal) -> AnswerClass {
    let code = refusal.code.as_deref();
    match status {
        200..=299 => AnswerClass::Done,
        429 | 503 => AnswerClass::Throttled,
        409 => AnswerClass::Busy,
        413 => AnswerClass::TooLarge { limit: None },
        401 | 403 => AnswerClass::Misconfigured { advice: CHECK_KEY },
        404 if code == Some("index_not_found") => AnswerClass::Misconfigured { advice: CHECK_INDEX },
        300..=399 | 404 | 405 => AnswerClass::Misconfigured { advice: CHECK_ENDPOINT },
        408 => AnswerClass::Unknown,
        500 if code == Some("backend_data_parsing_error") => AnswerClass::Refused,
        400 if code == Some("backend_communication_error") => AnswerClass::Unknown,
        400 => of_bad_request(&refusal.message),
        422 if is_about_a_key(&refusal.message) => AnswerClass::Misconfigured { advice: CHECK_SERVER },
        500.. => AnswerClass::Unknown,
        _ => AnswerClass::Refused,
    }
}

fn of_bad_request(message: &str) -> AnswerClass {
    if let Some(limit) = document_limit(message) {
        return AnswerClass::TooLarge { limit: Some(limit) };
    }
    let is_about = |part: &str| message.contains(part);
    if is_about("Partial document update is not supported") {
        return AnswerClass::Misconfigured { advice: CHECK_VERSION };
    }
    if is_about("Problem vectorising") {
        return AnswerClass::Misconfigured { advice: CHECK_MODEL };
    }
    // A wrong custom vector is invalid too, but is reported as JSON text that mentions none of these.
    let of_fields =
        ["tensor_fields must be", "specify 'tensorFields'", "cannot be a tensor field", "mappings object"];
    if of_fields.into_iter().any(is_about) {
        return AnswerClass::Misconfigured { advice: CHECK_FIELDS };
    }
    AnswerClass::Refused
}

/// Whether a 422 is about a key of the request, as in `{"detail": [{"loc": ["body", "mappings"], …}]}`: the key is the
/// same for all documents. If it is about the documents, one of them, or the whole body (`__root__`), a document may be
/// to blame.
fn is_about_a_key(detail: &str) -> bool {
    let Ok(detail) = serde_json::from_str::<Value>(detail) else { return false };
    let key = detail[0]["loc"][1].as_str();
    key.is_some_and(|key| !["documents", "__root__"].contains(&key))
}

/// The limit in a message such as `Number of docs in add documents request (200) exceeds limit of 128.`
fn document_limit(message: &str) -> Option<usize> {
    let (before, after) = message.split_once("exceeds limit of ")?;
    let digits = after.find(|c: char| !c.is_ascii_digit()).map_or(after, |end| &after[..end]);
    before.contains("Number of docs").then(|| digits.parse().ok()).flatten()
}

fn of_item(operation: Operation, status: u16, refusal: &Refusal) -> AnswerClass {
    let text = refusal.message.as_str();
    match status {
        200..=299 => AnswerClass::Done,
        429 | 503 => AnswerClass::Throttled,
        409 | 500.. => AnswerClass::Unknown,
        400 if text.contains("out of memory or disk space") => {
            AnswerClass::Misconfigured { advice: CHECK_SPACE }
        }
        400 if operation == Operation::Add && is_media_download(text) => AnswerClass::Retryable,
        400 if is_refused_update(operation, refusal) => AnswerClass::Retryable,
        404 if operation == Operation::Update => AnswerClass::Retryable,
        _ => AnswerClass::Refused,
    }
}

/// Whether it is the one message that servers use for a missing document, a field of another type and a lost race.
pub(super) fn is_refused_update(operation: Operation, refusal: &Refusal) -> bool {
    operation == Operation::Update && refusal.message.contains("couldn't update the document")
}

/// Whether the server could not download an image. Only the text says so: the status is that of a bad value, and newer
/// servers pass on the message of the component that computes vectors.
fn is_media_download(text: &str) -> bool {
    let text = text.to_lowercase();
    ["process the media file", "error downloading", "failed to download", "timed out"]
        .into_iter()
        .any(|part| text.contains(part))
}

/// The answer, or the error in its place, for messages and logs.
pub(super) fn detail(answer: &Result<Answer, TransportError>) -> String {
    match answer {
        Err(error) => error.message.clone(),
        Ok(answer) => format!("{} {}", answer.status, excerpt(&answer.body)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(code: Option<&str>, message: &str) -> Refusal {
        Refusal { code: code.map(str::to_owned), message: message.to_owned() }
    }

    #[test]
    fn whole_answers_are_classified_as_the_table_says() {
        use AnswerClass::{Busy, Done, Refused, Throttled, TooLarge, Unknown};
        let misconfigured = |advice| AnswerClass::Misconfigured { advice };
        for (status, code, message, expected) in [
            (200, None, "", Done),
            (302, None, "", misconfigured(CHECK_ENDPOINT)),
            (400, Some("bad_request"), "Received empty add documents request", Refused),
            (
                400,
                Some("bad_request"),
                "Number of docs in add documents request (200) exceeds limit of 128. If using the Python client, …",
                TooLarge { limit: Some(128) },
            ),
            (
                400,
                Some("bad_request"),
                "Index shop has 100 lexical fields. Your request to add x as a lexical field is rejected since it \
                 exceeds the limit of 100. Please set a larger limit in MARQO_MAX_LEXICAL_FIELD_COUNT_UNSTRUCTURED …",
                Refused,
            ),
            (
                400,
                Some("bad_request"),
                "tensor_fields must be explicitly provided as a list",
                misconfigured(CHECK_FIELDS),
            ),
            (400, Some("bad_request"), "`_id` field cannot be a tensor field.", misconfigured(CHECK_FIELDS)),
            (
                400,
                Some("invalid_argument"),
                "Cannot specify 'tensorFields' when adding documents to a structured index.",
                misconfigured(CHECK_FIELDS),
            ),
            (
                400,
                Some("invalid_argument"),
                "Error validating mappings object. Reason: x",
                misconfigured(CHECK_FIELDS),
            ),
            (
                400,
                Some("bad_request"),
                "Partial document update is not supported for unstructured indexes.",
                misconfigured(CHECK_VERSION),
            ),
            (400, Some("invalid_argument"), r#"[{"loc": ["__root__"], "msg": "wrong dimension"}]"#, Refused),
            (
                400,
                Some("bad_request"),
                "Problem vectorising query. Reason: Could not find model properties for model=x",
                misconfigured(CHECK_MODEL),
            ),
            (400, Some("invalid_document_id"), "", Refused),
            (400, Some("illegal_requested_doc_count"), "", Refused),
            (400, Some("backend_communication_error"), "", Unknown),
            (401, None, "Unauthorized", misconfigured(CHECK_KEY)),
            (403, None, "<html>", misconfigured(CHECK_KEY)),
            (404, Some("index_not_found"), "", misconfigured(CHECK_INDEX)),
            (404, None, "Not Found", misconfigured(CHECK_ENDPOINT)),
            (405, None, "Method Not Allowed", misconfigured(CHECK_ENDPOINT)),
            (408, None, "", Unknown),
            (409, Some("operation_conflict_error"), "", Busy),
            (409, None, "<html>", Busy),
            (413, None, "<html>", TooLarge { limit: None }),
            (422, Some("unprocessable_entity"), "", Refused),
            (422, Some("unprocessable_entity"), r#"[{"loc": ["body", "documents", 3]}]"#, Refused),
            (422, Some("unprocessable_entity"), r#"[{"loc": ["body", 77]}]"#, Refused),
            (422, Some("unprocessable_entity"), r#"[{"loc": ["__root__"]}]"#, Refused),
            (
                422,
                Some("unprocessable_entity"),
                r#"[{"loc": ["__root__", "mediaDownloadHeaders"]}]"#,
                misconfigured(CHECK_SERVER),
            ),
            (422, None, "<html>", Refused),
            (429, Some("too_many_requests"), "", Throttled),
            (429, None, "<html>", Throttled),
            (500, None, "", Unknown),
            (500, None, "Internal Server Error", Unknown),
            (500, Some("internal"), "", Unknown),
            (500, Some("backend_communication_error"), "", Unknown),
            (500, Some("backend_data_parsing_error"), "", Refused),
            (502, None, "<html>", Unknown),
            (503, Some("service_unavailable"), "", Throttled),
            (503, None, "<html>", Throttled),
            (504, Some("vector_store_timeout"), "", Unknown),
            (504, None, "<html>", Unknown),
        ] {
            let refusal = refusal(code, message);
            let observed = Observed::Answer { status, refusal: &refusal };
            assert_eq!(classify(observed), expected, "{status} {code:?} {message}");
        }
    }

    #[test]
    fn items_are_classified_as_the_table_says() {
        use AnswerClass::{Done, Refused, Retryable, Throttled, Unknown};
        use Operation::{Add, Delete, Update};
        let media = "Could not process the media file found at `https://x/y.jpg`. Reason: 404";
        let update = "Marqo vector store couldn't update the document. Please see: …";
        let full = "Marqo vector store is out of memory or disk space";
        for (operation, status, code, message, expected) in [
            (Add, 200, None, "", Done),
            (Add, 400, Some("doc_too_large"), "", Refused),
            (Add, 400, Some("invalid_document_id"), "", Refused),
            (Add, 400, Some("invalid_field_name"), "", Refused),
            (Add, 400, Some("invalid_argument"), "Field content `None` …", Refused),
            (Add, 400, Some("invalid_argument"), media, Retryable),
            (Add, 400, Some("vespa_error"), "The document contains invalid characters", Refused),
            (Add, 400, Some("vespa_error"), full, AnswerClass::Misconfigured { advice: CHECK_SPACE }),
            (Add, 409, Some("vespa_error"), "", Unknown),
            (Add, 429, Some("vespa_error"), "", Throttled),
            (Add, 500, Some("vespa_error"), "", Unknown),
            (Update, 200, None, "", Done),
            (Update, 400, None, update, Retryable),
            (Update, 400, None, "unknown field", Refused),
            (Update, 400, None, media, Refused),
            (Update, 404, None, "Document does not exist in the index", Retryable),
            (Update, 500, None, "", Unknown),
            (Delete, 200, None, "", Done),
            (Delete, 404, None, "", Refused),
            (Delete, 429, None, "", Throttled),
            (Delete, 503, None, "", Throttled),
            (Delete, 500, None, "", Unknown),
        ] {
            let refusal = refusal(code, message);
            let observed = Observed::Item { operation, status, refusal: &refusal };
            assert_eq!(classify(observed), expected, "{operation:?} {status} {code:?} {message}");
        }
    }

    #[test]
    fn a_request_without_an_answer_is_unknown_unless_it_was_never_sent() {
        let error = |maybe_sent| TransportError { maybe_sent, message: String::new() };
        assert_eq!(classify(Observed::TransportError(&error(false))), AnswerClass::NotSent);
        assert_eq!(classify(Observed::TransportError(&error(true))), AnswerClass::Unknown);
        assert_eq!(classify(Observed::Unreadable), AnswerClass::Unknown);
    }
}
