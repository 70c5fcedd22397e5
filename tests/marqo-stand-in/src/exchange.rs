//! The log of requests.

use crate::fault::Fault;
use crate::operation::Operation;
use serde::Serialize;
use serde_json::Value;

/// A request and what became of it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Exchange {
    /// Counts requests in the order in which they arrived, from 1.
    pub number: u64,
    /// What was asked.
    pub operation: Operation,
    /// Of which index; empty if of none.
    pub index: String,
    /// The ids of its documents as sent; documents without a text `_id` are left out.
    pub ids: Vec<String>,
    /// Of the answer; `None` while there is no answer.
    pub status: Option<u16>,
    /// The items of the answer, if the client got one that it can read.
    pub items: Vec<ItemOutcome>,
    /// The fault that took the place of the answer.
    pub fault: Option<Fault>,
    /// When it arrived, since the start of the stand-in.
    pub arrived_ms: f64,
    /// How long it took; `None` until it ends.
    pub took_ms: Option<f64>,
}

/// The answer about one document.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ItemOutcome {
    /// As answered; may be empty.
    pub id: String,
    /// As answered.
    pub status: u16,
}

/// The items of an answer of add, PATCH or delete.
pub(crate) fn outcomes(answer: &Value) -> Vec<ItemOutcome> {
    let items = answer["items"].as_array().into_iter().flatten();
    let outcome = |item: &Value| ItemOutcome {
        id: item["_id"].as_str().unwrap_or_default().to_owned(),
        status: item["status"].as_u64().and_then(|status| u16::try_from(status).ok()).unwrap_or_default(),
    };
    items.map(outcome).collect()
}
