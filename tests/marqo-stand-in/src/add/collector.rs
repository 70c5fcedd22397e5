//! Collects the outcome of each document of a request to add documents, in the real server's order and with its
//! treatment of duplicates.

use super::Prepared;
use crate::python;
use crate::reply::item_answer;
use crate::rules::*;
use serde_json::{Value, json};
use std::collections::HashMap;

/// The most characters of a document as `json.dumps` of Python writes it, Marqo's default.
const SIZE_LIMIT: usize = 100_000;

/// The outcomes so far. Documents are handled in reverse order, so that of several with one id the last comes first. A
/// document's place is its position counted from the end of the request, from 0.
#[derive(Default)]
pub(crate) struct Collector {
    /// The places of the kept documents, by id.
    places: HashMap<String, usize>,
    /// The ids of the documents handled so far, and whether they were kept.
    visited: HashMap<String, bool>,
    /// The kept documents, in the order in which they were handled.
    prepared: Vec<Prepared>,
    /// The items of the answer with their places.
    items: Vec<(usize, Value)>,
    has_errors: bool,
    /// The rules of the table of Marqo's behaviour that were applied.
    pub(crate) met: Vec<&'static Rule>,
}

/// Why a document is not taken, as found out before its fields are checked.
pub(crate) enum NotTaken {
    Invalid(&'static Rule, String),
    /// A later document of the request has the same id.
    Superseded,
}

impl Collector {
    /// Notes that a rule was applied.
    pub(crate) fn note(&mut self, rule: &'static Rule) {
        self.met.push(rule);
    }

    /// The checks that Marqo makes before it uses the `_id`, so that a refusal has `_id: ""`.
    pub(crate) fn check(&mut self, document: &Value) -> Result<(), NotTaken> {
        let Some(members) = document.as_object() else {
            return Err(NotTaken::Invalid(&DOCUMENT_NOT_OBJECT_ITEM, "Docs must be dicts".to_owned()));
        };
        if members.is_empty() {
            return Err(NotTaken::Invalid(&DOCUMENT_EMPTY, "Can't index an empty dict.".to_owned()));
        }
        let length = python::dumped_length(document);
        if length > SIZE_LIMIT {
            let id = members.get("_id").map(|id| format!(" _id:`{}`", python::text(id))).unwrap_or_default();
            let message = format!(
                "Document{id} with length `{length}` exceeds the allowed document size limit of [{SIZE_LIMIT}]."
            );
            return Err(NotTaken::Invalid(&DOCUMENT_TOO_LARGE, message));
        }
        let Some(id) = members.get("_id") else { return Ok(()) };
        let id = check_id(id).map_err(|(rule, message)| NotTaken::Invalid(rule, message))?;
        if self.visited.contains_key(id) {
            self.note(&DUPLICATE_SUPERSEDED);
            return Err(NotTaken::Superseded);
        }
        Ok(())
    }

    /// Keeps a document, which may still be refused later.
    pub(crate) fn keep(&mut self, place: usize, prepared: Prepared) {
        let id = &prepared.document.id;
        self.places.insert(id.clone(), place);
        if prepared.has_given_id {
            self.visited.insert(id.clone(), true);
        }
        self.prepared.push(prepared);
    }

    /// Refuses a document that was not kept; `id` is `None` if it has no valid id.
    pub(crate) fn refuse(&mut self, place: usize, id: Option<&str>, rule: &'static Rule, message: &str) {
        if let Some(id) = id {
            self.visited.insert(id.to_owned(), false);
        }
        self.push_error(place, id.unwrap_or_default(), rule, item_answer(rule).0, message);
    }

    /// The kept documents, in the order of the request.
    pub(crate) fn take_prepared(&mut self) -> Vec<Prepared> {
        let mut prepared = std::mem::take(&mut self.prepared);
        prepared.reverse();
        prepared
    }

    /// Refuses a kept document before it is sent to Vespa. The item's id is that of the request; `""` if the server
    /// made it.
    pub(crate) fn refuse_kept(&mut self, prepared: &Prepared, rule: &'static Rule, message: &str) {
        let id = &prepared.document.id;
        let place = self.places.get(id).copied().unwrap_or(0);
        let shown = if prepared.has_given_id { id.as_str() } else { "" };
        self.push_error(place, shown, rule, item_answer(rule).0, message);
    }

    /// Adds the item for Vespa's answer about a document; `refused` is `None` if it was written. Marqo finds the
    /// document by the id in Vespa's answer. If that id is not in the request, the item has no place and comes last.
    pub(crate) fn answer(&mut self, prepared: &Prepared, refused: Option<(&'static Rule, u16, &str)>) {
        let id = &prepared.document.id;
        let reported = crate::ids::reported(id);
        let place = self.places.get(&reported).copied().unwrap_or(0);
        self.met.extend(crate::ids::rules_met(id));
        match refused {
            None => self.items.push((place, json!({ "status": 200, "_id": reported }))),
            Some((rule, status, message)) => {
                let is_made_by_server = !prepared.has_given_id && reported == *id;
                self.push_error(place, if is_made_by_server { "" } else { &reported }, rule, status, message);
            }
        }
    }

    /// Refuses a kept document with the status, code and id that the rule says.
    pub(crate) fn answer_as(&mut self, prepared: &Prepared, rule: &'static Rule, message: &str) {
        let id = &prepared.document.id;
        let place = self.places.get(id).copied().unwrap_or(0);
        let is_without_id = matches!(rule.answer, Answer::Item { id: ItemId::Empty, .. });
        self.push_error(place, if is_without_id { "" } else { id }, rule, item_answer(rule).0, message);
    }

    fn push_error(&mut self, place: usize, id: &str, rule: &'static Rule, status: u16, message: &str) {
        let code = item_answer(rule).1;
        self.has_errors = true;
        self.note(rule);
        let item = json!({ "status": status, "_id": id, "message": message, "error": message, "code": code });
        self.items.push((place, item));
    }

    /// Whether there are errors, the items in the order of the answer, and the applied rules.
    pub(crate) fn finish(mut self) -> (bool, Vec<Value>, Vec<&'static Rule>) {
        self.items.sort_by_key(|(place, _)| std::cmp::Reverse(*place));
        (self.has_errors, self.items.into_iter().map(|(_, item)| item).collect(), self.met)
    }
}

/// The id, if it is a text and not empty.
pub(crate) fn check_id(id: &Value) -> Result<&str, (&'static Rule, String)> {
    match id.as_str() {
        Some("") => Err((&ID_EMPTY, "Document ID can't be empty".to_owned())),
        Some(id) => Ok(id),
        None => {
            let (shown, kind) = (python::text(id), python::type_name(id));
            let message =
                format!("Document _id must be a string type! Received _id {shown} of type `{kind}`");
            Err((&ID_NOT_TEXT, message))
        }
    }
}
