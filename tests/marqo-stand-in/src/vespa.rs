//! What the server makes of Vespa's answers about single documents.

use crate::options::Version;
use crate::rules::*;

pub(crate) const MISSING: &str = "Document does not exist in the index";
pub(crate) const NOT_UPDATED: &str = "Marqo vector store couldn't update the document. Please see: \
                                      https://docs.marqo.ai/latest/reference/api/documents/update-documents/#response for more details";

/// The item that a failed answer of Vespa becomes: rule, status, message.
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
