//! How Marqo translates the answers that Vespa, the search engine that keeps its documents, gives for single documents.

use crate::options::Version;
use crate::rules::*;

/// Marqo's message about a document that does not exist.
pub(crate) const MISSING: &str = "Document does not exist in the index";
/// Marqo's message about a document whose update Vespa refused.
pub(crate) const NOT_UPDATED: &str = "Marqo vector store couldn't update the document. Please see: \
                                      https://docs.marqo.ai/latest/reference/api/documents/update-documents/#response for more details";

/// Rule, status and message of the item that a failed answer of Vespa becomes.
pub(crate) fn translated(version: Version, status: u16) -> (&'static Rule, u16, String) {
    let [receive, return_] =
        if version.is_old() { ["receives", "returns"] } else { ["received", "returned"] };
    match status {
        429 => {
            let message = format!("Marqo vector store {receive} too many requests. Please try again later");
            (&ITEM_THROTTLED, 429, message)
        }
        507 => (&ITEM_OUT_OF_SPACE, 400, "Marqo vector store is out of memory or disk space".to_owned()),
        500 => {
            let message = format!("Marqo vector store {return_} an unexpected error with this document");
            (&ITEM_ERROR, 500, message)
        }
        other => {
            (&ITEM_OTHER, other, format!("Marqo vector store {return_} status {other} for this document"))
        }
    }
}
