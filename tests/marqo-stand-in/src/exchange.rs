//! The entries of the stand-in's log of requests, which tests read.

use crate::fault::Fault;
use crate::operation::Operation;
use serde::Serialize;
use serde_json::Value;

/// A request and what became of it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Exchange {
    /// Counts requests in the order in which they arrived, from 1.
    pub number: u64,
    /// What the request asks for.
    pub operation: Operation,
    /// The index that it names; empty if it names none.
    pub index: String,
    /// The ids of its documents as sent; documents whose `_id` is not a text are left out.
    pub ids: Vec<String>,
    /// HTTP status of the answer; `None` as long as there is none.
    pub status: Option<u16>,
    /// The items of the answer, if the client got one that it can read.
    pub items: Vec<ItemOutcome>,
    /// The fault (a failure that a test asked for) that replaced or spoiled the answer; `None` if none did.
    pub fault: Option<Fault>,
    /// When it arrived, in milliseconds since the start of the stand-in.
    pub arrived_ms: f64,
    /// How many milliseconds it took; `None` until it ends.
    pub took_ms: Option<f64>,
}

/// The answer about one document.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ItemOutcome {
    /// The document's id as answered; empty if the answer has none.
    pub id: String,
    /// The status of the item as answered.
    pub status: u16,
}

/// The items of the answer to an add, a PATCH or a delete.
pub(crate) fn outcomes(answer: &Value) -> Vec<ItemOutcome> {
    let items = answer["items"].as_array().into_iter().flatten();
    let outcome = |item: &Value| ItemOutcome {
        id: item["_id"].as_str().unwrap_or_default().to_owned(),
        status: item["status"].as_u64().and_then(|status| u16::try_from(status).ok()).unwrap_or_default(),
    };
    items.map(outcome).collect()
}
